"""Try this machine's NVDEC as `--decoder auto` does, then on real clips: pixels, numbering, speed, memory.

A row a kind of clip, each rendered on the spot, and the sentence that a run would print; with --make a fake in place of
NVDEC, such as tests.pipelines.fake_nvdec:WrongPixels, so that this runs without a GPU too. With --data also a row a
clip of yours (mean absolute difference of a frame at most 1 of 255, signed mean of a channel at most 0.5), then clips a
second from file to crops with NVDEC and with PyAV, and the share of that time in which the detector waits for frames.

    python benchmarks/nvdec.py --data data/clips

It has run on no GPU yet.
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
    from pipelines.nvdec_findings import Finding
    from tfdfd.clip import Clip, Detections
    from tfdfd.extraction import Detector, FrameSource

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}


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


def print_finding(name: str, finding: Finding) -> None:
    """Print a row."""
    values = (finding.mean_difference, finding.signed_mean, finding.misnumbered, finding.nvdec_seconds)
    figures = [*values, finding.pyav_seconds, None if finding.growth_bytes is None else finding.growth_bytes / 1e6]
    shown = "".join(f"{'-' if value is None else f'{value:.2f}':>10}" for value in figures)
    print(f"{name[-44:]:44}{shown}  {finding.problem or 'right and faster'}")


def print_header(what: str) -> None:
    """Print the header of such rows."""
    columns = ("mean", "signed", "other no.", "NVDEC s", "PyAV s", "growth MB")
    print(f"{what:44}" + "".join(f"{column:>10}" for column in columns) + "  finding")


def compare(clips: list[Clip], nvdec: FrameSource, pyav: FrameSource) -> bool:
    """Print how NVDEC's frames of real clips differ from PyAV's; return whether all are as near as asked for."""
    from pipelines.nvdec_trial import compare_frames
    from tfdfd.data.frame_source import NVDEC
    from tfdfd.faces.config import ExtractionConfig

    plan, is_near = ExtractionConfig().frame_plan, True
    print_header("clip")
    for clip in clips:
        theirs = nvdec.read(clip.path, plan)
        finding = compare_frames(theirs, pyav.read(clip.path, plan), clip.path)
        print_finding(clip.clip_id, finding)
        is_near &= theirs.decoder != NVDEC or not finding.problem
    return is_near


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
    """Try and measure; the exit status is 1 where NVDEC decodes something wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--make", default="pipelines.decode:nvdec_to_try", metavar="MODULE:FUNCTION", help="what to try"
    )
    parser.add_argument("--frames", type=int, help="frames of a rendered clip (default: as --decoder auto)")
    parser.add_argument("--data", type=Path, help="folder of real clips, searched through; needs a GPU")
    parser.add_argument("--rounds", type=int, default=3, help="times that all clips are extracted (default 3)")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from pipelines.nvdec_findings import Findings
    from pipelines.nvdec_trial import NUM_FRAMES, try_nvdec

    began = time.perf_counter()
    findings = Findings(try_nvdec(arguments.make, num_frames=arguments.frames or NUM_FRAMES))
    print_header("kind")
    for finding in findings.kinds:
        print_finding(finding.kind, finding)
    print(f"{findings.sentence}\n({time.perf_counter() - began:.0f} s)")
    is_near = not any(finding.is_wrong for finding in findings.kinds)
    return 0 if (arguments.data is None or real_clips(arguments.data, arguments.rounds)) and is_near else 1


def real_clips(folder: Path, rounds: int) -> bool:
    """Compare and measure on real clips; return whether all are as near as asked for."""
    from tfdfd.commands.console import import_tensorflow

    import_tensorflow()
    from pipelines.decode import nvdec_to_try
    from tfdfd.clip import Clip
    from tfdfd.data.frame_source import PyAvFrameSource

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    clips = [Clip(str(path.relative_to(folder)), path) for path in paths]
    nvdec, pyav = nvdec_to_try(), PyAvFrameSource()
    is_near = compare(clips, nvdec, pyav)
    measure("NVDEC", clips, nvdec, rounds)
    measure("PyAV", clips, pyav, rounds)
    return is_near


if __name__ == "__main__":
    sys.exit(main())
