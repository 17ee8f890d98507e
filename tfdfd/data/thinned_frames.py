"""A frame source that sees clips as if they had been recorded at a lower frame rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfdfd.clip import Clip, ClipError, ClipFrames, FramePlan, VideoInfo
from tfdfd.data.frame_plan import plan_frames
from tfdfd.data.frame_reading import read_what_decodes
from tfdfd.data.frame_source import PYAV, assemble, read_ahead, turn_upright
from tfdfd.data.video import probe

_SAME_RATE = 1.01
"""Rates that differ by less are one: 29.97 frames a second are not thinned to 29.8."""


class ThinnedFrameSource:
    """Reads clips with PyAV as if all frames but those of a lower rate had been dropped, without encoding anew.

    Frames are chosen among those that are left by the rules of the store: near the centres of equal segments, reference
    frames where a segment has one left, and faces are looked for as often as `detect_every` says. Dropped frames leave
    gaps in time only, so a clip with fewer frames left than places leaves places empty. A frame that is left keeps its
    time and whether others leaned on it: a curve over rates then compares pictures of one kind, where each rate encoded
    anew would have its own. What is returned numbers the frames that are left.

    Args:
        frames_per_second: the rate, above 0; a clip whose own rate is not higher stays as it is.
    """

    def __init__(self, frames_per_second: float) -> None:
        if not frames_per_second > 0:
            raise ValueError(f"frames_per_second must be above 0, got {frames_per_second}")
        self.frames_per_second = frames_per_second
        self.counts: Counter[tuple[str, str]] = Counter()
        """How many clips were thinned and how many stayed as they are, by decoder and reason."""
        self.unchanged: set[Path] = set()
        """The clips that stayed as they are."""

    def read(self, clip_path: Path, plan: FramePlan) -> ClipFrames:
        """Read the planned frames of the thinned clip.

        Args:
            clip_path: a video file, or a still picture.
            plan: which frames.

        Returns:
            The frames, upright; `info` and the frame numbers are those of the thinned clip.

        Raises:
            ClipError: if the file cannot be used, with the reason.
        """
        info = probe(clip_path)
        kept = kept_frames(info, self.frames_per_second)
        if len(kept) == info.num_frames:
            self.unchanged.add(clip_path)
            reason, thinned = f"its own rate is not above {self.frames_per_second:g} frames a second", info
        else:
            reason = f"thinned to {self.frames_per_second:g} frames a second"
            thinned = replace(
                info,
                num_frames=len(kept),
                pts=info.pts[kept],
                is_reference=None if info.is_reference is None else info.is_reference[kept],
                frames_per_second=self.frames_per_second,
            )
        planned = plan_frames(plan, thinned, clip_path)
        read = read_what_decodes(clip_path, info, kept[planned.to_read])
        group = read._replace(indices=np.searchsorted(kept, read.indices))
        upright = turn_upright(group.frames, info.quarter_turns)
        return assemble(upright, planned, thinned, decoder=PYAV, reason=reason, counts=self.counts, group=group)

    def iterate(self, clips: Iterable[Clip], plan: FramePlan) -> Iterator[tuple[Clip, ClipFrames | ClipError]]:
        """Read clips in order, the next one while the caller works on this one; see `read_ahead`."""
        return read_ahead(self.read, clips, plan)


def kept_frames(info: VideoInfo, frames_per_second: float) -> np.ndarray:
    """Choose the frames that a clip of a lower rate would have: the first in each tick of its clock.

    The clock starts with the first frame. Times count, so a clip of variable rate loses frames where it has many.

    Args:
        info: of the clip.
        frames_per_second: the lower rate, above 0.

    Returns:
        int64, shape (n,), n >= 1, ascending, from 0; all frames where the clip's own rate, on the whole, is not higher.
    """
    seconds = (info.pts - info.pts[0]) * info.time_base_seconds
    if info.num_frames - 1 <= _SAME_RATE * frames_per_second * seconds[-1]:
        return np.arange(info.num_frames, dtype=np.int64)
    # Frame 2 of 30 a second stands at 0.06666 of a clock in whole milliseconds: that is tick 1 of 15 a second.
    usual = float(np.median(np.diff(seconds))) if info.num_frames > 1 else 0.0
    ticks = np.floor((seconds + 0.1 * usual) * frames_per_second).astype(np.int64)
    return np.flatnonzero(np.diff(ticks, prepend=-1) > 0).astype(np.int64)
