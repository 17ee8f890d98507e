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
    """int64, shape (num_places,), ascending: the frame of each place, -1 where the clip is too short (at the end)."""
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
        of_places = self.of_places[self.of_places >= 0]
        places[np.searchsorted(self.to_read, of_places)] = np.arange(len(of_places))
        return places


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
    seconds = (info.pts - info.pts[0]) * info.time_base_seconds
    # The last frame is taken to stand as long as frames usually do: files do not reliably say.
    usual = float(np.median(np.diff(seconds))) if info.num_frames > 1 else 0.0
    duration = float(seconds[-1]) + usual
    # A clip of 10.0000001 seconds has ten segments of one.
    num_segments = max(_MIN_LOOKS, math.ceil(duration / every_seconds - 1e-6))
    centres = (np.arange(num_segments) + 0.5) * (duration / num_segments)
    shown = np.searchsorted(seconds, centres + usual * 1e-6, side="right") - 1
    looks = np.unique(shown).astype(np.int64)
    if info.is_reference is not None:
        move_to_references(looks, info.is_reference)
    return looks
