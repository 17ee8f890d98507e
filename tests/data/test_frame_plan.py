"""Which frames are read: places and looks, in one pass."""

from pathlib import Path

import numpy as np
import pytest

from tests.video_files import frame_number, write_video
from tfdfd.clip import ClipError, FramePlan, VideoInfo
from tfdfd.data.frame_plan import choose_looks, plan_frames
from tfdfd.data.frame_source import PyAvFrameSource


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
