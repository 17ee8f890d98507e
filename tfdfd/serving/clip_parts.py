"""Clips to the frames that are scored together: a clip, or one window of a long one, read ahead of the scoring."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tfdfd.clip import ClipError, ClipFrames, FramePlan
from tfdfd.data.clip_windows import Window, cut_into_windows
from tfdfd.data.frame_plan import PlannedFrames, plan_frames
from tfdfd.data.frame_reading import FrameGroup, read_groups
from tfdfd.data.frame_source import PYAV, assemble, turn_upright
from tfdfd.data.video import ProbedVideo, choose_frame_indices, probe
from tfdfd.guard import UnforeseenError, as_clip_error
from tfdfd.serving.time_limit import Clock, Pace, Stopwatch

OnWindow = Callable[[int, int], None]
"""Called with how many windows of a clip are done, and how many it has."""


class PlannedFrameSource(Protocol):
    """Reads frames that are chosen already, so that no file is probed twice."""

    def read_planned(self, clip_path: Path, info: ProbedVideo, planned: PlannedFrames) -> ClipFrames:
        """Return the planned frames of one clip, or raise ClipError."""
        ...


@dataclass(frozen=True)
class ClipPart:
    """What is scored together of a clip: all of it, or a window."""

    path: Path
    watch: Stopwatch
    """Of the clip; it stands still when the clip's first part is handed over."""
    frames: ClipFrames | ClipError | None = field(repr=False)
    """None where the time was up before one was read."""
    window: Window | None = None
    """None where the file could not be opened."""
    number: int = 0
    """Of the window in the clip, from 0."""
    num_windows: int = 1
    num_planned: int = 0
    """Places that have a frame, in the whole clip."""
    num_places: int = 0
    """Those of this part."""
    first_seconds: float = 0.0
    """When the clip's first frame is shown: its other times count from there."""
    is_last: bool = True
    is_cut_short: bool = False
    """Whether the time was up before all of it was read."""
    num_unread: int = 0
    """Places of this part whose frames could not be read."""

    @property
    def share_left_seconds(self) -> float:
        """The part's share of the time that is left for the clip, below 0 where none is."""
        return self.watch.left_seconds / (self.num_windows - self.number)


