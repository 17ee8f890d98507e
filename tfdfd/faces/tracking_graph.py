"""Tracks as TensorFlow ops: the same people that `tfdfd.faces.tracking` links, inside whatever graph asks."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import tensorflow as tf

from tfdfd.faces import tracking as rules
from tfdfd.faces.assignment_graph import assign

_NO_PLACE = -(10**6)
_ALONE = 1e3
"""Cost of a track without a detection: above that of any possible pair, so pairs come first."""


class FoundFaces(NamedTuple):
    """The faces of one clip's frames, by frame, most confident first; what `MTCNN.detect` returns."""

    boxes: tf.Tensor
    """float32 [k, 4]: x1, y1, x2, y2 in pixels."""
    landmarks: tf.Tensor
    """float32 [k, 5, 2], pixels."""
    confidences: tf.Tensor
    """float32 [k]."""
    rows: tf.Tensor
    """int32 [k]: the frame of each."""


class Tracks(NamedTuple):
    """People of clips, one row each, the main one of a clip first."""

    is_face: tf.Tensor
    """bool [tracks, frames]."""
    boxes: tf.Tensor
    """float32 [tracks, frames, 4], pixels, zeros where there is no face."""
    landmarks: tf.Tensor
    """float32 [tracks, frames, 5, 2], pixels, zeros where there is no face."""
    confidences: tf.Tensor
    """float32 [tracks, frames], zeros where there is no face."""


class _OpenTracks(NamedTuple):
    """Tracks while they are being linked, in the order in which they began."""

    last_boxes: tf.Tensor
    """float32 [t, 4]: where each was seen last."""
    boxes_before: tf.Tensor
    """float32 [t, 4]: where each was seen before that."""
    last_places: tf.Tensor
    """int32 [t]"""
    places_before: tf.Tensor
    """int32 [t], far in the past for a track that was seen once."""
    last_looks: tf.Tensor
    """float32 [t, length]: what each looked like last."""


def link_tracks(faces: FoundFaces, looks: tf.Tensor, shots: tf.Tensor, frame_size: tf.Tensor) -> Tracks:
    """Link the faces of a clip's frames into tracks, as `tfdfd.faces.tracking.link_tracks` does.

    Args:
        faces: what was found.
        looks: float32 [k, length]: what each face looks like.
        shots: int32 [frames], ascending: the shot of each frame that was looked at; each frame is a place.
        frame_size: int32 [2]: height and width of the frames in pixels.

    Returns:
        The tracks, none where there is no face.
    """
    num_frames = tf.size(shots)
    reach_of_frame = rules.MAX_SHIFT_OF_FRAME * tf.cast(tf.reduce_max(frame_size), tf.float64)

    def add_frame(
        place: tf.Tensor, tracks: _OpenTracks, track_of: tf.Tensor
    ) -> tuple[tf.Tensor, _OpenTracks, tf.Tensor]:
        here = tf.cast(tf.where(tf.equal(faces.rows, place))[:, 0], tf.int32)
        here = tf.gather(here, _one_detection_a_face(tf.gather(faces.boxes, here), tf.gather(faces.confidences, here)))
        boxes, looks_here = tf.gather(faces.boxes, here), tf.gather(looks, here)
        is_in_shot = tf.equal(tf.gather(shots, tracks.last_places), shots[place])
        partners = tf.cond(
            (tf.size(here) > 0) & (tf.size(tracks.last_places) > 0),
            lambda: _pair(tracks, is_in_shot, boxes, looks_here, place, reach_of_frame),
            lambda: tf.fill(tf.shape(here), -1),
        )
        begins = tf.cast(partners < 0, tf.int32)
        partners = tf.where(begins > 0, tf.size(tracks.last_places) + tf.cumsum(begins) - 1, partners)
        tracks = _moved_on(tracks, partners, boxes, looks_here, tf.reduce_sum(begins), place)
        return place + 1, tracks, tf.tensor_scatter_nd_update(track_of, here[:, None], partners)

    no_boxes, no_places = tf.zeros([0, 4]), tf.zeros([0], tf.int32)
    any_boxes, any_places = (cast(Any, tf.TensorShape(shape)) for shape in ([None, 4], [None]))
    any_looks = cast(Any, tf.TensorShape([None, looks.shape[1]]))
    _, tracks, track_of = tf.while_loop(
        lambda place, *_: place < num_frames,
        add_frame,
        (
            tf.constant(0),
            _OpenTracks(no_boxes, no_boxes, no_places, no_places, looks[:0]),
            tf.fill(tf.shape(faces.rows), -1),
        ),
        shape_invariants=(
            tf.TensorShape([]),
            _OpenTracks(any_boxes, any_boxes, any_places, any_places, any_looks),
            tf.TensorShape([None]),
        ),
        parallel_iterations=1,
    )
    members = tf.where(track_of >= 0)[:, 0]
    chosen = FoundFaces(*(tf.gather(values, members) for values in faces))
    return _finished(chosen, tf.gather(track_of, members), tf.size(tracks.last_places), shots)


