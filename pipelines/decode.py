"""DALI graphs from clips to upright frames: NVDEC decodes on a GPU, PyAV feeds the host graph, one tail serves both.

The NVDEC graph has not run on a GPU yet: it was written from DALI's documentation and source, and only its
construction is tested. What it is trusted with is therefore kept narrow (see `choose_decoder`), and any failure of it
is announced and answered by PyAV.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from tfdfd.clip import Clip, ClipError, ClipFrames, FramePlan
from tfdfd.data.frame_plan import PlannedFrames, plan_frames
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import NVDEC, PYAV, assemble, read_ahead
from tfdfd.data.video import ProbedVideo, probe

NVDEC_CODECS = ("h264", "hevc")
"""DALI lists VP8, VP9, AV1 and MPEG-4 too, but counts each picture that NVDEC decodes; those codecs decode hidden
pictures, which would shift the frame numbers."""
NVDEC_PIXEL_FORMATS = ("yuv420p", "yuvj420p", "nv12")
NVDEC_MATRICES = ("", "bt470bg", "smpte170m")
"""Colour matrices that equal BT.601, the only one that DALI's conversion to RGB knows."""
NVDEC_MIN_SIDE, NVDEC_MAX_SIDE = 144, 4096
"""Pixels; what every NVDEC generation decodes of both codecs."""

# What DALI raises when a run fails; all else is a programming error.
_DALI_ERRORS = (RuntimeError, ValueError, IndexError, MemoryError)
_log = logging.getLogger(__name__)


def choose_decoder(info: ProbedVideo, *, gpu: bool) -> tuple[str, str]:
    """Decide which decoder reads a clip; a doubtful one goes to PyAV, which is slower and reads everything.

    Args:
        info: what `probe` returned.
        gpu: whether a GPU with NVDEC is there.

    Returns:
        The decoder, NVDEC or PYAV, and the rule that applied.

    Source: DALI 2.4's documentation of `fn.decoders.video` and the source of its GPU frame decoder.
    """
    if not gpu:
        return PYAV, "no GPU"
    if info.codec not in NVDEC_CODECS:
        return PYAV, f"codec {info.codec}"
    if info.pixel_format not in NVDEC_PIXEL_FORMATS:
        return PYAV, f"pixel format {info.pixel_format}: NVDEC is given 8-bit 4:2:0 only"
    if info.width % 2 or info.height % 2:
        return PYAV, "odd frame size: DALI converts pixels in pairs"
    if not NVDEC_MIN_SIDE <= min(info.width, info.height) <= max(info.width, info.height) <= NVDEC_MAX_SIDE:
        return PYAV, f"frame side outside {NVDEC_MIN_SIDE} to {NVDEC_MAX_SIDE} pixels"
    if info.matrix not in NVDEC_MATRICES:
        return PYAV, f"colour matrix {info.matrix}: DALI converts by BT.601"
    if info.is_interlaced:
        return PYAV, "interlaced"
    if info.num_frames == 1:
        return PYAV, "one frame"
    if info.numbering_doubt:
        return PYAV, "frame numbers in doubt (edit list, hidden or untimed frames)"
    return NVDEC, f"{info.codec} 8-bit 4:2:0"


def turn_upright(frames: DataNode, quarter_turns: int) -> DataNode:
    """Turn frames upright exactly, as `np.rot90` does; the tail of both graphs.

    Args:
        frames: uint8 RGB, layout FHWC, on host or GPU.
        quarter_turns: counter-clockwise, 0 to 3; fixed when the graph is built.

    Returns:
        uint8 RGB, layout FHWC, where the input was.
    """
    node: Any = frames
    if quarter_turns % 2:
        # The layout's letters stay in place: what was width is height from here on.
        node = fn.transpose(node, perm=[0, 2, 1, 3], transpose_layout=False)
    # A transposed frame is a quarter turn away from upright after one flip: vertical for one, horizontal for three.
    horizontal, vertical = int(quarter_turns in (2, 3)), int(quarter_turns in (1, 2))
    if horizontal or vertical:
        node = fn.flip(node, horizontal=horizontal, vertical=vertical)
    return node


def host_graph(quarter_turns: int, *, num_threads: int) -> Pipeline:
    """Build the graph that PyAV feeds: input `frames` (uint8 FHWC), one clip a run.

    Args:
        quarter_turns: counter-clockwise, 0 to 3.
        num_threads: DALI's host threads.

    Returns:
        A pipeline on the host whose one output is uint8 RGB, FHWC, upright.
    """
    pipeline = _one_clip_pipeline(device_id=None, num_threads=num_threads)
    with pipeline:
        # No copy: the array is alive until the run, which follows at once, has ended.
        frames: Any = fn.external_source(
            name="frames", dtype=types.DALIDataType.UINT8, ndim=4, layout="FHWC", no_copy=True
        )
        pipeline.set_outputs(turn_upright(frames, quarter_turns))
    return pipeline


