"""Paths of faces that were put where it is obvious where they are in between."""

import numpy as np
import pytest

from tfdfd.clip import Track
from tfdfd.faces.paths import MAX_BRIDGED_SECONDS, FacePath


def path(looks: dict[float, tuple[float, ...] | None]) -> FacePath:
    """Make the path of a person from time: (centre x, side, confidence), or None where it was looked for in vain."""
    is_face = np.array([look is not None for look in looks.values()])
    boxes, marks = np.zeros((len(looks), 4), np.float32), np.zeros((len(looks), 5, 2), np.float32)
    confidences = np.zeros(len(looks), np.float32)
    for row, look in enumerate(looks.values()):
        if look is not None:
            x, side, confidences[row] = look
            boxes[row] = (x - side / 2, 400 - side / 2, x + side / 2, 400 + side / 2)
            marks[row] = np.array([x, 400]) + side * np.array(
                [[-0.2, -0.2], [0.2, -0.2], [0, 0], [-0.2, 0.2], [0.2, 0.2]]
            )
    return FacePath(np.array(list(looks), np.float64), Track(is_face, boxes, marks, confidences))


def at(person: FacePath, *seconds: float) -> Track:
    track = person.at(np.array(seconds))
    assert track is not None
    return track


def centre_x(track: Track) -> list[float]:
    return ((track.boxes_xyxy[:, 0] + track.boxes_xyxy[:, 2]) / 2).tolist()


def test_a_detection_is_given_back_as_it_was():
    person = path({0.5: (300, 80, 0.97), 1.5: (420, 100, 0.99), 2.5: (430, 90, 0.95)})
    track = at(person, 0.5, 1.5, 2.5)
    np.testing.assert_allclose(track.boxes_xyxy, person.detections.boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(track.landmarks_xy, person.detections.landmarks_xy, atol=1e-3)
    np.testing.assert_array_equal(track.confidences, person.detections.confidences)


def test_a_steady_walk_is_followed_in_between():
    person = path({t + 0.5: (300 + 60 * t, 80, 0.9) for t in range(6)})
    seconds = np.linspace(0.5, 5.5, 41)
    track = at(person, *seconds)
    np.testing.assert_allclose(centre_x(track), 300 + 60 * (seconds - 0.5), atol=1e-2)
    np.testing.assert_allclose(track.landmarks_xy[:, 2, 0], 300 + 60 * (seconds - 0.5), atol=1e-2)
    np.testing.assert_allclose(np.diff(track.boxes_xyxy[:, [0, 2]]), 80, atol=1e-2)


def test_no_box_leaves_the_range_of_its_neighbours():
    person = path({0.0: (300, 80, 0.9), 1.0: (300, 80, 0.9), 2.0: (500, 40, 0.9), 3.0: (500, 40, 0.9)})
    track = at(person, *np.linspace(0, 3, 61))
    assert 300 <= min(centre_x(track)) <= max(centre_x(track)) <= 500
    sides = track.boxes_xyxy[:, 2] - track.boxes_xyxy[:, 0]
    assert 40 - 1e-3 <= sides.min() <= sides.max() <= 80 + 1e-3


def test_it_reaches_to_both_ends_of_the_clip():
    person = path({0.5: (300, 80, 0.9), 1.5: (400, 80, 0.9)})
    assert centre_x(at(person, 0.0, 2.0)) == pytest.approx([300, 400])


def test_beside_a_look_in_vain_the_nearer_look_decides():
    person = path({0.5: (300, 80, 0.9), 1.5: None, 2.5: None})
    track = at(person, 0.0, 0.5, 0.95, 1.05, 1.5, 3.0)
    assert track.is_face.tolist() == [True, True, True, False, False, False]
    assert not track.boxes_xyxy[~track.is_face].any()
    assert not track.confidences[~track.is_face].any()


def test_a_short_gap_is_bridged_and_a_long_one_is_not():
    assert MAX_BRIDGED_SECONDS == 2
    short = path({0.5: (300, 80, 0.9), 1.5: None, 2.5: (400, 80, 0.9)})
    assert at(short, 1.4, 1.5, 1.6).is_face.all()
    assert centre_x(at(short, 1.5)) == pytest.approx([350])
    long = path({0.5: (300, 80, 0.9), 1.5: None, 2.5: None, 3.5: (400, 80, 0.9)})
    track = at(long, 0.5, 0.9, 1.1, 2.0, 2.9, 3.1, 3.5)
    assert track.is_face.tolist() == [True, True, False, False, False, True, True]
    assert centre_x(track)[1] == pytest.approx(300)
    assert centre_x(track)[5] == pytest.approx(400)


def test_neighbouring_looks_are_joined_however_far_apart():
    person = path({5.0: (300, 80, 0.9), 15.0: (400, 80, 0.9)})
    assert centre_x(at(person, 10.0)) == pytest.approx([350])


def test_confidence_between_is_that_of_the_less_certain_neighbour():
    person = path({0.5: (300, 80, 0.8), 1.5: (300, 80, 0.99), 2.5: (300, 80, 0.9)})
    np.testing.assert_allclose(at(person, 0.2, 0.6, 1.5, 1.6, 2.9).confidences, [0.8, 0.8, 0.99, 0.9, 0.9], rtol=1e-6)


def test_nobody_there_is_no_track():
    person = path({0.5: (300, 80, 0.9), 1.5: None, 2.5: None})
    assert person.at(np.array([1.2, 2.5])) is None


def test_one_look_holds_for_the_whole_of_a_short_clip():
    assert at(path({0.1: (300, 80, 0.9)}), 0.0, 0.1, 0.2).is_face.all()


def test_a_person_is_expected_up_to_two_seconds_from_where_it_was_seen():
    person = path({0.5: None, 3.0: (300, 80, 0.9), 3.5: (400, 80, 0.9), 9.0: (700, 80, 0.9)})
    track = person.expected(np.array([0.5, 0.9, 1.1, 3.0, 3.5, 5.4, 5.6, 6.9, 7.1, 9.0]))
    assert track.is_face.tolist() == [False, False, True, True, True, True, False, False, True, True]
    assert centre_x(track)[2:5] == pytest.approx([300, 300, 400])
    assert not track.confidences.any()


def test_times_that_do_not_fit_are_refused():
    detections = path({0.5: (300, 80, 0.9), 1.5: (300, 80, 0.9)}).detections
    with pytest.raises(ValueError, match="1 times for 2 looks"):
        FacePath(np.array([0.5]), detections)
    with pytest.raises(ValueError, match="must ascend"):
        FacePath(np.array([1.5, 0.5]), detections)
