"""Compare NVDEC's frames with PyAV's, and measure extraction on a GPU (on none yet: nobody had one).

Prints a row a clip: which decoder took it and why, and of NVDEC's frames against PyAV's at the same indices the mean
absolute difference (at most 1 of 255 is asked for) and the largest signed mean of a channel (at most 0.5: a constant
shift would be another colour matrix). Then clips a second from file to crops with NVDEC and with PyAV on the same
machine, and the share of that time in which the detector waits for frames.

    python benchmarks/nvdec.py --data data/clips
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tfdfd.clip import Clip, ClipFrames, Detections
    from tfdfd.extraction import Detector, FrameSource

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
MAX_MEAN_DIFFERENCE, MAX_SIGNED_MEAN = 1.0, 0.5


class TimedDetector:
    """A detector that adds up the seconds it works."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.seconds = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the detector."""
        return self._detector.settings

    def __call__(self, frames: np.ndarray) -> list[Detections]:
        """Find faces; the results are on the host when it returns, so the time is the whole time."""
        start = time.perf_counter()
        found = self._detector(frames)
        self.seconds += time.perf_counter() - start
        return found

    def look_near(self, frames: np.ndarray, boxes_xyxy: np.ndarray, rows: np.ndarray) -> list[Detections]:
        """Find faces near boxes."""
        start = time.perf_counter()
        found = self._detector.look_near(frames, boxes_xyxy, rows)
        self.seconds += time.perf_counter() - start
        return found


def compare(clips: list[Clip], nvdec: FrameSource, pyav: FrameSource) -> bool:
    """Print how NVDEC's frames differ from PyAV's; return whether all are as near as asked for."""
    from tfdfd.data.frame_source import NVDEC
    from tfdfd.faces.config import ExtractionConfig

    plan, is_near = ExtractionConfig().frame_plan, True
    print(f"{'clip':44} {'decoder':8} {'mean difference':>16} {'largest signed mean':>20} {'misnumbered':>12}  reason")
    for clip in clips:
        theirs = nvdec.read(clip.path, plan)
        if theirs.decoder != NVDEC:
            print(f"{clip.clip_id[-44:]:44} {theirs.decoder:8} {'-':>16} {'-':>20} {'-':>12}  {theirs.decoder_reason}")
            continue
        ours = pyav.read(clip.path, plan)
        if ours.frames.shape != theirs.frames.shape or (ours.row_indices != theirs.row_indices).any():
            print(f"{clip.clip_id[-44:]:44} nvdec    other frames: {theirs.frames.shape}, PyAV {ours.frames.shape}")
            is_near = False
            continue
        differences = [a.astype(np.int16) - b for a, b in zip(theirs.frames, ours.frames, strict=True)]
        mean = max(float(np.abs(difference).mean()) for difference in differences)
        signed = max(float(np.abs(difference.mean(axis=(0, 1))).max()) for difference in differences)
        wrong = num_misnumbered(clip.path, theirs, differences)
        is_near &= mean <= MAX_MEAN_DIFFERENCE and signed <= MAX_SIGNED_MEAN and not wrong
        print(
            f"{clip.clip_id[-44:]:44} {theirs.decoder:8} {mean:16.3f} {signed:20.3f} {wrong:12}  "
            f"{theirs.decoder_reason}"
        )
    return is_near


def num_misnumbered(path: Path, nvdec: ClipFrames, differences: list[np.ndarray]) -> int:
    """Return how many of NVDEC's frames are nearer to PyAV's frame before or after than to the one of their number."""
    from tfdfd.data.frame_reading import read_frames
    from tfdfd.data.video import probe

    info = probe(path)
    if info.quarter_turns:
        return 0  # PyAV's frames lie on their side here
    own = np.array([np.abs(difference).mean() for difference in differences])
    wrong = np.zeros(len(own), np.bool_)
    for step in (-1, 1):
        neighbours = nvdec.row_indices + step
        there = (neighbours >= 0) & (neighbours < info.num_frames)
        others = read_frames(path, info, neighbours[there])
        away = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(nvdec.frames[there], others, strict=True)]
        wrong[there] |= np.array(away) < own[there]
    return int(wrong.sum())


def measure(name: str, clips: list[Clip], source: FrameSource, rounds: int) -> None:
    """Print clips a second from file to crops, and how much of the time the detector waits."""
    from tfdfd.extraction import faces_of_clips
    from tfdfd.faces.config import ExtractionConfig
    from tfdfd.faces.mtcnn import MTCNN

    config, detector = ExtractionConfig(), TimedDetector(MTCNN())
    for _ in faces_of_clips(clips[:2], source, detector, config):
        pass
    detector.seconds, start = 0.0, time.perf_counter()
    for _ in faces_of_clips(clips * rounds, source, detector, config):
        pass
    seconds = time.perf_counter() - start
    print(
        f"{name}: {len(clips) * rounds / seconds:.2f} clips/s, the detector waits {1 - detector.seconds / seconds:.0%} "
        "of the time"
    )


def main() -> int:
    """Compare and measure; the exit status is 1 where frames differ by more than asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of clips, searched through")
    parser.add_argument("--rounds", type=int, default=3, help="times that all clips are extracted (default 3)")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    from pipelines.decode import DaliFrameSource
    from tfdfd.clip import Clip
    from tfdfd.data.frame_source import PyAvFrameSource

    gpus = tf.config.list_physical_devices("GPU")
    paths = sorted(path for path in arguments.data.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not gpus or not paths:
        what = "TensorFlow sees no GPU (`tfdfd doctor` says why)" if paths else f"no clips under {arguments.data}"
        print(f"nothing was measured: {what}", file=sys.stderr)
        return 2
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)  # else TensorFlow leaves DALI no memory
    clips = [Clip(str(path.relative_to(arguments.data)), path) for path in paths]
    nvdec, pyav = DaliFrameSource(gpu=True, device_id=0, num_threads=os.cpu_count() or 1), PyAvFrameSource()
    is_near = compare(clips, nvdec, pyav)
    measure("NVDEC", clips, nvdec, arguments.rounds)
    measure("PyAV", clips, pyav, arguments.rounds)
    return 0 if is_near else 1


if __name__ == "__main__":
    sys.exit(main())