def nvdec_graph(quarter_turns: int, *, device_id: int | None, num_threads: int) -> Pipeline:
    """Build the graph that decodes on a GPU: inputs `encoded` (a file's bytes) and `frames` (int32 indices).

    Args:
        quarter_turns: counter-clockwise, 0 to 3.
        device_id: the GPU; None only to look at the graph without one.
        num_threads: DALI's host threads.

    Returns:
        A pipeline whose one output is uint8 RGB, FHWC, upright, on the GPU.
    """
    pipeline = _one_clip_pipeline(device_id=device_id, num_threads=num_threads)
    with pipeline:
        encoded: Any = fn.external_source(name="encoded", dtype=types.DALIDataType.UINT8, ndim=1)
        indices: Any = fn.external_source(name="frames", dtype=types.DALIDataType.INT32, ndim=1)
        # The default pad_mode would put black pictures where an index is too large; "none" makes it an error.
        frames: Any = fn.decoders.video(encoded, device="mixed", frames=indices, pad_mode="none")
        pipeline.set_outputs(turn_upright(frames, quarter_turns))
    return pipeline


class DaliFrameSource:
    """Reads clips through DALI: by NVDEC where `choose_decoder` allows it, else by PyAV and the host graph.

    Args:
        gpu: whether to decode on a GPU.
        device_id: the GPU; must be given with gpu and only then.
        num_threads: DALI's host threads.

    Raises:
        ValueError: if device_id does not fit gpu.
    """

    counts: Counter[tuple[str, str]]
    """How many clips went to which decoder, and why."""

    def __init__(self, gpu: bool, device_id: int | None = None, num_threads: int = 2) -> None:
        if gpu != (device_id is not None):
            raise ValueError(f"device_id must be given with gpu and only then, got gpu={gpu}, {device_id=}")
        self.counts = Counter()
        self._gpu = gpu
        self._device_id = device_id
        self._num_threads = num_threads
        self._pipelines: dict[tuple[str, int], Pipeline] = {}
        self._lock = Lock()

    def read(self, clip_path: Path, plan: FramePlan) -> ClipFrames:
        """Read the planned frames of a clip in one pass.

        Args:
            clip_path: a video file, or a still picture.
            plan: which frames.

        Returns:
            The frames, upright; fewer than the plan has places where the clip is shorter.

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
        chosen = planned.to_read
        decoder, reason = choose_decoder(info, gpu=self._gpu)
        warnings: list[str] = []
        upright: np.ndarray | None = None
        if decoder == NVDEC:
            upright, failure = self._read_by_nvdec(clip_path, info, chosen)
            if failure:
                decoder, reason = PYAV, "NVDEC failed"
                warnings.append(f"NVDEC failed, PyAV read the clip: {failure}")
                _log.warning("%s: %s", clip_path, warnings[0])
        if upright is None:
            upright = read_frames(clip_path, info, chosen, warnings=warnings)
            if info.quarter_turns:  # else the graph would only copy: a sixth of the clip's time
                upright = self._run(PYAV, info.quarter_turns, frames=upright)
        return assemble(
            upright, planned, info, decoder=decoder, reason=reason, counts=self.counts, warnings=tuple(warnings)
        )

    def iterate(self, clips: Iterable[Clip], plan: FramePlan) -> Iterator[tuple[Clip, ClipFrames | ClipError]]:
        """Read clips in order, the next one while the caller works on this one; see `read_ahead`."""
        return read_ahead(self.read, clips, plan)

    def _read_by_nvdec(self, path: Path, info: ProbedVideo, chosen: np.ndarray) -> tuple[np.ndarray | None, str]:
        """Return upright frames, or None and why NVDEC failed; a failed pipeline is thrown away."""
        try:
            encoded = np.fromfile(path, np.uint8)
        except OSError as error:
            raise ClipError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            upright = self._run(NVDEC, info.quarter_turns, encoded=encoded, frames=chosen.astype(np.int32))
        except _DALI_ERRORS as error:
            self._pipelines.pop((NVDEC, info.quarter_turns), None)
            return None, " ".join(str(error).split())[:300] or type(error).__name__
        size = (info.width, info.height) if info.quarter_turns % 2 else (info.height, info.width)
        if upright.shape != (len(chosen), *size, 3):
            return None, f"frames of shape {upright.shape} in place of {(len(chosen), *size, 3)}"
        return upright, ""

    def _run(self, decoder: str, quarter_turns: int, **inputs: np.ndarray) -> np.ndarray:
        # A pipeline is not safe for two threads, and read may be called beside iterate's thread.
        with self._lock:
            pipeline = self._pipelines.get((decoder, quarter_turns))
            if pipeline is None:
                if decoder == NVDEC:
                    pipeline = nvdec_graph(quarter_turns, device_id=self._device_id, num_threads=self._num_threads)
                else:
                    pipeline = host_graph(quarter_turns, num_threads=self._num_threads)
                pipeline.build()
                self._pipelines[decoder, quarter_turns] = pipeline
            for name, value in inputs.items():
                pipeline.feed_input(name, [value])
            (output,) = pipeline.run()
            # A copy, since DALI writes the next clip into the same memory.
            return np.array(output.as_cpu().at(0))


def _one_clip_pipeline(*, device_id: int | None, num_threads: int) -> Pipeline:
    # Nothing is prefetched inside: frame sizes differ from clip to clip, and read_ahead already works ahead.
    return Pipeline(
        batch_size=1,
        num_threads=num_threads,
        device_id=device_id,
        prefetch_queue_depth=1,
        exec_pipelined=False,
        exec_async=False,
    )
