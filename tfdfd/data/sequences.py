"""Sequences of faces with their sound: which clips an epoch has, which stretch of each, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.data.clip_cache import read_arrays
from tfdfd.data.rows import FaceRows, FaceTable
from tfdfd.data.sampling import FaceChoice, epoch_rows
from tfdfd.data.spectrograms import LOG_MEL
from tfdfd.data.tf_datasets import batches_of

FACES, IS_FACE, LOG_MELS, IS_SOUND = "faces", "is_face", "log_mel", "is_sound"
"""What a network gets, by name; a test holds these to those of `models.audio_visual`."""

_STRETCH, _DEAF = 11, 12
"""Streams of random numbers, so that no option changes what another draws."""


@dataclass(frozen=True)
class SequenceTable:
    """The main people of clips, and where their features and their sound lie."""

    strip_paths: Sequence[str] = field(repr=False)
    """The strip file of each, n in all."""
    feature_paths: Sequence[str] | None = field(repr=False)
    """The file of features of each, as `clip_features.kept_faces` keeps it; None where crops are read."""
    sound_paths: Sequence[str] = field(repr=False)
    """The file of each clip's spectrogram, as `clip_features.kept_sound` keeps it; empty where none is heard."""
    is_face: np.ndarray
    """bool, shape (n, num_places)."""
    place_seconds: np.ndarray
    """float32, shape (n, num_places): when the frame of each place is shown after the first of its clip, -1 where the
    clip is too short to fill it."""
    labels: np.ndarray
    """float32, shape (n,): 0 real, 1 fake."""
    clip_rows: np.ndarray
    """int32, shape (n,): row of the clip in its manifest."""
    originals: np.ndarray
    """int32, shape (n,): row in this table that each was forged from, -1 where that is not known."""
    num_features: int = 0
    """Features of a face; 0 where crops are read."""
    num_frames: int = 1
    """Most frames of a spectrogram."""

    def __len__(self) -> int:
        return len(self.strip_paths)


@dataclass(frozen=True)
class SequenceRows:
    """The clips of one epoch in the order in which they are trained on."""

    tracks: np.ndarray
    """int32, shape (n,): row of the table."""
    first_places: np.ndarray
    """int32, shape (n,): where the stretch begins that is trained on."""
    is_mirrored: np.ndarray
    """int32, shape (n,): 1 where all crops are flipped left to right, else 0."""
    is_deaf: np.ndarray
    """bool, shape (n,): whose sound is masked."""
    labels: np.ndarray
    """float32, shape (n,)."""
    weights: np.ndarray
    """float32, shape (n,): 0 marks padding."""
    clip_rows: np.ndarray
    """int32, shape (n,)."""

    def __len__(self) -> int:
        return len(self.tracks)

    def take(self, indices: np.ndarray) -> SequenceRows:
        """Return some of the rows."""
        return SequenceRows(*(getattr(self, name)[indices] for name in self.__dataclass_fields__))


def num_places_of(share: float, num_places: int) -> int:
    """Return how many places a share of them is, at least 1."""
    return max(1, round(share * num_places))


