"""What `--backbone audio_visual` is trained on: sequences of faces from a store, and the sound of its clips."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.feature_caches import FeatureConfig, KeptFeatures, feature_network, keep_features
from tfdfd.data.audio import HEARD, SAMPLE_RATE
from tfdfd.data.degradation import Degradation
from tfdfd.data.splits import TRAIN, VAL, Split
from tfdfd.data.tables import records, rows_where, values
from tfdfd.training.config import TrainConfig

if TYPE_CHECKING:
    import tensorflow as tf

    from tfdfd.data.sequences import SequenceTable
    from tfdfd.data.store import FaceStore
    from tfdfd.training.build import ModelBuilder
    from tfdfd.training.sources import TrainingSource, ValidationSource


@dataclass(frozen=True)
class SequenceInputs:
    """What a training run of the audio-visual network needs."""

    training: TrainingSource
    validation: ValidationSource
    build: ModelBuilder
    about_features: dict[str, Any]
    """Which network made the features, JSON-able; empty where it is trained."""


def feature_config(config: TrainConfig) -> FeatureConfig:
    """Return which network makes the features of faces in a run."""
    return FeatureConfig(config.face_backbone, config.weights, config.input_size, config.pooling, config.hidden_size)


def refuse_what_sequences_lack(arguments: argparse.Namespace, degradation: Degradation) -> None:
    """Refuse options of the input that sequences cannot honour.

    Raises:
        TfdfdError: names the option and what to do.
    """
    for flag, value in (
        ("--stream", arguments.stream),
        (
            "--input dali, for there is no DALI graph of sequences and their sound: tf.data reads them",
            arguments.input == "dali",
        ),
        ("degradation of faces", degradation.is_on),
    ):
        if value:
            raise TfdfdError(f"--backbone audio_visual cannot honour {flag}: leave one of them out")


def sequence_inputs(
    store: FaceStore,
    split: Split,
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    console: Console,
) -> SequenceInputs:
    """Return the clips of both sides of a split, as sequences with their sound; what they need is made and kept first.

    Raises:
        TfdfdError: if a side has no face or only one label with a face, a cache was made otherwise, or the store is of
            ready-made crops.
    """
    from tfdfd.commands.training_inputs import require_both_labels
    from tfdfd.data.feature_moments import FeatureMoments
    from tfdfd.data.strips import check_strips
    from tfdfd.training.build import sequence_builder
    from tfdfd.training.sequence_sources import SequenceSource, WholeSequenceSource

    network, about = None, {}
    if config.face_features == "frozen":
        network, about = feature_network(feature_config(config), store.crop_size)
    clips, sides = split.table, split.sides
    used = rows_where(clips, (sides == TRAIN) | (sides == VAL))
    console.print("batches come from tf.data: there is no DALI graph of sequences and their sound")
    moments, trained_on = FeatureMoments(), set(values(rows_where(clips, sides == TRAIN), "clip_id"))

    def gather(row: dict[str, Any], seen: dict[str, np.ndarray], _: dict[str, np.ndarray]) -> None:
        if seen and row["clip_id"] in trained_on:  # what validation looks like is not to be known
            moments.add(seen["features"])

    kept = keep_features(
        store, used, console, network=network, about=about, folder=None, sound_folder=None, on_clip=gather
    )
    if network is not None and config.mirror:
        console.print("the features of faces are kept as the faces are: none is mirrored")
    num_features = int(network.output_shape[-1]) if network is not None else None
    tables, val_clips = [], rows_where(clips, sides == VAL)
    for side in (TRAIN, VAL):
        table = sequence_table(store, rows_where(clips, sides == side), kept, num_features or 0)
        require_both_labels(side, table.labels)
        check_strips(table.strip_paths)
        tables.append(table)
    training, validation = tables
    labels = np.full(len(val_clips), -1)
    labels[validation.clip_rows] = values(val_clips, "label")[validation.clip_rows]
    if without := int((labels < 0).sum()):
        console.print(f"{without} validation clips have no face: they do not choose the best epoch", style="yellow")
    for name, table in (("training", training), ("validation", validation)):
        heard = sum(bool(path) for path in table.sound_paths)
        style = None if heard == len(table) else "yellow"
        console.print(f"{name}: {len(table)} clips, {heard} with sound; the others are masked", style=style)
    return SequenceInputs(
        SequenceSource(training, config, strategy, store.crop_size),
        WholeSequenceSource(validation, labels, config, strategy, store.crop_size),
        sequence_builder(config, store.crop_size, num_features, moments.moments() if network is not None else None),
        about,
    )


def sequence_table(store: FaceStore, clips: pd.DataFrame, kept: KeptFeatures, num_features: int) -> SequenceTable:
    """Join the main people of clips with what is kept of them.

    Args:
        store: the crops.
        clips: rows of a manifest.
        kept: the caches, up to date.
        num_features: of a face; 0 where crops are read.

    Returns:
        One row for each clip that has a face that could be read; clip_rows are row numbers in `clips`.
    """
    from tfdfd.data.clip_features import place_seconds, span_of
    from tfdfd.data.sequences import SequenceTable
    from tfdfd.data.spectrograms import LOG_MEL
    from tfdfd.data.tracks import training_table

    is_read = ~np.isin(values(clips, "clip_id"), list(kept.failed))
    clips = rows_where(clips, is_read)
    faces = training_table(store, clips, main_only=True)
    found = {row["clip_id"]: row for row in records(store.clips())}
    clip_ids = values(clips, "clip_id")[faces.clip_rows]
    seconds = [place_seconds(found[clip_id], store.num_places) for clip_id in clip_ids]
    spans = [span_of(found[clip_id]) or (0.0, 0.0) for clip_id in clip_ids]
    is_heard = [kept.sound_statuses[clip_id] in HEARD for clip_id in clip_ids]
    return SequenceTable(
        strip_paths=faces.strip_paths,
        feature_paths=[str(kept.faces.path(clip_id)) for clip_id in clip_ids] if kept.faces else None,
        sound_paths=[
            str(kept.sounds.path(clip_id)) if heard else "" for clip_id, heard in zip(clip_ids, is_heard, strict=True)
        ],
        is_face=faces.is_face,
        place_seconds=np.stack(seconds) if seconds else np.zeros((0, store.num_places), np.float32),
        labels=faces.labels,
        clip_rows=np.flatnonzero(is_read)[faces.clip_rows].astype(np.int32),
        originals=faces.originals,
        num_features=num_features,
        num_frames=max([1, *(LOG_MEL.num_frames(round((end - start) * SAMPLE_RATE)) for start, end in spans)]),
    )


def check_face_network(config: TrainConfig, crop_size: int) -> None:
    """Find out before hours of work that the weights of the network of faces cannot be used.

    Raises:
        TfdfdError: if they are not those of this network.
    """
    if config.weights != "none":
        feature_network(feature_config(config), max(crop_size, config.input_size or 0))