class ClipReader:
    """Reads clips part by part.

    Args:
        frame_source: reads clips that are neither cut into windows nor read against the clock; those PyAV reads.
        plan: which frames, of a clip or of each window.
        limit_seconds: most time for one clip; None for no limit.
        pace: how long it takes to score a frame.
        clock: returns seconds.
    """

    def __init__(
        self,
        frame_source: PlannedFrameSource,
        plan: FramePlan,
        *,
        limit_seconds: float | None = None,
        pace: Pace,
        clock: Clock = time.monotonic,
    ) -> None:
        self._frame_source, self._plan = frame_source, plan
        self._limit_seconds, self._pace, self._clock = limit_seconds, pace, clock
        self._counts: Counter[tuple[str, str]] = Counter()

    def parts(self, paths: Iterable[Path]) -> Generator[ClipPart]:
        """Return the parts of each clip in order; at least one a clip, the last marked as such."""
        for path in paths:
            watch = Stopwatch(self._limit_seconds, self._clock)
            for part in self._guarded_parts(path, watch):
                if part.number == 0:
                    watch.stop()
                yield part

    def _guarded_parts(self, path: Path, watch: Stopwatch) -> Iterator[ClipPart]:
        """Yield the parts of a clip; what nobody foresaw ends it, as its last part."""
        part: ClipPart | None = None
        try:
            with as_clip_error():
                for part in self._parts_of(path, watch):
                    yield part
                    part = replace(part, frames=None)  # they are large
        except UnforeseenError as error:
            before = part or ClipPart(path, watch, None, number=-1, is_last=False)
            if not before.is_last:  # else the clip was whole
                yield replace(before, frames=error, number=before.number + 1, is_last=True)

    def _parts_of(self, path: Path, watch: Stopwatch) -> Iterator[ClipPart]:
        try:
            info = probe(path)
            windows = cut_into_windows(info)
            planned = [plan_frames(self._plan, window.info, path) for window in windows]
        except ClipError as error:
            yield ClipPart(path, watch, error)
            return
        num_places = [int((of_window.of_places >= 0).sum()) for of_window in planned]
        first_seconds = float(info.pts[0]) * info.time_base_seconds
        for number, frames in enumerate(self._frames_of(path, info, windows, planned, watch)):
            num_there = len(frames.frames) + frames.num_unread if isinstance(frames, ClipFrames) else 0
            is_cut_short = not isinstance(frames, ClipError) and num_there < len(planned[number].to_read)
            yield ClipPart(
                path,
                watch,
                frames,
                windows[number],
                number,
                len(windows),
                sum(num_places),
                num_places[number],
                first_seconds,
                is_last=is_cut_short or number == len(windows) - 1,
                is_cut_short=is_cut_short,
                num_unread=0 if is_cut_short else num_places[number] - _num_filled(frames),
            )

    def _frames_of(
        self, path: Path, info: ProbedVideo, windows: list[Window], planned: list[PlannedFrames], watch: Stopwatch
    ) -> Iterator[ClipFrames | ClipError | None]:
        """Yield the frames of each window, of as many as there is time for."""
        if len(windows) == 1 and self._limit_seconds is None:
            try:
                yield self._frame_source.read_planned(path, info, planned[0])
            except ClipError as error:
                yield error
            return
        reason = "cut into windows" if len(windows) > 1 else "read against the clock"
        starts = np.cumsum([0, *(window.info.num_frames for window in windows)])
        groups = [of_window.to_read + start for of_window, start in zip(planned, starts.tolist(), strict=False)]
        frame_pixels = info.width * info.height

        def is_time_up(num_read: int) -> bool:
            return self._pace.is_reading_over(watch, num_read, frame_pixels)

        number = -1
        try:
            read = read_groups(path, info, groups, is_time_up=is_time_up if self._limit_seconds else None)
            for number, group in enumerate(read):
                if isinstance(group, ClipError):
                    yield group
                elif not len(group.frames):
                    yield None
                else:
                    yield self._assembled(group, starts[number], planned[number], windows[number].info, reason)
        except ClipError as error:
            # Each window that is left has this reason: a clip ends with its last one.
            for _ in windows[number + 1 :]:
                yield error

    def _assembled(
        self, group: FrameGroup, start: int, planned: PlannedFrames, info: ProbedVideo, reason: str
    ) -> ClipFrames:
        return assemble(
            turn_upright(group.frames, info.quarter_turns),
            planned,
            info,
            decoder=PYAV,
            reason=reason,
            counts=self._counts,
            group=group._replace(indices=group.indices - start),
        )


def _num_filled(frames: ClipFrames | ClipError | None) -> int:
    return int((frames.frame_indices >= 0).sum()) if isinstance(frames, ClipFrames) else 0


def with_fewer_places(frames: ClipFrames, count: int) -> ClipFrames:
    """Return the frames of fewer places, spread over those that are there.

    Args:
        frames: of a clip or a window.
        count: places to keep, at least 1; where faces are looked for in other frames, these thin out as much.
    """
    of_places = frames.frame_indices[frames.frame_indices >= 0]
    if count >= len(of_places):
        return frames
    kept = of_places[choose_frame_indices(len(of_places), num_places=count)]
    looked_at = frames.detection_indices
    if looked_at is not None:
        num_looks = max(1, len(looked_at) * count // len(of_places))
        looked_at = looked_at[choose_frame_indices(len(looked_at), num_places=num_looks)]
    planned = PlannedFrames(_padded(kept, len(frames.frame_indices)), looked_at)
    return replace(
        frames,
        frames=frames.frames[np.isin(frames.row_indices, planned.to_read)],
        places=planned.places_of_read,
        frame_indices=planned.of_places,
        detection_indices=planned.looked_at,
    )


def _padded(of_places: np.ndarray, num_places: int) -> np.ndarray:
    return np.concatenate([of_places, np.full(num_places - len(of_places), -1, np.int64)])