def draw_sequences(
    table: SequenceTable,
    *,
    seed: int,
    epoch: int,
    global_batch_size: int,
    num_places: int,
    drop_sound: float,
    balance: str,
    mirror: bool,
) -> SequenceRows:
    """Draw the clips of an epoch; seed and epoch decide all.

    Args:
        table: the clips to train on.
        seed: of the run.
        epoch: from 0.
        global_batch_size: clips a step over all replicas; the last batch is filled with clips of weight 0.
        num_places: of the stretch of each.
        drop_sound: share of the clips whose sound is masked.
        balance: as `FaceChoice.balance`.
        mirror: whether half of the clips are flipped left to right.

    Raises:
        TfdfdError: if a label is missing that the balance needs.
    """
    n = len(table)
    # A clip is to the sampling what a face is: a track of one place.
    clips = FaceTable(
        strip_paths=[str(number) for number in range(n)],
        is_face=np.ones((n, 1), np.bool_),
        labels=table.labels,
        weights=np.ones(n, np.float32),
        clip_rows=table.clip_rows,
        originals=table.originals,
    )
    rows: FaceRows = epoch_rows(
        clips,
        seed=seed,
        epoch=epoch,
        global_batch_size=global_batch_size,
        mirror=mirror,
        choice=FaceChoice(balance=balance),
    )
    tracks = np.array([int(path) for path in rows.strip_paths], np.int32)
    draws = np.random.default_rng([seed, epoch, _STRETCH]).random(len(tracks))
    deaf = np.random.default_rng([seed, epoch, _DEAF]).random(len(tracks)) < drop_sound
    return SequenceRows(
        tracks=tracks,
        first_places=_first_places(table.is_face[tracks], num_places, draws),
        is_mirrored=rows.mirror,
        is_deaf=deaf,
        labels=rows.labels,
        weights=rows.weights,
        clip_rows=rows.clip_rows,
    )


def _first_places(is_face: np.ndarray, num_places: int, draws: np.ndarray) -> np.ndarray:
    """Return where stretches begin that hold a face, drawn evenly of all such, int32 (n,); draws in [0, 1)."""
    sums = np.cumsum(np.pad(is_face, ((0, 0), (1, 0))), axis=1)
    holds_face = sums[:, num_places:] > sums[:, : sums.shape[1] - num_places]
    chosen = (draws * holds_face.sum(axis=1)).astype(np.int64) + 1
    return np.argmax(np.cumsum(holds_face, axis=1) == chosen[:, None], axis=1).astype(np.int32)


def whole_sequences(table: SequenceTable, *, global_batch_size: int) -> tuple[SequenceRows, np.ndarray]:
    """Return all clips from beginning to end, to be scored, and the number of each, int32, -1 for padding."""
    n = len(table)
    numbers = np.append(np.arange(n), np.full(-n % global_batch_size, n - 1)).astype(np.int32)
    zeros = np.zeros(len(numbers), np.int32)
    rows = SequenceRows(
        numbers,
        zeros,
        zeros,
        zeros.astype(np.bool_),
        table.labels[numbers],
        np.ones(len(numbers), np.float32),
        table.clip_rows[numbers],
    )
    return rows, np.where(np.arange(len(numbers)) < n, numbers, -1).astype(np.int32)


def sound_frames_of(seconds: np.ndarray, first: int, num_places: int) -> tuple[int, int | None]:
    """Return first frame and end of the sound that belongs to a stretch of places; no end where it is that of the clip.

    It reaches half the way to the places before and behind, and as far on the outside of the first and the last: with
    every n-th frame of a long clip these lie far from its ends. That of all places is the whole sound, as when scoring.

    Args:
        seconds: float32 (places,): when each is shown, -1 where it is empty (at the end).
        first: place at which the stretch begins.
        num_places: of the stretch.
    """
    there = seconds[seconds >= 0].astype(np.float64)
    if num_places >= len(seconds) or first >= len(there) or len(there) < 2:
        return 0, None
    between = (there[:-1] + there[1:]) / 2
    edges = np.concatenate([[2 * there[0] - between[0]], between, [2 * there[-1] - between[-1]]])
    begin, end = edges[first], edges[min(first + num_places, len(there))]
    begin_frame = max(0, round(begin * LOG_MEL.frames_a_second))
    return begin_frame, max(begin_frame + 1, round(end * LOG_MEL.frames_a_second))


def most_sound_frames(table: SequenceTable, num_places: int) -> int:
    """Return the most frames that a stretch of so many places that holds a face can have."""
    most = 1
    for seconds in table.place_seconds:
        num_there = int((seconds >= 0).sum())
        for first in range(min(len(seconds) - num_places + 1, max(num_there, 1))):
            begin, end = sound_frames_of(seconds, first, num_places)
            most = max(most, (table.num_frames if end is None else end) - begin)
    return most


