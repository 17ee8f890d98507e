"""What pictures and faces look like, as TensorFlow ops: where a clip is cut, and which faces cannot be one person's.

Both measures are cheap, and cannot tell who somebody is: they say what is surely not one shot, or not one person.
`benchmarks/scene_cuts.py` prints how well they do; what it printed stands at the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdfd.clip import Detections
from tfdfd.faces.frame_memory import as_tensor
from tfdfd.faces.tracking_graph import iou

CUT = 0.5
"""Share of a picture's colours that the next one lacks, from which on a cut lies between. In 39 clips without a cut it
was 0.44 at most between neighbouring places, and 0.48 between any; of 1,360 cuts between different scenes none had less
than 0.55."""
STEADY_IOU, STEADY_LOOK = 0.5, 0.4
"""A face that overlaps so much with one of the frame before, and looks so much like it, goes on: what changed about it
is the light, or what stands behind. No two of 232,509 pairs of different people's faces differed by less."""

_COLOURS = 8
"""Levels of each of red, green and blue."""
_FRAME_GRID = (36, 64)
"""Rows and columns of the points at which a picture is looked at."""
_CELLS, _POINTS = 6, 4
"""Cells of a face to a side, and points of a cell to a side."""
_MARGIN = 0.3
"""What is looked at around a face, as a share of its longer side: hair and background tell people apart too."""
_MIN_LIT = 0.05
"""Share of a picture that must not be black; else its colours say nothing."""
_HUE_WEIGHT = 12.0
"""Of the mean difference in hue, beside that of brightness: with it both differ about as much from face to face."""
_SOME_LIGHT = 30.0
"""Added to the sum of red, green and blue, for the hue of dark places is noise."""


class Appearance(NamedTuple):
    """What the frames of a clip look like."""

    looks: list[np.ndarray]
    """Of each frame the looks of its faces, float32 (m, LOOK_LENGTH): their difference is the sum of absolutes."""
    shots: np.ndarray
    """int64, shape (n,), ascending from 0: the shot of each frame."""


LOOK_LENGTH = 4 * _CELLS**2


def appearance_of(frames: np.ndarray, rows: np.ndarray, detections: Sequence[Detections]) -> Appearance:
    """Return the looks of faces, and the shots of the frames.

    Args:
        frames: uint8 RGB, shape (n, height, width, 3), in playing order.
        rows: int, shape (m,), ascending: the frames that faces were looked for in.
        detections: what was found there.

    Returns:
        The looks of the faces in those frames, and the shots of all frames.
    """
    counts = [len(found) for found in detections]
    boxes = np.concatenate([found.boxes_xyxy for found in detections] or [np.zeros((0, 4), np.float32)])
    of_frames = np.repeat(np.asarray(rows), counts).astype(np.int32)
    looks, shots = _describe(as_tensor(frames), tf.constant(boxes, tf.float32), tf.constant(of_frames))
    ends = np.cumsum(counts)[:-1] if counts else []
    return Appearance(np.split(looks.numpy(), ends) if counts else [], shots.numpy().astype(np.int64))


