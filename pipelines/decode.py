"""From a clip to its chosen frames, upright: by NVDEC where that is known to be right, else by PyAV.

NVDEC has not run on a GPU yet: it was written from DALI's documentation and from the code of DALI 2.4. So it is trusted
with little (`choose_decoder`), it works in a process of its own (`pipelines.nvdec_process`), a machine's NVDEC is tried
before it is used (`pipelines.nvdec_trial`), and any failure of it is announced and answered by PyAV.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock

import numpy as np
from nvidia.dali.pipeline import Pipeline

from pipelines.frame_graphs import host_graph, run_graph
from pipelines.nvdec_colours import BT601, BT709, MAX_SHARE_OUTSIDE, correction_of, share_outside
from pipelines.nvdec_findings import FAILURE, Findings
from pipelines.nvdec_process import ENGINE, NvdecError, NvdecProcess, Pictures
from tfdfd.clip import Clip, ClipError, ClipFrames, FramePlan
from tfdfd.data.frame_plan import PlannedFrames, plan_frames
from tfdfd.data.frame_reading import FrameGroup, read_what_decodes
from tfdfd.data.frame_source import NVDEC, PYAV, assemble, read_ahead
from tfdfd.data.video import ProbedVideo, probe
from tfdfd.faces.frame_memory import aligned_frames

NVDEC_CODECS = ("h264", "hevc")
"""DALI lists VP8, VP9, AV1 and MPEG-4 too, but counts each picture that NVDEC decodes; those codecs decode hidden
pictures, which would shift the frame numbers."""
NVDEC_PIXEL_FORMATS = ("yuv420p", "yuvj420p", "nv12")
NVDEC_MATRICES = {"": BT601, "bt470bg": BT601, "smpte170m": BT601, "bt709": BT709}
"""Colour matrices that DALI's conversion by BT.601 can be corrected to."""
NVDEC_MIN_SIDE, NVDEC_MAX_SIDE = 144, 4096
"""Pixels; what every NVDEC generation decodes of both codecs."""
MAX_EQUAL_FAILURES = 3
"""Clips in a row on which NVDEC fails for the same reason, after which it is left alone: no library, MIG, no memory."""

_log = logging.getLogger(__name__)


