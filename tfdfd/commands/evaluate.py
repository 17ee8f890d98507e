"""`tfdfd eval` and run_eval.py: a SavedModel against clips it was not trained on."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import NO_FACE, OK, TfdfdError
from tfdfd.commands.console import WorkProgress, import_tensorflow, make_console, print_table
from tfdfd.commands.extracting import add_worker_flags, worker_config
from tfdfd.commands.inputs import data_folder, make_datasets
from tfdfd.commands.prepare import prepare_store, print_manifest_notes
from tfdfd.data.connected_sets import family_key
from tfdfd.data.manifest import load_manifest
from tfdfd.data.splits import TRAIN, VAL, in_folders
from tfdfd.data.tables import records, rows_where, some, values
from tfdfd.faces.alignment import ALIGNMENTS
from tfdfd.faces.config import ExtractionConfig

if TYPE_CHECKING:
    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.data.store import FaceStore
    from tfdfd.serving.saved_model import LoadedModel


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd eval`."""
    parser = argparse.ArgumentParser(prog="run_eval.py", description=__doc__)
    parser.add_argument("--data", metavar="DIR", help="folder of clips or face crops, or a CSV (default: $TFDFD_DATA)")
    parser.add_argument("--model", metavar="DIR", help="saved_models/NAME or one of its versions (default: the newest)")
    parser.add_argument("--val-folders", metavar="GLOB", help="folders to score, e.g. 'dfdc_train_part_4?' (default: "
                        "the validation clips that the model records)")  # fmt: skip
    parser.add_argument("--include-train", action="store_true", help="score clips too that the model was trained on")
    parser.add_argument("--store", metavar="DIR", help="face store (default: stores/<name>-<settings>)")
    parser.add_argument(
        "--report", metavar="DIR", help="folder for scores.csv and metrics.json (default: reports/<model>)"
    )
    parser.add_argument("--no-evidence-score", type=float, metavar="P", help="score of clips without a usable face "
                        "(default: the model's rule)")  # fmt: skip
    parser.add_argument("--places", type=int, metavar="N", help="frames chosen of each clip (default: as in training)")
    parser.add_argument("--crop-margin", type=float, metavar="SHARE", help="margin of ready-made crops, as --margin")
    parser.add_argument("--accept-mismatch", action="store_true", help="go on although the model's crops were made "
                        "otherwise, and print how")  # fmt: skip
    parser.add_argument("--retry-failed", action="store_true", help="try the clips again that failed before")
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="tracks a batch (default: 4)")
    add_worker_flags(parser)
    arguments = parser.parse_args(argv)
    workers = worker_config(arguments)
    if arguments.batch_size < 1:
        raise TfdfdError(f"--batch-size must be at least 1, got {arguments.batch_size}")
    console = make_console()
    folder = Path(arguments.model) if arguments.model else newest_model(Path("saved_models"))
    manifest = load_manifest(data_folder(arguments.data))

    import_tensorflow()
    from tfdfd.serving.saved_model import LoadedModel

    model = LoadedModel(folder)
    console.print(f"model {model.folder}, rule {model.rule.to_json()}")
    if arguments.no_evidence_score is not None:
        try:
            model.rule = dataclasses.replace(model.rule, no_evidence_score=arguments.no_evidence_score)
        except ValueError as error:
            raise TfdfdError(f"--no-evidence-score: {error}") from error
    print_manifest_notes(manifest, console)
    clips = choose_clips(
        manifest.table, model, val_folders=arguments.val_folders, include_train=arguments.include_train, console=console
    )
    manifest = dataclasses.replace(manifest, table=clips)
    store = prepare_store(
        manifest,
        arguments.store,
        _no_places(arguments.places) if manifest.is_faces else extraction_of(model.fingerprint, arguments.places),
        console,
        workers=workers,
        crop_margin=arguments.crop_margin,
        retry_failed=arguments.retry_failed,
        accept_mismatch=arguments.accept_mismatch,
        expected=model.fingerprint,
    )
    report = Path(arguments.report or Path("reports") / f"{model.folder.parent.name}-{model.folder.name}")
    evaluate(model, clips, store, report, console, batch_size=arguments.batch_size)
    return 0


def _no_places(places: int | None) -> ExtractionConfig:
    if places is not None:
        raise TfdfdError("--places chooses frames of clips, and these are ready-made crops: leave it out")
    return ExtractionConfig()


def evaluate(
    model: LoadedModel, clips: pd.DataFrame, store: FaceStore, report: Path, console: Console, *, batch_size: int
) -> pd.DataFrame:
    """Score clips and write scores.csv and metrics.json.

    Args:
        model: the model, with the rule to score by.
        clips: rows of the manifest.
        store: holds them.
        report: folder that the files are written to.
        console: for progress and the table of figures.
        batch_size: tracks a batch.

    Returns:
        The rows of scores.csv.

    Raises:
        TfdfdError: if the report cannot be written; found out before any scoring.
    """
    from tfdfd.data.atomic import explain_write_errors, write_atomically
    from tfdfd.data.connected_sets import connected_sets
    from tfdfd.data.rows import StripRows
    from tfdfd.evaluation.scores import clip_metrics, face_probabilities, score_clips

    with explain_write_errors(report):
        report.mkdir(parents=True, exist_ok=True)
        probe = report / "probe"  # figures of an earlier run stay until there are new ones
        write_atomically(probe, b"")
        probe.unlink()
    datasets = make_datasets(console)

    def probabilities_of(rows: StripRows):
        with WorkProgress(console, "scoring", "tracks", len(rows)) as progress:
            return face_probabilities(
                model.score,
                rows,
                datasets,
                crop_size=store.crop_size,
                batch_size=batch_size,
                num_threads=os.cpu_count() or 1,
                on_batch=progress.advance,
            )

    scores = score_clips(clips, store, model.rule, probabilities_of)
    metrics = clip_metrics(scores, model.rule, connected_sets(clips))
    metrics["model"] = str(model.folder)
    with explain_write_errors(report):
        write_atomically(report / "scores.csv", scores.to_csv(index=False).encode())
        write_atomically(report / "metrics.json", (json.dumps(metrics, indent=1) + "\n").encode())
    print_scores(scores, metrics, console)
    console.print(f"wrote {report / 'scores.csv'} and {report / 'metrics.json'}")
    return scores


