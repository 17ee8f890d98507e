"""What an evaluation leaves: tables, metrics.json, the page, what is printed, and versions with another rule."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from tfdfd.clip import NO_FACE, WEAK_EVIDENCE, WITH_FACES, TfdfdError
from tfdfd.commands.console import print_table
from tfdfd.commands.scoring import KEPT, ModelScores
from tfdfd.evaluation.config import EvalConfig

if TYPE_CHECKING:
    from tfdfd.evaluation.result import EvaluationResult, ModelResult


TABLES = ("scores", "track_scores", "face_scores")
"""By clip, track and face."""
FILES = ("report.html", "metrics.json", *(f"{name}.{kind}" for name in TABLES for kind in ("parquet", "csv")))
"""What a report's folder gets."""
_UNFINISHED = "unfinished"


def require_writable(report: Path) -> None:
    """Make the report's folder, before any work.

    Raises:
        TfdfdError: if it cannot be written to.
    """
    from tfdfd.data.atomic import explain_write_errors

    with explain_write_errors(report):
        report.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=report):
            pass
    if folders := [name for name in FILES if (report / name).is_dir()]:
        raise TfdfdError(f"{report / folders[0]} is a folder, and a file is to be written there: give another --report")


def write_report(
    result: EvaluationResult, scores: Sequence[ModelScores], report: Path, config: EvalConfig, console: Console
) -> None:
    """Write scores, figures and the page; those of an earlier run stay until all of them are there.

    Args:
        result: what was found.
        scores: the models, which are asked what they looked at, and their stores.
        report: the folder.
        config: what the page shows.
        console: for progress.

    Raises:
        TfdfdError: if something cannot be written.
    """
    from tfdfd.data.atomic import explain_write_errors, write_atomically, write_parquet
    from tfdfd.evaluation.report import write_evaluation_report
    from tfdfd.evaluation.scores import clip_table, face_table, track_table

    unfinished = report / KEPT / _UNFINISHED
    with explain_write_errors(report), console.status("writing the report"):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            for name, table_of in zip(TABLES, (clip_table, track_table, face_table), strict=True):
                tables = [table_of(model.scored, model.choice.rule).assign(model=model.name) for model in result.models]
                table = pd.concat(tables, ignore_index=True)
                write_parquet(unfinished / f"{name}.parquet", table)
                write_atomically(unfinished / f"{name}.csv", table.to_csv(index=False).encode())
            write_atomically(unfinished / "metrics.json", result.to_json().encode())
            write_evaluation_report(
                unfinished / "report.html",
                result,
                [(one.store, one.model.explain) for one in scores],
                num_mistakes=config.mistakes,
                has_pictures=config.pictures,
                shows_masks=scores[0].model.shows_masks,
            )
            for name in FILES:
                os.replace(unfinished / name, report / name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    console.print(
        f"wrote {report / 'report.html'} (open it in a browser), metrics.json and scores by clip, track and face"
    )


def save_rules(scores: Sequence[ModelScores], result: EvaluationResult, console: Console) -> None:
    """Write a new version of each model, with the rule that it was scored by."""
    for one, model in zip(scores, result.models, strict=True):
        if model.choice.rule == one.model.rule:
            console.print(f"the rule of {one.name} is the one that it has: no new version is written", style="yellow")
            continue
        calibrated = model.choice.calibrated
        reason = {"command": shlex.join(result.command), "data": result.data}
        folder = one.model.save_with_rule(
            model.choice.rule,
            reason | ({} if calibrated is None else {"calibrated": calibrated.to_json()}),
            fitted_on=one.calibration.clips,
            say=console.print,
        )
        console.print(f"saved {folder}: the network of {one.name}, rule {model.choice.rule.to_json()}")


def print_result(result: EvaluationResult, console: Console) -> None:
    """Print the figures, and aloud the clips that had no evidence."""
    from tfdfd.evaluation.metrics import METRICS

    for model in result.models:
        parts = model.figures.told_apart()
        counts = [
            f"{title}: {figures.count} ({figures.num_real} real, {figures.num_fake} fake, "
            f"of {figures.num_originals} originals)"
            for title, figures in parts
        ]
        rows = [[name.replace("_", " "), *(figures.written(name) for _, figures in parts)] for name in METRICS]
        print_table(console, f"{model.name}: scores, with 95 % intervals over originals", ["figure", *counts], rows)
        if model.regions is not None:
            found = model.regions
            rows = [[part.method, part.num_clips, part.num_faces, part.written()] for part in found.parts]
            print_table(console, f"{model.name}: altered regions", ["fakes", "clips", "faces", "mean IoU"], rows)
            if found.false_area is not None:
                console.print(
                    f"of {found.num_unaltered} faces that were not altered, {found.false_area:.2%} of the area is "
                    "called altered"
                )
        _print_without_evidence(model, console)
    if result.comparison is not None:
        names = ("log_loss", "log_loss_balanced", "auc", "brier_score")
        rows = [[model.name, *(model.figures.all_clips.written(name) for name in names)] for model in result.models]
        rows += [
            [name, *(found.written(name_) for name_ in names)] for name, found in result.comparison.ensembles.items()
        ]
        print_table(console, "The models and their ensembles", ["model", *names], rows)
        rows = [
            [entry.one, entry.other, entry.figure, entry.written()]
            for entry in result.comparison.differences
            if entry.figure in names
        ]
        print_table(
            console,
            "Differences on the same clips, second less first",
            ["first", "second", "figure", "difference"],
            rows,
        )
        for (one, other), found in result.comparison.delong.items():
            console.print(f"DeLong's test of the AUC of {one} and {other}: p = {found.p_value:.3g}")


def _print_without_evidence(model: ModelResult, console: Console) -> None:
    statuses = model.scored.status.tolist()
    without, no_face = sum(status not in WITH_FACES for status in statuses), statuses.count(NO_FACE)
    if weak := sum(str(reason).startswith(WEAK_EVIDENCE) for reason in model.scored.reason):
        console.print(f"{weak} clips are scored on {WEAK_EVIDENCE}, their reason in scores.csv says so", style="yellow")
    if without:
        console.print(
            f"{without} clips had no evidence ({no_face} without a face, {without - no_face} failed): scored "
            f"{model.choice.rule.no_evidence_score} (--no-face-score)",
            style="yellow",
        )
