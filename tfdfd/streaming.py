"""Faces straight from video: decode, detect and crop on the fly, without a store."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfdfd.clip import Clip, ClipFaces, TfdfdError
from tfdfd.extraction import Detector, FrameSource, faces_of_clips
from tfdfd.faces.config import ExtractionConfig

FaceBatch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""crop uint8 [batch, size, size, 3], label float32, weight float32 and clip_row int32 [batch]."""


class FaceStream:
    """The training faces of clips, made anew every epoch by the code that fills the store.

    The values are those of the store but for its JPEG. Faces are shuffled through a buffer of clips: the order of
    clips is drawn from seed and epoch, and each batch draws from the faces of `buffer_clips` clips.

    Args:
        clips: the training clips.
        labels: float32, shape (n,): 0 real, 1 fake.
        weights: float32, shape (n,): sample weight of each clip's faces.
        frame_source: reads frames, one clip ahead.
        detector: finds faces.
        config: how crops are made.
        seed: with the epoch, decides the order and the mirroring.
        global_batch_size: faces a step over all replicas.
        mirror: whether half of the faces are flipped left to right.
        main_only: whether all people of a clip but the main one are left out.
        buffer_clips: clips whose faces are mixed.
        on_clip: called with what was found in each clip.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        labels: np.ndarray,
        weights: np.ndarray,
        frame_source: FrameSource,
        detector: Detector,
        config: ExtractionConfig,
        *,
        seed: int,
        global_batch_size: int,
        mirror: bool,
        main_only: bool,
        buffer_clips: int = 64,
        on_clip: Callable[[ClipFaces], None] = lambda faces: None,
    ) -> None:
        self.clips = list(clips)
        self.labels, self.weights = labels, weights
        self.frame_source, self.detector, self.config = frame_source, detector, config
        self.seed, self.global_batch_size, self.mirror = seed, global_batch_size, mirror
        self.main_only = main_only
        self.buffer_clips = buffer_clips
        self.on_clip = on_clip
        self.statuses: Counter[str] = Counter()
        """How many clips of the pass under way ended with each status."""

    @property
    def num_steps(self) -> int:
        """Batches of an epoch: as many as fill it if every place of every clip holds one face."""
        return -(-len(self.clips) * self.config.places // self.global_batch_size)

    def batches(self, epoch: int) -> Iterator[FaceBatch]:
        """Return batches without end, of which `num_steps` are an epoch.

        The clips are gone through in an order drawn anew for each pass; where faces are missing, the epoch takes them
        from the beginning of a further pass, and where a clip has several people, some faces wait for another epoch.

        Raises:
            TfdfdError: if no clip has a face.
        """
        capacity = self.buffer_clips * self.config.places
        buffer: list[tuple[np.ndarray, int]] = []
        for number in itertools.count():
            rng = np.random.default_rng([self.seed, epoch, number])
            found = 0
            for crops, row in self._faces_of_clips(rng):
                buffer += [(crop, row) for crop in crops]
                found += len(crops)
                while len(buffer) >= capacity + self.global_batch_size:
                    yield self._draw(buffer, rng)
            if not found:
                raise TfdfdError(f"none of the {len(self.clips)} training clips has a face: {dict(self.statuses)}")
            while len(buffer) >= self.global_batch_size:
                yield self._draw(buffer, rng)

    def _faces_of_clips(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
        self.statuses = Counter()
        rows = rng.permutation(len(self.clips))
        ordered = [self.clips[row] for row in rows]
        found = faces_of_clips(ordered, self.frame_source, self.detector, self.config)
        for row, (_, faces) in zip(rows.tolist(), found, strict=True):
            self.statuses[faces.status] += 1
            self.on_clip(faces)
            people = zip(faces.tracks, faces.crops, strict=True)
            for track, crops in itertools.islice(people, 1 if self.main_only else None):
                yield crops[track.is_face], row

    def _draw(self, buffer: list[tuple[np.ndarray, int]], rng: np.random.Generator) -> FaceBatch:
        drawn = []
        for _ in range(self.global_batch_size):
            chosen = int(rng.integers(len(buffer)))
            buffer[chosen], buffer[-1] = buffer[-1], buffer[chosen]
            drawn.append(buffer.pop())
        crops = np.stack([crop for crop, _ in drawn])
        rows = np.array([row for _, row in drawn], np.int32)
        if self.mirror:
            flipped = rng.integers(0, 2, len(drawn)).astype(bool)
            crops[flipped] = crops[flipped, :, ::-1]
        return crops, self.labels[rows].astype(np.float32), self.weights[rows].astype(np.float32), rows


class TrackStream:
    """The tracks of clips for validation, made anew each time by the code that fills the store.

    Making it goes through the clips once, to learn how many people each has.

    Args: as in `FaceStream`.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        frame_source: FrameSource,
        detector: Detector,
        config: ExtractionConfig,
        *,
        on_clip: Callable[[ClipFaces], None] = lambda faces: None,
    ) -> None:
        self.clips = list(clips)
        self.frame_source, self.detector, self.config = frame_source, detector, config
        rows: list[int] = []
        for row, (_, faces) in enumerate(self._found()):
            on_clip(faces)
            rows += [row] * len(faces.tracks)
        self.clip_rows = np.array(rows, np.int32)
        """int32, shape (n,): the clip of each track."""

    def batches(self, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return (crops uint8 [batch, places, size, size, 3], is_face bool [batch, places], track int32 [batch]).

        Args:
            batch_size: tracks a batch; the last one is filled with black tracks without a face, track -1.
        """
        size, places = self.config.crop_size, self.config.places
        tracks = (
            (crops, track.is_face)
            for _, faces in self._found()
            for track, crops in zip(faces.tracks, faces.crops, strict=True)
        )
        nothing = np.zeros((places, size, size, 3), np.uint8), np.zeros(places, np.bool_)
        first = 0
        while batch := list(itertools.islice(tracks, batch_size)):
            missing = batch_size - len(batch)
            numbers = np.array([*range(first, first + len(batch)), *[-1] * missing], np.int32)
            crops, is_face = zip(*batch, *[nothing] * missing, strict=True)
            yield np.stack(crops), np.stack(is_face), numbers
            first += len(batch)

    def _found(self) -> Iterator[tuple[Clip, ClipFaces]]:
        return faces_of_clips(self.clips, self.frame_source, self.detector, self.config)
