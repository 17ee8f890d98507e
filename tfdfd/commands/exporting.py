"""The best epoch of a run to a SavedModel, once."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import import_tensorflow
from tfdfd.data.atomic import write_atomically
from tfdfd.data.degradation import Degradation
from tfdfd.data.manifest import Manifest
from tfdfd.data.splits import Split, describe_split
from tfdfd.data.tables import records
from tfdfd.training.config import TrainConfig

if TYPE_CHECKING:
    import keras

    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.training.loop import TrainResult

EXPORTED_FILE = "exported.json"
"""In the run folder: which version holds its best epoch, so that the same command again exports nothing twice."""


def already_exported(run_folder: Path, result: TrainResult, output: Path) -> Path | None:
    """Return the version that a run that has not moved since has already exported, if it is still there."""
    try:
        content = json.loads((run_folder / EXPORTED_FILE).read_text())
    except FileNotFoundError:
        return None
    is_same = (content["best_epoch"], content["best_value"]) == (result.best_epoch, result.best_value)
    exported = output / Path(content["model"]).name
    is_there = exported.resolve() == Path(content["model"]) and (exported / "saved_model.pb").is_file()
    return exported if is_same and is_there else None


def record_export(run_folder: Path, result: TrainResult, exported: Path) -> None:
    """Write down which version holds the best epoch of a run."""
    content = {"best_epoch": result.best_epoch, "best_value": result.best_value, "model": str(exported.resolve())}
    write_atomically(run_folder / EXPORTED_FILE, json.dumps(content).encode())


Export = Callable[..., Path]
"""`export_best` with all but `say` given."""


def export_outside_a_cluster(export: Export, *, say: Callable[[str], None]) -> Path:
    """Export in a process of its own.

    Each call node of a SavedModel holds the session's settings, which in a worker's process name the cluster.

    Args:
        export: what is done there.
        say: told of doubts.

    Raises:
        TfdfdError: as `export_best`, or if the process dies.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            exported, doubts = pool.submit(_collecting_doubts, export).result()
        except BrokenProcessPool as error:
            raise TfdfdError(
                "the process that exports the best epoch died, as for want of memory: the same command on all machines "
                "tries the export again"
            ) from error
    for doubt in doubts:
        say(doubt)
    return exported


def _collecting_doubts(export: Export) -> tuple[Path, list[str]]:
    import_tensorflow(gpus=0)
    doubts: list[str] = []
    return export(say=doubts.append), doubts


def export_best(
    result: TrainResult,
    rule: ScoringRule,
    fingerprint: Fingerprint,
    split: Split,
    config: TrainConfig,
    degradation: Degradation,
    output: Path,
    manifest: Manifest,
    *,
    say: Callable[[str], None],
) -> Path:
    """Export the best checkpoint of a run and return the folder of the new version; `say` is told of doubts."""
    from tfdfd.serving.export import ModelCard, export_saved_model
    from tfdfd.serving.hearing_export import export_hearing_model
    from tfdfd.training.build import classifier_builder

    crop_size = int(fingerprint.preprocessing["crop_size"])
    sides = describe_split(split.table)
    card = ModelCard(
        name=output.name,
        description="scores video clips: the probability that their faces were altered (1 is fake)",
        backbone=f"{config.backbone} ({config.face_backbone})" if config.sees_sequences else config.backbone,
        input_size=config.input_size or crop_size,
        data={
            "folder": str(manifest.root),
            "layout": manifest.layout,
            **dict(zip(map(str, sides.index), records(sides), strict=True)),
        },
        split={"rule": split.rule, "seed": config.seed},
        figures={name: float(value) for name, value in result.best_figures.items()},
        training=dataclasses.asdict(config),
        degradation=dataclasses.asdict(degradation),
    )
    # Built anew in float32 and outside the strategy: a SavedModel knows neither replicas nor mixed precision.
    if config.sees_sequences:
        features, sequence = _best_networks(result, config, crop_size)
        return export_hearing_model(
            features, sequence, rule, fingerprint, card, split.table, crop_size=crop_size, folder=output, say=say
        )
    best = dataclasses.replace(config, weights=str(result.best_weights), freeze_epochs=0, batchnorm="per_replica")
    classifier = classifier_builder(best, crop_size)("float32")
    return export_saved_model(
        classifier, rule, fingerprint, card, split.table, crop_size=crop_size, folder=output, say=say
    )


def _best_networks(result: TrainResult, config: TrainConfig, crop_size: int) -> tuple[keras.Model, keras.Model]:
    """Return the network of faces and that of sequences."""
    from tfdfd.commands.feature_caches import feature_network
    from tfdfd.commands.sequence_inputs import feature_config
    from tfdfd.training.build import sequence_builder

    if config.face_features == "frozen":
        features, _ = feature_network(feature_config(config), crop_size)
        sequence = sequence_builder(config, crop_size, int(features.output_shape[-1]))("float32")
        sequence.load_weights(result.best_weights)
        return features, sequence
    untrained = dataclasses.replace(config, weights="none", freeze_epochs=0, batchnorm="per_replica")
    whole = sequence_builder(untrained, crop_size, None)("float32")
    whole.load_weights(result.best_weights)
    return whole.get_layer("feature_network"), whole.get_layer("sequence_network")