def _finished(faces: FoundFaces, track_of: tf.Tensor, num_tracks: tf.Tensor, shots: tf.Tensor) -> Tracks:
    """Leave out what is no person, and put the main one first."""
    counts = tf.math.unsorted_segment_sum(tf.ones_like(track_of), track_of, num_tracks)
    sizes = tf.math.unsorted_segment_sum(_sides(faces.boxes), track_of, num_tracks)
    means = tf.math.unsorted_segment_mean(faces.confidences, track_of, num_tracks)
    firsts = tf.math.unsorted_segment_min(tf.range(tf.size(track_of)), track_of, num_tracks)
    begins, num_frames = tf.gather(faces.boxes, firsts), tf.size(shots)
    order = tf.range(num_tracks)
    # By the last key first: every sort is stable.
    keys = [*reversed(tf.unstack(begins, num=4, axis=1)), tf.cast(tf.gather(faces.rows, firsts), tf.float32), -sizes]
    for key in keys:
        order = tf.gather(order, tf.argsort(tf.gather(key, order), stable=True))
    of_shot = tf.equal(tf.gather(shots, tf.gather(faces.rows, firsts))[:, None], shots[None])
    min_faces = _min_faces(tf.reduce_sum(tf.cast(of_shot, tf.int32), axis=1))
    is_kept = (counts >= min_faces) & (tf.cast(means, tf.float64) >= rules.MIN_MEAN_CONFIDENCE)
    with_face = tf.unique(tf.boolean_mask(faces.rows, tf.gather(is_kept, track_of))).y
    is_enough = tf.size(with_face) >= _min_faces(num_frames)
    kept = tf.boolean_mask(order, tf.gather(is_kept, order) & is_enough)

    rank = tf.scatter_nd(kept[:, None], tf.range(1, tf.size(kept) + 1), [num_tracks]) - 1
    ranks = tf.gather(rank, track_of)
    stays = tf.where(ranks >= 0)[:, 0]
    where = tf.stack([tf.gather(ranks, stays), tf.gather(faces.rows, stays)], axis=1)
    shape = tf.stack([tf.size(kept), num_frames])

    def spread(values: tf.Tensor) -> tf.Tensor:
        return tf.scatter_nd(where, tf.gather(values, stays), tf.concat([shape, tf.shape(values)[1:]], 0))

    is_face = spread(tf.ones_like(track_of)) > 0
    return Tracks(is_face, spread(faces.boxes), spread(faces.landmarks), spread(faces.confidences))


def _min_faces(num_frames: tf.Tensor) -> tf.Tensor:
    """Return how many faces of so many frames are evidence, same shape."""
    return tf.where(num_frames >= rules.MIN_FRAMES_TO_JUDGE, rules.MIN_FACES, 1)


def _moved_on(
    tracks: _OpenTracks,
    partners: tf.Tensor,
    boxes: tf.Tensor,
    looks: tf.Tensor,
    num_new: tf.Tensor,
    place: tf.Tensor,
) -> _OpenTracks:
    """Return the tracks with the detections of a frame: those that go on, and the new ones behind them."""
    new_boxes, new_places = tf.zeros([num_new, 4]), tf.fill([num_new], _NO_PLACE)
    grown = _OpenTracks(
        tf.concat([tracks.last_boxes, new_boxes], 0),
        tf.concat([tracks.boxes_before, new_boxes], 0),
        tf.concat([tracks.last_places, new_places], 0),
        tf.concat([tracks.places_before, new_places], 0),
        tf.concat([tracks.last_looks, tf.zeros([num_new, looks.shape[1]])], 0),
    )
    rows = partners[:, None]
    return _OpenTracks(
        tf.tensor_scatter_nd_update(grown.last_boxes, rows, boxes),
        tf.tensor_scatter_nd_update(grown.boxes_before, rows, tf.gather(grown.last_boxes, partners)),
        tf.tensor_scatter_nd_update(grown.last_places, rows, tf.fill(tf.shape(partners), place)),
        tf.tensor_scatter_nd_update(grown.places_before, rows, tf.gather(grown.last_places, partners)),
        tf.tensor_scatter_nd_update(grown.last_looks, rows, looks),
    )


