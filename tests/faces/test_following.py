"""People found again in frames that were read but not searched; the detector is scripted."""

import numpy as np

from tests.data.test_frame_plan import even
from tfdfd.clip import ClipFrames, Detections, FramePlan, Track
from tfdfd.data.frame_plan import plan_frames
from tfdfd.faces.following import at_places, follow


def clip_frames(num_frames: int, plan: FramePlan) -> ClipFrames:
    """Return frames of 25 a second whose pixels do not matter."""
    info = even(num_frames)
    planned = plan_frames(plan, info, "clip")
    pixels = np.zeros((len(planned.to_read), 4, 4, 3), np.uint8)
    return ClipFrames(
        pixels, planned.places_of_read, planned.of_places, info, "x", "y", detection_indices=planned.looked_at
    )


def boxes_at(indices, x: float, step: float = 1.0) -> np.ndarray:
    """Return a box of 40 px whose left side is x in frame 0 and moves by step a frame."""
    left = x + step * np.asarray(indices, np.float32)
    return np.stack([left, 0 * left, left + 40, 0 * left + 40], axis=1).astype(np.float32)


def person(indices, x: float, *, missing=(), step: float = 1.0) -> Track:
    is_face = ~np.isin(np.arange(len(indices)), missing)
    boxes = boxes_at(indices, x, step) * is_face[:, None]
    return Track(is_face, boxes, np.repeat(boxes[:, None, :2], 5, axis=1), is_face * np.float32(0.9))


class Looks:
    """Finds whoever is truly there; keeps what it was asked."""

    def __init__(self, truth: dict[int, np.ndarray]):
        self.truth = truth
        self.rows = np.zeros(0, np.int32)

    def __call__(self, frames, boxes_xyxy, rows):
        assert boxes_xyxy.shape == (len(rows), 4)
        self.rows = rows
        found = []
        for row in range(len(frames)):
            there = self.truth.get(row, np.zeros((0, 4), np.float32)) if row in rows else np.zeros((0, 4), np.float32)
            marks = np.repeat(there[:, None, :2], 5, axis=1)
            found.append(Detections(there, marks, np.full(len(there), 0.95, np.float32)))
        return found


FRAMES = clip_frames(100, FramePlan(5, 1.0))
INDICES = FRAMES.row_indices  # looks at 12, 37, 62, 87; places at 10, 30, 50, 70, 90
SEARCHED = FRAMES.detection_indices
assert SEARCHED is not None


def everyone(*xs: float, step: float = 1.0) -> dict[int, np.ndarray]:
    return {row: np.concatenate([boxes_at([index], x, step) for x in xs]) for row, index in enumerate(INDICES.tolist())}


def test_the_frames_of_the_places_are_looked_at_and_what_is_there_counts():
    look = Looks(everyone(103))
    (found,) = follow(FRAMES, [person(SEARCHED, 100)], look)
    assert INDICES[look.rows].tolist() == [10, 30, 50, 70, 90]
    assert found.is_face.all()
    is_place = FRAMES.places >= 0
    np.testing.assert_array_equal(found.boxes_xyxy[is_place], boxes_at(INDICES[is_place], 103))
    np.testing.assert_array_equal(found.boxes_xyxy[~is_place], boxes_at(SEARCHED, 100))
    np.testing.assert_allclose(found.confidences[is_place], 0.95)


def test_a_person_who_was_missed_is_looked_for_again_up_to_two_seconds_away():
    look = Looks(everyone(100))
    (found,) = follow(FRAMES, [person(SEARCHED, 100, missing=[3])], look)
    assert 87 in INDICES[look.rows]
    assert found.is_face.all()
    look = Looks(everyone(100))
    (found,) = follow(FRAMES, [person(SEARCHED, 100, missing=[1, 2, 3], step=0.1)], look)
    assert INDICES[look.rows].max() == 62  # 0.48 s + 2 s lies between 62 and 70


def test_a_face_elsewhere_is_another_person():
    (found,) = follow(FRAMES, [person(SEARCHED, 100)], Looks(everyone(180)))
    assert INDICES[found.is_face].tolist() == SEARCHED.tolist()


def test_nobody_takes_the_face_of_a_neighbour():
    # The second person leaves after frame 62; where it was, the first one's face comes near.
    first, second = person(SEARCHED, 100), person(SEARCHED, 120, missing=[3])
    found = follow(FRAMES, [first, second], Looks(everyone(100)))
    assert found[0].is_face.all()
    assert not found[1].is_face[INDICES == 87].any()


def test_each_of_two_gets_their_own_face():
    found = follow(FRAMES, [person(SEARCHED, 100), person(SEARCHED, 130)], Looks(everyone(128, 101)))
    is_place = FRAMES.places >= 0
    np.testing.assert_array_equal(found[0].boxes_xyxy[is_place], boxes_at(INDICES[is_place], 101))
    np.testing.assert_array_equal(found[1].boxes_xyxy[is_place], boxes_at(INDICES[is_place], 128))


def test_places_without_a_find_take_their_box_from_the_path():
    found = follow(FRAMES, [person(SEARCHED, 100)], Looks({}))
    (track,) = at_places(FRAMES, found)
    assert track is not None
    assert track.is_face.all()
    np.testing.assert_allclose(track.boxes_xyxy[1:4], boxes_at([30, 50, 70], 100), atol=0.01)


def test_places_of_a_short_clip_stay_empty_at_the_end():
    frames = clip_frames(3, FramePlan(5, 1.0))
    (track,) = at_places(frames, follow(frames, [person([0, 1, 2], 100)], Looks({})))
    assert track is not None
    assert track.is_face.tolist() == [True, True, True, False, False]


def test_who_is_at_no_place_has_no_track():
    frames = clip_frames(1000, FramePlan(1, 1.0))
    assert frames.detection_indices is not None
    num_looks = len(frames.detection_indices)
    seen = person(frames.detection_indices, 100, missing=[*range(3, num_looks)], step=0)
    assert at_places(frames, follow(frames, [seen], Looks({}))) == [None]
