"""Tracks: which detections of a clip's frames belong to the same person; `tracking_graph` is its twin of ops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from tfdfd.clip import Detections, Track
from tfdfd.faces.boxes import centres_xy, iou, overlap_of_smaller, sides

SAME_FACE_OVERLAP = 0.5
"""Two boxes of one frame that share more of the smaller one show one face."""
MAX_SHIFT = 3.0
"""Face sides that a person moves at most from one place to the next; half as far again for each place missed."""
MAX_MISSED = 4
"""Missed places after which the allowed shift grows no further."""
MAX_SHIFT_OF_FRAME = 0.5
"""Share of the frame's longer side that no person moves between two detections."""
MOTION_KEPT = 0.7
"""Share of its last motion that a person is expected to go on with: heads turn back as often as they go on."""
MAX_PLACES_AHEAD = 2
"""Places after which a person who is not seen is expected to stand still."""
MAX_GROWTH = 2.0
"""Times that a face grows or shrinks at most between two detections."""
SAME_LOOK = 1.0
"""Greatest difference of two looks, of `tfdfd.faces.appearance`, that may be one person's. In 39 clips neighbouring
faces of a track differed by 0.73 at most, any two by 0.90, and those of a half hidden face in the dark by 0.93; of
232,509 pairs of different people's faces 23 % differed by less: what looks leave, cuts and position must tell apart."""
MIN_FACES = 2
"""Faces of a track, where its shot has at least MIN_FRAMES_TO_JUDGE frames; and frames of such a clip with a face."""
MIN_FRAMES_TO_JUDGE = 4
MIN_MEAN_CONFIDENCE = 0.9
"""Mean confidence of a track. Chosen by `benchmarks/evidence.py`: of 120 clips without a face (48 backgrounds of real
clips, 72 of objects) one keeps a track, on weak evidence; 13 did while the main track stayed whatever it was. Of 39
real clips none is lost, at a quarter of their size and badly coded one, as before; with 0.93 one of the good ones is.
Of 2,040 single frames without a face 5 show one instead of 33, of 500 pictures of a face 21 are lost instead of 13.
Asking for four faces takes the last false clip away, and everybody who is seen three times."""


def link_tracks(
    detections: Sequence[Detections],
    places: np.ndarray,
    num_places: int,
    frame_size: tuple[int, int],
    *,
    shots: np.ndarray | None = None,
    looks: Sequence[np.ndarray] | None = None,
    asks_evidence: bool = True,
) -> tuple[Track, ...]:
    """Link the detections of a clip's frames into tracks, one a person.

    Frame by frame, tracks and detections are paired so that the sum of their distances is smallest: the
    distance of the centres in face sides, plus how far the sides differ, less the overlap, all from where the
    track's last motion leads, so that people who cross keep their tracks. A pair further apart than a person
    moves is never made; a track without a detection waits, however long, so gaps are bridged. In one frame a
    track takes one detection, and boxes that mostly cover each other count as one face.

    A track lies within one shot, and a face joins it only where both look alike: position alone is no identity.

    False positives go by evidence: a track of a single face in a shot of at least four frames, a track whose mean
    confidence is below 0.9, and faces in a single frame of a clip of at least four are no person.

    Args:
        detections: the faces of each frame that was read, in playing order.
        places: int, shape (len(detections),), ascending: the place that each frame fills.
        num_places: places of a track.
        frame_size: height and width of the frames in pixels.
        shots: int, shape (len(detections),), ascending: the shot of each frame, as
            `tfdfd.faces.appearance.appearance_of` finds them; None for one shot.
        looks: what each face looks like, float32 (m, length) a frame, from there too; None to go by position alone.
        asks_evidence: whether a clip may end up without a track. Without, its main one stays whatever it is, as in the
            first rules.

    Returns:
        The tracks, the main one (greatest sum of face sides: often seen and large) first; empty if there is
        no face. Presence or steadiness alone would prefer a picture on the wall to the person who speaks. The
        same detections always give the same tracks.

    Raises:
        ValueError: if places do not fit detections or num_places, or there is not a shot for each frame.
    """
    places = np.asarray(places)
    if len(places) != len(detections):
        raise ValueError(f"got {len(places)} places for the detections of {len(detections)} frames")
    if len(places) and (places[0] < 0 or places[-1] >= num_places or (np.diff(places) <= 0).any()):
        raise ValueError(f"places must ascend within [0, {num_places}), got {places.tolist()}")

    shots = np.zeros(len(detections), np.int64) if shots is None else np.asarray(shots)
    if len(shots) != len(detections):
        raise ValueError(f"got {len(shots)} shots for the detections of {len(detections)} frames")
    if looks is None:
        looks = [np.zeros((len(found), 0), np.float32) for found in detections]

    open_tracks: list[_OpenTrack] = []
    frames = zip(places.tolist(), shots.tolist(), detections, looks, strict=True)
    for place, shot, found, looks_here in frames:
        faces = _one_detection_a_face(found)
        partners = _pair(open_tracks, found.boxes_xyxy[faces], looks_here[faces], place, shot, max(frame_size))
        for face, partner in zip(faces, partners, strict=True):
            if partner is None:
                partner = _OpenTrack(shot)
                open_tracks.append(partner)
            partner.add(place, found, face, looks_here[face])

    ranked = sorted(((track.finish(num_places), track.shot) for track in open_tracks), key=lambda pair: _rank(pair[0]))
    kept = [track for track, shot in ranked if _is_person(track, int((shots == shot).sum()))]
    if kept and np.any([track.is_face for track in kept], axis=0).sum() < _min_faces(len(detections)):
        kept = []
    if not kept and not asks_evidence:
        kept = [track for track, _ in ranked[:1]]
    return tuple(kept)


