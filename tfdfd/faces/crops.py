"""Crops: the square around a face, cut from the full-size frame and resized, as TensorFlow ops."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdfd.clip import ClipFrames, Track
from tfdfd.faces.alignment import ALIGNMENTS, FROM_CENTRE_XY
from tfdfd.faces.frame_memory import where_computed


def crop_faces(
    frames: tf.Tensor,
    boxes: tf.Tensor,
    frame_rows: tf.Tensor,
    size: int,
    margin: float,
    landmarks: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cut squares around boxes from frames and resize them, in whatever graph calls it.

    The square has the box's centre and its longer side times (1 + margin). It is resized as
    `tf.image.resize(..., antialias=True)` would resize the picture inside it: by a triangle filter that widens
    with shrinking. What lies outside the frame is black. A square at whole pixels whose side is `size` comes
    out unchanged.

    With landmarks the square is turned about its centre by as much as the face leans, which stands upright then. It
    is first resized as above, with what lies around it, then turned by bilinear interpolation of the new pixels.

    Args:
        frames: uint8 RGB [n, height, width, 3].
        boxes: float32 [k, 4], x1, y1, x2, y2 in pixels of the frames, finite.
        frame_rows: int32 [k], the frame of each box, in [0, n).
        size: side of a crop in pixels.
        margin: share of a box's longer side that is added to it, above -1.
        landmarks: float32 [k, 5, 2] in pixels of the frames; None to leave faces as they lie.

    Returns:
        uint8 RGB [k, size, size, 3].
    """
    squares = _squares(tf.cast(boxes, tf.float32), margin)
    # Half the diagonal is as far as a turn reaches. Whole pixels of the crop: what is not turned is not resampled.
    around = 0 if landmarks is None else math.ceil((math.sqrt(2) - 1) / 2 * size)
    cut_size = size + 2 * around
    grow = squares[:, 2:] * (around / size)
    squares = tf.concat([squares[:, :2] - grow, squares[:, 2:] + 2 * grow], axis=1)
    rolls = tf.zeros_like(squares[:, 0]) if landmarks is None else roll_radians(tf.cast(landmarks, tf.float32))

    def crop_one(face: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        row, square, roll = face
        x1, y1, side = tf.unstack(square)
        top, bottom, vertical = _sampling(y1, side, tf.shape(frames)[1], cut_size)
        left, right, horizontal = _sampling(x1, side, tf.shape(frames)[2], cut_size)
        region = tf.cast(frames[row, top:bottom, left:right], tf.float32)
        columns = tf.shape(region)[1]
        rows_resized = tf.matmul(vertical, tf.reshape(region, [bottom - top, columns * 3]))
        rows_resized = tf.reshape(rows_resized, [cut_size, columns, 3])
        crop = tf.einsum("ow,hwc->hoc", horizontal, rows_resized)
        if landmarks is not None:
            crop = _turned_upright(crop, roll, cut_size, size)
        return tf.cast(tf.clip_by_value(tf.round(crop), 0.0, 255.0), tf.uint8)

    return tf.map_fn(
        crop_one,
        (tf.cast(frame_rows, tf.int32), squares, rolls),
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
    )


def roll_radians(landmarks: tf.Tensor) -> tf.Tensor:
    """Return how far faces lean, as `tfdfd.faces.alignment.roll_radians` does: float32 [k, 5, 2] gives float32 [k]."""
    points = landmarks - tf.reduce_mean(landmarks, axis=1, keepdims=True)
    along = tf.reduce_sum(points * FROM_CENTRE_XY, axis=[1, 2])
    across = tf.reduce_sum(points[:, :, 1] * FROM_CENTRE_XY[:, 0] - points[:, :, 0] * FROM_CENTRE_XY[:, 1], axis=1)
    return tf.atan2(across, along)


def crop_tracks(
    frames: ClipFrames, tracks: Sequence[Track], size: int, margin: float, alignment: str = "none"
) -> tuple[np.ndarray, ...]:
    """Cut the crops of a clip's tracks.

    Args:
        frames: the frames that the tracks were found in.
        tracks: the tracks, all with the same number of places.
        size: side of a crop in pixels.
        margin: share of a box's longer side that is added to it, above -1.
        alignment: one of ALIGNMENTS: whether crops lie as the frame does, or faces are turned upright.

    Returns:
        One array a track, uint8 RGB, shape (num_places, size, size, 3), zeros where there is no face.

    Raises:
        ValueError: if a track has a face at a place whose frame was not read, size, margin or alignment is out of
            range, or a face is to be aligned by landmarks that are all one point, as of a detector without any.
    """
    if size < 1 or not margin > -1:
        raise ValueError(f"size must be at least 1 and margin above -1, got {size} and {margin}")
    if alignment not in ALIGNMENTS:
        raise ValueError(f"alignment must be one of {list(ALIGNMENTS)}, got {alignment!r}")
    if not tracks:
        return ()
    row_of_place = {int(place): row for row, place in enumerate(frames.places)}
    rows, boxes, landmarks = [], [], []
    for track in tracks:
        for place in np.flatnonzero(track.is_face).tolist():
            if place not in row_of_place:
                raise ValueError(f"a track has a face at place {place}, whose frame was not read")
            rows.append(row_of_place[place])
            boxes.append(track.boxes_xyxy[place])
            landmarks.append(track.landmarks_xy[place])
    is_aligned = alignment == "landmarks"
    if is_aligned and not np.ptp(landmarks, axis=1).any(axis=1).all():
        raise ValueError("a face has all its landmarks in one point: such a detector needs alignment none")
    crop = _crop_graph(size, float(margin), is_aligned)
    values = (np.stack(boxes).astype(np.float32), np.array(rows, np.int32), np.stack(landmarks).astype(np.float32))
    faces = iter(crop(where_computed(frames.frames), *values).numpy())
    crops = []
    for track in tracks:
        strip = np.zeros((len(track.is_face), size, size, 3), np.uint8)
        for place in np.flatnonzero(track.is_face):
            strip[place] = next(faces)
        crops.append(strip)
    return tuple(crops)


@functools.lru_cache(maxsize=8)
def _crop_graph(size: int, margin: float, is_aligned: bool) -> Callable[..., tf.Tensor]:
    """Return crop_faces as one polymorphic graph for a size and margin."""
    return tf.function(
        lambda frames, boxes, rows, landmarks: crop_faces(
            frames, boxes, rows, size, margin, landmarks if is_aligned else None
        ),
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.uint8),
            tf.TensorSpec([None, 4], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, 5, 2], tf.float32),
        ],
        autograph=False,
    )


