"""Stand-ins for NVDEC, to be tried: frame sources with one fault each, and the real one on a CPU."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np

from pipelines.decode import DaliFrameSource
from tests.pipelines.cpu_engine import ENGINE
from tfdfd.clip import ClipFrames, FramePlan
from tfdfd.data.frame_source import PyAvFrameSource


class Fake:
    """Reads as PyAV does and says that NVDEC did; faster, since it reads each clip once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, int], ClipFrames] = {}
        self.num_reads = 0

    @property
    def device_bytes(self) -> int:
        return 10**9

    def read(self, path: Path, plan: FramePlan) -> ClipFrames:
        self.num_reads += 1
        key = (path, plan.places)
        if key not in self._kept:
            self._kept[key] = PyAvFrameSource().read(path, plan)
        return self.changed(self._kept[key])

    def changed(self, frames: ClipFrames) -> ClipFrames:
        return with_pixels(frames, frames.frames)


def with_pixels(frames: ClipFrames, pixels: np.ndarray) -> ClipFrames:
    return ClipFrames(pixels, frames.places, frames.frame_indices, frames.info, "nvdec", "fake")


class WrongPixels(Fake):
    """Another colour matrix would look like this."""

    def changed(self, frames: ClipFrames) -> ClipFrames:
        return with_pixels(frames, np.minimum(frames.frames, 251) + np.uint8(4))


class Shifted(Fake):
    """Each frame is the one after."""

    def read(self, path: Path, plan: FramePlan) -> ClipFrames:
        from tfdfd.data.frame_reading import read_frames
        from tfdfd.data.frame_source import turn_upright
        from tfdfd.data.video import probe

        frames, info = super().read(path, plan), probe(path)
        return with_pixels(frames, turn_upright(read_frames(path, info, frames.row_indices + 1), info.quarter_turns))


class Slow(Fake):
    def changed(self, frames: ClipFrames) -> ClipFrames:
        time.sleep(0.4)
        return super().changed(frames)


class Leaking(Fake):
    @property
    def device_bytes(self) -> int:
        return 10**9 + self.num_reads * 10**8


class Failing(Fake):
    def changed(self, frames: ClipFrames) -> ClipFrames:
        raise RuntimeError("libnvcuvid.so.1: cannot open shared object file")


class Hanging(Fake):
    def changed(self, frames: ClipFrames) -> ClipFrames:
        time.sleep(1000)
        raise AssertionError


class Crashing(Fake):
    def changed(self, frames: ClipFrames) -> ClipFrames:
        ctypes.string_at(0)
        raise AssertionError


class CrashingOnHevc(Fake):
    def changed(self, frames: ClipFrames) -> ClipFrames:
        if frames.info.codec == "hevc":
            ctypes.string_at(0)
        return super().changed(frames)


def refusing() -> Fake:
    """Cannot even be made."""
    raise OSError("no CUDA-capable device is detected")


def twin() -> DaliFrameSource:
    """The real frame source and its process, with the CPU in place of the GPU."""
    return DaliFrameSource(gpu=True, device_id=0, engine=ENGINE)
