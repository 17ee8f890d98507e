"""Stand-ins for NVDEC: an engine that does on the CPU what DALI does on a GPU, frame sources with one fault each."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import av
import numpy as np

from pipelines.decode import DaliFrameSource
from pipelines.nvdec_colours import BT601, exact_rgb
from pipelines.nvdec_process import Request
from tfdfd.clip import ClipFrames, FramePlan
from tfdfd.data.frame_source import PyAvFrameSource


class CpuEngine:
    """Decodes as DALI's NVDEC graph does: BT.601, chroma interpolated, rounded, then corrected and turned."""

    def __init__(self, *, device_id: int, num_threads: int) -> None:
        self.num_clips = 0

    def decode(self, request: Request, encoded: np.ndarray, into: np.ndarray) -> None:
        self.num_clips += 1
        assert encoded.tobytes() == request.path.read_bytes()
        if "segfault" in request.path.stem:
            ctypes.string_at(0)
        if "hang" in request.path.stem:
            time.sleep(1000)
        if "refused" in request.path.stem:
            raise RuntimeError(f"CUDA driver API error CUDA_ERROR_OUT_OF_MEMORY at 0x{self.num_clips:x}")
        rows = {int(index): row for row, index in enumerate(request.indices)}
        with av.open(str(request.path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number in rows:
                    rgb = request.correction.applied_to(rgb_of_dali(frame))
                    into[rows[number]] = np.rot90(rgb, request.quarter_turns)

    def device_bytes(self) -> int:
        return os.getpid()  # so that a test sees which process it was


def rgb_of_dali(frame: av.VideoFrame) -> np.ndarray:
    """Return what DALI's kernel makes of a decoded frame, whatever its colour matrix: uint8 RGB."""
    luma, *chroma = (
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    yuv = np.stack([luma, *(doubled(doubled(each).T).T for each in chroma)], axis=-1)
    is_full_range = frame.color_range == 2 or frame.format.name == "yuvj420p"
    return np.clip(np.rint(exact_rgb(yuv, BT601, is_full_range=is_full_range)), 0, 255).astype(np.uint8)


def doubled(values: np.ndarray) -> np.ndarray:
    """Return twice as many rows, interpolated between the centres of the old ones and rounded."""
    at = np.clip((np.arange(2 * len(values)) + 0.5) / 2 - 0.5, 0, len(values) - 1)
    low = at.astype(int)
    share = (at - low)[:, None]
    high = np.minimum(low + 1, len(values) - 1)
    return np.rint(values[low] * (1 - share) + values[high] * share)


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
        later = np.minimum(frames.row_indices + 1, info.num_frames - 1)
        return with_pixels(frames, turn_upright(read_frames(path, info, np.unique(later)), info.quarter_turns))


class Slow(Fake):
    def changed(self, frames: ClipFrames) -> ClipFrames:
        time.sleep(1.5)
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
    return DaliFrameSource(gpu=True, device_id=0, engine="tests.pipelines.fake_nvdec:CpuEngine")
