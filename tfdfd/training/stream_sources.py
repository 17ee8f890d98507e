"""Training and validation straight from video, in the shape that the epoch loop takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.clip import FAKE, REAL, Clip, TfdfdError
from tfdfd.streaming import FaceStream, TrackStream


@dataclass(frozen=True)
class FaceStreamSource:
    """A FaceStream as a TrainingSource."""

    stream: FaceStream
    strategy: tf.distribute.Strategy

    @property
    def identity(self) -> dict[str, Any]:
        """See TrainingSource."""
        labels = self.stream.labels
        return {
            "stream": True,
            "real clips": int((labels == REAL).sum()),
            "fake clips": int((labels == FAKE).sum()),
            "places": self.stream.config.places,
            "digest": _digest(self.stream.clips, labels),
        }

    def num_steps(self, epoch: int) -> int:
        """See TrainingSource."""
        return self.stream.num_steps

    def iterator(self, epoch: int, skip_steps: int) -> Iterator[Any]:
        """See TrainingSource; skipped steps are decoded again, since only that tells which faces they had."""
        size, batch = self.stream.config.crop_size, self.stream.global_batch_size
        signature = (
            tf.TensorSpec([batch, size, size, 3], tf.uint8),
            tf.TensorSpec([batch], tf.float32),
            tf.TensorSpec([batch], tf.float32),
            tf.TensorSpec([batch], tf.int32),
        )
        steps = (skip_steps, self.num_steps(epoch))
        return _Distributed(lambda: self.stream.batches(epoch), signature, self.strategy, steps)


@dataclass(frozen=True)
class TrackStreamSource:
    """A TrackStream as a ValidationSource."""

    stream: TrackStream
    clip_labels: np.ndarray
    """int, shape (num_clips,): 0 real, 1 fake, -1 where the clip has no face."""
    strategy: tf.distribute.Strategy
    tracks_per_replica: int = field(default=2)
    """Tracks that a replica scores at once."""

    @property
    def identity(self) -> dict[str, Any]:
        """See ValidationSource."""
        return {
            "stream": True,
            "tracks": len(self.clip_rows),
            "real clips": int((self.clip_labels == REAL).sum()),
            "fake clips": int((self.clip_labels == FAKE).sum()),
            "digest": _digest(self.stream.clips, self.clip_labels),
        }

    @property
    def clip_rows(self) -> np.ndarray:
        """See ValidationSource."""
        return self.stream.clip_rows

    @property
    def num_steps(self) -> int:
        """See ValidationSource."""
        return -(-len(self.clip_rows) // self._batch_size)

    @property
    def _batch_size(self) -> int:
        return self.tracks_per_replica * self.strategy.num_replicas_in_sync

    def iterator(self) -> Iterator[Any]:
        """See ValidationSource."""
        config, batch = self.stream.config, self._batch_size
        signature = (
            tf.TensorSpec([batch, config.places, config.crop_size, config.crop_size, 3], tf.uint8),
            tf.TensorSpec([batch, config.places], tf.bool),
            tf.TensorSpec([batch], tf.int32),
        )
        return _Distributed(lambda: self.stream.batches(batch), signature, self.strategy, (0, self.num_steps))


def _digest(clips: Sequence[Clip], labels: np.ndarray) -> str:
    lines = [f"{clip.clip_id} {label}" for clip, label in zip(clips, labels.tolist(), strict=True)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class _Distributed:
    """Global batches of a Python generator, divided among the replicas; its errors arrive as they were raised.

    Args:
        batches: makes the generator, which may never end.
        signature: of a global batch.
        strategy: whose replicas share it.
        steps: first batch that is used, and the end: nothing is decoded beyond it.
    """

    def __init__(
        self,
        batches: Callable[[], Iterator[tuple[np.ndarray, ...]]],
        signature: tuple[tf.TensorSpec, ...],
        strategy: tf.distribute.Strategy,
        steps: tuple[int, int],
    ) -> None:
        self._error: TfdfdError | None = None

        def watched() -> Iterator[tuple[np.ndarray, ...]]:
            try:
                yield from batches()
            except TfdfdError as error:
                self._error = error
                raise

        first, end = steps
        dataset = tf.data.Dataset.from_generator(watched, output_signature=signature).take(end).skip(first)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        # Decoding and detection of the next batches go on while the network works on this one.
        dataset = dataset.prefetch(2).with_options(options)
        self._iterator = iter(strategy.experimental_distribute_dataset(dataset))

    def __iter__(self) -> _Distributed:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._iterator)
        except tf.errors.OpError as error:
            if self._error is not None:
                raise self._error from error
            raise
