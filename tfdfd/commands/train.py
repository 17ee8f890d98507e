"""`tfdfd train` and run_train.py: folders of clips to a store, a trained network and a SavedModel."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.cluster_training import add_cluster_flags, check_cluster, chiefs_errors, same_store, wait_seconds
from tfdfd.commands.console import import_tensorflow, make_console, print_table
from tfdfd.commands.demo import finish_demo, make_demo
from tfdfd.commands.early_checks import check_networks_and_folders, check_pairs
from tfdfd.commands.exporting import already_exported, export_best, export_outside_a_cluster, record_export
from tfdfd.commands.extracting import WorkerConfig, worker_config
from tfdfd.commands.flags import CommandParser, add_config_flags, add_cpu_flag
from tfdfd.commands.inputs import DATA_VARIABLE, INPUTS, data_folder
from tfdfd.commands.known_people import print_people_of_sides, with_known_people
from tfdfd.commands.prepare import add_store_flags, planned_store, prepare_store, print_manifest_notes
from tfdfd.commands.sequence_inputs import refuse_what_sequences_lack, sequence_inputs
from tfdfd.commands.settings import add_settings_flags, parse_settings, settings_from_flags
from tfdfd.commands.training_inputs import manifest_of, store_alone, store_sources, stream_sources
from tfdfd.data.degradation import Degradation
from tfdfd.data.manifest import Manifest, load_manifest
from tfdfd.data.splits import Split, describe_split, split_manifest
from tfdfd.data.tables import records
from tfdfd.faces.config import ExtractionConfig
from tfdfd.training.cluster import cluster_from_environment
from tfdfd.training.config import TrainConfig

if TYPE_CHECKING:
    import tensorflow as tf


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
    "schedule": "constant",
}
"""What `--demo` sets; a recipe, a file and flags given beside it still count."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of run_train.py."""
    parser = CommandParser(prog="run_train.py", description=__doc__)
    parser.add_argument("--demo", action="store_true", help="render a small data set and run the whole road on it")
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument("--gpus", type=int, metavar="N", help="GPUs to use (default: all; none: one CPU replica)")
    add_cpu_flag(devices)
    devices.add_argument("--logical-cpus", type=int, metavar="N", help="N replicas on logical CPUs, for tests and CI")
    split = parser.add_mutually_exclusive_group()
    split.add_argument("--val-folders", metavar="GLOB", help="folders to validate on, e.g. 'dfdc_train_part_4?'")
    split.add_argument("--val-originals", metavar="IDS", help="originals to validate on, with all their fakes: 183,253")
    split.add_argument("--val-fraction", type=float, metavar="F", help="share of the clips to validate on")
    parser.add_argument(
        "--drop-parted",
        action="store_true",
        help="where --val-folders or --val-originals puts a person on both sides: leave out the training clips that "
        "show them, rather than stop",
    )
    parser.add_argument(
        "--ignore-people", action="store_true", help="split as if `tfdfd people` had found nobody in the store"
    )
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
    add_settings_flags(parser)
    add_cluster_flags(parser)
    add_store_flags(parser)
    add_config_flags(parser, TrainConfig, title="training")
    add_config_flags(parser, Degradation, title="degradation of training faces, drawn anew every epoch")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd train`."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    defaults = {}
    if arguments.demo:
        if arguments.data:
            raise TfdfdError("--demo renders its own clips: leave --data out, or leave --demo out to use your clips")
        given = [name for name in ("val_originals", "val_fraction") if getattr(arguments, name) is not None]
        defaults = {name: value for name, value in DEMO.items() if not (given and name == "val_folders")}
    arguments = parse_settings(parser, argv, defaults)
    console = make_console()
    crops = settings_from_flags(ExtractionConfig, arguments)
    config = settings_from_flags(TrainConfig, arguments)
    degradation = settings_from_flags(Degradation, arguments)
    workers = worker_config(arguments)
    cluster = cluster_from_environment(os.environ)
    check_cluster(arguments, cluster)

    on_cpu = arguments.cpu or arguments.logical_cpus is not None
    # Video that is decoded anew every epoch has the faces that a store would have.
    import_tensorflow(gpus=0 if on_cpu else arguments.gpus, trains=not arguments.stream)
    # Devices come first: TensorFlow wants them set up before it is used, and a wrong --gpus stops the run at once.
    from tfdfd.training.strategy import make_cluster_strategy, make_strategy, uses_gpus
    from tfdfd.training.team import explain_lost_workers, team_of
    from tfdfd.training.want_of_memory import explain_want_of_memory

    if cluster is None:
        strategy, devices = make_strategy(arguments.gpus, arguments.logical_cpus)
    else:
        strategy, devices = make_cluster_strategy(
            cluster,
            arguments.gpus,
            arguments.logical_cpus,
            wait_seconds=wait_seconds(arguments),
            say=console.print,
        )
    console.print(devices)
    try:
        config.per_replica_batch(strategy.num_replicas_in_sync)
    except ValueError as error:
        raise TfdfdError(str(error)) from error
    if uses_gpus(strategy) and (hint := config.batch_hint(strategy.num_replicas_in_sync)):
        console.print(hint, style="yellow")
    with explain_lost_workers(team_of(strategy).size), explain_want_of_memory(config.batch_size, strategy):
        _run(arguments, crops, config, degradation, workers, strategy, console)
        team_of(strategy).wait()  # while worker 0 exports: who leaves early is taken for dead
    return 0


def _run(
    arguments: argparse.Namespace,
    crops: ExtractionConfig,
    config: TrainConfig,
    degradation: Degradation,
    workers: WorkerConfig,
    strategy: tf.distribute.Strategy,
    console: Console,
) -> None:
    """Do what `main` was asked for, with the devices that it has set up."""
    from tfdfd.training.team import team_of

    team, terminal = team_of(strategy), console
    if not team.is_chief:
        console = Console(quiet=True)  # all of them would say the same
    if arguments.demo:
        make_demo(Path(DEMO["data"]), console)
    if config.sees_sequences:
        refuse_what_sequences_lack(arguments, degradation)
    check_networks_and_folders(arguments, config, crops)
    alone = store_alone(arguments, crops, console)
    if alone is None:
        manifest = load_manifest(data_folder(arguments.data), compression=arguments.compression)
    else:
        manifest = manifest_of(alone)
    print_manifest_notes(manifest, console)
    clips = manifest.table
    if not (arguments.ignore_people or arguments.stream):
        if alone is not None:
            folder = alone.folder
        else:
            folder, *_ = planned_store(manifest, arguments.store, crops, crop_margin=arguments.crop_margin)
        clips = with_known_people(clips, folder, console)
    split = split_manifest(
        clips,
        val_folders=arguments.val_folders,
        val_originals=arguments.val_originals,
        val_fraction=arguments.val_fraction,
        seed=config.seed,
        needs_fakes=config.fakes != "self_blended",
        drop_parted=arguments.drop_parted,
    )
    print_split(split, console)
    check_pairs(split, config)
    name = "demo" if arguments.demo else manifest.root.resolve().name
    output = Path(arguments.output or Path("saved_models") / name)
    run_folder = Path(arguments.run_folder or Path("runs") / output.name)

    sequences = None
    if arguments.stream:
        store = None
        training, validation, fingerprint = stream_sources(
            manifest, split, arguments, crops, config, degradation, strategy, console
        )
    else:
        if not team.is_chief:
            terminal.print("waiting for worker 0, which sees to the face store and prints how far it is")
        with chiefs_errors(team):
            if team.is_chief and alone is None:
                alone = prepare_store(
                    manifest,
                    arguments.store,
                    crops,
                    console,
                    workers=workers,
                    crop_margin=arguments.crop_margin,
                    retry_failed=arguments.retry_failed,
                    accept_mismatch=arguments.accept_mismatch,
                )
        store = same_store(team, arguments, alone)
        fingerprint = store.fingerprint

        def sources() -> tuple:
            if config.sees_sequences:
                of_clips = sequence_inputs(store, split, config, strategy, console)
                return of_clips, of_clips.training, of_clips.validation
            return None, *store_sources(store, split, arguments, config, degradation, strategy, run_folder, console)

        # Worker 0 is first to look for landmarks and to blend, and the others find what it wrote.
        with chiefs_errors(team):
            made_first = sources() if team.is_chief else None
        sequences, training, validation = made_first or sources()
    crop_size = int(fingerprint.preprocessing["crop_size"])

    from tfdfd.evaluation.calibration import fit_temperature
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.training.build import classifier_builder
    from tfdfd.training.loop import train
    from tfdfd.training.metrics import TEMPERATURE

    # A sequence is the main person's; of others nobody knows what it would say.
    rule = ScoringRule(over_tracks="main") if sequences else ScoringRule()
    made = fingerprint.preprocessing
    result = train(
        model_builder=sequences.build if sequences else classifier_builder(config, crop_size),
        config=config,
        training=training,
        validation=validation,
        strategy=strategy,
        run_folder=run_folder,
        score_clips=rule.clip_scores,
        fingerprint={**made, "face_features": sequences.about_features} if sequences else made,
        console=console,
        fit_temperature=fit_temperature,
        settings={"training": config, "degradation": degradation, "crops": crops},
    )
    if not team.is_chief:
        terminal.print(f"worker {team.index}: {result.ending}; worker 0 exports epoch {result.best_epoch}")
        return
    exported = already_exported(run_folder, result, output)
    if exported is None:
        rule = dataclasses.replace(rule, temperature=result.best_figures.get(TEMPERATURE, rule.temperature))
        console.print(f"exporting epoch {result.best_epoch} to {output}, temperature {rule.temperature:.3g}")
        export = partial(export_best, result, rule, fingerprint, split, config, degradation, output, manifest)
        exported = export(say=console.print) if team.size == 1 else export_outside_a_cluster(export, say=console.print)
        record_export(run_folder, result, exported)
        console.print(f"exported {exported}, epoch {result.best_epoch} of {run_folder}", style="bold")
    else:
        console.print(f"{exported} is already the best epoch of {run_folder}")
    if arguments.demo and store is not None:
        finish_demo(exported, split, store, manifest.root, console)
    _print_next(exported, arguments, manifest, console)


def print_split(split: Split, console: Console) -> None:
    """Print clips, labels and folders of each side."""
    described = describe_split(split.table)
    for note in split.notes:
        console.print(note, style="yellow")
    rows = [
        [side, *(row[name] for name in ("clips", "real", "fake", "sets", "folder_names"))]
        for side, row in zip(described.index, records(described), strict=True)
    ]
    header = ["side", "clips", "real", "fake", "connected sets", "folders"]
    print_table(console, f"Split by {split.rule}", header, rows)
    print_people_of_sides(split.table, console)


def _print_next(exported: Path, arguments: argparse.Namespace, manifest: Manifest, console: Console) -> None:
    """Print commands that work as they stand, from where this one was given."""
    script, tfdfd = Path(sys.argv[0]), str(Path(sys.executable).with_name("tfdfd"))
    is_script = script.name == "run_train.py"
    evaluate = [sys.executable, str(script.with_name("run_eval.py"))] if is_script else [tfdfd, "eval"]
    data = arguments.data or os.environ.get(DATA_VARIABLE) or manifest.root
    commands = [[*evaluate, "--data", str(data), "--model", str(exported.parent)]]
    for flag, value in (
        ("--store", arguments.store),
        ("--crop-margin", arguments.crop_margin),
        ("--compression", arguments.compression),
    ):
        if value is not None:
            commands[0] += [flag, str(value)]
    if not manifest.is_faces:
        clip = str(manifest.table["path"].iloc[0])
        commands.append([tfdfd, "score", clip, "--model", str(exported.parent)])
    if arguments.demo:
        commands.append([sys.executable, str(script), "--data", "DIR"])
    console.print("next:")
    for command in commands:
        console.print(f"  {shlex.join(command)}", soft_wrap=True)