def _one_detection_a_face(boxes: tf.Tensor, confidences: tf.Tensor) -> tf.Tensor:
    """Return the detections of one frame, most confident first, less those that mostly cover a better one."""
    inter = _intersections(boxes, boxes)
    areas = _areas(boxes)
    smaller = tf.minimum(areas[:, None], areas[None, :])
    overlaps = tf.where(smaller > 0, tf.math.divide_no_nan(inter, smaller), 0.0)
    return tf.image.non_max_suppression_overlaps(
        overlaps, confidences, tf.maximum(tf.size(confidences), 1), overlap_threshold=rules.SAME_FACE_OVERLAP
    )


def _pair(
    tracks: _OpenTracks,
    is_in_shot: tf.Tensor,
    boxes: tf.Tensor,
    looks: tf.Tensor,
    place: tf.Tensor,
    reach_of_frame: tf.Tensor,
) -> tf.Tensor:
    """Return the track that each box of a frame continues, int32 [n], -1 where it starts one."""
    old_sides, new_sides = _sides(tracks.last_boxes)[:, None], _sides(boxes)[None, :]
    mean_sides = tf.maximum((old_sides + new_sides) / 2, 1e-6)
    growth = tf.abs(tf.math.log(tf.maximum(new_sides, 1e-6) / tf.maximum(old_sides, 1e-6)))
    missed = tf.minimum(place - tracks.last_places - 1, rules.MAX_MISSED)
    reach = rules.MAX_SHIFT * (1 + 0.5 * tf.cast(missed, tf.float64))[:, None] * tf.cast(mean_sides, tf.float64)
    reach = tf.minimum(reach, reach_of_frame)
    is_near = tf.cast(_distances(tracks.last_boxes, boxes), tf.float64) <= reach
    is_possible = is_near & (tf.cast(growth, tf.float64) <= math.log(rules.MAX_GROWTH))
    is_possible &= tf.reduce_sum(tf.abs(tracks.last_looks[:, None] - looks[None]), axis=2) <= rules.SAME_LOOK
    is_possible &= is_in_shot[:, None]
    expected = _expected(tracks, place)
    costs = tf.cast(_distances(expected, boxes) / mean_sides + growth - iou(expected, boxes), tf.float64)

    # A track may also stay unpaired, each in a column of its own, so that those without a chance do not compete.
    num_tracks = tf.shape(costs)[0]
    never = tf.constant(2 * _ALONE, tf.float64)
    alone = tf.where(tf.eye(num_tracks) > 0, tf.constant(_ALONE, tf.float64), never)
    columns = assign(tf.concat([tf.where(is_possible, costs, never), alone], axis=1))
    num_boxes = tf.shape(boxes)[0]
    is_paired = (columns < num_boxes) & tf.gather(
        tf.pad(is_possible, [[0, 0], [0, 1]]), tf.minimum(columns, num_boxes), batch_dims=1
    )
    paired = tf.where(is_paired)[:, 0]
    where = tf.gather(columns, paired)[:, None]
    return tf.scatter_nd(where, tf.cast(paired, tf.int32) + 1, [num_boxes]) - 1


def _expected(tracks: _OpenTracks, place: tf.Tensor) -> tf.Tensor:
    """Return the last boxes, float32 [t, 4], shifted as far as their motion leads by a place."""
    shift = rules.MOTION_KEPT * (_centres(tracks.last_boxes) - _centres(tracks.boxes_before))
    gap = tracks.last_places - tracks.places_before
    ahead = tf.minimum(place - tracks.last_places, rules.MAX_PLACES_AHEAD)
    shift = shift * tf.cast(ahead, tf.float32)[:, None] / tf.cast(tf.maximum(gap, 1), tf.float32)[:, None]
    moved = tracks.last_boxes + tf.tile(shift, [1, 2])
    return tf.where((gap <= rules.MAX_PLACES_AHEAD)[:, None], moved, tracks.last_boxes)


def _centres(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _sides(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1)


def _areas(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)


def _intersections(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    top_left = tf.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = tf.minimum(a[:, None, 2:], b[None, :, 2:])
    return tf.reduce_prod(tf.maximum(bottom_right - top_left, 0.0), axis=2)


def iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Return intersection over union of boxes [n, 4] with others [m, 4], float32 [n, m]; 0 where neither has area."""
    inter = _intersections(a, b)
    return tf.math.divide_no_nan(inter, _areas(a)[:, None] + _areas(b)[None, :] - inter)


def _distances(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.norm(_centres(a)[:, None] - _centres(b)[None, :], axis=2)
