"""Extraction with a scripted frame source and detector: every clip gets a status, none stops the run."""

from pathlib import Path

import numpy as np
import pytest

from tfdfd.clip import FAILED, NO_FACE, OK, Clip, ClipError, ClipFrames, Detections, VideoInfo
from tfdfd.data.fingerprint import preprocessing_differences
from tfdfd.data.frame_plan import plan_frames
from tfdfd.data.record_paths import boxes_of_every_frame
from tfdfd.data.store import FaceStore
from tfdfd.data.store_records import record_of
from tfdfd.extraction import clips_to_do, extract_clip, extraction_fingerprint, faces_of_clips
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
