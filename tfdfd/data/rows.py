"""What is read in which order: the faces of an epoch and the strips to score, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tfdfd.clip import TfdfdError


@dataclass(frozen=True)
class FaceTable:
    """Every track that may be trained on."""

    strip_paths: Sequence[str] = field(repr=False)
    """The strip file of each track, n in all."""
    is_face: np.ndarray
    """bool, shape (n, num_places): which places of the strip hold a face."""
    labels: np.ndarray
    """float32, shape (n,): 0 real, 1 fake."""
    weights: np.ndarray
    """float32, shape (n,): sample weight of the track's faces."""
    clip_rows: np.ndarray
    """int32, shape (n,): row of the clip in its manifest, at least 0."""

    def __post_init__(self) -> None:
        n = len(self.strip_paths)
        _check("is_face", self.is_face, np.bool_, n, ndim=2)
        _check("labels", self.labels, np.float32, n)
        _check("weights", self.weights, np.float32, n)
        _check("clip_rows", self.clip_rows, np.int32, n)

    @property
    def num_faces(self) -> int:
        """Faces in all tracks together."""
        return int(self.is_face.sum())


@dataclass(frozen=True)
class FaceRows:
    """The faces of one epoch in the order in which they are trained on."""

    strip_paths: Sequence[str] = field(repr=False)
    """The strip file that holds each face, n in all."""
    places: np.ndarray
    """int32, shape (n,): place of the face in its strip."""
    labels: np.ndarray
    """float32, shape (n,): 0 real, 1 fake."""
    weights: np.ndarray
    """float32, shape (n,): sample weight; 0 marks padding."""
    clip_rows: np.ndarray
    """int32, shape (n,): row of the clip in its manifest."""
    mirror: np.ndarray
    """int32, shape (n,): 1 where the crop is flipped left to right, else 0."""

    def __post_init__(self) -> None:
        n = len(self.strip_paths)
        _check("places", self.places, np.int32, n)
        _check("labels", self.labels, np.float32, n)
        _check("weights", self.weights, np.float32, n)
        _check("clip_rows", self.clip_rows, np.int32, n)
        _check("mirror", self.mirror, np.int32, n)

    def __len__(self) -> int:
        return len(self.strip_paths)

    def num_steps(self, global_batch_size: int) -> int:
        """Return how many global batches the rows fill.

        Raises:
            ValueError: if they do not fill whole batches.
        """
        return _num_steps(len(self), global_batch_size)

    def skip(self, steps: int, global_batch_size: int) -> FaceRows:
        """Return the rows that are left after `steps` global batches, for going on in the middle of an epoch."""
        return self._take(np.arange(steps * global_batch_size, len(self)))

    def shard(self, shard: int, num_shards: int, global_batch_size: int) -> FaceRows:
        """Return the rows of one replica or worker: its equal, contiguous part of every global batch.

        Args:
            shard: which part, in [0, num_shards).
            num_shards: parts of a global batch; must divide it.
            global_batch_size: faces a step over all replicas.

        Raises:
            ValueError: if the batch does not divide, or the rows do not fill whole batches.
        """
        return self._take(_shard_indices(len(self), shard, num_shards, global_batch_size))

    def _take(self, indices: np.ndarray) -> FaceRows:
        return FaceRows(
            strip_paths=_pick(self.strip_paths, indices),
            places=self.places[indices],
            labels=self.labels[indices],
            weights=self.weights[indices],
            clip_rows=self.clip_rows[indices],
            mirror=self.mirror[indices],
        )


