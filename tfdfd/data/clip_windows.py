"""Long clips in windows of ten seconds, each read and scored by itself, in one pass over the file."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tfdfd.data.video import ProbedVideo

LONGEST_WHOLE_SECONDS = 20.0
"""A longer clip is cut."""
WINDOW_SECONDS = 10.0
"""As long as the clips that models are trained on, so each window has as many faces a second as those."""
SHORTEST_REMAINDER_SECONDS = 5.0
"""A shorter end joins the window before it, which then lasts up to 15 seconds: a window of one second would count as
much in the mean as one of ten."""


class Window(NamedTuple):
    """A stretch of a clip; times count from its first frame on."""

    start_seconds: float
    end_seconds: float
    info: ProbedVideo
    """Of the clip, with the frames of the window alone."""


def cut_into_windows(info: ProbedVideo) -> list[Window]:
    """Cut a clip of more than 20 seconds into windows of ten.

    Args:
        info: of the clip.

    Returns:
        The windows in order, each with a frame at least; one, the whole clip, where it is not cut. A gap in which the
        file shows nothing new has no window.
    """
    seconds = (info.pts - info.pts[0]) * info.time_base_seconds
    # The last frame is taken to stand as long as frames usually do: files do not reliably say.
    usual = float(np.median(np.diff(seconds))) if info.num_frames > 1 else 0.0
    duration = float(seconds[-1]) + usual
    # A hundredth of a frame less would not make another window.
    if info.num_frames == 1 or duration <= LONGEST_WHOLE_SECONDS + 0.1 * usual:
        return [Window(0.0, duration, info)]
    full, remainder = divmod(duration + 0.1 * usual, WINDOW_SECONDS)
    num_windows = int(full) + (remainder >= SHORTEST_REMAINDER_SECONDS)
    number = np.floor((seconds + 0.1 * usual) / WINDOW_SECONDS).astype(np.int64)
    number = np.minimum(number, num_windows - 1)
    windows = []
    for one in np.unique(number).tolist():
        frames = slice(*np.searchsorted(number, [one, one + 1]).tolist())
        end = duration if one == num_windows - 1 else (one + 1) * WINDOW_SECONDS
        windows.append(Window(one * WINDOW_SECONDS, end, _part_of(info, frames)))
    return windows


def _part_of(info: ProbedVideo, frames: slice) -> ProbedVideo:
    pts = info.pts[frames]
    is_reference = None if info.is_reference is None else info.is_reference[frames]
    return replace(info, num_frames=len(pts), pts=pts, is_reference=is_reference)
