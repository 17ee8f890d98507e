"""Boxes of every frame from a stored record alone."""

import json

import numpy as np
import pytest

from tests.data.test_frame_plan import video
from tfdfd.clip import OK, ClipFaces, ClipFrames, TfdfdError, Track, VideoInfo
from tfdfd.data.record_paths import boxes_of_every_frame
from tfdfd.data.store_records import record_of


def walk(num_places: int, frame_indices, *, missing=()) -> Track:
    """Return a face of 20 px whose left side is at ten times the number of its frame."""
    is_face = np.array([place not in missing for place in range(num_places)])
    left = 10.0 * np.asarray(frame_indices)
    boxes = np.stack([left, left * 0, left + 20, left * 0 + 20], 1).astype(np.float32) * is_face[:, None]
    landmarks = np.repeat(boxes[:, None, :2], 5, axis=1)
    return Track(is_face, boxes, landmarks, is_face.astype(np.float32))


def record(info: VideoInfo, frame_indices, detection_indices=None, looks=(), missing=()) -> dict:
    frame_indices = np.asarray(frame_indices)
    looked_at = None if detection_indices is None else np.asarray(detection_indices)
    rows = np.union1d(frame_indices[frame_indices >= 0], [] if looked_at is None else looked_at)
    places = np.full(len(rows), -1)
    places[np.isin(rows, frame_indices)] = np.arange((frame_indices >= 0).sum())
    frames = ClipFrames(
        np.zeros((len(rows), 8, 8, 3), np.uint8), places, frame_indices, info, "pyav", "test",
        detection_indices=looked_at,
    )  # fmt: skip
    track = walk(len(frame_indices), frame_indices, missing=missing)
    crops = (np.zeros((len(frame_indices), 8, 8, 3), np.uint8),)
    faces = ClipFaces("a", OK, tracks=(track,), crops=crops, looks=looks, frames=frames)
    return json.loads(json.dumps(record_of(faces, ["a.jpg"], 1)))


EVEN = video(40 * np.arange(100))


def test_places_alone_give_every_frame():
    (track,) = boxes_of_every_frame(record(EVEN, [10, 30, 50, 70, 90]))
    assert track.is_face.all()
    np.testing.assert_allclose(track.boxes_xyxy[10:91, 0], 10 * np.arange(10, 91), atol=0.02)
    assert track.boxes_xyxy[0, 0] == pytest.approx(100, abs=0.02)


def test_looks_count_where_they_were_made():
    looks = (walk(6, [12, 25, 37, 62, 75, 87], missing=[1, 4, 5]),)
    (track,) = boxes_of_every_frame(record(EVEN, [25, 75], [12, 37, 62, 87], looks))
    np.testing.assert_allclose(track.boxes_xyxy[12:63, 0], 10 * np.arange(12, 63), atol=0.02)
    assert track.is_face[:75].all()  # halfway to the next frame that was searched
    assert not track.is_face[75:].any()


def test_places_say_whether_the_face_was_detected_there():
    looks = (walk(6, [12, 25, 37, 62, 75, 87], missing=[1, 5]),)
    assert record(EVEN, [25, 75], [12, 37, 62, 87], looks)["tracks"][0]["is_detected"] == [False, True]
    assert record(EVEN, [10, 30], missing=[1])["tracks"][0]["is_detected"] == [True, False]


def test_empty_places_of_a_short_clip_are_no_looks():
    (track,) = boxes_of_every_frame(record(video([0, 40, 80]), [0, 1, 2, -1, -1], missing=[3, 4]))
    assert track.is_face.tolist() == [True, True, True]


def test_times_are_kept_where_frames_are_not_evenly_spaced():
    assert record(EVEN, [10, 30])["frame_seconds"] == [0.0, 3.96]
    uneven = video([0, 40, 80, 1000, 2000, 2040, 2080])
    written = record(uneven, [0, 4])
    assert written["frame_seconds"] == [0.0, 0.04, 0.08, 1.0, 2.0, 2.04, 2.08]
    (track,) = boxes_of_every_frame(written)
    # From 0 at time 0 to 40 at time 2: half the way at time 1, though that is frame 3 of 4.
    assert track.boxes_xyxy[3, 0] == pytest.approx(20, abs=0.02)


def test_ready_made_crops_say_that_they_know_no_boxes():
    ready = record_of(ClipFaces("a", OK, tracks=(walk(1, [0]),), crops=(np.zeros((1, 8, 8, 3), np.uint8),)), ["a"], 1)
    with pytest.raises(TfdfdError, match="ready-made"):
        boxes_of_every_frame(ready)
