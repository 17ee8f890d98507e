"""A model over the clips of an evaluation: its store, and the logit of every face in it."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import WorkProgress, guarding, import_tensorflow
from tfdfd.commands.evaluated_clips import EvaluatedClips
from tfdfd.commands.evaluated_sounds import EvaluatedSounds
from tfdfd.commands.extracting import WorkerConfig
from tfdfd.commands.inputs import make_datasets
from tfdfd.commands.prepare import planned_store, prepare_store
from tfdfd.data.manifest import Manifest
from tfdfd.data.tables import rows_where, values
from tfdfd.extraction import extraction_config_of, spread_of
from tfdfd.faces.config import ExtractionConfig

if TYPE_CHECKING:
    from tfdfd.data.store import FaceStore
    from tfdfd.evaluation.scores import ScoredClips
    from tfdfd.serving.saved_model import LoadedModel

KEPT = "work"
"""Folder in a report's that holds logits, so that a killed run goes on; it can be deleted."""


@dataclass(frozen=True)
class ModelScores:
    """What one model says of the clips of an evaluation."""

    model: LoadedModel
    store: FaceStore
    extraction: ExtractionConfig | None
    """How clips are cropped for it; None for ready-made crops."""
    scored: ScoredClips
    """Of the clips that figures are of."""
    calibration: ScoredClips
    """Of those that temperature and threshold are fitted on, none where nothing is fitted."""
    key: str
    """What the logits depend on."""

    @property
    def name(self) -> str:
        """Name and version, such as `dfdc/3`."""
        return model_name(self.model)


def load_models(folders: Sequence[Path], console: Console) -> list[LoadedModel]:
    """Load the models to evaluate.

    Raises:
        TfdfdError: if one is no model of ours, or is given twice.
    """
    import_tensorflow()
    from tfdfd.serving.saved_model import LoadedModel

    models = [LoadedModel(folder) for folder in folders]
    for number, model in enumerate(models):
        console.print(f"model {model.folder}, rule {model.rule.to_json()}")
        if model.folder.resolve() in [other.folder.resolve() for other in models[:number]]:
            raise TfdfdError(f"--model names {model.folder} twice: to compare, give two models or two versions of one")
        if model_name(model) in [model_name(other) for other in models[:number]]:
            raise TfdfdError(f"two models are both called {model_name(model)}: rename the folder of one of them")
    return models


def model_name(model: LoadedModel) -> str:
    """Return name and version of a model, such as `dfdc/3`."""
    return model.name


def evaluated_store(model: LoadedModel, manifest: Manifest, arguments: argparse.Namespace) -> Path:
    """Return where the store lies, or will lie, whose faces a model is shown.

    Args: as of `score_by`.
    """
    extraction = None if manifest.is_faces else extraction_config_of(model.fingerprint, places=arguments.places)
    config = extraction or _of_ready_crops(model, manifest, arguments.places)
    return planned_store(manifest, arguments.store, config, crop_margin=arguments.crop_margin)[0]


def score_by(
    model: LoadedModel,
    manifest: Manifest,
    clips: EvaluatedClips,
    report: Path,
    arguments: argparse.Namespace,
    workers: WorkerConfig,
    console: Console,
) -> ModelScores:
    """Bring the model's store up to date, and score its faces.

    Args:
        model: the model.
        manifest: where the clips are from.
        clips: the clips.
        report: the report's folder, in which logits are kept.
        arguments: those of run_eval.py.
        workers: the processes that extract clips.
        console: for progress.

    Raises:
        TfdfdError: if crops were made otherwise than the model's, or cannot be made or scored.
    """
    extraction = None if manifest.is_faces else extraction_config_of(model.fingerprint, places=arguments.places)
    asked = values(manifest.table, "clip_id")
    store = prepare_store(
        # The manifest's own rows: people who were found belong to the split, not to the store's labels.
        dataclasses.replace(manifest, table=rows_where(manifest.table, np.isin(asked, clips.table["clip_id"]))),
        arguments.store,
        extraction or _of_ready_crops(model, manifest, arguments.places),
        console,
        workers=workers,
        crop_margin=arguments.crop_margin,
        retry_failed=arguments.retry_failed,
        accept_mismatch=arguments.accept_mismatch,
        expected=model.fingerprint,
    )
    if extraction is not None:
        # As the crops there were made, where that is another way than the model's and was accepted.
        extraction = dataclasses.replace(
            extraction_config_of(store.fingerprint, places=store.num_places),
            track_rules=store.fingerprint.preprocessing.get("rules", 1),
            spread=spread_of(store.fingerprint),
        )
    return score_store(model, store, extraction, clips, report, console, batch_size=arguments.batch_size)


def score_store(
    model: LoadedModel,
    store: FaceStore,
    extraction: ExtractionConfig | None,
    clips: EvaluatedClips,
    report: Path,
    console: Console,
    *,
    batch_size: int,
) -> ModelScores:
    """Score the faces of clips that a store holds.

    Args:
        model: the model.
        store: the crops, made as the model's were.
        extraction: how they were made; None for ready-made crops.
        clips: the clips.
        report: the report's folder, in which logits are kept.
        console: for progress.
        batch_size: tracks a batch.

    Raises:
        TfdfdError: if a strip is missing, or the model's answer is no number.
    """
    from tfdfd.data.tracks import scoring_rows
    from tfdfd.evaluation.face_logits import KeptLogits, face_logits, logits_key
    from tfdfd.evaluation.scores import ScoredClips

    if store.crop_size != model.crop_size:
        raise TfdfdError(
            f"the crops of {store.folder} are {store.crop_size} px large, {model_name(model)} takes {model.crop_size}: "
            "no flag makes them fit, use another --store"
        )
    rows = scoring_rows(store, clips.table)
    with (
        guarding(console, report) as guard,
        WorkProgress(console, f"scoring by {model_name(model)}", "tracks", len(rows)) as progress,
    ):
        sounds = EvaluatedSounds(guard, store, clips.table, rows) if model.hears else None
        key = logits_key(model.network_digest + (sounds.key if sounds else ""), rows)
        kept = KeptLogits(report / KEPT, key, rows.is_face.shape)
        logits = face_logits(
            lambda *inputs: model.explain(*inputs)[0],
            rows,
            make_datasets(console),
            kept,
            crop_size=store.crop_size,
            batch_size=batch_size,
            num_threads=os.cpu_count() or 1,
            on_batch=progress.advance,
            of_rows=sounds,
        )
    if sounds:
        sounds.print_summary(console)
    scored = ScoredClips.of(clips.table, clips.groups, store, rows, logits)
    return ModelScores(
        model,
        store,
        extraction,
        scored.where(~clips.is_calibration),
        scored.where(clips.is_calibration),
        key,
    )


def _of_ready_crops(model: LoadedModel, manifest: Manifest, places: int | None) -> ExtractionConfig:
    """Return how many frames of ready-made crops are taken of each clip: as in training, where it had several."""
    defaults = ExtractionConfig()
    if manifest.has_frames:
        trained = int(model.fingerprint.provenance.get("num_places", 1))
        return dataclasses.replace(defaults, places=places or (trained if trained > 1 else defaults.places))
    if places is not None:
        raise TfdfdError("--places chooses frames of clips, and these are ready-made crops, one a clip: leave it out")
    return defaults
