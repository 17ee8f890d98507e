"""Windows: where a long clip is cut, and that nothing of it is lost or looked at twice."""

import numpy as np
import pytest

from tfdfd.data.clip_windows import cut_into_windows
from tfdfd.data.video import ProbedVideo


def clip(seconds):
    """A clip whose frames are shown at some seconds."""
    pts = np.round(np.asarray(seconds) * 1000).astype(np.int64)
    is_reference = np.arange(len(pts)) % 3 == 0
    return ProbedVideo("h264", "High", "yuv420p", 64, 48, len(pts), pts, 0.001, 25.0, 0, False, False, is_reference)


def steady(duration, first=0.0):
    return clip(first + np.arange(round(duration * 25)) / 25)


def bounds(windows):
    return [(window.start_seconds, round(window.end_seconds, 3)) for window in windows]


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0.04, [(0, 0.0)]),  # one frame: how long it stands is not known
        (10, [(0, 10)]),
        (20, [(0, 20)]),
        (20.04, [(0, 10), (10, 20.04)]),
        (24.96, [(0, 10), (10, 24.96)]),
        (25, [(0, 10), (10, 20), (20, 25)]),
        (30, [(0, 10), (10, 20), (20, 30)]),
        (34, [(0, 10), (10, 20), (20, 34)]),
    ],
)
def test_clips_over_20_seconds_are_cut_each_10_and_a_short_end_joins_the_last(duration, expected):
    assert bounds(cut_into_windows(steady(duration))) == expected


def test_each_frame_is_in_one_window_wherever_the_clip_begins():
    whole = steady(47.32, first=1.4)
    windows = cut_into_windows(whole)
    assert bounds(windows) == [(0, 10), (10, 20), (20, 30), (30, 40), (40, 47.32)]
    assert np.concatenate([window.info.pts for window in windows]).tolist() == whole.pts.tolist()
    assert np.concatenate([window.info.is_reference for window in windows]).tolist() == whole.is_reference.tolist()
    assert windows[1].info.pts[0] * 0.001 == pytest.approx(11.4)
    assert all(window.info.num_frames == len(window.info.pts) for window in windows)


def test_rounded_times_do_not_move_frames_into_the_window_before():
    frames = np.floor(np.arange(900) / 29.97 * 1000) / 1000  # 30.03 s in whole milliseconds, rounded down
    assert [window.info.num_frames for window in cut_into_windows(clip(frames))] == [300, 300, 300]


def test_a_gap_in_which_nothing_new_is_shown_has_no_window():
    windows = cut_into_windows(clip([*np.arange(0, 5, 0.1), *np.arange(31, 38, 0.1)]))
    assert bounds(windows) == [(0, 10), (30, 38)]
