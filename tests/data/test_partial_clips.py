"""Clips of which a part cannot be read: what decodes is used, the other places are empty, the status is partial."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.damaged_files import cut, lose_frames
from tests.video_files import frame_number, write_video
from tfdfd.clip import FAILED, NO_FACE, OK, PARTIAL, Clip, ClipError, Detections, FramePlan
from tfdfd.data.frame_reading import read_what_decodes
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.redrawn_clip import redraw_clip
from tfdfd.data.store_records import record_of
from tfdfd.data.thinned_frames import ThinnedFrameSource
from tfdfd.data.transcoding import reencode_h264
from tfdfd.data.video import probe
from tfdfd.extraction import extract_clip
from tfdfd.faces.config import ExtractionConfig

# Painted frames do not look alike, so one person is followed through them by the rules before looks counted.
CONFIG = ExtractionConfig(places=6, crop_size=16, margin=0.0, track_rules=1)


class Everywhere:
    """A detector that sees one face in every frame."""

    settings = {"name": "everywhere"}  # noqa: RUF012

    def __init__(self, *, num_faces: int = 1) -> None:
        self.num_faces = num_faces

    def __call__(self, frames):
        boxes = np.array([[8, 16, 40, 48]], np.float32)[: self.num_faces]
        n = len(boxes)
        return [Detections(boxes, np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32)) for _ in frames]

    def look_near(self, frames, boxes_xyxy, rows):
        return self(frames)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """60 frames, each for itself; six places take frames 5, 15, 25, 35, 45, 55."""
    return write_video(tmp_path / "clip.mp4", num_frames=60, width=96, height=64, key_frame_interval=1)


def test_a_frame_that_does_not_decode_leaves_its_place_empty_and_the_others_as_they_were(clip):
    whole = extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(), CONFIG)
    lose_frames(clip, [25])
    part = extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(), CONFIG)
    assert (whole.status, part.status) == (OK, PARTIAL)
    assert "1 of 6 chosen frames could not be read: frame 25 of 60, at 0.83 s" in part.reason
    assert part.frames is not None
    assert part.frames.frame_indices.tolist() == [5, 15, -1, 35, 45, 55]
    assert part.tracks[0].is_face.tolist() == [True, True, False, True, True, True]
    there = part.tracks[0].is_face
    assert not part.crops[0][2].any()
    np.testing.assert_array_equal(part.crops[0][there], whole.crops[0][there])


def test_a_damaged_frame_that_is_not_chosen_changes_nothing(clip):
    lose_frames(clip, [20])
    assert extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(), CONFIG).status == OK


def test_a_clip_is_refused_below_a_quarter_of_its_places_only(clip):
    lose_frames(clip, [5, 15, 25, 35])
    two_of_six = extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(), CONFIG)
    assert two_of_six.status == PARTIAL
    assert two_of_six.tracks[0].num_faces == 2
    lose_frames(clip, [45])
    one_of_six = extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(), CONFIG)
    assert one_of_six.status == FAILED
    assert "1 of 6 chosen frames can be read, at least 25% must" in one_of_six.reason


def test_without_a_face_what_is_missing_is_said_too(clip):
    lose_frames(clip, [25])
    found = extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(num_faces=0), CONFIG)
    assert found.status == NO_FACE
    assert "no face found in 5 frames" in found.reason
    assert "1 of 6 chosen frames" in found.reason


def test_looks_and_places_may_both_be_lost(clip):
    config = ExtractionConfig(places=6, crop_size=16, margin=0.0, detect_every=0.5)
    lose_frames(clip, [7, 25])  # the first look of four, and a place
    found = extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(), config)
    assert found.status == PARTIAL
    assert found.frames is not None
    assert found.frames.detection_indices is not None
    assert found.frames.detection_indices.tolist() == [22, 37, 52]
    assert found.frames.num_unread == 2
    record = record_of(found, ["a.jpg"], 1)
    # Before the first look nobody is known to be there.
    assert record["tracks"][0]["is_face"] == found.tracks[0].is_face.tolist()
    assert not found.tracks[0].is_face[2]


def test_each_place_of_the_record_says_whether_its_face_was_detected_there(clip):
    lose_frames(clip, [15])
    config = ExtractionConfig(places=6, crop_size=16, margin=0.0, detect_every=0.5)
    found = extract_clip(Clip("a", clip), PyAvFrameSource(), Everywhere(), config)
    (track,) = record_of(found, ["a.jpg"], 1)["tracks"]
    assert not track["is_detected"][1]
    assert not track["is_face"][1]


CUTS = [("mp4", 0.99), ("mp4", 0.6), ("mkv", 0.6), ("avi", 0.6), ("flv", 0.6)]


def test_a_whole_file_whose_packets_repeat_a_time_is_not_cut_off(tmp_path):
    times = [0, 0.0332, 0.0334, 0.1, 0.1334, *(0.5 + 0.5 * number for number in range(19))]
    info = probe(write_video(tmp_path / "clip.mkv", num_frames=24, times_seconds=times, max_b_frames=0))
    assert info.numbered_by_decoding
    assert info.cut_off == ""


@pytest.mark.parametrize(("suffix", "share"), CUTS)
@pytest.mark.parametrize("audio", [False, True])
def test_a_file_that_is_cut_off_is_used_as_far_as_it_goes(suffix, share, audio, tmp_path):
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_video(
        tmp_path / f"clip.{suffix}",
        num_frames=120,
        width=96,
        height=64,
        key_frame_interval=12,
        audio=audio,
        container_options=options,
    )
    assert probe(path).cut_off == ""
    cut(path, share)
    info = probe(path)
    assert info.num_frames < 120
    assert info.cut_off.startswith("cut off: ")
    found = extract_clip(Clip("a", path), PyAvFrameSource(), Everywhere(), CONFIG)
    assert found.status == PARTIAL
    assert info.cut_off in found.reason
    assert found.tracks[0].num_faces >= 4


def test_the_numbers_of_a_cut_file_are_those_of_its_index(tmp_path):
    path = write_video(tmp_path / "a.mp4", num_frames=100, container_options={"movflags": "faststart"})
    info = probe(cut(path, 0.8))
    assert info.cut_off == f"cut off: {info.num_frames} of the 100 frames in its index are there"


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_with_less_than_a_quarter_of_a_file_it_is_refused(suffix, tmp_path):
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_video(
        tmp_path / f"clip.{suffix}",
        num_frames=240,
        width=96,
        height=64,
        key_frame_interval=1,
        container_options=options,
    )
    with pytest.raises(ClipError, match=r"cut off: .* with less than 25%"):
        probe(cut(path, 0.15))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_a_video_that_is_shorter_than_its_sound_is_whole(suffix, tmp_path):
    path = tmp_path / f"clip.{suffix}"
    source = write_video(tmp_path / "short.mp4", num_frames=15)
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0])
        sound = new.add_stream("aac", rate=48000)
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                new.mux(packet)
        for number in range(48000 * 6 // 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 48000, number * 1024
            new.mux(sound.encode(frame))
        new.mux(sound.encode(None))
    info = probe(path)
    assert (info.num_frames, info.cut_off, info.warnings) == (15, "", ())


def test_what_is_thinned_reencoded_or_drawn_goes_on_behind_a_lost_frame(clip, tmp_path):
    lose_frames(clip, [25, 26, 30])
    thinned = ThinnedFrameSource(15).read(clip, FramePlan(30))
    assert thinned.num_unread == 2  # of every second frame, 26 and 30
    assert thinned.frame_indices.tolist()[12:17] == [12, -1, 14, -1, 16]
    reencode_h264(clip, tmp_path / "again.mp4", crf=10)
    again = probe(tmp_path / "again.mp4")
    assert again.num_frames == 57
    gaps = np.flatnonzero(np.diff(again.pts * again.time_base_seconds) > 0.05)
    assert gaps.tolist() == [24, 27]
    drawn: list[int] = []
    redraw_clip(clip, probe(clip), tmp_path / "drawn.mp4", lambda frame, index: drawn.append(index) or frame)
    assert drawn == [number for number in range(60) if number not in (25, 26, 30)]


def test_frames_keep_their_numbers(clip):
    lose_frames(clip, [3, 8])
    group = read_what_decodes(clip, probe(clip), np.arange(12))
    assert group.indices.tolist() == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]
    assert [frame_number(frame) for frame in group.frames] == group.indices.tolist()
    assert group.num_unread == 2
