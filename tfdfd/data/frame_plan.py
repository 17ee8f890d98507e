"""Which frames of a clip are read: those of the places, and those that faces are looked for in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfdfd.clip import ClipError, FramePlan, VideoInfo
from tfdfd.data.video import choose_frame_indices, move_to_references

MAX_BYTES = 2**30
"""Most bytes of pixels read of a clip whose faces are looked for at every so many seconds: two clips are in memory at
once, and their number of frames grows with the clip."""

_MIN_LOOKS = 4
"""Frames of a short clip that faces are looked for in at least: one blink must not decide whether it has a face."""


class PlannedFrames(NamedTuple):
    """Frame numbers of one clip."""

    of_places: np.ndarray
    """int64, shape (num_places,), ascending but for -1: the frame of each place, -1 where there is none."""
    looked_at: np.ndarray | None
    """int64, shape (m,), ascending: frames that faces are looked for in; None for those of the places."""

    @property
    def to_read(self) -> np.ndarray:
        """int64, shape (n,), ascending: all of them, each once."""
        of_places = self.of_places[self.of_places >= 0]
        return of_places if self.looked_at is None else np.union1d(of_places, self.looked_at)

    @property
    def places_of_read(self) -> np.ndarray:
        """int64, shape (n,): the place that each of `to_read` fills, -1 for none."""
        places = np.full(len(self.to_read), -1, np.int64)
        filled = np.flatnonzero(self.of_places >= 0)
        places[np.searchsorted(self.to_read, self.of_places[filled])] = filled
        return places

    def limited_to(self, indices: np.ndarray) -> PlannedFrames:
        """Return the plan without frames that were not read: their places are empty."""
        of_places = np.where(np.isin(self.of_places, indices), self.of_places, -1)
        return PlannedFrames(of_places, None if self.looked_at is None else np.intersect1d(self.looked_at, indices))


def plan_frames(plan: FramePlan, info: VideoInfo, path: Path) -> PlannedFrames:
    """Turn a plan into the numbers of the frames to read of one clip.

    Args:
        plan: places, and how often faces are looked for.
        info: what the file says of itself.
        path: the file, for the message.

    Returns:
        The frames.

    Raises:
        ClipError: if the clip is so long that the frames to look at would not fit into memory.
    """
    if plan.every_frames is None:
        of_places = choose_frame_indices(info.num_frames, num_places=plan.places, is_reference=info.is_reference)
        if plan.by_time and not _covers_time_evenly(info, plan.places):
            of_places = choose_by_time(info, num_places=plan.places)
    else:
        of_places = every_nth_frame(info.num_frames, plan.every_frames, num_places=plan.places)
    if plan.detect_every_seconds is None:
        return PlannedFrames(of_places, None)
    planned = PlannedFrames(of_places, choose_looks(info, plan.detect_every_seconds))
    if (needed := len(planned.to_read) * info.width * info.height * 3) > MAX_BYTES:
        raise ClipError(
            f"{path}: at --detect-every {plan.detect_every_seconds:g} it needs {len(planned.to_read)} frames of "
            f"{info.width} x {info.height} in memory, {needed / 2**20:.0f} MiB, at most {MAX_BYTES / 2**20:.0f} are "
            "read: give more seconds, or leave --detect-every out"
        )
    return planned


def _covers_time_evenly(info: VideoInfo, num_places: int) -> bool:
    """Return whether the centres of segments of equally many frames lie near those of segments of equal time.

    They do, but for half a segment and a frame, in clips of constant rate: there both rules take the same frames.
    """
    if info.num_frames <= num_places:
        return True  # each frame fills a place
    seconds, usual, duration = _times(info)
    by_count = seconds[choose_frame_indices(info.num_frames, num_places=num_places)]
    by_time = _centres(num_places, duration)
    return bool(np.abs(by_count - by_time).max() <= 0.5 * duration / num_places + 1.01 * usual)


def choose_by_time(info: VideoInfo, *, num_places: int) -> np.ndarray:
    """Choose the frames that are on the screen at the centres of segments of equal time; of H.264 reference frames.

    A frame that stands through several segments fills one place, the others stay empty. Where that leaves less than
    half of them, as in a clip that stands still, further frames make up the half, evenly taken of those left.

    Args:
        info: of the clip.
        num_places: frames to choose, at least 1.

    Returns:
        int64 array, shape (num_places,), ascending, each in [0, num_frames), or -1 where empty (at the end).
    """
    chosen = _on_screen(info, _centres(num_places, _times(info)[2]))
    if (missing := min((num_places + 1) // 2, info.num_frames) - len(chosen)) > 0:
        left = np.setdiff1d(np.arange(info.num_frames), chosen)
        chosen = np.union1d(chosen, left[choose_frame_indices(len(left), num_places=missing)])
    if info.is_reference is not None:
        move_to_references(chosen, info.is_reference)
    return np.concatenate([chosen, np.full(num_places - len(chosen), -1, np.int64)])


def every_nth_frame(num_frames: int, step: int, *, num_places: int) -> np.ndarray:
    """Choose every so many-th frame of a stretch in the middle of a clip.

    Args:
        num_frames: frames in the clip, at least 1.
        step: frames from one to the next, at least 1.
        num_places: frames to choose, at least 1; a clip that has fewer leaves places empty.

    Returns:
        int64 array, shape (num_places,), ascending, each in [0, num_frames), or -1 where empty (at the end).
    """
    indices = np.full(num_places, -1, np.int64)
    count = min(num_places, (num_frames - 1) // step + 1)
    first = (num_frames - 1 - (count - 1) * step) // 2
    indices[:count] = first + step * np.arange(count)
    return indices


def choose_looks(info: VideoInfo, every_seconds: float) -> np.ndarray:
    """Choose the frames that are on the screen at the centres of equal segments of a clip's duration, at least four.

    Args:
        info: of the clip; its times count, not its frame rate, so that clips of variable rate are covered evenly.
        every_seconds: longest segment, above 0.

    Returns:
        int64, shape (m,), m >= 1, ascending, each in [0, num_frames): fewer than the segments where one frame stands
        through several.
    """
    duration = _times(info)[2]
    # A clip of 10.0000001 seconds has ten segments of one.
    num_segments = max(_MIN_LOOKS, math.ceil(duration / every_seconds - 1e-6))
    looks = _on_screen(info, _centres(num_segments, duration))
    if info.is_reference is not None:
        move_to_references(looks, info.is_reference)
    return looks


def _times(info: VideoInfo) -> tuple[np.ndarray, float, float]:
    """Return seconds from the first frame to each, the usual time from one to the next, and how long the clip is."""
    seconds = (info.pts - info.pts[0]) * info.time_base_seconds
    # The last frame is taken to stand as long as frames usually do: files do not reliably say.
    usual = float(np.median(np.diff(seconds))) if info.num_frames > 1 else 0.0
    return seconds, usual, float(seconds[-1]) + usual


def _centres(num_segments: int, duration: float) -> np.ndarray:
    return (np.arange(num_segments) + 0.5) * (duration / num_segments)


def _on_screen(info: VideoInfo, at_seconds: np.ndarray) -> np.ndarray:
    """Return the frames that are shown at some times, int64, ascending, each once."""
    seconds, usual, _ = _times(info)
    shown = np.searchsorted(seconds, at_seconds + usual * 1e-6, side="right") - 1
    return np.unique(shown).astype(np.int64)
