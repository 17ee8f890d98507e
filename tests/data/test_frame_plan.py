"""Which frames are read: places and looks, in one pass."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.video_files import frame_number, write_video
from tfdfd.clip import ClipError, FramePlan, VideoInfo
from tfdfd.data.frame_plan import choose_looks, plan_frames
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.video import probe


def video(pts, *, time_base=0.001, width=64, height=48) -> VideoInfo:
    pts = np.asarray(pts, np.int64)
    return VideoInfo(
        "h264", "High", "yuv420p", width, height, len(pts), pts, time_base, 25.0, 0, has_audio=False, is_hdr=False
    )


def even(num_frames: int, **options) -> VideoInfo:
    """Return a clip of 25 frames a second."""
    return video(40 * np.arange(num_frames) + 1000, **options)


def test_looks_are_the_centres_of_equal_segments():
    assert choose_looks(even(250), 1.0).tolist() == [12, 37, 62, 87, 112, 137, 162, 187, 212, 237]
    assert choose_looks(even(250), 2.5).tolist() == [31, 93, 156, 218]


def test_no_segment_is_longer_than_asked():
    looks = choose_looks(even(251), 1.0)
    assert len(looks) == 11
    assert np.diff(looks).max() <= 25


def test_a_short_clip_is_looked_at_four_times_and_a_picture_once():
    assert choose_looks(even(20), 1.0).tolist() == [2, 7, 12, 17]
    assert choose_looks(even(3), 1.0).tolist() == [0, 1, 2]
    assert choose_looks(even(1), 1.0).tolist() == [0]


def test_more_looks_than_frames_are_every_frame():
    assert choose_looks(even(10), 0.01).tolist() == list(range(10))


def test_a_clip_of_variable_rate_is_covered_evenly_in_time():
    # Ten frames in the first second, then one a second: counting frames would look at the first second five times.
    info = video([*range(0, 1000, 100), *range(1000, 10000, 1000)])
    seconds = info.pts[choose_looks(info, 2.0)] * info.time_base_seconds
    assert np.diff(seconds).max() <= 2.0
    assert (seconds < 1).sum() == 1


def test_frames_that_serve_both_are_read_once():
    planned = plan_frames(FramePlan(5, 2.0), even(250), Path("a"))
    assert planned.of_places.tolist() == [25, 75, 125, 175, 225]
    assert planned.looked_at is not None
    assert planned.looked_at.tolist() == [25, 75, 125, 175, 225]
    assert planned.to_read.tolist() == [25, 75, 125, 175, 225]
    planned = plan_frames(FramePlan(2, 2.0), even(250), Path("a"))
    assert planned.to_read.tolist() == [25, 62, 75, 125, 175, 187, 225]
    assert planned.places_of_read.tolist() == [-1, 0, -1, -1, -1, 1, -1]


def test_without_looks_the_places_are_all_there_is():
    planned = plan_frames(FramePlan(5), even(3), Path("a"))
    assert planned.looked_at is None
    assert planned.to_read.tolist() == [0, 1, 2]
    assert planned.places_of_read.tolist() == [0, 1, 2]


def test_a_clip_too_long_for_the_memory_says_what_to_do():
    with pytest.raises(ClipError, match=r"long\.mp4: at --detect-every 1 it needs 617 frames .* give more seconds"):
        plan_frames(FramePlan(17, 1.0), even(15000, width=1920, height=1080), Path("long.mp4"))
    plan_frames(FramePlan(17, 10.0), even(15000, width=1920, height=1080), Path("long.mp4"))


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="places"):
        FramePlan(0)
    with pytest.raises(ValueError, match="detect_every_seconds"):
        FramePlan(1, 0.0)


def test_one_pass_reads_both_and_each_row_knows_its_frame(tmp_path):
    path = write_video(tmp_path / "clip.mp4", num_frames=60)
    frames = PyAvFrameSource().read(path, FramePlan(3, 0.5))
    assert [frame_number(frame) for frame in frames.frames] == frames.row_indices.tolist()
    assert frames.detection_indices is not None
    assert frames.row_indices[frames.detection_rows].tolist() == frames.detection_indices.tolist()
    assert frames.row_indices[frames.places >= 0].tolist() == frames.frame_indices.tolist()
    assert frames.places[frames.places >= 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("num_frames", "step", "places", "expected"),
    [
        (300, 6, 50, [2 + 6 * place for place in range(50)]),
        (100, 6, 3, [43, 49, 55]),
        (8, 3, 4, [0, 3, 6, -1]),
        (1, 6, 2, [0, -1]),
    ],
)
def test_every_nth_frame_lies_in_the_middle(num_frames: int, step: int, places: int, expected: list[int]) -> None:
    planned = plan_frames(FramePlan(places, every_frames=step), even(num_frames), Path("a"))
    assert planned.of_places.tolist() == expected


def test_every_nth_frame_is_a_property_of_the_crops() -> None:
    from tfdfd.extraction import extraction_config_of, extraction_fingerprint
    from tfdfd.faces.config import ExtractionConfig

    detector = {"min_face_share": 0.1}
    for every in (None, 6):
        config = ExtractionConfig(places=50, every_frames=every, min_face_share=0.1)
        made = extraction_fingerprint(config, detector, {"num_places": 50})
        assert extraction_config_of(made) == config
        assert ("every_frames" in made.preprocessing) == (every is not None)
    with pytest.raises(ValueError, match="--every-frames must be at least 1, got 0"):
        ExtractionConfig(every_frames=0)


def test_places_are_spread_over_the_time_of_a_clip_of_variable_rate():
    # 30 frames in the first second, then two a second up to 10 s: 48 frames.
    info = video([*range(0, 990, 33), *range(1000, 10000, 500)])
    by_count = plan_frames(FramePlan(17, by_time=False), info, Path("a")).of_places
    by_time = plan_frames(FramePlan(17), info, Path("a")).of_places
    assert (by_count < 30).sum() == 11
    assert (by_time[by_time >= 0] < 30).sum() == 2
    seconds = info.pts[by_time[by_time >= 0]] / 1000
    np.testing.assert_allclose(seconds, (np.arange(17) + 0.5) * 9.533 / 17, atol=0.5)


def test_a_frame_that_stands_long_fills_one_place_and_the_others_stay_empty():
    info = video([*range(0, 1000, 50), *range(1000, 6000, 1000)])  # 20 frames in a second, then 5 in five
    places = plan_frames(FramePlan(12), info, Path("a")).of_places
    there = places[places >= 0]
    assert (np.diff(there) > 0).all()
    assert there.tolist()[-4:] == [20, 21, 22, 23]
    assert places.tolist()[len(there) :] == [-1] * (12 - len(there))


def test_a_clip_that_stands_still_fills_half_of_its_places_all_the_same():
    info = video([*range(0, 1000, 40), 19000])
    places = plan_frames(FramePlan(17), info, Path("a")).of_places
    assert (places >= 0).sum() == 9
    assert len(np.unique(places[places >= 0])) == 9


@pytest.mark.parametrize("num_places", [1, 5, 17, 32])
@pytest.mark.parametrize("num_frames", [1, 4, 17, 18, 40, 299, 300])
def test_of_clips_of_constant_rate_both_rules_take_the_same_frames(num_frames, num_places):
    rng = np.random.default_rng(0)
    steady = even(num_frames)
    # Clocks in whole milliseconds, NTSC's rate, a dropped frame, and cameras whose frames come up to 10 ms off.
    ntsc = video(np.round(np.arange(num_frames) * 1001 / 30))
    jittery = video(np.sort(40 * np.arange(num_frames) + rng.integers(0, 10, num_frames)))
    gap = video(40 * np.arange(num_frames) + 40 * (np.arange(num_frames) > num_frames // 2))
    for info in (steady, ntsc, jittery, gap):
        by_count = plan_frames(FramePlan(num_places, by_time=False), info, Path("a")).of_places
        assert plan_frames(FramePlan(num_places), info, Path("a")).of_places.tolist() == by_count.tolist()


def test_of_h264_reference_frames_are_taken_by_time_too():
    info = video([*range(0, 990, 33), *range(1000, 10000, 500)])
    is_reference = np.arange(48) % 2 == 0
    places = plan_frames(FramePlan(8), dataclasses.replace(info, is_reference=is_reference), Path("a")).of_places
    assert (places[places >= 0] % 2 == 0).all()


def test_frames_that_were_not_read_leave_their_places_empty():
    planned = plan_frames(FramePlan(5, 2.0), even(250), Path("a")).limited_to(np.array([25, 125, 225]))
    assert planned.of_places.tolist() == [25, -1, 125, -1, 225]
    assert planned.places_of_read.tolist() == [0, 2, 4]
    assert planned.looked_at is not None
    assert planned.looked_at.tolist() == [25, 125, 225]


@pytest.mark.clips
def test_of_all_real_clips_both_rules_take_the_same_frames(test_data):
    paths = sorted((test_data / "clips").rglob("*.mp4"))
    assert len(paths) == 39
    for path in paths:
        info = probe(path)
        for num_places in (9, 17, 32):
            by_count = plan_frames(FramePlan(num_places, by_time=False), info, path).of_places
            assert plan_frames(FramePlan(num_places), info, path).of_places.tolist() == by_count.tolist(), path