def _min_faces(num_frames: int) -> int:
    """Return how many faces of so many frames are evidence."""
    return MIN_FACES if num_frames >= MIN_FRAMES_TO_JUDGE else 1


def _is_person(track: Track, num_frames: int) -> bool:
    """Return whether a track in a shot of so many frames is more than a false alarm."""
    mean_confidence = float(track.confidences[track.is_face].mean())
    return track.num_faces >= _min_faces(num_frames) and mean_confidence >= MIN_MEAN_CONFIDENCE


class _OpenTrack:
    """A track while it is being linked."""

    def __init__(self, shot: int) -> None:
        self.shot = shot
        self.places: list[int] = []
        self.boxes: list[np.ndarray] = []
        self.landmarks: list[np.ndarray] = []
        self.confidences: list[float] = []
        self.last_look = np.zeros(0, np.float32)

    def add(self, place: int, detections: Detections, face: int, look: np.ndarray) -> None:
        self.places.append(place)
        self.boxes.append(detections.boxes_xyxy[face])
        self.landmarks.append(detections.landmarks_xy[face])
        self.confidences.append(float(detections.confidences[face]))
        self.last_look = look

    def expected(self, place: int) -> np.ndarray:
        """Return the last box, float32 (4,), shifted as far as its motion leads by a place."""
        if len(self.places) < 2 or self.places[-1] - self.places[-2] > MAX_PLACES_AHEAD:
            return self.boxes[-1]
        before, last = centres_xy(np.stack(self.boxes[-2:]))
        places_ahead = min(place - self.places[-1], MAX_PLACES_AHEAD)
        shift = MOTION_KEPT * (last - before) * places_ahead / (self.places[-1] - self.places[-2])
        return self.boxes[-1] + np.tile(shift, 2).astype(np.float32)

    def finish(self, num_places: int) -> Track:
        is_face = np.zeros(num_places, np.bool_)
        boxes = np.zeros((num_places, 4), np.float32)
        landmarks = np.zeros((num_places, 5, 2), np.float32)
        confidences = np.zeros(num_places, np.float32)
        is_face[self.places] = True
        boxes[self.places] = self.boxes
        landmarks[self.places] = self.landmarks
        confidences[self.places] = self.confidences
        return Track(is_face, boxes, landmarks, confidences)


def _one_detection_a_face(detections: Detections) -> list[int]:
    """Return the detections of one frame, most confident first, less those that mostly cover a better one."""
    order = np.argsort(-detections.confidences, kind="stable").tolist()
    overlaps = overlap_of_smaller(detections.boxes_xyxy, detections.boxes_xyxy)
    chosen: list[int] = []
    for face in order:
        if all(overlaps[face, other] <= SAME_FACE_OVERLAP for other in chosen):
            chosen.append(face)
    return chosen


def _pair(
    tracks: list[_OpenTrack], boxes: np.ndarray, looks: np.ndarray, place: int, shot: int, longer_side: int
) -> list[_OpenTrack | None]:
    """Return the track that each box of a frame continues, None where it starts one."""
    if not tracks or not len(boxes):
        return [None] * len(boxes)
    last = np.stack([track.boxes[-1] for track in tracks])
    missed = np.array([place - track.places[-1] - 1 for track in tracks])
    old_sides, new_sides = sides(last)[:, None], sides(boxes)[None, :]
    mean_sides = np.maximum((old_sides + new_sides) / 2, 1e-6)
    pixels = _distances(last, boxes)
    growth = np.abs(np.log(np.maximum(new_sides, 1e-6) / np.maximum(old_sides, 1e-6)))
    reach = MAX_SHIFT * (1 + 0.5 * np.minimum(missed, MAX_MISSED))[:, None] * mean_sides
    reach = np.minimum(reach, MAX_SHIFT_OF_FRAME * longer_side)
    possible = (pixels <= reach) & (growth <= np.log(MAX_GROWTH))
    last_looks = np.stack([track.last_look for track in tracks])
    possible &= np.abs(last_looks[:, None] - looks[None]).sum(axis=2) <= SAME_LOOK
    possible &= np.array([track.shot == shot for track in tracks])[:, None]
    expected = np.stack([track.expected(place) for track in tracks])
    cost = _distances(expected, boxes) / mean_sides + growth - iou(expected, boxes)

    # A track may also stay unpaired, at a cost above that of any possible pair, so pairs come first.
    apart = 1e3
    alone = np.full((len(tracks), len(tracks)), apart)
    cost = np.concatenate([np.where(possible, cost, 2 * apart), alone], axis=1)
    partners: list[_OpenTrack | None] = [None] * len(boxes)
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if column < len(boxes) and possible[row, column]:
            partners[column] = tracks[row]
    return partners


def _distances(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the pixels between the centres of boxes (n, 4) and others (m, 4), shape (n, m)."""
    return np.linalg.norm(centres_xy(boxes)[:, None] - centres_xy(others)[None, :], axis=2)


def _rank(track: Track) -> tuple[float, ...]:
    first = int(np.flatnonzero(track.is_face)[0])
    return (-float(sides(track.boxes_xyxy[track.is_face]).sum()), first, *track.boxes_xyxy[first].tolist())
