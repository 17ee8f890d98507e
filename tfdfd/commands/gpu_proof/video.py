"""Clips decoded on a card: many in one process, and where the driver has no decoder."""

from __future__ import annotations

import dataclasses
import logging
import os
import resource
import time
from collections import Counter
from pathlib import Path

import numpy as np

from tfdfd.clip import ClipFrames, FramePlan
from tfdfd.commands.gpu_proof.context import ONE, Context, Figures, require
from tfdfd.commands.gpu_proof.devices import CardWatch
from tfdfd.commands.gpu_proof.process import part
from tfdfd.commands.gpu_proof.samples import FULL_HD, demo_clips, full_hd_clips
from tfdfd.gpus import visible_cards

NUM_CLIPS, DRY_CLIPS, SETTLED_AFTER = 120, 20, 10
GROWTH_BYTES = 1 << 30
"""How much more memory, of the card or in a dry run of the process, may be in use after the last than after ten."""
PYAV_CLIPS = 10
DRY_FRAMES = 16
MOST_SAID = 4
"""Three failures in the same way, and that NVDEC is off from then on."""
_LIBRARIES = ("libnvcuvid.so.1", "libnvcuvid.so")


def beside_pyav(context: Context) -> Figures:
    """Compare NVDEC's frames with PyAV's, on a rendered clip of each kind; a dry run has PyAV in both places."""
    from pipelines.nvdec_findings import kept_findings
    from pipelines.nvdec_trial import MAX_GROWTH_BYTES, try_nvdec

    if context.is_dry:
        findings = try_nvdec(f"{__name__}:PyAvToTry", num_frames=DRY_FRAMES)
    else:
        findings = try_nvdec()
        card = visible_cards()[0]
        # Kept where nothing is: the checks of workers and scores, and the first `tfdfd prepare`, try it no more.
        kept_findings(card.name, card.driver_version, lambda: findings)
    figures: Figures = {}
    for found in findings:
        # What is right and only slower is read by PyAV, which is no fault.
        is_right = found.is_checked and not found.is_wrong and (found.growth_bytes or 0) <= MAX_GROWTH_BYTES
        require(is_right, f"{found.kind}: {found.problem}")
        name = found.kind.replace(" ", "_")
        figures[f"{name}_mean"] = round(found.mean_difference or 0.0, 3)
        if found.nvdec_seconds and found.pyav_seconds:
            figures[f"{name}_times_pyav"] = round(found.pyav_seconds / found.nvdec_seconds, 2)
    return figures


class PyAvToTry:
    """PyAV under the name of NVDEC, for a dry run."""

    device_bytes = 0

    def read(self, clip_path: Path, plan: FramePlan) -> ClipFrames:
        """Read the planned frames of a clip."""
        from tfdfd.data.frame_source import NVDEC, PyAvFrameSource

        return dataclasses.replace(PyAvFrameSource().read(clip_path, plan), decoder=NVDEC)


def many_clips(context: Context) -> Figures:
    """Read 120 clips of 1080p in one process: memory stays bounded; their rate beside PyAV's on the same machine."""
    from pipelines.decode import DaliFrameSource
    from tfdfd.data.frame_source import PyAvFrameSource

    clips, plan = full_hd_clips(context.data), FramePlan(17)
    source = DaliFrameSource(gpu=not context.is_dry, device_id=context.device_id, num_threads=os.cpu_count() or 1)
    count = DRY_CLIPS if context.is_dry else NUM_CLIPS
    with CardWatch(context) as watch:
        settled, began = 0, 0.0
        for number in range(count):
            frames = source.read(clips[number % len(clips)], plan).frames
            require(frames.shape == (17, *FULL_HD[::-1], 3), f"clip {number} has frames of shape {frames.shape}")
            if number + 1 == SETTLED_AFTER:
                settled, began = _memory(watch, context), time.monotonic()
        seconds = time.monotonic() - began
        growth = max([_memory(watch, context), *watch.memory_bytes(began)]) - settled
    require(
        growth < GROWTH_BYTES,
        f"after clip {SETTLED_AFTER} memory must grow by less than {GROWTH_BYTES >> 20} MiB, it grew by {growth >> 20}",
    )
    decoders = Counter(decoder for decoder, _ in source.counts.elements())
    require(context.is_dry or decoders == {"nvdec": count}, f"NVDEC must read all clips, got {dict(source.counts)}")
    pyav = PyAvFrameSource()
    began = time.monotonic()
    for number in range(PYAV_CLIPS):
        pyav.read(clips[number % len(clips)], plan)
    pyav_rate = PYAV_CLIPS / (time.monotonic() - began)
    return {
        "clips": count,
        "growth_MiB": growth >> 20,
        "decoders": dict(decoders),
        "clips_a_second": round((count - SETTLED_AFTER) / seconds, 2),
        "pyav_clips_a_second": round(pyav_rate, 2),
    }


def without_nvcuvid(context: Context) -> Figures:
    """Read clips in a process that cannot open libnvcuvid: PyAV reads them all, and that is said once."""
    hidden = context.folder / "hidden"
    hidden.mkdir()
    for name in _LIBRARIES:
        # The loader looks here first, finds a file that is no library, and gives up.
        (hidden / name).write_bytes(b"")
    found_first = os.pathsep.join(filter(None, (str(hidden), os.environ.get("LD_LIBRARY_PATH"))))
    return part(context, "video:read_without_nvcuvid", cards=ONE, env={"LD_LIBRARY_PATH": found_first})


def read_without_nvcuvid(context: Context) -> Figures:
    """Read clips for which NVDEC would be chosen, and count what is said of it."""
    import ctypes

    from pipelines.decode import DaliFrameSource
    from tfdfd.data.frame_source import PyAvFrameSource

    for name in _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        require(False, f"{name} must be hidden from this process, but it opens")
    said = _Collecting()
    logging.getLogger().addHandler(said)
    clips = demo_clips(context.data) * 3
    source = DaliFrameSource(gpu=True, device_id=0)
    for clip in clips:
        frames, expected = source.read(clip, FramePlan(5)), PyAvFrameSource().read(clip, FramePlan(5))
        require(np.array_equal(frames.frames, expected.frames), f"{clip.name}: frames are not PyAV's")
        require(frames.decoder == "pyav", f"{clip.name} was read by {frames.decoder}")
    reasons = Counter(reason for _, reason in source.counts.elements())
    require(len(said.messages) <= MOST_SAID, f"of {len(clips)} clips too much is said: {said.messages}")
    return {"clips": len(clips), "said": len(said.messages), "reasons": dict(reasons)}


class _Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is logged, and print it into the check's log."""
        self.messages.append(record.getMessage())
        print(self.messages[-1])


def _memory(watch: CardWatch, context: Context) -> int:
    """Return the memory in use: of the cards, or of this process in a dry run."""
    if context.is_dry:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    return watch.memory_now()
