"""Frame sources: from a clip's path to its chosen frames, upright; this one needs nothing but PyAV."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tfdfd.clip import Clip, ClipError, ClipFrames, FramePlan
from tfdfd.data.frame_plan import PlannedFrames, plan_frames
from tfdfd.data.frame_reading import FrameGroup, read_what_decodes
from tfdfd.data.video import ProbedVideo, probe

T = TypeVar("T")
NVDEC, PYAV = "nvdec", "pyav"
"""The decoders that ClipFrames.decoder can name."""
AUTO = "auto"
"""NVDEC where it was found to be right and faster, else PyAV."""


class PyAvFrameSource:
    """Reads clips with PyAV alone; the frames equal those of DALI's host graph.

    Args:
        reason: why PyAV reads them.
    """

    counts: Counter[tuple[str, str]]
    """How many clips went to which decoder, and why."""

    def __init__(self, reason: str = "no DALI") -> None:
        self.counts = Counter()
        self._reason = reason

    def read(self, clip_path: Path, plan: FramePlan) -> ClipFrames:
        """Read the planned frames of a clip in one pass.

        Args:
            clip_path: a video file, or a still picture.
            plan: which frames.

        Returns:
            The frames, upright; fewer than the plan has places where the clip is shorter, or some cannot be read.

        Raises:
            ClipError: if the file cannot be used, with the reason.
        """
        info = probe(clip_path)
        return self.read_planned(clip_path, info, plan_frames(plan, info, clip_path))

    def read_planned(self, clip_path: Path, info: ProbedVideo, planned: PlannedFrames) -> ClipFrames:
        """Read the frames of a clip that was probed and planned already; else as `read`.

        Args:
            clip_path: a video file, or a still picture.
            info: what `probe` returned.
            planned: what `plan_frames` returned.
        """
        group = read_what_decodes(clip_path, info, planned.to_read)
        upright = turn_upright(group.frames, info.quarter_turns)
        return assemble(upright, planned, info, decoder=PYAV, reason=self._reason, counts=self.counts, group=group)

    def iterate(self, clips: Iterable[Clip], plan: FramePlan) -> Iterator[tuple[Clip, ClipFrames | ClipError]]:
        """Read clips in order, the next one while the caller works on this one; see `read_ahead`."""
        return read_ahead(self.read, clips, plan)


def read_ahead(
    read: Callable[[Path, FramePlan], ClipFrames], clips: Iterable[Clip], plan: FramePlan
) -> Iterator[tuple[Clip, ClipFrames | ClipError]]:
    """Read clips in order, one clip ahead of the caller, in one thread.

    At most two clips are in memory: the caller's and the one ahead. Closing the iterator early waits for no more
    than the clip that is being read.

    Args:
        read: reads one clip; its ClipErrors are handed on as values, all other exceptions are raised here.
        clips: the clips; consumed in the caller's thread.
        plan: which frames of each.

    Yields:
        Each clip with its frames, or with the reason why it has none.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames") as pool:
        ahead: tuple[Clip, Future[ClipFrames | ClipError]] | None = None
        for clip in clips:
            done = None if ahead is None else (ahead[0], ahead[1].result())
            ahead = (clip, pool.submit(_read_or_error, read, clip, plan))
            if done is not None:
                yield done
                del done
        if ahead is not None:
            yield ahead[0], ahead[1].result()


def one_ahead(made: Generator[T]) -> OneAhead[T]:
    """Begin to make what a generator makes, each in another thread while the caller works on the one before.

    Args:
        made: is asked for the next one as soon as the caller takes one, and closed in the end.

    Returns:
        An iterator to be closed when done. At most two are in memory: the caller's and the one ahead.
    """
    return OneAhead(made)


class OneAhead(Iterator[T]):
    """What `one_ahead` returns.

    Args:
        made: see `one_ahead`.
        ahead: how many are made ahead of the caller, in their order.
    """

    _END = object()

    def __init__(self, made: Generator[T], ahead: int = 1) -> None:
        self._made = made
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
        self._ahead: deque[Future[Any]] = deque(self._pool.submit(next, made, self._END) for _ in range(ahead))

    def __next__(self) -> T:
        one = self._ahead[0].result()
        if one is self._END:
            raise StopIteration
        self._ahead.popleft()
        self._ahead.append(self._pool.submit(next, self._made, self._END))
        return one

    def close(self) -> None:
        """Wait for no more than the one that is being made."""
        self._pool.shutdown(cancel_futures=True)
        self._made.close()


def turn_upright(frames: np.ndarray, quarter_turns: int) -> np.ndarray:
    """Return frames upright, as they are where that needs no turn.

    Args:
        frames: uint8 RGB, shape (n, height, width, 3).
        quarter_turns: counter-clockwise, 0 to 3.
    """
    return np.ascontiguousarray(np.rot90(frames, quarter_turns, axes=(1, 2))) if quarter_turns else frames


def assemble(
    upright: np.ndarray,
    planned: PlannedFrames,
    info: ProbedVideo,
    *,
    decoder: str,
    reason: str,
    counts: Counter[tuple[str, str]],
    group: FrameGroup | None = None,
    warnings: tuple[str, ...] = (),
) -> ClipFrames:
    """Put together what a frame source returns, and count the clip.

    Args:
        upright: uint8 RGB, shape (n, height, width, 3): the frames of `planned.to_read`, of those the group's.
        planned: what `plan_frames` returned.
        info: what `probe` returned.
        decoder: NVDEC or PYAV.
        reason: why this decoder.
        counts: incremented at (decoder, reason).
        group: what was read, with frame numbers as the plan has them; None where that is all.
        warnings: further ones than info's and the group's.

    Returns:
        The frames with where they came from.
    """
    if group is None:
        group = FrameGroup(planned.to_read, upright, ())
    planned = planned.limited_to(group.indices)
    frames = ClipFrames(
        frames=upright,
        places=planned.places_of_read,
        frame_indices=planned.of_places,
        info=info,
        decoder=decoder,
        decoder_reason=reason,
        warnings=info.warnings + group.warnings + warnings,
        detection_indices=planned.looked_at,
        num_unread=group.num_unread,
        unread=group.unread,
        cut_off=info.cut_off,
    )
    counts[decoder, reason] += 1
    return frames


def _read_or_error(
    read: Callable[[Path, FramePlan], ClipFrames], clip: Clip, plan: FramePlan
) -> ClipFrames | ClipError:
    try:
        return read(clip.path, plan)
    except ClipError as error:
        return error