def describe(frames: tf.Tensor, boxes: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the looks of faces and the shots of frames, in whatever graph calls it.

    Args:
        frames: uint8 RGB [n, height, width, 3], in playing order, n 0 or more.
        boxes: float32 [k, 4], x1, y1, x2, y2 in pixels.
        rows: int32 [k]: the frame of each.

    Returns:
        float32 [k, LOOK_LENGTH], and int32 [n], ascending from 0.
    """
    looks = _looks(frames, boxes, rows)
    goes_on = _faces_go_on(tf.shape(frames)[0], boxes, rows, looks)
    is_cut = (colours_lost(frames) >= CUT) & tf.logical_not(goes_on)
    return looks, tf.cumsum(tf.pad(tf.cast(is_cut, tf.int32), [[1, 0]]))[: tf.shape(frames)[0]]


def colours_lost(frames: tf.Tensor) -> tf.Tensor:
    """Return how far the colours of each frame are not those of the one before, float32 [n - 1], 0 to 1.

    Black does not count: bars beside a picture would make all pictures alike.

    Args:
        frames: as of `describe`.
    """
    colours = _colours(frames)[:, 1:]
    before, after = colours[:-1], colours[1:]
    lit = tf.maximum(tf.reduce_sum(before, axis=1), tf.reduce_sum(after, axis=1))
    shared = tf.reduce_sum(tf.minimum(before, after), axis=1)
    return tf.where(lit >= _MIN_LIT, 1 - shared / tf.maximum(lit, _MIN_LIT), 0.0)


_describe = tf.function(
    describe,
    input_signature=[
        tf.TensorSpec([None, None, None, 3], tf.uint8),
        tf.TensorSpec([None, 4], tf.float32),
        tf.TensorSpec([None], tf.int32),
    ],
    autograph=False,
)


def _looks(frames: tf.Tensor, boxes: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Return what faces look like: hue and brightness in cells around each, without how bright it is on the whole."""
    size = tf.cast(tf.shape(frames)[1:3], tf.float32)
    steps = (np.arange(_CELLS * _POINTS, dtype=np.float32) + 0.5) / (_CELLS * _POINTS) - 0.5
    spans = tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None] * ((1 + _MARGIN) * steps)
    # What lies outside the frame looks like its edge.
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    columns, lines = (
        tf.cast(tf.clip_by_value(centres[:, axis, None] + spans, 0.0, size[1 - axis] - 1), tf.int32) for axis in (0, 1)
    )
    side = _CELLS * _POINTS
    shape = tf.stack([tf.shape(boxes)[0], side, side])
    where = tf.stack(
        [
            tf.broadcast_to(rows[:, None, None], shape),
            tf.broadcast_to(lines[:, :, None], shape),
            tf.broadcast_to(columns[:, None, :], shape),
        ],
        axis=-1,
    )
    points = tf.reshape(tf.cast(tf.gather_nd(frames, where), tf.float32), [-1, _CELLS, _POINTS, _CELLS, _POINTS, 3])
    cells = tf.reduce_mean(points, axis=[2, 4])
    hues = cells / (tf.reduce_sum(cells, axis=-1, keepdims=True) + _SOME_LIGHT)
    light = tf.reduce_mean(cells, axis=-1, keepdims=True)
    light = light / (tf.reduce_mean(light, axis=[1, 2], keepdims=True) + 1.0)
    weights = [_HUE_WEIGHT / (3 * _CELLS**2)] * 3 + [1 / _CELLS**2]
    return tf.reshape(tf.concat([hues, light], axis=-1) * tf.constant(weights), [-1, LOOK_LENGTH])


def _colours(frames: tf.Tensor) -> tf.Tensor:
    """Return how often each colour is in each frame, as shares, float32 [n, _COLOURS ** 3]; the first one is black."""
    height, width = tf.shape(frames)[1], tf.shape(frames)[2]
    lines, columns = (
        (2 * tf.range(count) + 1) * side // (2 * count)
        for count, side in zip(_FRAME_GRID, (height, width), strict=True)
    )
    points = tf.cast(tf.gather(tf.gather(frames, lines, axis=1), columns, axis=2), tf.int32) // (256 // _COLOURS)
    colours = (points[..., 0] * _COLOURS + points[..., 1]) * _COLOURS + points[..., 2]
    num_frames = tf.shape(frames)[0]
    ids = tf.range(num_frames)[:, None, None] * _COLOURS**3 + colours
    counts = tf.math.unsorted_segment_sum(tf.ones_like(ids, tf.float32), ids, num_frames * _COLOURS**3)
    return tf.reshape(counts, [num_frames, _COLOURS**3]) / float(np.prod(_FRAME_GRID))


def _faces_go_on(num_frames: tf.Tensor, boxes: tf.Tensor, rows: tf.Tensor, looks: tf.Tensor) -> tf.Tensor:
    """Return whether a face of each frame is in the next one too, where it was and as it looked, bool [n - 1]."""

    def goes_on(row: tf.Tensor) -> tf.Tensor:
        here, there = tf.where(tf.equal(rows, row))[:, 0], tf.where(tf.equal(rows, row + 1))[:, 0]
        is_there = iou(tf.gather(boxes, here), tf.gather(boxes, there)) >= STEADY_IOU
        differences = tf.abs(tf.gather(looks, here)[:, None] - tf.gather(looks, there)[None])
        return tf.reduce_any(is_there & (tf.reduce_sum(differences, axis=2) <= STEADY_LOOK))

    return tf.map_fn(goes_on, tf.range(tf.maximum(num_frames - 1, 0)), fn_output_signature=tf.bool)
