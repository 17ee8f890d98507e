"""Extraction with a scripted frame source and detector: every clip gets a status, none stops the run."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tfdfd.clip import FAILED, NO_FACE, OK, Clip, ClipError, ClipFrames, Detections, VideoInfo
from tfdfd.data.fingerprint import preprocessing_differences
from tfdfd.data.frame_plan import plan_frames
from tfdfd.data.record_paths import boxes_of_every_frame
from tfdfd.data.store import FaceStore
from tfdfd.data.store_records import record_of
from tfdfd.extraction import (
    boxes_as_shown,
    clips_to_do,
    extract_clip,
    extraction_fingerprint,
    faces_of_clips,
    faces_of_frames,
)
from tfdfd.faces.config import ExtractionConfig

CONFIG = ExtractionConfig(places=3, crop_size=16, margin=0.0)
INFO = VideoInfo("h264", "High", "yuv420p", 64, 48, 3, np.arange(3), 0.04, 25.0, 0, False, False)


class ScriptedFrames:
    """Clips named `face`, `empty` and `broken` do what their name says."""

    def read(self, clip_path, plan):
        if "broken" in clip_path.name:
            raise ClipError(f"{clip_path} is truncated: 3 of 300 frames can be read")
        frames = np.full((3, 48, 64, 3), 255 if "face" in clip_path.name else 0, np.uint8)
        return ClipFrames(frames, np.arange(3), np.arange(3), INFO, "pyav", "scripted")

    def iterate(self, clips, plan):
        for clip in clips:
            try:
                yield clip, self.read(clip.path, plan)
            except ClipError as error:
                yield clip, error


class ScriptedDetector:
    """One face of 16 px at (8, 8) in every bright frame."""

    settings = {"name": "scripted"}  # noqa: RUF012

    def __call__(self, frames):
        face = Detections(
            np.array([[8, 8, 24, 24]], np.float32), np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32)
        )
        return [face if frame.max() else Detections.none() for frame in frames]


def clip(name):
    return Clip(name, Path(name))


@pytest.fixture
def store(tmp_path):
    fingerprint = extraction_fingerprint(CONFIG, ScriptedDetector.settings, {})
    return FaceStore.create_or_open(tmp_path / "store", fingerprint, num_places=3)[0]


def test_each_clip_ends_with_its_status():
    def found(name):
        return extract_clip(clip(name), ScriptedFrames(), ScriptedDetector(), CONFIG)

    assert found("face").status == OK
    assert found("face").crops[0].shape == (3, 16, 16, 3)
    assert found("face").crops[0].min() == 255
    assert (found("empty").status, found("empty").reason) == (NO_FACE, "no face found in 3 frames of 64 x 48")
    assert found("broken").status == FAILED
    assert "truncated" in found("broken").reason


def fill(store, clips):
    with store.writing():
        for _, faces in faces_of_clips(clips, ScriptedFrames(), ScriptedDetector(), CONFIG):
            store.write(faces, source_bytes=-1)


def test_one_bad_clip_never_stops_the_run(store):
    fill(store, [clip("broken1"), clip("face1"), clip("empty"), clip("face2")])
    assert store.clips().set_index("clip_id")["status"].to_dict() == {
        "broken1": FAILED,
        "empty": NO_FACE,
        "face1": OK,
        "face2": OK,
    }


def test_what_is_done_is_not_done_again(store):
    fill(store, [clip("face"), clip("broken")])
    clips = [clip("face"), clip("broken"), clip("empty")]
    assert clips_to_do(clips, store, retry_failed=False) == [clip("empty")]
    assert clips_to_do(clips, store, retry_failed=True) == [clip("broken"), clip("empty")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("places", 0),
        ("crop_size", 150),
        ("crop_size", 8),
        ("margin", -1.0),
        ("min_face_share", 0.0),
        ("detect_every", 0.0),
        ("alignment", "eyes"),
    ],
)
def test_settings_out_of_range_name_their_flag(name, value):
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')}"):
        ExtractionConfig(**{name: value})


class WalkFrames:
    """A clip of 100 frames, 25 a second, in which a 16 px face moves a pixel every second frame: read as planned."""

    def read(self, clip_path, plan):
        info = VideoInfo("h264", "High", "yuv420p", 96, 48, 100, 40 * np.arange(100), 0.001, 25.0, 0, False, False)
        planned = plan_frames(plan, info, clip_path)
        frames = np.zeros((len(planned.to_read), 48, 96, 3), np.uint8)
        for row, index in enumerate(planned.to_read):
            frames[row, 8:24, 8 + index // 2 : 24 + index // 2] = 255
        return ClipFrames(
            frames, planned.places_of_read, planned.of_places, info, "x", "y", detection_indices=planned.looked_at
        )


class BrightDetector:
    """Finds the white square of each frame, and counts the frames that it was shown."""

    settings = {"name": "bright"}  # noqa: RUF012

    def __init__(self):
        self.num_frames = 0

    def __call__(self, frames):
        self.num_frames += len(frames)
        lefts = [int(np.flatnonzero(frame[16, :, 0])[0]) for frame in frames]
        boxes = [np.array([[left, 8, left + 16, 24]], np.float32) for left in lefts]
        return [Detections(box, np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32)) for box in boxes]

    def look_near(self, frames, boxes_xyxy, rows):
        num_frames = self.num_frames
        found = self(frames)
        self.num_frames = num_frames
        return found


def test_sparse_detection_looks_at_few_frames_and_crops_those_of_the_places(tmp_path):
    detector = BrightDetector()
    config = ExtractionConfig(places=9, crop_size=16, margin=0.0, detect_every=1.0)
    found = extract_clip(clip("walk"), WalkFrames(), detector, config)
    assert detector.num_frames == 4
    assert found.tracks[0].is_face.all()
    np.testing.assert_allclose(found.tracks[0].boxes_xyxy[:, 0], 8 + found.frames.frame_indices // 2, atol=0.01)
    assert found.crops[0].min() == 255
    assert record_of(found, ["a"], 1)["tracks"][0]["is_detected"] == [True] * 9
    # The looks reach the store, which gives boxes of all frames from them.
    fingerprint = extraction_fingerprint(config, BrightDetector.settings, {})
    store, _ = FaceStore.create_or_open(tmp_path / "store", fingerprint, num_places=9)
    with store.writing():
        store.write(found, source_bytes=1)
    (everywhere,) = boxes_of_every_frame(store.record("walk"))
    assert len(everywhere.is_face) == 100
    np.testing.assert_allclose(everywhere.boxes_xyxy[12:88, 0], 8 + np.arange(12, 88) / 2, atol=1)
    np.testing.assert_allclose(everywhere.boxes_xyxy[found.frames.frame_indices], found.tracks[0].boxes_xyxy, atol=0.02)


def test_sparse_detection_and_alignment_are_in_the_fingerprint():
    def differences(**settings):
        plain, other = (
            extraction_fingerprint(config, {}, {}) for config in (ExtractionConfig(), ExtractionConfig(**settings))
        )
        return preprocessing_differences(plain.preprocessing, other.preprocessing)

    assert differences(detect_every=1.0) == [("detect_every_seconds", None, 1.0)]
    assert differences(alignment="landmarks") == [("alignment", "none", "landmarks")]


class OnlyUpright:
    """Sees the white square of 16 px in a frame, as surely as it is told to, but only in the right half of the frame.

    A face that lies on its side in the file is thus found when the frames are turned so that it comes there.
    """

    settings = {"name": "upright"}  # noqa: RUF012

    def __init__(self, confidence=0.99):
        self.confidence, self.num_frames = confidence, 0

    def __call__(self, frames):
        self.num_frames += len(frames)
        return [self._look(frame) for frame in frames]

    def _look(self, frame):
        lines, columns = np.nonzero(frame[..., 0] > 200)
        if not len(lines) or columns.min() < frame.shape[1] / 2 or lines.min() < frame.shape[0] / 2:
            return Detections.none()
        box = np.array([[columns.min(), lines.min(), columns.max() + 1, lines.max() + 1]], np.float32)
        return Detections(box, np.zeros((1, 5, 2), np.float32), np.array([self.confidence], np.float32))


def on_its_side(num_frames=6, num_with_face=6):
    """Return frames whose square is at the lower right once they are turned by a quarter counter-clockwise."""
    upright = np.full((num_frames, 64, 48, 3), 60, np.uint8)
    upright[:num_with_face, 40:56, 26:42] = 255
    frames = np.ascontiguousarray(np.rot90(upright, -1, axes=(1, 2)))
    info = dataclasses.replace(INFO, num_frames=num_frames, pts=np.arange(num_frames))
    indices = np.arange(num_frames)
    return ClipFrames(frames, indices, indices, info, "pyav", "drawn")


TURN_CONFIG = dataclasses.replace(CONFIG, places=6)


def test_where_no_face_stands_upright_quarter_turns_are_tried_and_said():
    faces = faces_of_frames("clip", on_its_side(), OnlyUpright(), TURN_CONFIG)
    assert (faces.status, faces.turns, faces.tracks[0].num_faces) == (OK, 1, 6)
    assert faces.tracks[0].boxes_xyxy[0].tolist() == [26, 40, 42, 56]
    assert faces.crops[0].min() == 255, "cut from the turned frames"
    # In the frame as the file shows it, which is 64 wide and 48 high, the square lies elsewhere.
    shown = boxes_as_shown(faces, faces.tracks[0])[0].astype(int)
    assert on_its_side().frames[0][shown[1] : shown[3], shown[0] : shown[2]].min() == 255
    record = record_of(faces, ["strip"], -1)
    assert (record["quarter_turns"], record["turns_beside_file"]) == (1, 1)
    assert any("turned by 90" in warning for warning in record["warnings"])


@pytest.mark.parametrize(
    ("frames", "detector"),
    [
        (on_its_side(num_with_face=0), OnlyUpright()),
        (on_its_side(num_with_face=1), OnlyUpright()),
        (on_its_side(), OnlyUpright(confidence=0.85)),
    ],
)
def test_a_turn_that_shows_too_little_is_not_taken(frames, detector):
    faces = faces_of_frames("clip", frames, detector, TURN_CONFIG)
    assert (faces.status, faces.turns) == (NO_FACE, 0)
    assert "turns_beside_file" not in record_of(faces, [], -1)


def test_turns_are_tried_only_where_nothing_sure_is_found_and_there_is_time():
    upright = on_its_side()
    upright = dataclasses.replace(upright, frames=np.ascontiguousarray(np.rot90(upright.frames, 1, axes=(1, 2))))
    detector = OnlyUpright()
    assert faces_of_frames("clip", upright, detector, TURN_CONFIG).turns == 0
    assert detector.num_frames == 6
    for config, tries_turns in ((TURN_CONFIG, False), (dataclasses.replace(TURN_CONFIG, track_rules=1), True)):
        detector = OnlyUpright()
        faces = faces_of_frames("clip", on_its_side(), detector, config, tries_turns=tries_turns)
        assert (faces.status, detector.num_frames) == (NO_FACE, 6)


def test_few_faces_are_weak_evidence_and_one_is_none():
    def found(num_with_face):
        frames = on_its_side(num_frames=12, num_with_face=num_with_face)
        upright = np.ascontiguousarray(np.rot90(frames.frames, 1, axes=(1, 2)))
        config = dataclasses.replace(CONFIG, places=12)
        return faces_of_frames("clip", dataclasses.replace(frames, frames=upright), OnlyUpright(), config)

    assert found(4).warnings == ()
    assert found(3).warnings == ("weak evidence: a face at 3 of 12 places",)
    assert found(1).status == NO_FACE
    assert "might be one in 1 of them" in found(1).reason


@pytest.mark.parametrize("detect_every", [None, 0.1])
def test_a_cut_parts_people_who_are_at_the_same_place(detect_every):
    num_frames = 40
    frames = np.zeros((num_frames, 48, 64, 3), np.uint8)
    frames[:20], frames[20:] = (200, 30, 30), (30, 30, 200)
    frames[:, 30:46, 40:56] = 255
    info = dataclasses.replace(INFO, num_frames=num_frames, pts=np.arange(num_frames))
    config = dataclasses.replace(CONFIG, places=8, detect_every=detect_every)
    planned = plan_frames(config.frame_plan, info, Path("clip"))
    read = ClipFrames(
        frames[planned.to_read],
        planned.places_of_read,
        planned.of_places,
        info,
        "pyav",
        "drawn",
        detection_indices=planned.looked_at,
    )
    detector = OnlyUpright()
    detector.look_near = lambda near, boxes, rows: detector(near)
    first, second = faces_of_frames("clip", read, detector, config).tracks
    assert first.is_face.tolist() == [True] * 4 + [False] * 4
    assert second.is_face.tolist() == [False] * 4 + [True] * 4
    (one,) = faces_of_frames("clip", read, detector, dataclasses.replace(config, track_rules=1)).tracks
    assert one.is_face.all()
