"""Where the batches of a run come from: a seam, so that a stream of videos can stand in for the face store."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.degradation import Degradation
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows, FaceTable, StripRows
from tfdfd.data.sampling import epoch_rows
from tfdfd.training.config import TrainConfig
from tfdfd.training.replicas import input_threads, replicated


class TrainingSource(Protocol):
    """Faces to train on."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the faces are, JSON-able: a run is only resumed on the same."""
        ...

    def num_steps(self, epoch: int) -> int:
        """Return the global batches of an epoch."""
        ...

    def iterator(self, epoch: int, skip_steps: int) -> Iterator[Any]:
        """Return at least the rest of an epoch's batches, in an order that the epoch alone decides.

        Args:
            epoch: from 0.
            skip_steps: global batches at the front that are left out.

        Returns:
            What `strategy.run` takes: (crop uint8 [batch, size, size, 3], label float32 [batch], weight float32
            [batch], clip_row int32 [batch]) of each replica, where masks are trained on also (mask uint8 [batch, size,
            size, 1], mask_weight float32 [batch]); in place of crops, what else the model takes. It may go on for ever.
        """
        ...


class ValidationSource(Protocol):
    """Tracks to score after each epoch."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the tracks are, JSON-able."""
        ...

    @property
    def clip_rows(self) -> np.ndarray:
        """int32, shape (n,): the clip of each track, a row of clip_labels."""
        ...

    @property
    def clip_labels(self) -> np.ndarray:
        """int, shape (num_clips,): 0 real, 1 fake, -1 for rows that are no validation clips."""
        ...

    @property
    def num_steps(self) -> int:
        """Global batches of one pass."""
        ...

    def iterator(self) -> Iterator[Any]:
        """Return the batches of one pass, of which the first num_steps are used.

        Returns:
            What `strategy.run` takes: (crops uint8 [batch, places, size, size, 3], is_face bool [batch, places],
            strip_row int32 [batch], the row of clip_rows or -1 for padding) of each replica; in place of crops a dict
            of which the model makes one logit a row, and then one place, which is a face.
        """
        ...


@dataclass(frozen=True, eq=False)
class FaceTableSource:
    """The faces of a store, chosen and altered anew every epoch."""

    table: FaceTable
    config: TrainConfig
    datasets: FaceDatasets
    strategy: tf.distribute.Strategy
    crop_size: int
    """Side of the stored crops in pixels."""

    degradation: Degradation = Degradation()  # noqa: RUF009  frozen
    """How the faces are degraded."""

    def __post_init__(self) -> None:
        self._rows(0)  # faces of which nothing can be trained on stop the run before the network is built

    @property
    def identity(self) -> dict[str, Any]:
        """See TrainingSource."""
        faces = self.table.is_face.sum(axis=1)
        labels, masks = self.table.labels, self.table.masks
        of_masks = {} if masks is None else {"masks": digest_of_rows(masks.paths, masks.is_known)}
        return of_masks | {
            "tracks": len(labels),
            "real faces": int(faces[labels == REAL].sum()),
            "fake faces": int(faces[labels == FAKE].sum()),
            "digest": digest_of_rows(self.table.strip_paths, self.table.is_face, labels, self.table.weights),
            "degradation": dataclasses.asdict(self.degradation),
        }

    def num_steps(self, epoch: int) -> int:
        """See TrainingSource; the last batch is filled with faces of weight 0."""
        steps = self._rows(epoch).num_steps(self.config.batch_size)
        return min(steps, self.config.steps_per_epoch or steps)

    def _rows(self, epoch: int) -> FaceRows:
        return _epoch_rows(self, epoch)

    def iterator(self, epoch: int, skip_steps: int) -> Iterator[Any]:
        """See TrainingSource."""
        batch = self.config.batch_size
        num_replicas = self.strategy.num_replicas_in_sync
        rows = self._rows(epoch).skip(skip_steps, batch)

        def make_dataset(shard: int, num_shards: int, device_id: int | None) -> tf.data.Dataset:
            return self.datasets.training(
                rows.shard(shard, num_shards, batch),
                crop_size=self.crop_size,
                batch_size=batch // num_replicas,
                device_id=device_id,
                num_threads=input_threads(self.strategy, num_shards),
            )

        return iter(replicated(self.strategy, self.datasets, make_dataset))


@dataclass(frozen=True)
class StripSource:
    """The tracks of a store, to be scored."""

    rows: StripRows
    """Their clip_rows index clip_labels."""
    clip_labels: np.ndarray
    """int, shape (num_clips,): 0 real, 1 fake, -1 for rows that are no validation clips."""
    config: TrainConfig
    datasets: FaceDatasets
    strategy: tf.distribute.Strategy
    crop_size: int
    """Side of the stored crops in pixels."""

    def __post_init__(self) -> None:
        labels = self.clip_labels[self.clip_labels >= 0]
        if not len(self.rows):
            raise TfdfdError("there is no face to validate on: no validation clip has one")
        if len(np.unique(labels)) < 2:
            raise TfdfdError("validation needs real and fake clips: choose another split")

    @property
    def identity(self) -> dict[str, Any]:
        """See ValidationSource."""
        labels = self.clip_labels[self.clip_labels >= 0]
        return {
            "tracks": len(self.rows),
            "real clips": int((labels == REAL).sum()),
            "fake clips": int((labels == FAKE).sum()),
            "digest": digest_of_rows(self.rows.strip_paths, self.rows.is_face, self.rows.clip_rows, self.clip_labels),
        }

    @property
    def clip_rows(self) -> np.ndarray:
        """See ValidationSource."""
        return self.rows.clip_rows

    @property
    def num_steps(self) -> int:
        """See ValidationSource."""
        return -(-len(self.rows) // self._global_strips)

    @property
    def _global_strips(self) -> int:
        # As many crops at once as in training, or a little more.
        num_replicas = self.strategy.num_replicas_in_sync
        faces = self.config.per_replica_batch(num_replicas)
        return -(-faces // self.rows.is_face.shape[1]) * num_replicas

    def iterator(self) -> Iterator[Any]:
        """See ValidationSource."""
        strips, num_replicas = self._global_strips, self.strategy.num_replicas_in_sync
        rows = self.rows.padded(strips)

        def make_dataset(shard: int, num_shards: int, device_id: int | None) -> tf.data.Dataset:
            return self.datasets.evaluation(
                rows.shard(shard, num_shards, strips),
                crop_size=self.crop_size,
                num_places=rows.is_face.shape[1],
                batch_size=strips // num_replicas,
                device_id=device_id,
                num_threads=input_threads(self.strategy, num_shards),
            )

        return iter(replicated(self.strategy, self.datasets, make_dataset))


@functools.lru_cache(maxsize=1)
def _epoch_rows(source: FaceTableSource, epoch: int) -> FaceRows:
    """Return the rows of an epoch; those of the last one asked for are kept, since they take seconds for millions."""
    config = source.config
    return epoch_rows(
        source.table,
        seed=config.seed,
        epoch=epoch,
        global_batch_size=config.batch_size,
        mirror=config.mirror,
        choice=config.face_choice,
        degradation=source.degradation,
        crop_size=source.crop_size,
    )


def digest_of_rows(strip_paths: Any, *arrays: np.ndarray) -> str:
    """Return what tells the tracks of a run, and what is known of them, from any others."""
    # File names without folders: a store may be moved between a run and its resume.
    digest = hashlib.sha256("\n".join(Path(path).name for path in strip_paths).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
