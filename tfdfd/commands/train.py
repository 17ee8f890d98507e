"""`tfdfd train` and run_train.py: folders of clips to a store, a trained network and a SavedModel."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from tfdfd.clip import OK, Clip, ClipFaces, TfdfdError
from tfdfd.commands.console import import_tensorflow, make_console, print_table
from tfdfd.commands.flags import add_config_flags, config_from_flags
from tfdfd.commands.inputs import INPUTS, data_folder, has_gpu, make_datasets, make_frame_source, provenance
from tfdfd.commands.prepare import add_store_flags, prepare_store, print_manifest_notes
from tfdfd.data.atomic import write_atomically
from tfdfd.data.manifest import Manifest, load_manifest
from tfdfd.data.splits import TRAIN, VAL, Split, describe_split, split_manifest
from tfdfd.data.tables import records, rows_where, values
from tfdfd.faces.config import ExtractionConfig
from tfdfd.training.config import TrainConfig

if TYPE_CHECKING:
    import tensorflow as tf

    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.data.store import FaceStore
    from tfdfd.training.loop import TrainResult
    from tfdfd.training.sources import TrainingSource, ValidationSource

DEMO = {
    "data": "stores/demo-clips",
    "output": "saved_models/demo",
    "val_folders": "dfdc_train_part_1",
    "weights": "none",
    "crop_size": 96,
    "epochs": 6,
    "batch_size": 16,
    "learning_rate": 1e-3,
    # 13 steps an epoch: slower statistics would lag behind the weights and leave validation at chance.
    "batchnorm_momentum": 0.8,
    "patience": 6,
    "plateau_patience": 6,
}
"""What `--demo` sets; a flag given beside it still counts."""


EXPORTED_FILE = "exported.json"
"""In the run folder: which version holds its best epoch, so that the same command again exports nothing twice."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of run_train.py."""
    parser = argparse.ArgumentParser(prog="run_train.py", description=__doc__)
    parser.add_argument("--demo", action="store_true", help="render a small data set and run the whole road on it")
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument("--gpus", type=int, metavar="N", help="GPUs to train on (default: all; none: one CPU replica)")
    devices.add_argument("--logical-cpus", type=int, metavar="N", help="N replicas on logical CPUs, for tests and CI")
    split = parser.add_mutually_exclusive_group()
    split.add_argument("--val-folders", metavar="GLOB", help="folders to validate on, e.g. 'dfdc_train_part_4?'")
    split.add_argument("--val-originals", metavar="IDS", help="originals to validate on, with all their fakes: 183,253")
    split.add_argument("--val-fraction", type=float, metavar="F", help="share of the clips to validate on")
    parser.add_argument("--output", metavar="DIR", help="where the SavedModel goes (default: saved_models/<data>)")
    parser.add_argument("--run-folder", metavar="DIR", help="checkpoints and logs (default: runs/<name of the output>)")
    parser.add_argument(
        "--input", choices=INPUTS, default="auto", help="what feeds the network (default: dali if there)"
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="train straight from video, without a store: clips are decoded and faces found anew every epoch",
    )
    add_store_flags(parser)
    add_config_flags(parser, TrainConfig, title="training")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd train`."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.demo:
        given = [name for name in ("val_originals", "val_fraction") if getattr(arguments, name) is not None]
        parser.set_defaults(**{name: value for name, value in DEMO.items() if not (given and name == "val_folders")})
        arguments = parser.parse_args(argv)
    console = make_console()
    crops = config_from_flags(ExtractionConfig, arguments)
    config = config_from_flags(TrainConfig, arguments)

    import_tensorflow()
    # Devices come first: TensorFlow wants them set up before it is used, and a wrong --gpus stops the run at once.
    from tfdfd.training.strategy import make_strategy

    strategy, devices = make_strategy(arguments.gpus, arguments.logical_cpus)
    console.print(devices)
    try:
        config.per_replica_batch(strategy.num_replicas_in_sync)
    except ValueError as error:
        raise TfdfdError(str(error)) from error
    if arguments.demo and arguments.data == DEMO["data"]:
        _render_demo(Path(DEMO["data"]), console)
    manifest = _load_manifest(arguments)
    print_manifest_notes(manifest, console)
    split = split_manifest(
        manifest.table,
        val_folders=arguments.val_folders,
        val_originals=arguments.val_originals,
        val_fraction=arguments.val_fraction,
        seed=config.seed,
    )
    print_split(split, console)
    name = "demo" if arguments.demo else manifest.root.resolve().name
    output = Path(arguments.output or Path("saved_models") / name)
    run_folder = Path(arguments.run_folder or Path("runs") / output.name)

    if arguments.stream:
        store = None
        training, validation, fingerprint = stream_sources(manifest, split, arguments, crops, config, strategy, console)
    else:
        store = prepare_store(
            manifest,
            arguments.store,
            crops,
            console,
            crop_margin=arguments.crop_margin,
            retry_failed=arguments.retry_failed,
            accept_mismatch=arguments.accept_mismatch,
        )
        fingerprint = store.fingerprint
        training, validation = store_sources(store, split, arguments, config, strategy, console)
    crop_size = int(fingerprint.preprocessing["crop_size"])

    from tfdfd.models.scoring import ScoringRule
    from tfdfd.training.build import classifier_builder
    from tfdfd.training.loop import train

    rule = ScoringRule()
    result = train(
        model_builder=classifier_builder(config, crop_size),
        config=config,
        training=training,
        validation=validation,
        strategy=strategy,
        run_folder=run_folder,
        score_clips=rule.clip_scores,
        fingerprint=fingerprint.preprocessing,
        console=console,
    )
    exported = _already_exported(run_folder, result)
    if exported is None:
        console.print(f"exporting epoch {result.best_epoch} to {output}", markup=False)
        exported = export_best(result, rule, fingerprint, split, config, output, manifest)
        content = {"best_epoch": result.best_epoch, "best_value": result.best_value, "model": str(exported.resolve())}
        write_atomically(run_folder / EXPORTED_FILE, json.dumps(content).encode())
        console.print(f"exported {exported}, epoch {result.best_epoch} of {run_folder}", style="bold", markup=False)
    else:
        console.print(f"{exported} is already the best epoch of {run_folder}", markup=False)
    if arguments.demo and store is not None:
        _finish_demo(exported, split, store, console)
    _print_next(exported, arguments, manifest, console)
    return 0


def _load_manifest(arguments: argparse.Namespace) -> Manifest:
    """Read the manifest of --data, or the one that a store holds where only the store is given."""
    if arguments.store and not arguments.data and (Path(arguments.store) / "manifest.parquet").is_file():
        from tfdfd.data.store import FaceStore

        store = FaceStore.open(Path(arguments.store))
        table = store.manifest()
        table = table.drop(columns=[name for name in ("split",) if name in table])
        is_faces = store.fingerprint.preprocessing["strip_codec"] == "as delivered"
        layout = "faces" if is_faces else "csv"
        return Manifest(
            table=table, layout=layout, root=Path(store.fingerprint.provenance["source"]), is_faces=is_faces
        )
    return load_manifest(data_folder(arguments.data))


def _already_exported(run_folder: Path, result: TrainResult) -> Path | None:
    """Return the version that a run that has not moved since has already exported, if it is still there."""
    try:
        content = json.loads((run_folder / EXPORTED_FILE).read_text())
    except FileNotFoundError:
        return None
    is_same = (content["best_epoch"], content["best_value"]) == (result.best_epoch, result.best_value)
    exported = Path(content["model"])
    return exported if is_same and (exported / "saved_model.pb").is_file() else None


def store_sources(
    store: FaceStore,
    split: Split,
    arguments: argparse.Namespace,
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    console: Console,
) -> tuple[TrainingSource, ValidationSource]:
    """Return the faces of both sides of a split, from a store.

    Raises:
        TfdfdError: if a side has no face, or only one label with a face.
    """
    from tfdfd.data.strips import check_strips
    from tfdfd.data.tracks import scoring_rows, training_table
    from tfdfd.training.sources import FaceTableSource, StripSource

    datasets = make_datasets(console, arguments.input)
    console.print(f"batches come from {datasets.name}")
    clips, sides = split.table, split.sides
    table = training_table(store, rows_where(clips, sides == TRAIN))
    val_clips = rows_where(clips, sides == VAL)
    rows = scoring_rows(store, val_clips)
    for side, labels in (
        (TRAIN, table.labels),
        (VAL, values(val_clips, "label")[rows.clip_rows]),
    ):
        _require_both_labels(side, labels)
    check_strips([*table.strip_paths, *rows.strip_paths])
    labels = np.full(len(val_clips), -1)
    labels[rows.clip_rows] = values(val_clips, "label")[rows.clip_rows]
    if without := int((labels < 0).sum()):
        console.print(f"{without} validation clips have no face: they do not choose the best epoch", style="yellow")
    return (
        FaceTableSource(table, config, datasets, strategy, store.crop_size),
        StripSource(rows, labels, config, datasets, strategy, store.crop_size),
    )


def stream_sources(
    manifest: Manifest,
    split: Split,
    arguments: argparse.Namespace,
    crops: ExtractionConfig,
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    console: Console,
) -> tuple[TrainingSource, ValidationSource, Fingerprint]:
    """Return the faces of both sides of a split, straight from video, and their fingerprint.

    Raises:
        TfdfdError: for ready-made crops or options that only a store honours.
    """
    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.extraction import extraction_fingerprint
    from tfdfd.faces.mtcnn import MTCNN
    from tfdfd.streaming import FaceStream, TrackStream
    from tfdfd.training.stream_sources import FaceStreamSource, TrackStreamSource

    if manifest.is_faces:
        raise TfdfdError("--stream reads video, and these are ready-made crops: leave --stream out")
    for flag, value in (
        ("--store", arguments.store),
        ("--retry-failed", arguments.retry_failed),
        ("--input dali", arguments.input != "auto"),
        ("--crop-margin", arguments.crop_margin is not None),
        ("--steps-per-epoch", config.steps_per_epoch),
    ):
        if value:
            raise TfdfdError(f"--stream cannot honour {flag}: leave one of them out")
    detector = MTCNN(min_face_share=crops.min_face_share)
    found = extraction_fingerprint(crops, detector.settings, provenance(manifest.root))
    fingerprint = Fingerprint(found.preprocessing, {**found.provenance, "num_places": crops.places, "stream": True})
    announced: set[str] = set()

    def on_clip(faces: ClipFaces) -> None:
        if faces.status != OK and faces.clip_id not in announced:
            announced.add(faces.clip_id)
            console.print(f"  {faces.clip_id}: {faces.status}, {faces.reason}", markup=False)

    def clips_of(side: str) -> tuple[list[Clip], np.ndarray]:
        table = rows_where(split.table, split.sides == side)
        clips = [Clip(clip_id, Path(path)) for clip_id, path in zip(table["clip_id"], table["path"], strict=True)]
        return clips, values(table, "label").astype(np.int64)

    train_clips, labels = clips_of(TRAIN)
    weights = np.ones(len(labels), np.float32)
    if config.balance == "weights":
        for label in (0, 1):
            weights[labels == label] = len(labels) / (2 * (labels == label).sum())
    # Each side reads with its own source: validation may begin while the next training batches are being read.
    stream = FaceStream(
        train_clips,
        labels.astype(np.float32),
        weights,
        make_frame_source(console, gpu=has_gpu()),
        detector,
        crops,
        seed=config.seed,
        global_batch_size=config.batch_size,
        mirror=config.mirror,
        on_clip=on_clip,
    )
    val_clips, val_labels = clips_of(VAL)
    console.print(f"finding the faces of the {len(val_clips)} validation clips")
    tracks = TrackStream(val_clips, make_frame_source(console, gpu=has_gpu()), detector, crops, on_clip=on_clip)
    _require_both_labels(VAL, val_labels[tracks.clip_rows])
    with_face = np.full(len(val_labels), -1)
    with_face[tracks.clip_rows] = val_labels[tracks.clip_rows]
    return FaceStreamSource(stream, strategy), TrackStreamSource(tracks, with_face, strategy), fingerprint


def _require_both_labels(side: str, labels: np.ndarray) -> None:
    real, fake = int((labels == 0).sum()), int((labels == 1).sum())
    if not real or not fake:
        name = {TRAIN: "training", VAL: "validation"}[side]
        raise TfdfdError(
            f"the {name} side has faces of {real} real and {fake} fake tracks, both labels are needed: look at the "
            "clips that have no face or failed, or choose another split"
        )


def print_split(split: Split, console: Console) -> None:
    """Print clips, labels and folders of each side."""
    described = describe_split(split.table)
    for note in split.notes:
        console.print(note, style="yellow", markup=False)
    rows = [
        [side, *(row[name] for name in ("clips", "real", "fake", "sets", "folder_names"))]
        for side, row in zip(described.index, records(described), strict=True)
    ]
    header = ["side", "clips", "real", "fake", "connected sets", "folders"]
    print_table(console, f"Split by {split.rule}", header, rows)


def export_best(
    result: TrainResult,
    rule: Any,
    fingerprint: Fingerprint,
    split: Split,
    config: TrainConfig,
    output: Path,
    manifest: Manifest,
) -> Path:
    """Export the best checkpoint of a run and return the folder of the new version."""
    from tfdfd.models.face_classifier import build_face_classifier
    from tfdfd.serving.export import ModelCard, export_saved_model

    crop_size = int(fingerprint.preprocessing["crop_size"])
    # Built anew in float32 and outside the strategy: a SavedModel knows neither replicas nor mixed precision.
    classifier = build_face_classifier(
        backbone=config.backbone,
        crop_size=crop_size,
        input_size=config.input_size,
        weights=str(result.best_weights),
        dropout=config.dropout,
        seed=config.seed,
    )
    sides = describe_split(split.table)
    card = ModelCard(
        name=output.name,
        description="scores video clips: the probability that their faces were altered (1 is fake)",
        backbone=config.backbone,
        input_size=config.input_size or crop_size,
        data={
            "folder": str(manifest.root),
            "layout": manifest.layout,
            **dict(zip(map(str, sides.index), records(sides), strict=True)),
        },
        split={"rule": split.rule, "seed": config.seed},
        figures={name: float(value) for name, value in result.best_figures.items()},
        training=dataclasses.asdict(config),
    )
    return export_saved_model(classifier, rule, fingerprint, card, split.table, crop_size=crop_size, folder=output)


def _render_demo(folder: Path, console: Console) -> None:
    from tfdfd.data.demo import render_demo

    console.print("[bold]demo[/]: a smoke run on clips rendered from one public-domain portrait, not a benchmark")
    render_demo(folder)


def _finish_demo(exported: Path, split: Split, store: FaceStore, console: Console) -> None:
    """Score the validation clips with the exported SavedModel and show every score."""
    from tfdfd.commands.evaluate import evaluate
    from tfdfd.serving.saved_model import LoadedModel

    clips = rows_where(split.table, split.sides == VAL)
    scores = evaluate(LoadedModel(exported), clips, store, Path("reports/demo"), console, batch_size=4)
    rows = [
        [row["clip_id"], _name(row["label"]), float(row["clip_score"]), _name(row["is_fake"])]
        for row in records(scores)
    ]
    print_table(console, "Scores of the validation folder", ["clip", "is", "score", "scored as"], rows)


def _name(is_fake: int | bool) -> str:
    return "fake" if is_fake else "real"


def _print_next(exported: Path, arguments: argparse.Namespace, manifest: Manifest, console: Console) -> None:
    python = sys.executable if " " not in sys.executable else "python"
    data = arguments.data or manifest.root
    model = exported.parent
    lines = [f"{python} run_eval.py --data {data} --model {model}"]
    if not manifest.is_faces:
        lines.append(f"{Path(python).with_name('tfdfd')} score {manifest.table['path'].iloc[0]} --model {model}")
    if arguments.demo:
        lines.append(f"{python} run_train.py --data DIR   # your own clips")
    console.print("next:")
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)
