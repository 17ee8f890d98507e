"""Compare the faces of tfdfd's MTCNN with those of the `mtcnn` package, on real clips at the package's settings.

Prints a row a clip and a total: faces of the package, how many of them tfdfd finds (IoU above 0.5) and places
(IoU above 0.9), their mean IoU, the faces that only tfdfd finds, and seconds a frame of both with their ratio.
Times are of frames one by one, after a warm-up of both; trust the ratio, not the seconds.

    python benchmarks/mtcnn_parity.py --data data/clips --frames-per-clip 3
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}


@dataclass
class Tally:
    """What was counted over some frames."""

    ious: list[float] = field(default_factory=list)
    """Best IoU with one of ours, for each face of the package."""
    extra: int = 0
    """Faces of ours that overlap none of the package's by half."""
    package_seconds: float = 0.0
    our_seconds: float = 0.0
    num_frames: int = 0

    def add(self, other: Tally) -> None:
        """Add what was counted over other frames."""
        self.ious += other.ious
        self.extra += other.extra
        self.package_seconds += other.package_seconds
        self.our_seconds += other.our_seconds
        self.num_frames += other.num_frames

    def row(self, name: str) -> str:
        """Return a line of the table."""
        ious = np.array(self.ious)
        share = f"{(ious > 0.9).mean():8.2%} {ious.mean():8.4f}" if len(ious) else f"{'-':>8} {'-':>8}"
        package, ours = self.package_seconds / self.num_frames, self.our_seconds / self.num_frames
        return (
            f"{name[-44:]:<44} {self.num_frames:6d} {len(ious):6d} {(ious > 0.5).sum():6d} {share} "
            f"{self.extra:6d} {package:8.3f} {ours:8.3f} {ours / package:6.2f}"
        )


HEADER = (
    f"{'clip':<44} {'frames':>6} {'faces':>6} {'found':>6} {'IoU>0.9':>8} {'mean IoU':>8} {'extra':>6} "
    f"{'their s':>8} {'our s':>8} {'ratio':>6}"
)


def read_spread_frames(path: Path, count: int) -> list[np.ndarray]:
    """Return frames of a clip at the centres of equal segments, uint8 RGB (height, width, 3)."""
    with av.open(str(path)) as container:
        total = sum(packet.size > 0 for packet in container.demux(video=0))
    chosen = {int((i + 0.5) * total / count) for i in range(count)}
    with av.open(str(path)) as container:
        decoded = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for index, frame in decoded if index in chosen]


def main() -> int:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description="Compare our MTCNN with the mtcnn package on real clips.")
    parser.add_argument("--data", type=Path, required=True, help="folder of clips, searched through")
    parser.add_argument("--frames-per-clip", type=int, default=3, help="evenly spaced frames a clip (default 3)")
    arguments = parser.parse_args()
    clips = sorted(path for path in arguments.data.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not clips or arguments.frames_per_clip < 1:
        print(f"{arguments.data}: no clips in it, or --frames-per-clip below 1", file=sys.stderr)
        return 2

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from mtcnn import MTCNN as PackageMTCNN

    from tfdfd.faces.boxes import iou
    from tfdfd.faces.mtcnn import MTCNN

    package, ours = PackageMTCNN(), MTCNN(min_face_size=20, thresholds=(0.6, 0.7, 0.8))
    total = Tally()
    print(HEADER)
    for clip in clips:
        tally = Tally()
        for number, frame in enumerate(read_spread_frames(clip, arguments.frames_per_clip)):
            if not number and not total.num_frames:
                package.detect_faces(frame)
                ours(frame[None])
            start = time.perf_counter()
            faces: Any = package.detect_faces(frame)
            middle = time.perf_counter()
            (found,) = ours(frame[None])
            end = time.perf_counter()

            corners = np.array([face["box"] for face in faces], np.float32).reshape(-1, 4)
            corners[:, 2:] += corners[:, :2]
            limits = np.array([frame.shape[1], frame.shape[0]] * 2) - 1  # the package's boxes end at the frame
            overlaps = iou(corners, found.boxes_xyxy.clip(0, limits))
            ious = overlaps.max(axis=1).tolist() if len(found) else [0.0] * len(corners)
            extra = int((overlaps.max(axis=0) <= 0.5).sum()) if len(corners) else len(found)
            tally.add(Tally(ious, extra, middle - start, end - middle, 1))
        if not tally.num_frames:
            print(f"{clip}: no frame could be read", file=sys.stderr)
            continue
        print(tally.row(str(clip.relative_to(arguments.data))), flush=True)
        total.add(tally)
    if total.num_frames:
        print(total.row(f"all of {len(clips)} clips"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
