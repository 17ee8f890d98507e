"""What is read in which order: the faces of an epoch and the strips to score, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tfdfd.clip import REAL
from tfdfd.data.alterations import WIDTH
from tfdfd.data.crop_bytes import CropBytes


@dataclass(frozen=True)
class TrackMasks:
    """Where the faces of tracks were altered."""

    paths: Sequence[str] = field(repr=False)
    """The PNG of each track's masks, n in all; empty where nothing of it was altered, or nothing is known."""
    is_known: np.ndarray
    """bool, shape (n, num_places): where it is known what was altered: of real clips everywhere."""

    def __post_init__(self) -> None:
        _check("is_known", self.is_known, np.bool_, len(self.paths), ndim=2)


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
    originals: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    """int32, shape (n,): row in this table of the track that each was forged from, -1 where it is real or its original
    is not in the table; left out, -1."""
    landmarks_xy: np.ndarray | None = field(default=None, repr=False)
    """float32, shape (n, num_places, 5, 2): eyes, nose and mouth corners in pixels of the crops, NaN where they are not
    known; None where nothing needs them."""
    crop_bytes: CropBytes | None = field(default=None, repr=False)
    """Where the crops lie in the strips' files, if these say so."""
    masks: TrackMasks | None = field(default=None, repr=False)
    """Where they were altered; None where nothing needs it."""

    def __post_init__(self) -> None:
        n = len(self.strip_paths)
        if self.masks is not None:
            _check("is_known of the masks", self.masks.is_known, np.bool_, n, ndim=2)
        if not len(self.originals):
            object.__setattr__(self, "originals", np.full(n, -1, np.int32))
        _check("originals", self.originals, np.int32, n)
        if self.landmarks_xy is not None:
            _check("landmarks_xy", self.landmarks_xy, np.float32, n, ndim=4)
        _check("is_face", self.is_face, np.bool_, n, ndim=2)
        _check("labels", self.labels, np.float32, n)
        _check("weights", self.weights, np.float32, n)
        _check("clip_rows", self.clip_rows, np.int32, n)

    @property
    def num_faces(self) -> int:
        """Faces in all tracks together."""
        return int(self.is_face.sum())

    @property
    def can_blend(self) -> np.ndarray:
        """bool, shape (n, num_places): real faces whose landmarks are known, which can be blended with themselves."""
        if self.landmarks_xy is None:
            return np.zeros_like(self.is_face)
        is_known = np.isfinite(self.landmarks_xy).all(axis=(2, 3))
        return self.is_face & is_known & (self.labels == REAL)[:, None]


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
    alterations: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    """float32, shape (n, alterations.WIDTH): what is done to each crop before it is flipped; (n, 0), or left out,
    where nothing is done to any."""
    crop_header: bytes = field(default=b"", repr=False)
    """What a JPEG of one crop begins with; empty where crops can only be cut from whole strips."""
    crop_spans: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int32), repr=False)
    """int32, shape (n, 2): first byte of each crop in its strip's file and how many there are; 0 without a header."""
    mask_paths: Sequence[str] = field(default=(), repr=False)
    """The PNG of masks that tells where each face was altered, n in all, empty for a face that was not; or none at all,
    where batches carry no masks."""
    mask_weights: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)
    """float32, shape (n,): 1 where it is known what was altered of the face, else 0; left out without masks."""

    def __post_init__(self) -> None:
        n = len(self.strip_paths)
        if len(self.mask_paths) not in (0, n):
            raise ValueError(f"mask_paths must be {n} or none, got {len(self.mask_paths)}")
        if not self.has_masks:
            object.__setattr__(self, "mask_weights", np.zeros(n, np.float32))
        _check("mask_weights", self.mask_weights, np.float32, n)
        _check("places", self.places, np.int32, n)
        _check("labels", self.labels, np.float32, n)
        _check("weights", self.weights, np.float32, n)
        _check("clip_rows", self.clip_rows, np.int32, n)
        _check("mirror", self.mirror, np.int32, n)
        if not len(self.alterations) and n:
            object.__setattr__(self, "alterations", np.zeros((n, 0), np.float32))
        _check("alterations", self.alterations, np.float32, n, ndim=2)
        if not len(self.crop_spans) and n:
            object.__setattr__(self, "crop_spans", np.zeros((n, 2), np.int32))
        _check("crop_spans", self.crop_spans, np.int32, n, ndim=2)
        if self.alterations.shape[1] not in (0, WIDTH):
            raise ValueError(f"alterations must have 0 or {WIDTH} columns, got {self.alterations.shape[1]}")

    def __len__(self) -> int:
        return len(self.strip_paths)

    @property
    def has_masks(self) -> bool:
        """Whether batches carry masks."""
        return bool(len(self.mask_paths))

    def num_steps(self, global_batch_size: int) -> int:
        """Return how many global batches the rows fill.

        Raises:
            ValueError: if they do not fill whole batches.
        """
        return _num_steps(len(self), global_batch_size)

    def skip(self, steps: int, global_batch_size: int) -> FaceRows:
        """Return the rows that are left after `steps` global batches, for going on in the middle of an epoch."""
        return self._take(np.arange(steps * global_batch_size, len(self)))

    def first(self, count: int) -> FaceRows:
        """Return the first rows."""
        return self._take(np.arange(count))

    def shard(self, shard: int, num_shards: int, global_batch_size: int) -> FaceRows:
        """Return the rows of one replica or worker: its equal, contiguous part of every global batch.

        Args:
            shard: which part, in [0, num_shards).
            num_shards: parts of a global batch; must divide it.
            global_batch_size: faces a step over all replicas.

        Raises:
            ValueError: if the batch does not divide, or the rows do not fill whole batches.
        """
        return self._take(shard_indices(len(self), shard, num_shards, global_batch_size))

    def _take(self, indices: np.ndarray) -> FaceRows:
        return FaceRows(
            strip_paths=pick_paths(self.strip_paths, indices),
            places=self.places[indices],
            labels=self.labels[indices],
            weights=self.weights[indices],
            clip_rows=self.clip_rows[indices],
            mirror=self.mirror[indices],
            alterations=self.alterations[indices],
            crop_header=self.crop_header,
            crop_spans=self.crop_spans[indices],
            mask_paths=pick_paths(self.mask_paths, indices) if self.has_masks else (),
            mask_weights=self.mask_weights[indices] if self.has_masks else np.zeros(0, np.float32),
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
        return self.take(shard_indices(len(self), shard, num_shards, global_batch_size))

    def joined(self, others: StripRows) -> StripRows:
        """Return these rows and others behind them, numbered anew."""
        arrays = ("is_face", "clip_rows", "track")
        return StripRows(
            [*self.strip_paths, *others.strip_paths],
            *(np.concatenate([getattr(self, name), getattr(others, name)]) for name in arrays),
        )

    def take(self, indices: np.ndarray) -> StripRows:
        """Return some of the rows, in the order of their indices int64 (m,); each keeps its strip_row."""
        return replace(
            self,
            strip_paths=pick_paths(self.strip_paths, indices),
            is_face=self.is_face[indices],
            clip_rows=self.clip_rows[indices],
            track=self.track[indices],
            strip_rows=self.strip_rows[indices],
        )


def _check(name: str, array: np.ndarray, dtype: type, length: int, ndim: int = 1) -> None:
    if array.dtype != dtype or array.ndim != ndim or len(array) != length:
        raise ValueError(
            f"{name} must be {np.dtype(dtype)} with {ndim} axes and {length} rows, got {array.dtype} {array.shape}"
        )


def pick_paths(paths: Sequence[str], indices: np.ndarray) -> list[str]:
    """Return some of the paths, in the order of their indices int64 (m,)."""
    order: list[int] = indices.tolist()
    return [paths[i] for i in order]


def _num_steps(num_rows: int, global_batch_size: int) -> int:
    if global_batch_size < 1 or num_rows % global_batch_size:
        raise ValueError(f"{num_rows} rows do not fill whole batches of {global_batch_size}: pad them first")
    return num_rows // global_batch_size


def shard_indices(num_rows: int, shard: int, num_shards: int, global_batch_size: int) -> np.ndarray:
    """Return the rows of one pipeline, its equal and contiguous part of every global batch; see `FaceRows.shard`."""
    steps = _num_steps(num_rows, global_batch_size)
    if global_batch_size % num_shards or not 0 <= shard < num_shards:
        raise ValueError(
            f"a global batch of {global_batch_size} cannot be split into {num_shards} equal shards "
            f"(asked for shard {shard})"
        )
    return np.arange(num_rows).reshape(steps, num_shards, -1)[:, shard].reshape(-1)
