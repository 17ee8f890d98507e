"""Tracks of people who were put where it is obvious who is who."""

import numpy as np
import pytest

from tfdfd.clip import Detections
from tfdfd.faces.tracking import link_tracks

FRAME_SIZE = (1080, 1920)
LANDMARKS = np.zeros((5, 2), np.float32)


def face(x: float, y: float, side: float = 100, confidence: float = 0.99) -> tuple[float, ...]:
    """Describe a square face by its centre."""
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2, confidence)


def frame(*faces: tuple[float, ...]) -> Detections:
    """Make the detections of one frame."""
    rows = np.array(faces, np.float32).reshape(-1, 5)
    landmarks = np.broadcast_to(LANDMARKS, (len(rows), 5, 2)).astype(np.float32)
    return Detections(rows[:, :4], landmarks, rows[:, 4])


def link(frames: list[Detections], num_places: int | None = None, places=None):
    places = np.arange(len(frames)) if places is None else np.asarray(places)
    return link_tracks(frames, places, num_places or len(frames), FRAME_SIZE)


def test_one_person_is_one_track_with_every_place_filled():
    (track,) = link([frame(face(500 + 20 * i, 400)) for i in range(17)])
    assert track.is_face.all()
    np.testing.assert_array_equal(track.boxes_xyxy[:, 0], 450 + 20 * np.arange(17))
    np.testing.assert_allclose(track.confidences, 0.99)


def test_two_people_are_two_tracks_whatever_the_order_of_their_detections():
    frames = [frame(*(face(400, 400), face(1200, 420))[:: 1 if i % 2 else -1]) for i in range(17)]
    tracks = link(frames)
    assert [track.num_faces for track in tracks] == [17, 17]
    assert {float(np.ptp(track.boxes_xyxy[:, 0])) for track in tracks} == {0.0}


def test_a_person_who_walks_faster_than_the_face_is_wide_is_one_track():
    (track,) = link([frame(face(200 + 180 * i, 400, 90)) for i in range(9)])
    assert track.num_faces == 9


def test_people_side_by_side_keep_their_tracks_while_both_move():
    tracks = link([frame(face(400 + 60 * i, 400), face(560 + 60 * i, 400)) for i in range(10)])
    assert [track.num_faces for track in tracks] == [10, 10]
    lefts = sorted(float(track.boxes_xyxy[0, 0]) for track in tracks)
    assert lefts == [350, 510]
    for track in tracks:
        np.testing.assert_array_equal(np.diff(track.boxes_xyxy[:, 0]), 60)


@pytest.mark.parametrize("step", [40, 70, 100])
def test_people_who_cross_keep_their_tracks(step):
    paths = [[(400 + step * i, 400) for i in range(10)], [(400 + step * (9 - i), 460) for i in range(10)]]
    tracks = link([frame(*(face(*path[i]) for path in paths)) for i in range(10)])
    for track in tracks:
        assert np.unique(np.diff(track.boxes_xyxy[:, 0])).tolist() in ([step], [-step])


def test_heads_that_sway_side_by_side_keep_their_tracks():
    sway = [0, 60, 0, -60]
    tracks = link([frame(*(face(x + sway[i % 4], 400) for x in (400, 560))) for i in range(12)])
    for track, centre in zip(sorted(tracks, key=lambda track: track.boxes_xyxy[0, 0]), (400, 560), strict=True):
        np.testing.assert_array_equal(track.boxes_xyxy[:, 0], [centre + sway[i % 4] - 50 for i in range(12)])


def test_a_gap_is_bridged_and_stays_empty():
    frames = [frame() if 4 <= i <= 8 else frame(face(500 + 15 * i, 400)) for i in range(17)]
    (track,) = link(frames)
    assert np.flatnonzero(~track.is_face).tolist() == [4, 5, 6, 7, 8]
    assert not track.boxes_xyxy[4:9].any()
    assert not track.confidences[4:9].any()


def test_places_that_were_not_read_stay_empty():
    (track,) = link([frame(face(500, 400)), frame(face(510, 400))], num_places=5, places=[1, 3])
    assert track.is_face.tolist() == [False, True, False, True, False]


def test_a_frame_gives_a_person_one_detection_the_most_confident():
    doubled = frame(face(500, 400, 100, 0.95), face(505, 400, 70, 0.999))
    (track,) = link([doubled] * 6)
    assert track.num_faces == 6
    np.testing.assert_allclose(track.confidences, 0.999)


def test_a_face_seen_once_is_dropped_beside_a_better_track():
    frames = [frame(face(500, 400)) for _ in range(17)]
    frames[7] = frame(face(500, 400), face(1500, 900))
    assert len(link(frames)) == 1