@dataclass(frozen=True)
class StripRows:
    """The tracks to score, in order."""

    strip_paths: Sequence[str] = field(repr=False)
    """The strip file of each track, n in all."""
    is_face: np.ndarray
    """bool, shape (n, num_places): which places of the strip hold a face."""
    clip_rows: np.ndarray
    """int32, shape (n,): row of the clip in its manifest."""
    track: np.ndarray
    """int32, shape (n,): number of the track in its clip, 0 the main one."""
    strip_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    """int32, shape (n,): number of the row as the dataset returns it, -1 for padding; left out, 0 to n - 1."""

    def __post_init__(self) -> None:
        n = len(self.strip_paths)
        if not len(self.strip_rows) and n:
            object.__setattr__(self, "strip_rows", np.arange(n, dtype=np.int32))
        _check("is_face", self.is_face, np.bool_, n, ndim=2)
        _check("clip_rows", self.clip_rows, np.int32, n)
        _check("track", self.track, np.int32, n)
        _check("strip_rows", self.strip_rows, np.int32, n)

    def __len__(self) -> int:
        return len(self.strip_paths)

    def num_steps(self, global_batch_size: int) -> int:
        """Return how many global batches the (padded) rows fill.

        Raises:
            ValueError: if they do not fill whole batches.
        """
        return _num_steps(len(self), global_batch_size)

    def padded(self, global_batch_size: int) -> StripRows:
        """Return the rows with the last one repeated, as strip_row -1, until they fill whole global batches.

        Raises:
            ValueError: if there is no row to repeat.
        """
        if not len(self):
            raise ValueError("there is no strip to score")
        missing = -len(self) % global_batch_size
        rows = self.take(np.append(np.arange(len(self)), np.full(missing, len(self) - 1, np.int64)))
        rows.strip_rows[len(self) :] = -1
        return rows

    def shard(self, shard: int, num_shards: int, global_batch_size: int) -> StripRows:
        """Return the rows of one replica or worker: its equal, contiguous part of every global batch.

        Args and Raises: as `FaceRows.shard`.
        """
        return self.take(_shard_indices(len(self), shard, num_shards, global_batch_size))

    def take(self, indices: np.ndarray) -> StripRows:
        """Return some of the rows, in the order of their indices int64 (m,); each keeps its strip_row."""
        return replace(
            self,
            strip_paths=_pick(self.strip_paths, indices),
            is_face=self.is_face[indices],
            clip_rows=self.clip_rows[indices],
            track=self.track[indices],
            strip_rows=self.strip_rows[indices],
        )


def epoch_rows(table: FaceTable, *, seed: int, epoch: int, global_batch_size: int, mirror: bool) -> FaceRows:
    """Put the faces of one epoch in order: every real face once, shuffled across all clips.

    Args:
        table: the tracks to train on.
        seed: seed of the run; with the epoch it decides order, mirroring and padding.
        epoch: number of the epoch, from 0.
        global_batch_size: faces a step over all replicas; the last batch is filled by repeating faces of this
            epoch at weight 0.
        mirror: whether half of the faces, chosen anew each epoch, are flipped left to right.

    Returns:
        Rows that fill whole global batches.

    Raises:
        TfdfdError: if the table holds no face.
    """
    tracks, places = np.nonzero(table.is_face)
    num_faces = len(tracks)
    if not num_faces:
        raise TfdfdError("there is no face to train on: the table holds no place with a face")
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(num_faces)
    # Padding repeats real faces: black ones would move BatchNorm.
    order = np.append(order, np.resize(order, -num_faces % global_batch_size))
    flips = rng.integers(0, 2, len(order), dtype=np.int32)
    tracks, places = tracks[order], places[order]
    weights = table.weights[tracks]
    weights[num_faces:] = 0
    return FaceRows(
        strip_paths=_pick(table.strip_paths, tracks),
        places=places.astype(np.int32),
        labels=table.labels[tracks],
        weights=weights,
        clip_rows=table.clip_rows[tracks],
        mirror=flips if mirror else np.zeros_like(flips),
    )


def _check(name: str, array: np.ndarray, dtype: type, length: int, ndim: int = 1) -> None:
    if array.dtype != dtype or array.ndim != ndim or len(array) != length:
        raise ValueError(
            f"{name} must be {np.dtype(dtype)} with {ndim} axes and {length} rows, got {array.dtype} {array.shape}"
        )


def _pick(paths: Sequence[str], indices: np.ndarray) -> list[str]:
    order: list[int] = indices.tolist()
    return [paths[i] for i in order]


def _num_steps(num_rows: int, global_batch_size: int) -> int:
    if global_batch_size < 1 or num_rows % global_batch_size:
        raise ValueError(f"{num_rows} rows do not fill whole batches of {global_batch_size}: pad them first")
    return num_rows // global_batch_size


def _shard_indices(num_rows: int, shard: int, num_shards: int, global_batch_size: int) -> np.ndarray:
    steps = _num_steps(num_rows, global_batch_size)
    if global_batch_size % num_shards or not 0 <= shard < num_shards:
        raise ValueError(
            f"a global batch of {global_batch_size} cannot be split into {num_shards} equal shards "
            f"(asked for shard {shard})"
        )
    return np.arange(num_rows).reshape(steps, num_shards, -1)[:, shard].reshape(-1)