def sequence_dataset(
    table: SequenceTable,
    rows: SequenceRows,
    last: Sequence[np.ndarray],
    *,
    num_places: int,
    num_frames: int,
    crop_size: int,
    batch_size: int,
    num_threads: int = 2,
) -> tf.data.Dataset:
    """Read sequences in the order of the rows.

    Args:
        table: where they lie.
        rows: which, and which stretch; a multiple of batch_size.
        last: arrays of a row each that are handed through behind the inputs.
        num_places: of a stretch.
        num_frames: of sound; a shorter one is masked at the end.
        crop_size: side of a crop in pixels.
        batch_size: clips a batch, per replica.
        num_threads: threads that read.

    Returns:
        Elements (inputs, *last), one batch for each batch_size rows: inputs are `faces` (features float32 [batch,
        places, n], or crops uint8 [batch, places, size, size, 3]; 0 where there is no face), `is_face` bool [batch,
        places], `log_mel` float32 [batch, frames, bands], `is_sound` bool [batch, frames].
    """

    def read_sound(track: np.ndarray, first: np.ndarray, is_deaf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logs, heard = np.zeros((num_frames, LOG_MEL.num_mels), np.float32), np.zeros(num_frames, np.bool_)
        path = table.sound_paths[int(track)]
        if path and not is_deaf:
            begin, end = sound_frames_of(table.place_seconds[int(track)], int(first), num_places)
            kept = read_arrays(Path(path))
            part, mask = kept["log_mel"][begin:end][:num_frames], kept["is_sound"][begin:end][:num_frames]
            logs[: len(part)], heard[: len(mask)] = part, mask
        return logs, heard

    def read_features(track: np.ndarray, first: np.ndarray) -> np.ndarray:
        assert table.feature_paths is not None
        kept = read_arrays(Path(table.feature_paths[int(track)]))
        features = np.zeros((len(kept["is_face"]), table.num_features), np.float32)
        features[kept["is_face"]] = kept["features"]
        return features[int(first) : int(first) + num_places]

    def read_crops(path: tf.Tensor, first: tf.Tensor, is_mirrored: tf.Tensor) -> tf.Tensor:
        window = tf.stack([first * crop_size, 0, num_places * crop_size, crop_size])
        crops = tf.image.decode_and_crop_jpeg(tf.io.read_file(path), window, channels=3, dct_method="INTEGER_ACCURATE")
        crops = tf.reshape(crops, [num_places, crop_size, crop_size, 3])
        return tf.where(is_mirrored > 0, tf.reverse(crops, axis=[2]), crops)

    def read_row(track: Any, path: Any, first: Any, mirrored: Any, deaf: Any, is_face: Any, *rest: Any) -> Any:
        logs, heard = tf.numpy_function(read_sound, (track, first, deaf), (tf.float32, tf.bool), stateful=False)
        if table.feature_paths is None:
            faces = read_crops(path, first, mirrored) * tf.cast(is_face, tf.uint8)[:, None, None, None]
        else:
            faces = tf.numpy_function(read_features, (track, first), tf.float32, stateful=False)
            faces = tf.ensure_shape(faces, [num_places, table.num_features])
        inputs = {
            FACES: faces,
            IS_FACE: is_face,
            LOG_MELS: tf.ensure_shape(logs, [num_frames, LOG_MEL.num_mels]),
            IS_SOUND: tf.ensure_shape(heard, [num_frames]),
        }
        return (inputs, *rest)

    places = rows.first_places[:, None] + np.arange(num_places)
    columns = (
        rows.tracks,
        np.array(table.strip_paths)[rows.tracks],
        rows.first_places,
        rows.is_mirrored,
        rows.is_deaf,
        np.take_along_axis(table.is_face[rows.tracks], places, axis=1),
        *last,
    )
    return batches_of(columns, read_row, batch_size, num_threads)
