"""Following people from the frames that faces are looked for in to every other frame that was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from tfdfd.clip import ClipFrames, Detections, Track
from tfdfd.faces.boxes import iou, overlap_of_smaller
from tfdfd.faces.paths import FacePath

LookNear = Callable[[np.ndarray, np.ndarray, np.ndarray], list[Detections]]
"""From frames, uint8 RGB (n, height, width, 3), expected boxes, float32 (k, 4), and the frame of each, int32 (k,), to
the faces found there: one Detections a frame."""

_SAME_PERSON_IOU = 0.3
"""Least overlap of a face with where its person was expected."""
_OTHER_PERSON_OVERLAP = 0.5
"""Share of the smaller box from which on a face is that of a person who was already found there."""
_ROUNDS = 2
"""Times that missing people are looked for."""


def follow(
    frames: ClipFrames, people: Sequence[Track], look_near: LookNear, shots: np.ndarray | None = None
) -> tuple[Track, ...]:
    """Find people again, near where they are expected, in frames that were read but not searched.

    A search of the whole frame is dear, a look at one place is not: so the frames of the places, and those in which a
    person was missed, are looked at near the box that the path between the searched frames expects.

    Args:
        frames: of the clip, with detection_indices.
        people: the detections in the frames of detection_indices, one place a frame.
        look_near: the detector's look at single places.
        shots: int, shape (n,): the shot of each frame that was read, beyond which nobody is followed; None for one.

    Returns:
        For each person the detections in all frames that were read, one place a frame: those given, and those found.
    """
    found = [_spread(person, frames.detection_rows, len(frames.frames)) for person in people]
    in_shot = [_in_shot(person, shots) for person in found]
    seconds = frames.seconds_of(frames.row_indices)
    # Who was found near a gap is expected more exactly inside it.
    for _ in range(_ROUNDS):
        expected = [FacePath(seconds, person).expected(seconds) for person in found]
        asked = [
            (int(row), number)
            for number, track in enumerate(expected)
            for row in np.flatnonzero(track.is_face & in_shot[number] & ~found[number].is_face)
        ]
        if not asked:
            break
        boxes = np.stack([expected[number].boxes_xyxy[row] for row, number in asked])
        near = look_near(frames.frames, boxes, np.array([row for row, _ in asked], np.int32))
        for row in sorted({row for row, _ in asked}):
            missing = [number for asked_row, number in asked if asked_row == row]
            wanted = np.stack([expected[number].boxes_xyxy[row] for number in missing])
            there = [person.boxes_xyxy[row] for person in found if person.is_face[row]]
            for person, face in _pairs(wanted, near[row], np.array(there, np.float32).reshape(-1, 4)):
                _put(found[missing[person]], row, near[row], face)
    return tuple(found)


def paths_of(frames: ClipFrames, people: Sequence[Track]) -> list[FacePath]:
    """Return the path of each person.

    Args:
        frames: of the clip.
        people: the detections in all frames that were read, as `follow` returns them.
    """
    is_searched = np.isin(np.arange(len(frames.frames)), frames.detection_rows)
    seconds = frames.seconds_of(frames.row_indices)
    return [FacePath.through(seconds, person, is_searched) for person in people]


def at_places(frames: ClipFrames, people: Sequence[Track], shots: np.ndarray | None = None) -> list[Track | None]:
    """Return where people are at the places of a clip, None for those who are at none of them.

    Args:
        frames: of the clip.
        people: the detections in all frames that were read, as `follow` returns them.
        shots: as of `follow`.
    """
    is_filled = frames.frame_indices >= 0
    seconds = frames.seconds_of(frames.frame_indices[is_filled])
    rows = np.searchsorted(frames.row_indices, frames.frame_indices[is_filled])
    tracks = [
        _within(path.at(seconds), _in_shot(person, shots)[rows])
        for path, person in zip(paths_of(frames, people), people, strict=True)
    ]
    places = np.flatnonzero(is_filled)
    return [None if track is None else _spread(track, places, len(is_filled)) for track in tracks]


def _in_shot(person: Track, shots: np.ndarray | None) -> np.ndarray:
    """Return which frames are of the shot that a person was found in, bool, shape (n,)."""
    if shots is None:
        return np.ones(len(person.is_face), np.bool_)
    return shots == shots[np.argmax(person.is_face)]


def _within(track: Track | None, chosen: np.ndarray) -> Track | None:
    """Return a track at the chosen places alone, None if it is at none of them."""
    if track is None or not (track.is_face & chosen).any():
        return None
    kept = []
    for value in (track.is_face, track.boxes_xyxy, track.landmarks_xy, track.confidences):
        kept.append(np.zeros_like(value))
        kept[-1][chosen] = value[chosen]
    return Track(*kept)


def _spread(person: Track, rows: np.ndarray, num_rows: int) -> Track:
    """Return a copy of a track whose places are some rows of more."""
    values = []
    for value in (person.is_face, person.boxes_xyxy, person.landmarks_xy, person.confidences):
        values.append(np.zeros((num_rows, *value.shape[1:]), value.dtype))
        values[-1][rows] = value
    return Track(*values)


def _put(person: Track, row: int, faces: Detections, face: int) -> None:
    person.is_face[row] = True
    person.boxes_xyxy[row], person.landmarks_xy[row] = faces.boxes_xyxy[face], faces.landmarks_xy[face]
    person.confidences[row] = faces.confidences[face]


def _pairs(wanted: np.ndarray, found: Detections, there: np.ndarray) -> list[tuple[int, int]]:
    """Pair expected boxes with faces, so that their overlaps are greatest in all; faces of others are left out."""
    overlaps = iou(wanted, found.boxes_xyxy)
    if len(there) and len(found):
        overlaps[:, overlap_of_smaller(found.boxes_xyxy, there).max(axis=1) > _OTHER_PERSON_OVERLAP] = 0
    people, faces = linear_sum_assignment(-overlaps)
    return [
        (person, face)
        for person, face in zip(people.tolist(), faces.tolist(), strict=True)
        if overlaps[person, face] >= _SAME_PERSON_IOU
    ]