def choose_decoder(info: ProbedVideo, *, gpu: bool, findings: Findings | None = None) -> tuple[str, str]:
    """Decide which decoder reads a clip; a doubtful one goes to PyAV, which is slower and reads everything.

    Args:
        info: what `probe` returned.
        gpu: whether a GPU with NVDEC is there.
        findings: what NVDEC does right and faster here; None to let it read all that it is known to read.

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
    if not info.has_square_pixels:
        return PYAV, "pixels that are not square"
    if info.num_frames == 1:
        return PYAV, "one frame"
    if info.cut_off:
        return PYAV, "cut off"
    if info.numbering_doubt:
        return PYAV, "frame numbers in doubt (edit list, hidden or untimed frames)"
    if not info.coded_width or not info.coded_height:
        return PYAV, "coded size not known, by which DALI looks up decoders"
    if findings is not None and (problem := findings.problem_of(info)):
        return PYAV, problem
    return NVDEC, f"{info.codec} 8-bit 4:2:0"


class DaliFrameSource:
    """Reads clips by NVDEC where `choose_decoder` allows it, else by PyAV and DALI's host graph.

    Args:
        gpu: whether to decode on a GPU.
        device_id: the GPU; must be given with gpu and only then.
        num_threads: DALI's host threads.
        findings: what NVDEC does right and faster here; None to let it read all that it is known to read.
        engine: what decodes on the GPU; tests put another in its place.
        gives_up: whether NVDEC is left alone after MAX_EQUAL_FAILURES.

    Raises:
        ValueError: if device_id does not fit gpu.
    """

    counts: Counter[tuple[str, str]]
    """How many clips went to which decoder, and why."""

    def __init__(
        self,
        gpu: bool,
        device_id: int | None = None,
        num_threads: int = 2,
        *,
        findings: Findings | None = None,
        engine: str = ENGINE,
        gives_up: bool = True,
    ) -> None:
        if gpu != (device_id is not None):
            raise ValueError(f"device_id must be given with gpu and only then, got gpu={gpu}, {device_id=}")
        self.counts = Counter()
        self._num_threads = num_threads
        self._findings = findings
        self._nvdec = None
        if device_id is not None:
            self._nvdec = NvdecProcess(device_id=device_id, num_threads=num_threads, engine=engine)
        self._failures: list[str] = []
        self._gives_up = gives_up
        self._host_graphs: dict[int, Pipeline] = {}
        self._lock = Lock()

    @property
    def device_bytes(self) -> int:
        """Bytes of the GPU's memory in use, by all processes together, after the last clip; 0 if not known."""
        return 0 if self._nvdec is None else self._nvdec.device_bytes

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
        chosen = planned.to_read
        decoder, reason = choose_decoder(info, gpu=self._nvdec is not None, findings=self._findings)
        warnings: list[str] = []
        upright: np.ndarray | None = None
        group: FrameGroup | None = None
        if decoder == NVDEC:
            # Neither the process nor a graph takes two clips at once, and read may be called beside iterate's thread.
            with self._lock:
                upright, reason_not = self._read_by_nvdec(clip_path, info, chosen, warnings)
            if upright is None:
                decoder, reason = PYAV, reason_not
        if upright is None:
            group = read_what_decodes(clip_path, info, chosen)
            upright = group.frames
            if info.quarter_turns:  # else the graph would only copy: a sixth of the clip's time
                with self._lock:
                    upright = self._turned(upright, info.quarter_turns)
        return assemble(
            upright,
            planned,
            info,
            decoder=decoder,
            reason=reason,
            counts=self.counts,
            group=group,
            warnings=tuple(warnings),
        )

    def iterate(self, clips: Iterable[Clip], plan: FramePlan) -> Iterator[tuple[Clip, ClipFrames | ClipError]]:
        """Read clips in order, the next one while the caller works on this one; see `read_ahead`."""
        return read_ahead(self.read, clips, plan)

    def close(self) -> None:
        """End the process that decodes."""
        if self._nvdec is not None:
            self._nvdec.close()

    def _read_by_nvdec(
        self, path: Path, info: ProbedVideo, chosen: np.ndarray, warnings: list[str]
    ) -> tuple[np.ndarray | None, str]:
        """Return upright frames, or None and why PyAV must read the clip; a failure is announced in the warnings."""
        assert self._nvdec is not None
        if self._gives_up and len(self._failures) >= MAX_EQUAL_FAILURES:
            return None, "NVDEC is off: it failed in the same way several times"
        matrix = NVDEC_MATRICES[info.matrix]
        correction = correction_of(matrix, is_full_range=info.is_full_range)
        sizes = Pictures(info.codec, (info.coded_width, info.coded_height), (info.width, info.height))
        try:
            upright = self._nvdec.decode(
                path,
                sizes,
                chosen,
                quarter_turns=info.quarter_turns,
                correction=correction,
                num_frames=info.num_frames,
            )
        except NvdecError as error:
            self._note_failure(path, str(error), warnings)
            return None, "NVDEC failed"
        self._failures = []
        if matrix != BT601 and share_outside(upright, correction) > MAX_SHARE_OUTSIDE:
            return None, "BT.709 colours that DALI's BT.601 clamps"
        return upright, ""

    def _note_failure(self, path: Path, failure: str, warnings: list[str]) -> None:
        warnings.append(FAILURE + failure)
        # Numbers differ from clip to clip: addresses, sizes, process ids.
        kind = re.sub(r"0x[0-9a-f]+|\d+", "0", failure)
        self._failures = [*self._failures, kind] if self._failures[-1:] == [kind] else [kind]
        if self._gives_up and len(self._failures) == MAX_EQUAL_FAILURES:
            assert self._nvdec is not None
            self._nvdec.close()
            warnings.append(
                f"NVDEC is off in this process from now on: it failed {MAX_EQUAL_FAILURES} times in a row in the same "
                "way; PyAV reads all clips"
            )
        for warning in warnings:
            _log.warning("%s: %s", path, warning)

    def _turned(self, frames: np.ndarray, quarter_turns: int) -> np.ndarray:
        if quarter_turns not in self._host_graphs:
            graph = host_graph(quarter_turns, num_threads=self._num_threads)
            graph.build()
            self._host_graphs[quarter_turns] = graph
        number, height, width, _ = frames.shape
        size = (width, height) if quarter_turns % 2 else (height, width)
        return run_graph(self._host_graphs[quarter_turns], aligned_frames((number, *size, 3)), frames=frames)


def nvdec_to_try() -> DaliFrameSource:
    """Return the frame source that `pipelines.nvdec_trial` tries: NVDEC on the first GPU that this process sees."""
    return DaliFrameSource(gpu=True, device_id=0, gives_up=False)