def print_scores(scores: pd.DataFrame, metrics: dict, console: Console) -> None:
    """Print the figures, and aloud the clips that had no evidence."""
    from tfdfd.evaluation.metrics import METRICS

    parts = [part for part in ("all_clips", "clips_with_faces") if metrics[part]]
    counts = [
        f"{part.replace('_', ' ')}: {metrics[part]['count']} ({metrics[part]['real']} real, {metrics[part]['fake']} "
        f"fake, of {metrics[part]['num_originals']} originals)"
        for part in parts
    ]
    rows = [[name.replace("_", " "), *(_with_interval(metrics[part], name) for part in parts)] for name in METRICS]
    print_table(console, "Clip scores, with 95 % intervals over originals", ["figure", *counts], rows)
    statuses = scores["status"].to_list()
    without, no_face = sum(status != OK for status in statuses), statuses.count(NO_FACE)
    if without:
        console.print(
            f"{without} clips had no evidence ({no_face} without a face, {without - no_face} failed): scored "
            f"{metrics['no_evidence_score']} (--no-evidence-score)",
            style="yellow",
        )


def _with_interval(figures: dict, name: str) -> str:
    if figures[name] is None:
        return "-"
    edges = figures["intervals"][name]
    return f"{figures[name]:.4f}" + ("" if edges is None else f"  [{edges[0]:.4f}, {edges[1]:.4f}]")


def choose_clips(
    table: pd.DataFrame, model: LoadedModel, *, val_folders: str | None, include_train: bool, console: Console
) -> pd.DataFrame:
    """Choose the clips to score, and keep out those that the model was trained on.

    Args:
        table: the manifest.
        model: records which clips it was trained and validated on.
        val_folders: comma-separated globs over folders; None for the validation clips that the model records, or
            all clips where it knows none of them.
        include_train: score training clips too.
        console: says what was chosen, and why.

    Returns:
        The chosen rows.

    Raises:
        TfdfdError: if nothing is left, or training clips are among them without include_train.
    """
    seen = model.clips()
    if val_folders:
        chosen = rows_where(table, in_folders(table, val_folders))
    elif include_train or not set(table["clip_id"]) & set(seen["clip_id"]):
        chosen = table
        if not include_train:
            console.print(f"the model names none of these clips: scoring all {len(table)}")
    else:
        recorded = rows_where(seen, values(seen, "split") == VAL)
        chosen = rows_where(table, np.isin(values(table, "clip_id"), values(recorded, "clip_id")))
        console.print(f"scoring the {len(chosen)} validation clips that the model records, of {len(table)} here")
    trained = set().union(*(_family(row) for row in records(rows_where(seen, values(seen, "split") == TRAIN))))
    leaked = [row["clip_id"] for row in records(chosen) if not trained.isdisjoint(_family(row))]
    if len(leaked) and not include_train:
        raise TfdfdError(
            f"the model was trained on {len(leaked)} of these {len(chosen)} clips, or on their original or a fake of "
            f"it, the first: {some(leaked, limit=3)}. Choose others with --val-folders, or give "
            "--include-train to score them all the same"
        )
    if chosen.empty:
        raise TfdfdError("there is no clip to score: choose folders with --val-folders")
    return chosen


def _family(row: dict[str, Any]) -> set[str]:
    """Return the recordings that a clip was made of, whatever their compression."""
    return {family_key(row[name]) for name in ("clip_id", "original", "donor")} - {""}


def extraction_of(fingerprint: Fingerprint, places: int | None) -> ExtractionConfig:
    """Return how to make crops as a model's were made.

    Args:
        fingerprint: the model's.
        places: frames chosen of each clip; None for as many as in its training.

    Raises:
        TfdfdError: if the model does not say with which margin its crops were cut.
    """
    made = fingerprint.preprocessing
    defaults = ExtractionConfig()
    if not isinstance(made["margin"], int | float):
        raise TfdfdError(
            "the model was trained on ready-made crops whose margin was not declared, so clips cannot be cropped "
            "alike: train it again with --crop-margin"
        )
    trained_places = fingerprint.provenance.get("num_places", defaults.places)
    try:
        return ExtractionConfig(
            places=places if places is not None else (trained_places if trained_places > 1 else defaults.places),
            crop_size=made["crop_size"],
            margin=made["margin"],
            min_face_share=made["detector"]["min_face_share"]
            if isinstance(made["detector"], dict)
            else defaults.min_face_share,
            alignment=made["alignment"] if made["alignment"] in ALIGNMENTS else defaults.alignment,
            detect_every=made.get("detect_every_seconds"),
        )
    except ValueError as error:
        raise TfdfdError(f"clips cannot be cropped as the model's were: {error}") from error


def newest_model(root: Path) -> Path:
    """Return the newest version under `saved_models/`.

    Raises:
        TfdfdError: if there is none.
    """
    found = [path.parent for path in root.glob("*/*/saved_model.pb") if path.parent.name.isdigit()]
    if not found:
        raise TfdfdError(f"{root}/ holds no model: train one with run_train.py, or give --model")
    return max(found, key=lambda path: path.stat().st_mtime)
