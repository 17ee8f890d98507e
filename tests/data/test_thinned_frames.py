"""A clip of a lower rate has fewer frames to choose from, and only those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.video_files import frame_number, red_side, write_video
from tfdfd.clip import Clip, ClipError, ClipFrames, FramePlan, VideoInfo
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.thinned_frames import ThinnedFrameSource, kept_frames
from tfdfd.data.video import probe
from tfdfd.extraction import FrameSource


def video(milliseconds) -> VideoInfo:
    pts = np.asarray(milliseconds, np.int64)
    return VideoInfo("h264", "High", "yuv420p", 64, 48, len(pts), pts, 0.001, 0, 0, has_audio=False, is_hdr=False)


def even(num_frames: int, rate: float) -> VideoInfo:
    """A clip of constant rate whose times are whole milliseconds, from 5 s on."""
    return video(np.rint(5000 + 1000 * np.arange(num_frames) / rate))


def numbers(frames: ClipFrames) -> list[int]:
    return [frame_number(frame) for frame in frames.frames]


class TestKept:
    def test_half_the_rate_keeps_every_second_frame(self):
        assert kept_frames(even(10, 30), 15).tolist() == [0, 2, 4, 6, 8]
        assert kept_frames(even(300, 30), 15).tolist() == list(range(0, 300, 2))

    def test_a_clock_of_whole_milliseconds_is_not_taken_at_its_word(self):
        # Frame 2 is shown at 66.67 ms, which this clock rounds down to 66: before the second tick of 15 a second.
        assert kept_frames(video(np.floor(1000 * np.arange(10) / 30)), 15).tolist() == [0, 2, 4, 6, 8]

    def test_one_frame_a_second_is_the_first_of_each_second(self):
        assert kept_frames(even(90, 30), 1).tolist() == [0, 30, 60]
        assert kept_frames(even(91, 30), 1).tolist() == [0, 30, 60, 90]

    @pytest.mark.parametrize("own_rate", [23.976, 24, 25, 29.97, 50, 59.94])
    @pytest.mark.parametrize("rate", [15, 10, 5, 2, 1])
    def test_as_many_frames_are_left_as_the_rate_says(self, own_rate: float, rate: int):
        info = even(400, own_rate)
        kept = kept_frames(info, rate)
        assert len(kept) == pytest.approx(400 / own_rate * rate, abs=1.1)
        assert kept[0] == 0
        gaps = np.diff(info.pts[kept]) / 1000
        assert gaps.max() < 1 / rate + 1.2 / own_rate
        assert gaps.min() > 1 / rate - 1.2 / own_rate

    @pytest.mark.parametrize("own_rate", [30, 29.97, 15, 1])
    def test_a_rate_that_is_not_lower_keeps_all(self, own_rate: float):
        assert kept_frames(even(40, own_rate), 30).tolist() == list(range(40))

    def test_a_clip_of_variable_rate_loses_frames_where_it_has_many(self):
        info = video([*range(0, 1000, 100), *range(1000, 4000, 1000)])
        assert kept_frames(info, 2).tolist() == [0, 5, 10, 11, 12]

    def test_a_single_frame_stays(self):
        assert kept_frames(video([0]), 1).tolist() == [0]

    def test_no_rate_is_an_error(self):
        with pytest.raises(ValueError, match="above 0"):
            ThinnedFrameSource(0)


def test_it_is_a_frame_source():
    source: FrameSource = ThinnedFrameSource(5)
    assert source


def test_only_frames_that_are_left_are_chosen(tmp_path: Path):
    path = write_video(tmp_path / "clip.mp4", num_frames=60, frames_per_second=30)
    frames = ThinnedFrameSource(10).read(path, FramePlan(5))
    kept = kept_frames(probe(path), 10)
    assert kept.tolist() == list(range(0, 60, 3))
    assert set(numbers(frames)) <= set(kept.tolist())
    assert kept[frames.frame_indices].tolist() == numbers(frames)
    assert frames.info.num_frames == 20
    assert frames.seconds_of(frames.frame_indices) == pytest.approx(np.array(numbers(frames)) / 30, abs=1e-3)


def test_a_clip_with_fewer_frames_left_than_places_leaves_places_empty(tmp_path: Path):
    path = write_video(tmp_path / "clip.mp4", num_frames=60, frames_per_second=30)
    frames = ThinnedFrameSource(2).read(path, FramePlan(6))
    assert numbers(frames) == [0, 15, 30, 45]
    assert frames.frame_indices.tolist() == [0, 1, 2, 3, -1, -1]
    assert frames.places.tolist() == [0, 1, 2, 3]


def test_frames_are_chosen_as_if_the_others_were_not_there(tmp_path: Path):
    # Frames 0, 3, 6 .. alone in a clip of 10 a second without others: the same pictures at the same times.
    path = write_video(tmp_path / "clip.mp4", num_frames=60, frames_per_second=30, max_b_frames=0)
    alone = write_video(tmp_path / "alone.mp4", num_frames=20, frames_per_second=10, max_b_frames=0)
    for plan in (FramePlan(4), FramePlan(4, detect_every_seconds=0.25)):
        thinned, expected = ThinnedFrameSource(10).read(path, plan), PyAvFrameSource().read(alone, plan)
        assert numbers(thinned) == [3 * number for number in numbers(expected)]
        assert thinned.frame_indices.tolist() == expected.frame_indices.tolist()
        assert thinned.places.tolist() == expected.places.tolist()
        assert np.array_equal(thinned.detection_rows, expected.detection_rows)


def test_reference_frames_that_are_left_are_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_video(tmp_path / "clip.mp4", num_frames=20, frames_per_second=20)
    is_reference = np.zeros(20, np.bool_)
    is_reference[[2, 5, 14]] = True  # 5 is not left
    told = replace(probe(path), is_reference=is_reference)
    monkeypatch.setattr("tfdfd.data.thinned_frames.probe", lambda _: told)
    assert numbers(ThinnedFrameSource(10).read(path, FramePlan(2))) == [2, 14]


def test_a_clip_whose_rate_is_not_higher_is_read_as_it_is_and_recorded(tmp_path: Path):
    slow = write_video(tmp_path / "slow.mp4", num_frames=20, frames_per_second=10)
    fast = write_video(tmp_path / "fast.mp4", num_frames=20, frames_per_second=30)
    source = ThinnedFrameSource(15)
    as_it_is, thinned = (source.read(path, FramePlan(5)) for path in (slow, fast))
    assert source.unchanged == {slow}
    assert (as_it_is.frames == PyAvFrameSource().read(slow, FramePlan(5)).frames).all()
    assert as_it_is.decoder_reason == "its own rate is not above 15 frames a second"
    assert thinned.decoder_reason == "thinned to 15 frames a second"


def test_frames_stand_upright(tmp_path: Path):
    path = write_video(tmp_path / "clip.mp4", num_frames=30, rotation_degrees=90)
    frames = ThinnedFrameSource(5).read(path, FramePlan(3))
    assert frames.frames.shape[1:3] == (64, 48)
    assert red_side(frames.frames[0]) == red_side(PyAvFrameSource().read(path, FramePlan(3)).frames[0])


def test_clips_come_in_order_and_a_bad_one_as_its_reason(tmp_path: Path):
    path = write_video(tmp_path / "clip.mp4", num_frames=30)
    clips = [Clip("a", path), Clip("b", tmp_path / "none.mp4"), Clip("c", path)]
    found = list(ThinnedFrameSource(5).iterate(clips, FramePlan(3)))
    assert [clip.clip_id for clip, _ in found] == ["a", "b", "c"]
    assert [isinstance(result, ClipError) for _, result in found] == [False, True, False]


@pytest.mark.clips
def test_of_a_real_clip_only_frames_that_are_left_are_read(test_data: Path):
    path = test_data / "clips/ffpp/original_sequences/youtube/c23/videos/720.mp4"
    info = probe(path)
    kept = kept_frames(info, 1)
    frames = ThinnedFrameSource(1).read(path, FramePlan(17))
    assert len(frames.frames) == 17 <= len(kept) == round(info.num_frames / 30)
    assert (frames.frames == read_frames(path, info, kept[frames.frame_indices])).all()
