"""`tfdfd eval` and run_eval.py: how good a SavedModel is, on clips it was not trained on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import make_console
from tfdfd.commands.evaluated_clips import choose_clips
from tfdfd.commands.evaluation import evaluate
from tfdfd.commands.evaluation_output import print_result, require_writable, save_rules, write_report
from tfdfd.commands.extracting import add_worker_flags, worker_config
from tfdfd.commands.flags import CommandParser, add_config_flags, add_cpu_flag, config_from_flags, obey_cpu_flag
from tfdfd.commands.inputs import data_folder, newest_model
from tfdfd.commands.known_people import with_known_people
from tfdfd.commands.prepare import add_compression_flag, print_manifest_notes
from tfdfd.commands.scoring import evaluated_store, load_models, model_name, score_by
from tfdfd.data.manifest import load_manifest
from tfdfd.evaluation.config import EvalConfig, RuleConfig

if TYPE_CHECKING:
    from tfdfd.serving.saved_model import LoadedModel


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd eval`."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    obey_cpu_flag(arguments)
    workers = worker_config(arguments)
    rule_config = config_from_flags(RuleConfig, arguments)
    config = config_from_flags(EvalConfig, arguments)
    if arguments.batch_size < 1:
        raise TfdfdError(f"--batch-size must be at least 1, got {arguments.batch_size}")
    folders = [Path(folder) for folder in arguments.model or [newest_model(Path("saved_models"))]]
    for flag in ("submission", "report"):
        if getattr(arguments, flag) == "":
            raise TfdfdError(f"--{flag} is empty: give it a name, or leave it out")
    if arguments.submission is not None:
        from tfdfd.commands.submission import write_submission

        return write_submission(folders, arguments, rule_config, workers, make_console())
    console = make_console()
    manifest = load_manifest(data_folder(arguments.data), compression=arguments.compression)

    models = load_models(folders, console)
    if rule_config.save_rule and (odd := [model.folder for model in models if not model.folder.name.isdigit()]):
        raise TfdfdError(
            f"--save-rule writes a version beside {odd[0]}, whose name must be a number: copy it to NAME/1"
        )
    if config.robustness and (hearing := [model.folder for model in models if model.hears]):
        raise TfdfdError(
            f"--robustness disturbs single pictures, and {hearing[0]} looks at sequences and their sound: leave it out"
        )
    if config.region_clips != EvalConfig.region_clips and not any(model.shows_masks for model in models):
        raise TfdfdError("--region-clips is of models that were trained with masks (--segmentation), and none here is")
    print_manifest_notes(manifest, console)
    clips = choose_clips(
        with_known_people(manifest.table, evaluated_store(models[0], manifest, arguments), console),
        models,
        val_folders=arguments.val_folders,
        calibrate_folders=rule_config.calibrate_folders,
        include_train=arguments.include_train,
        console=console,
    )
    report = Path(
        arguments.report or Path("reports") / "-".join(model_name(model).replace("/", "-") for model in models)
    )
    require_writable(report)
    _require_one_store_fits(models, arguments)
    scores = [score_by(model, manifest, clips, report, arguments, workers, console) for model in models]
    command = (Path(sys.argv[0]).name, *(sys.argv[1:] if argv is None else argv))
    result = evaluate(
        scores,
        clips,
        report,
        rule_config,
        config,
        console,
        data=manifest.root,
        command=command,
        batch_size=arguments.batch_size,
        decoder=arguments.decoder,
    )
    write_report(result, scores, report, config, console)
    print_result(result, console)
    if rule_config.save_rule:
        save_rules(scores, result, console)
    return 0


def _require_one_store_fits(models: Sequence[LoadedModel], arguments: argparse.Namespace) -> None:
    """Refuse one store for models whose crops were made in different ways, before any is made."""
    if arguments.store is None:
        return
    from tfdfd.data.fingerprint import of_single_crops, require_same_preprocessing

    for other in models[1:]:
        require_same_preprocessing(
            of_single_crops(models[0].fingerprint),
            of_single_crops(other.fingerprint),
            expected_name=model_name(models[0]),
            found_name=model_name(other),
            accept=arguments.accept_mismatch,
        )


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="run_eval.py", description=__doc__)
    parser.add_argument("--data", metavar="DIR", help="folder of clips or face crops, or a CSV (default: $TFDFD_DATA)")
    parser.add_argument(
        "--model",
        metavar="DIR",
        action="append",
        help="saved_models/NAME or one of its versions (default: the newest); given several times, the models are "
        "compared on the same clips, and combined",
    )
    parser.add_argument(
        "--val-folders",
        metavar="GLOB",
        help="folders to score, e.g. 'dfdc_train_part_4?' (default: the validation clips that the model records)",
    )
    add_compression_flag(parser)
    parser.add_argument("--include-train", action="store_true", help="score clips too that the model was trained on")
    parser.add_argument("--store", metavar="DIR", help="face store (default: stores/<name>-<settings>)")
    parser.add_argument(
        "--report",
        metavar="DIR",
        help="folder for report.html, metrics.json and the scores (default: reports/<model>)",
    )
    parser.add_argument(
        "--submission",
        metavar="FILE",
        help="score a folder of clips without labels into a CSV `filename,label`, and nothing else",
    )
    parser.add_argument("--places", type=int, metavar="N", help="frames chosen of each clip (default: as in training)")
    parser.add_argument("--crop-margin", type=float, metavar="SHARE", help="margin of ready-made crops, as --margin")
    parser.add_argument(
        "--accept-mismatch",
        action="store_true",
        help="go on although the model's crops were made otherwise, and print how",
    )
    add_cpu_flag(parser)
    parser.add_argument("--retry-failed", action="store_true", help="try the clips again that failed before")
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="tracks a batch (default: 4)")
    add_config_flags(parser, RuleConfig, title="scoring rule")
    add_config_flags(parser, EvalConfig, title="figures and report")
    add_worker_flags(parser)
    return parser