def test_a_doubtful_track_is_dropped_beside_a_better_one():
    frames = [frame(face(500, 400), face(1500, 900, 200, 0.8)) for _ in range(17)]
    (track,) = link(frames)
    assert track.confidences.min() > 0.9


@pytest.mark.parametrize("confidence", [0.99, 0.72])
def test_the_only_face_of_a_clip_is_no_evidence_but_by_the_first_rules(confidence):
    frames = [frame() for _ in range(17)]
    frames[3] = frame(face(500, 400, 100, confidence))
    assert link(frames) == ()
    (track,) = link_tracks(frames, np.arange(17), 17, FRAME_SIZE, asks_evidence=False)
    assert np.flatnonzero(track.is_face).tolist() == [3]


def test_a_lamp_that_is_doubtful_at_four_places_is_no_face():
    frames = [frame(face(500, 400, 100, 0.85 + 0.02 * (i % 4))) if i % 4 == 0 else frame() for i in range(17)]
    assert link(frames) == ()


@pytest.mark.parametrize(("confidence", "is_kept"), [(0.97, True), (0.85, False)])
def test_a_picture_needs_one_sure_face(confidence, is_kept):
    assert bool(link([frame(face(500, 400, 100, confidence))])) == is_kept


def test_no_track_crosses_a_cut():
    frames = [frame(face(500, 400)) for _ in range(17)]
    tracks = link_tracks(frames, np.arange(17), 17, FRAME_SIZE, shots=np.repeat([0, 1, 2], [6, 6, 5]))
    assert [np.flatnonzero(track.is_face).tolist() for track in tracks] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10, 11],
        [12, 13, 14, 15, 16],
    ]


def test_one_face_is_a_person_in_a_shot_of_few_frames_but_no_clip():
    frames = [frame(face(500, 400)) for _ in range(6)]
    assert len(link_tracks(frames, np.arange(6), 6, FRAME_SIZE, shots=np.arange(6))) == 6
    frames[1:] = [frame()] * 5
    assert link_tracks(frames, np.arange(6), 6, FRAME_SIZE, shots=np.arange(6)) == ()


def test_a_face_that_looks_otherwise_is_another_person_at_the_same_place():
    frames = [frame(face(500, 400)) for _ in range(10)]
    looks = [np.full((1, 2), 0.0 if i < 5 else 0.6, np.float32) for i in range(10)]
    tracks = link_tracks(frames, np.arange(10), 10, FRAME_SIZE, looks=looks)
    assert [np.flatnonzero(track.is_face).tolist() for track in tracks] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    slowly = [np.full((1, 2), 0.06 * i, np.float32) for i in range(10)]
    assert len(link_tracks(frames, np.arange(10), 10, FRAME_SIZE, looks=slowly)) == 1


def test_a_shot_for_each_frame_is_asked_for():
    with pytest.raises(ValueError, match="got 1 shots for the detections of 2 frames"):
        link_tracks([frame(), frame()], np.arange(2), 2, FRAME_SIZE, shots=np.zeros(1, int))


def test_a_still_picture_keeps_all_its_people():
    assert len(link([frame(face(400, 400), face(1200, 400))], num_places=17)) == 2


def test_a_face_that_jumps_across_the_frame_is_another_person():
    tracks = link([frame(face(150 if i < 8 else 1800, 400)) for i in range(17)])
    assert sorted(track.num_faces for track in tracks) == [8, 9]


def test_a_face_of_another_size_is_another_person():
    tracks = link([frame(face(500, 400, 60 if i < 8 else 200)) for i in range(17)])
    assert sorted(track.num_faces for track in tracks) == [8, 9]


def test_the_main_track_is_often_seen_and_large():
    frames = [frame(face(400, 400, 100), face(1400, 400, 160)) for _ in range(10)]
    assert link(frames)[0].boxes_xyxy[0, 0] == 1320
    frames = [frame(*(face(400, 400, 100), face(1400, 400, 160))[: 1 if i > 3 else 2]) for i in range(10)]
    assert link(frames)[0].boxes_xyxy[0, 0] == 350


def test_a_picture_on_the_wall_is_not_the_main_person():
    picture = face(60, 440, 52)
    person = [face(410 + 40 * (i % 3), 370, 130) for i in range(17)]
    tracks = link([frame(picture, *([] if i in (4, 5) else [person[i]])) for i in range(17)])
    assert [track.num_faces for track in tracks] == [15, 17]


def test_no_faces_are_no_tracks():
    assert link([frame(), frame()]) == ()
    assert link_tracks([], np.zeros(0, np.int64), 17, FRAME_SIZE) == ()


def test_places_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="got 1 places for the detections of 2 frames"):
        link([frame(), frame()], places=[0])
    with pytest.raises(ValueError, match="places must ascend"):
        link([frame(), frame()], places=[0, 2])
