"""How much of a video file is there, compared with what its header announces."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.error import FFmpegError

from tfdfd.clip import LEAST_READABLE_SHARE, ClipError

_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


class Announced(NamedTuple):
    """What a header says of the length of a file; 0 where it says nothing."""

    num_frames: int
    """Of the main video stream, by its index: mp4 and mov list each frame, whether or not it is there."""
    seconds: float
    """Of the main video stream alone."""
    container_seconds: float
    """Of the longest stream."""

    @staticmethod
    def by(container: Any, stream: Any) -> Announced:
        """Read it from a container of PyAV all of whose packets were read: fragments add to the index."""
        family = container.format.name.split(",")[0]
        container_seconds = (container.duration or 0) / av.time_base
        num_frames, seconds = 0, 0.0
        if family == "mov":
            num_frames = len(stream.index_entries)
        elif family == "avi":
            # FFmpeg scales the stream's duration down to the size of the file.
            seconds = float(stream.frames * stream.time_base)
        elif family == "matroska" and (tag := _TAG.fullmatch(stream.metadata.get("DURATION", ""))):
            hours, minutes, rest = tag.groups()
            # Some programs copy a longer clip's tag.
            seconds = min(3600 * int(hours) + 60 * int(minutes) + float(rest), container_seconds)
        return Announced(num_frames, seconds, container_seconds)


def why_cut_off(path: Path, announced: Announced, *, num_packets: int, seconds: np.ndarray) -> str:
    """Say how much of a file is missing.

    Args:
        path: the file.
        announced: what its header says.
        num_packets: packets of the main video stream that are there.
        seconds: float64, shape (n,), n >= 1, ascending: when each of its frames is shown.

    Returns:
        How much of it is there, empty where that is all.

    Raises:
        ClipError: if less is there than LEAST_READABLE_SHARE.
    """
    share, text = 1.0, ""
    if num_packets < announced.num_frames:
        share = num_packets / announced.num_frames
        text = f"cut off: {num_packets} of the {announced.num_frames} frames in its index are there"
    elif (there := _length_there(path, announced, seconds)) is not None:
        share = there[0] / there[1]
        text = f"cut off: it ends at {there[0]:.1f} s of {there[1]:.1f} s"
    if share < LEAST_READABLE_SHARE:
        raise ClipError(f"{path}: {text}; with less than {LEAST_READABLE_SHARE:.0%} it is not judged: copy it again")
    return text


def _length_there(path: Path, announced: Announced, seconds: np.ndarray) -> tuple[float, float] | None:
    """Return when the file ends and when it should, both in seconds; None where it is not shorter than announced."""
    gaps = np.diff(seconds)
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    end = float(seconds[-1]) + usual
    if announced.seconds:
        # The last frame may stand as long as any other did.
        tolerance = max(2.5 * usual, float(gaps.max()) if len(gaps) else announced.seconds)
        return (end, announced.seconds) if announced.seconds - end > tolerance else None
    length = announced.container_seconds
    tolerance = max(1.0, 0.1 * length)
    # That of the longest stream, which the video need not be.
    if length - end <= tolerance or length - _end_of_all(path) <= tolerance:
        return None
    return end, length


def _end_of_all(path: Path) -> float:
    """Return when the last packet of any stream ends, in seconds."""
    end = 0.0
    with av.open(f"file:{path}") as container:
        try:
            for packet in container.demux():
                time = packet.dts if packet.pts is None else packet.pts
                if packet.size and time is not None and packet.time_base is not None:
                    end = max(end, float((time + (packet.duration or 0)) * packet.time_base))
        except FFmpegError:
            pass  # what follows cannot be read
    return end