def _turned_upright(picture: tf.Tensor, roll: tf.Tensor, side: int, size: int) -> tf.Tensor:
    """Cut the middle of a square picture, turned back by a face's roll.

    Args:
        picture: float32 [side, side, 3].
        roll: float32 scalar, radians, clockwise.
        side: of the picture, above `size` by an even number.
        size: side of the result.

    Returns:
        float32 [size, size, 3].
    """
    cos, sin = tf.cos(roll), tf.sin(roll)
    # Pixel centres: the op maps a pixel (x, y) of the result to one of the picture, (0, 0) being the first of each.
    old, new = (side - 1) / 2, (size - 1) / 2
    transform = tf.stack([cos, -sin, old - new * (cos - sin), sin, cos, old - new * (sin + cos), 0.0, 0.0])
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[None],
        transforms=transform[None],
        output_shape=tf.constant([size, size]),
        fill_value=tf.constant(0.0),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return turned[0]


def _squares(boxes: tf.Tensor, margin: float) -> tf.Tensor:
    """Return left, top and side of the square around each box [k, 3], as `boxes.square_boxes` has it."""
    longer = tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True)
    side = tf.maximum(longer, 1.0) * (1.0 + margin)
    return tf.concat([(boxes[:, :2] + boxes[:, 2:]) / 2 - side / 2, side], axis=1)


def _sampling(
    start: tf.Tensor, side: tf.Tensor, frame_side: tf.Tensor, size: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Work out one axis of a crop: which pixels of the frame it reads and what each new pixel takes of them.

    Args:
        start: float32 scalar, where the square begins, in pixels.
        side: float32 scalar, side of the square in pixels.
        frame_side: int32 scalar, pixels of the frame along this axis.
        size: new pixels.

    Returns:
        First pixel and end of those in the frame (int32 scalars, equal if the square lies outside), and
        weights float32 [size, end - first]. Each row would sum to 1 over all pixels that the square touches;
        those outside the frame are left out, which makes them black.
    """
    # Whole pixels up to rounding error stay whole, else float32 boxes would touch one pixel more.
    touched_from = tf.floor(start + 1e-3)
    touched_to = tf.maximum(tf.math.ceil(start + side - 1e-3), touched_from + 1.0)
    step = side / size
    reach = tf.maximum(step, 1.0)
    new_centres = start + (tf.range(size, dtype=tf.float32) + 0.5) * step
    old_centres = tf.range(touched_from, touched_to) + 0.5
    weights = tf.maximum(0.0, 1.0 - tf.abs(new_centres[:, None] - old_centres[None, :]) / reach)
    weights = weights / tf.reduce_sum(weights, axis=1, keepdims=True)

    first = tf.clip_by_value(tf.cast(touched_from, tf.int32), 0, frame_side)
    end = tf.clip_by_value(tf.cast(touched_to, tf.int32), first, frame_side)
    offset = tf.cast(touched_from, tf.int32)
    return first, end, weights[:, first - offset : end - offset]
