"""`run_eval.py --submission`: clips without labels to a CSV of scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import WITH_FACES, TfdfdError
from tfdfd.commands.evaluated_clips import EvaluatedClips
from tfdfd.commands.evaluation_output import require_writable
from tfdfd.commands.extracting import WorkerConfig
from tfdfd.commands.flags import config_from_flags
from tfdfd.commands.inputs import data_folder
from tfdfd.commands.prepare import print_manifest_notes
from tfdfd.commands.scoring import KEPT, load_models, score_by
from tfdfd.data.tables import some
from tfdfd.data.unlabelled import load_unlabelled
from tfdfd.evaluation.config import EvalConfig, RuleConfig


def write_submission(
    folders: Sequence[Path],
    arguments: argparse.Namespace,
    rule_config: RuleConfig,
    workers: WorkerConfig,
    console: Console,
) -> int:
    """Score a folder of clips without labels into Kaggle's two columns, `filename` and `label`.

    Several models are combined by the arithmetic mean of their clip scores.

    Args:
        folders: the models.
        arguments, rule_config: what the person asked for.
        workers: the processes that extract clips.
        console: for progress, and for the clips without evidence.

    Returns:
        The exit status.

    Raises:
        TfdfdError: for options that need labels, or a file that cannot be written.
    """
    _refuse_what_needs_labels(arguments, rule_config)
    file = Path(arguments.submission)
    if file.is_dir() or not file.parent.is_dir():
        raise TfdfdError(f"--submission {file}: give a file in a folder that is there")
    require_writable(file.parent)
    data = data_folder(arguments.data)
    models = load_models(folders, console)
    from tfdfd.data.atomic import explain_write_errors, write_atomically
    from tfdfd.evaluation.rule_choice import choose_rule

    manifest = load_unlabelled(data)
    print_manifest_notes(manifest, console)
    count = len(manifest.table)
    clips = EvaluatedClips(manifest.table, np.arange(count), np.zeros(count, bool), None, 0, None, 0)
    work = file.with_name(f"{file.name}.{KEPT}")
    scores = []
    for model in models:
        one = score_by(model, manifest, clips, work, arguments, workers, console)
        rule = choose_rule(one.model.rule, rule_config, one.calibration).rule
        scores.append(one.scored.scores(rule))
        without = one.scored.clips["clip_id"][~np.isin(one.scored.status, WITH_FACES)].tolist()
        if without:
            console.print(
                f"{one.name}: {len(without)} clips had no evidence, scored {rule.no_evidence_score} "
                f"(--no-face-score): {some(without, limit=3)}",
                style="yellow",
            )
    table = pd.DataFrame({"filename": manifest.table["clip_id"], "label": np.mean(scores, axis=0)})
    with explain_write_errors(file.parent):
        write_atomically(file, table.to_csv(index=False).encode())
    combined = f", the mean of {len(models)} models" if len(models) > 1 else ""
    console.print(f"wrote {file}: {count} clips{combined}")
    return 0


def _refuse_what_needs_labels(arguments: argparse.Namespace, rule_config: RuleConfig) -> None:
    defaults = EvalConfig()
    config = config_from_flags(EvalConfig, arguments)
    for flag, is_given in (
        ("--val-folders", arguments.val_folders is not None),
        ("--include-train", arguments.include_train),
        ("--compression", arguments.compression is not None),
        ("--report", arguments.report is not None),
        ("--calibrate-folders", rule_config.calibrate_folders is not None),
        ("--save-rule", rule_config.save_rule),
        ("--robustness, or an option of figures and report", config != defaults),
    ):
        if is_given:
            raise TfdfdError(f"--submission scores clips without labels and cannot honour {flag}: leave it out")
