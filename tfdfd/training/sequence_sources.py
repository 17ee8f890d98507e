"""Batches of clips, as sequences of faces with their sound, for the audio-visual network."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.rows import shard_indices
from tfdfd.data.sequences import (
    SequenceRows,
    SequenceTable,
    draw_sequences,
    most_sound_frames,
    num_places_of,
    sequence_dataset,
    whole_sequences,
)
from tfdfd.data.tf_datasets import TF_DATASETS
from tfdfd.training.config import TrainConfig
from tfdfd.training.replicas import input_threads, replicated
from tfdfd.training.sources import digest_of_rows


@dataclass(frozen=True, eq=False)
class SequenceSource:
    """The clips of a store, of each one stretch drawn anew every epoch; a TrainingSource."""

    table: SequenceTable
    config: TrainConfig
    strategy: tf.distribute.Strategy
    crop_size: int
    """Side of the stored crops in pixels."""

    def __post_init__(self) -> None:
        self._rows(0)  # a label that is missing stops the run before any work

    @property
    def identity(self) -> dict[str, Any]:
        """See TrainingSource."""
        return _identity(self.table)

    def num_steps(self, epoch: int) -> int:
        """See TrainingSource; the last batch is filled with clips of weight 0."""
        steps = len(self._rows(epoch)) // self.config.batch_size
        return min(steps, self.config.steps_per_epoch or steps)

    @property
    def _num_places(self) -> int:
        return num_places_of(self.config.sequence_share, self.table.is_face.shape[1])

    @functools.cached_property
    def _num_frames(self) -> int:
        return most_sound_frames(self.table, self._num_places)

    def _rows(self, epoch: int) -> SequenceRows:
        config = self.config
        return draw_sequences(
            self.table,
            seed=config.seed,
            epoch=epoch,
            global_batch_size=config.batch_size,
            num_places=self._num_places,
            drop_sound=config.drop_sound,
            balance=config.balance,
            mirror=config.mirror and self.table.feature_paths is None,
        )

    def iterator(self, epoch: int, skip_steps: int) -> Iterator[Any]:
        """See TrainingSource: elements are (inputs, label, weight, clip_row), inputs as `sequence_dataset` has them."""
        batch, num_replicas = self.config.batch_size, self.strategy.num_replicas_in_sync
        rows = self._rows(epoch)
        rows = rows.take(np.arange(skip_steps * batch, len(rows)))

        def make_dataset(shard: int, num_shards: int, device_id: int | None) -> tf.data.Dataset:
            del device_id  # tf.data reads on CPUs
            part = rows.take(shard_indices(len(rows), shard, num_shards, batch))
            return sequence_dataset(
                self.table,
                part,
                (part.labels, part.weights, part.clip_rows),
                num_places=self._num_places,
                num_frames=self._num_frames,
                crop_size=self.crop_size,
                batch_size=batch // num_replicas,
                num_threads=input_threads(self.strategy, num_shards),
            )

        return iter(replicated(self.strategy, TF_DATASETS, make_dataset))


@dataclass(frozen=True, eq=False)
class WholeSequenceSource:
    """The clips of a store from beginning to end, to be scored; a ValidationSource with one logit a clip."""

    table: SequenceTable
    """Its clip_rows index clip_labels."""
    clip_labels: np.ndarray
    """int, shape (num_clips,): 0 real, 1 fake, -1 for rows that are no validation clips."""
    config: TrainConfig
    strategy: tf.distribute.Strategy
    crop_size: int
    """Side of the stored crops in pixels."""

    def __post_init__(self) -> None:
        if not len(self.table):
            raise TfdfdError("there is no face to validate on: no validation clip has one")

    @property
    def identity(self) -> dict[str, Any]:
        """See ValidationSource."""
        return _identity(self.table)

    @property
    def clip_rows(self) -> np.ndarray:
        """See ValidationSource."""
        return self.table.clip_rows

    @property
    def num_steps(self) -> int:
        """See ValidationSource."""
        return -(-len(self.table) // self.config.batch_size)

    def iterator(self) -> Iterator[Any]:
        """See ValidationSource."""
        batch, num_replicas = self.config.batch_size, self.strategy.num_replicas_in_sync
        rows, numbers = whole_sequences(self.table, global_batch_size=batch)

        def make_dataset(shard: int, num_shards: int, device_id: int | None) -> tf.data.Dataset:
            del device_id
            chosen = shard_indices(len(rows), shard, num_shards, batch)
            return sequence_dataset(
                self.table,
                rows.take(chosen),
                (np.ones((len(chosen), 1), np.bool_), numbers[chosen]),
                num_places=self.table.is_face.shape[1],
                num_frames=self.table.num_frames,
                crop_size=self.crop_size,
                batch_size=batch // num_replicas,
                num_threads=input_threads(self.strategy, num_shards),
            )

        return iter(replicated(self.strategy, TF_DATASETS, make_dataset))


def _identity(table: SequenceTable) -> dict[str, Any]:
    heard = np.array([bool(path) for path in table.sound_paths])
    return {
        "real clips": int((table.labels == REAL).sum()),
        "fake clips": int((table.labels == FAKE).sum()),
        "with sound": int(heard.sum()),
        "digest": digest_of_rows(table.strip_paths, table.is_face, table.labels, table.place_seconds, heard),
    }
