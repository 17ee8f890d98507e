"""What run_train.py --demo does before and after the main job: renders its clips, and evaluates what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.commands.console import print_table
from tfdfd.commands.evaluated_clips import choose_clips
from tfdfd.data.atomic import explain_write_errors
from tfdfd.data.splits import Split
from tfdfd.data.tables import records
from tfdfd.evaluation.config import EvalConfig, RuleConfig

if TYPE_CHECKING:
    from tfdfd.data.store import FaceStore


def make_demo(folder: Path, console: Console) -> None:
    """Render the clips of the demo into a folder."""
    from tfdfd.data.demo import render_demo

    console.print("demo: a smoke run on clips rendered from one public-domain portrait, not a benchmark", style="bold")
    with explain_write_errors(folder):
        render_demo(folder)


def finish_demo(exported: Path, split: Split, store: FaceStore, data: Path, console: Console) -> None:
    """Score the validation clips with the exported SavedModel and show every score."""
    from tfdfd.commands.evaluation import evaluate
    from tfdfd.commands.evaluation_output import print_result, require_writable, write_report
    from tfdfd.commands.scoring import score_store
    from tfdfd.evaluation.scores import clip_table
    from tfdfd.serving.saved_model import LoadedModel

    report, model, config = Path("reports/demo"), LoadedModel(exported), EvalConfig()
    clips = choose_clips(
        split.table.drop(columns="split"),
        [model],
        val_folders=None,
        calibrate_folders=None,
        include_train=False,
        console=console,
    )
    require_writable(report)
    scores = [score_store(model, store, None, clips, report, console, batch_size=4)]
    command = ("run_train.py", "--demo")
    result = evaluate(scores, clips, report, RuleConfig(), config, console, data=data, command=command, batch_size=4)
    write_report(result, scores, report, config, console)
    print_result(result, console)
    rows = [
        [row["clip_id"], _name(row["label"]), float(row["clip_score"]), _name(row["is_fake"])]
        for row in records(clip_table(result.models[0].scored, result.models[0].choice.rule))
    ]
    print_table(console, "Scores of the validation folder", ["clip", "is", "score", "scored as"], rows)


def _name(is_fake: int | bool) -> str:
    return "fake" if is_fake else "real"
