"""The pixels of chosen frames of a video file, in one pass over it, all at once or a group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from tfdfd.clip import LEAST_READABLE_SHARE, ClipError
from tfdfd.data.deinterlacing import DEINTERLACED, ShownFrame, deinterlaced
from tfdfd.data.frame_shape import FrameFitter
from tfdfd.data.packet_runs import runs_to_decode
from tfdfd.data.video import ProbedVideo
from tfdfd.data.video_stream import NUM_THREADS, decode_stream, last_problem, naming_errors, open_video
from tfdfd.faces.frame_memory import aligned_frames

IsTimeUp = Callable[[int], bool]
"""Whether to stop reading, given how many frames of the group are there; asked after every frame that is decoded."""


class FrameGroup(NamedTuple):
    """Frames that were read."""

    indices: np.ndarray
    """int64, shape (n,), ascending: their numbers. Those asked for; where the time was up, the first of them."""
    frames: np.ndarray
    """uint8 RGB, shape (n, height, width, 3), in square pixels; rotation is not applied."""
    warnings: tuple[str, ...]
    """What a person should know of them, e.g. that a damaged one shows through."""
    num_unread: int = 0
    """Frames that were asked for and are damaged or cannot be decoded."""
    unread: str = ""
    """The first of them and why; empty where there is none."""


def read_what_decodes(path: Path, info: ProbedVideo, indices: np.ndarray) -> FrameGroup:
    """Decode those of the chosen frames that can be decoded, in one pass over the file.

    Args: as of `read_frames`.

    Raises:
        ValueError: if indices do not ascend, or one is not in the clip.
        ClipError: if less of them can be read than LEAST_READABLE_SHARE.
    """
    (group,) = read_groups(path, info, [indices])
    if isinstance(group, ClipError):
        raise group
    return group


def read_frames(path: Path, info: ProbedVideo, indices: np.ndarray, *, warnings: list[str] | None = None) -> np.ndarray:
    """Decode chosen frames in one pass over the file, up to the last of them, or none.

    Frames of two fields are deinterlaced, pixels made square. A frame whose size differs from the first one's (streams
    may change size) is scaled to fit the first frame's, with its own shape.

    Args:
        path: the file that `info` was probed from.
        info: what `probe` returned.
        indices: int, shape (n,), n >= 1, strictly ascending, each in [0, info.num_frames).
        warnings: receives what a person should know of the frames, e.g. that a damaged one shows through.

    Returns:
        uint8 RGB, shape (n, info.height, info.width, 3); rotation is not applied.

    Raises:
        ValueError: if indices break the rule above.
        ClipError: if a chosen frame is damaged or cannot be decoded; it says which, and when it would be shown.
    """
    group = read_what_decodes(path, info, indices)
    if group.num_unread:
        raise ClipError(f"{path}: {group.unread}")
    if warnings is not None:
        warnings += group.warnings
    return group.frames


def read_groups(
    path: Path, info: ProbedVideo, groups: Sequence[np.ndarray], *, is_time_up: IsTimeUp | None = None
) -> Iterator[FrameGroup | ClipError]:
    """Decode groups of frames in one pass over the file; one group is in memory at a time.

    Where key frames are dense, what lies between the frames is passed over; else all is decoded that others lean on.

    Args:
        path: the file that `info` was probed from.
        info: what `probe` returned.
        groups: each int, shape (n,), n >= 1; together strictly ascending, each in [0, info.num_frames).
        is_time_up: when to stop; None to read all.

    Yields:
        For each group those of its frames that can be decoded, or, where these are less than LEAST_READABLE_SHARE, why
        it has none. Where the time is up, what is there of the group, maybe nothing, and no further one.

    Raises:
        ValueError: if groups break the rule above.
        ClipError: if the file cannot be opened.
    """
    path = Path(path)
    wanted = np.concatenate([np.asarray(group, np.int64) for group in groups])
    in_range = len(wanted) and wanted[0] >= 0 and wanted[-1] < info.num_frames
    if not in_range or not all(len(group) for group in groups) or (np.diff(wanted) <= 0).any():
        raise ValueError(f"indices must ascend strictly within [0, {info.num_frames}), got {wanted.tolist()}")
    keys = wanted if info.numbered_by_decoding else info.pts[wanted]
    group_of = dict(
        zip(keys.tolist(), np.repeat(np.arange(len(groups)), [len(g) for g in groups]).tolist(), strict=True)
    )
    problems: list[str] = []
    # What is damaged shows in the frames after it that lean on it, at the latest until the next key frame.
    is_smeared, num_problems = False, 0
    current = 0
    with naming_errors(path), open_video(path) as (container, stream):
        fitter = FrameFitter((info.width, info.height), info.stored_size)
        group = _Group(path, info, groups[0])
        shown = _shown(container, stream, problems, info, wanted)
        for number, (frame, is_deinterlaced) in enumerate(shown):
            is_smeared = frame.is_corrupt or len(problems) > num_problems or (is_smeared and not frame.key_frame)
            num_problems = len(problems)
            key = number if info.numbered_by_decoding else frame.pts
            of_group = group_of.get(key, -1)
            while current < of_group:
                yield group.finish(problems)
                current += 1
                group = _Group(path, info, groups[current])
            if of_group == current:
                fitted, note = fitter.fit(frame, stream.codec_context)
                group.add(key, fitted, is_smeared=is_smeared, notes=[DEINTERLACED * is_deinterlaced, note])
            if group.is_complete:
                yield group.finish(problems)
                current += 1
                if current == len(groups):
                    return
                group = _Group(path, info, groups[current])
            elif is_time_up is not None and is_time_up(group.num_found):
                yield group.so_far()
                return
        yield group.finish(problems)
        for missing in groups[current + 1 :]:
            yield _Group(path, info, missing).finish(problems)


def _shown(
    container: Any, stream: Any, problems: list[str], info: ProbedVideo, wanted: np.ndarray
) -> Iterator[ShownFrame]:
    """Decode what the wanted frames need, and yield all that comes of it, the wanted ones deinterlaced."""
    keys = wanted if info.numbered_by_decoding else info.pts[wanted]
    needed = keys
    if info.is_interlaced and not info.numbered_by_decoding:
        # A picture is made of a frame of two fields and of those before and after it.
        beside = np.concatenate([wanted - 1, wanted, wanted + 1])
        needed = info.pts[np.unique(np.clip(beside, 0, info.num_frames - 1))]
    runs = None
    if info.packet_pts is not None and info.is_start is not None:
        runs = runs_to_decode(info.packet_pts, info.is_start, needed)
    wanted_keys = set(keys.tolist())
    can_leave_out = info.codec == "h264" and not info.numbered_by_decoding and not info.is_interlaced
    left_out = wanted_keys if can_leave_out else None
    return deinterlaced(
        decode_stream(container, stream, problems, wanted_pts=left_out, runs=runs),
        lambda number, frame: (number if info.numbered_by_decoding else frame.pts) in wanted_keys,
        codec=info.codec,
        is_interlaced=info.is_interlaced,
    )


class _Group:
    """A group while it is being read."""

    def __init__(self, path: Path, info: ProbedVideo, indices: np.ndarray) -> None:
        self._path, self._info, self._indices = path, info, np.asarray(indices, np.int64)
        keys = self._indices if info.numbered_by_decoding else info.pts[self._indices]
        self._row_of = {int(key): row for row, key in enumerate(keys)}
        self._reformatter = VideoReformatter()
        self._frames: np.ndarray | None = None
        self._found: set[int] = set()
        self._damaged: set[int] = set()
        self._smeared: list[int] = []
        self._notes: list[str] = []

    @property
    def num_found(self) -> int:
        return len(self._found)

    @property
    def is_complete(self) -> bool:
        return len(self._found) == len(self._indices)

    def add(self, key: int | None, frame: av.VideoFrame, *, is_smeared: bool, notes: Sequence[str]) -> None:
        row = self._row_of[key] if key is not None else -1
        if row in self._found:
            return
        if self._frames is None:
            self._frames = aligned_frames((len(self._indices), self._info.height, self._info.width, 3))
        self._found.add(row)
        self._notes += [note for note in notes if note and note not in self._notes]
        if frame.is_corrupt:
            self._damaged.add(row)
        elif is_smeared:
            self._smeared.append(row)
        rgb = self._reformatter.reformat(
            frame, width=self._info.width, height=self._info.height, format="rgb24", threads=NUM_THREADS
        )
        self._frames[row] = rgb.to_ndarray()

    def finish(self, problems: list[str]) -> FrameGroup | ClipError:
        """Return the frames that could be read, or say why these are too few."""
        info = self._info
        missing = [row for row in range(len(self._indices)) if row not in self._found or row in self._damaged]
        if not missing:
            return self.so_far()
        index = self._indices[missing[0]]
        what = "is damaged" if missing[0] in self._damaged else "cannot be decoded"
        seconds = float(info.pts[index]) * info.time_base_seconds
        unread = f"frame {index} of {info.num_frames}, at {seconds:.2f} s, {what}{last_problem(problems)}"
        num_asked, num_read = len(self._indices), len(self._indices) - len(missing)
        if num_read < LEAST_READABLE_SHARE * num_asked:
            few = f"; {num_read} of {num_asked} chosen frames can be read, at least {LEAST_READABLE_SHARE:.0%} must"
            return ClipError(f"{self._path}: {unread}{few if num_asked > 1 else ''}")
        return self.so_far()._replace(num_unread=len(missing), unread=unread)

    def so_far(self) -> FrameGroup:
        """Return the frames that are there and whole."""
        info = self._info
        rows = np.array(sorted(self._found - self._damaged), np.int64)
        frames = np.zeros((0, info.height, info.width, 3), np.uint8) if self._frames is None else self._frames
        if len(rows) < len(frames):
            frames = frames[: len(rows)] if (rows == np.arange(len(rows))).all() else frames[rows]
        warnings = tuple(self._notes)
        if self._smeared:
            warnings += (
                f"damaged before frame {self._indices[self._smeared[0]]}: {len(self._smeared)} of the "
                f"{len(self._indices)} frames that are used may lean on it, look at their pictures",
            )
        return FrameGroup(self._indices[rows], frames, warnings)
