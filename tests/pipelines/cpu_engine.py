"""What DALI's NVDEC graph does on a GPU, done on the CPU: decoding by PyAV, colours as DALI's kernel makes them."""

from __future__ import annotations

import ctypes
import os
import time

import av
import numpy as np

from pipelines.nvdec_colours import BT601, exact_rgb
from pipelines.nvdec_process import Request

ENGINE = "tests.pipelines.cpu_engine:CpuEngine"
"""Its name for `NvdecProcess`; a module of its own, since the process that imports it should start quickly."""


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
