"""Compare the boxes of every frame that sparse detection and interpolation give with detecting in every frame.

Prints a row a clip, one for the 1080p clips and one for all: faces that per-frame detection finds (its tracks only),
mean IoU with the interpolated boxes (0 where there is none), mean IoU of per-frame detections 0.1 s apart (the
detector's own jitter) and how far the first lies below the second; share of per-frame boxes that lie inside the crop
with the default margin around the interpolated box; interpolated faces where per-frame detection has none, as a share;
and seconds to decode the whole clip with PyAV on two threads, to detect and interpolate, and their ratio (medians of
the repeats).

    python benchmarks/every_frame.py --data data/clips --detect-every 1
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from tfdfd.clip import ClipFrames, Detections, Track
    from tfdfd.faces.mtcnn import MTCNN

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
JITTER_SECONDS = 0.1
_AT_ONCE = 12


@dataclass
class Tally:
    """What was measured over some clips."""

    ious: list[float] = field(default_factory=list)
    """Of each per-frame face with the interpolated box, 0 where there is none."""
    jitter: list[float] = field(default_factory=list)
    """IoU of each per-frame face with that of the same person 0.1 s later."""
    inside: list[bool] = field(default_factory=list)
    """Whether each per-frame face lies inside the crop."""
    num_extra: int = 0
    """Interpolated faces that no per-frame face touches."""
    num_frames: int = 0
    num_looks: int = 0
    decode_seconds: list[float] = field(default_factory=list)
    path_seconds: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add what was measured over other clips."""
        for name in ("ious", "jitter", "inside", "decode_seconds", "path_seconds"):
            getattr(self, name).extend(getattr(other, name))
        for name in ("num_extra", "num_frames", "num_looks"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self, name: str) -> str:
        """Return a line of the table."""
        decode, path = np.array(self.decode_seconds), np.array(self.path_seconds)
        times = f"{np.median(decode):8.2f} {np.median(path):8.2f} {np.median(path / decode):6.2f}"
        if not self.ious:
            return f"{name[-40:]:<40} {self.num_frames:6d} {self.num_looks:5d} {0:6d} {'no face':>38} {times}"
        iou, jitter = np.mean(self.ious), np.mean(self.jitter)
        return (
            f"{name[-40:]:<40} {self.num_frames:6d} {self.num_looks:5d} {len(self.ious):6d} {iou:6.3f} {jitter:6.3f} "
            f"{jitter - iou:7.3f} {np.mean(self.inside):7.2%} {self.num_extra / len(self.ious):6.2%} {times}"
        )


HEADER = (
    f"{'clip':<40} {'frames':>6} {'looks':>5} {'faces':>6} {'IoU':>6} {'jitter':>6} {'below':>7} {'inside':>7} "
    f"{'extra':>6} {'decode s':>8} {'path s':>8} {'ratio':>6}"
)


def detect_every_frame(path: Path, detector: MTCNN, quarter_turns: int) -> tuple[list[Detections], tuple[int, int]]:
    """Return the faces of every frame, and height and width of the frames as they are shown."""
    found: list[Detections] = []
    waiting: list[np.ndarray] = []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            waiting.append(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))
            if len(waiting) == _AT_ONCE:
                found += detector(np.stack(waiting))
                waiting = []
    size = (frame.height, frame.width)[:: -1 if quarter_turns % 2 else 1]
    return found + (detector(np.stack(waiting)) if waiting else []), size


def paths_everywhere(frames: ClipFrames, detector: MTCNN) -> list[Track]:
    """Detect in the frames that are looked at and return the people's boxes in every frame."""
    from tfdfd.faces.following import follow, paths_of
    from tfdfd.faces.tracking import link_tracks

    rows = frames.detection_rows
    people = link_tracks(detector(frames.frames[rows]), np.arange(len(rows)), len(rows), frames.frames.shape[1:3])
    seconds = frames.seconds_of(np.arange(frames.info.num_frames))
    tracks = [path.at(seconds) for path in paths_of(frames, follow(frames, people, detector.look_near))]
    return [track for track in tracks if track is not None]


def decode_all(path: Path) -> None:
    """Decode every frame and throw it away."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.thread_type = 2, "AUTO"
        for _ in container.decode(stream):
            pass


def compare(every: list[Track], paths: list[Track], lag: int, margin: float) -> Tally:
    """Compare per-frame tracks with interpolated ones, all over every frame of a clip.

    Args:
        every: the people as per-frame detection has them.
        paths: as interpolation has them.
        lag: frames in JITTER_SECONDS.
        margin: of the crop.
    """
    from tfdfd.faces.boxes import iou, square_boxes

    tally = Tally()
    for track in every:
        boxes = track.boxes_xyxy
        for number in np.flatnonzero(track.is_face):
            there = np.stack([path.boxes_xyxy[number] for path in paths if path.is_face[number]] or [np.zeros(4)])
            overlaps = iou(boxes[None, number], there)[0]
            crop = square_boxes(there[None, overlaps.argmax()], margin)[0]
            tally.ious.append(float(overlaps.max()))
            tally.inside.append(bool((boxes[number, :2] >= crop[:2]).all() and (boxes[number, 2:] <= crop[2:]).all()))
            if number + lag < len(boxes) and track.is_face[number + lag]:
                tally.jitter.append(float(iou(boxes[None, number], boxes[None, number + lag])[0, 0]))
    for path in paths:
        for number in np.flatnonzero(path.is_face):
            there = [track.boxes_xyxy[number] for track in every if track.is_face[number]]
            tally.num_extra += not there or not iou(path.boxes_xyxy[None, number], np.stack(there)).any()
    return tally


def timed(work: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of some work."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def main() -> int:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description="Compare interpolated boxes with per-frame detection.")
    parser.add_argument("--data", type=Path, required=True, help="folder of clips, searched through")
    parser.add_argument("--detect-every", type=float, default=1.0, metavar="SECONDS", help="as in tfdfd prepare")
    parser.add_argument("--repeats", type=int, default=3, help="of the timings (default 3)")
    arguments = parser.parse_args()
    clips = sorted(path for path in arguments.data.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not clips or arguments.repeats < 1:
        print(f"{arguments.data}: no clips in it, or --repeats below 1", file=sys.stderr)
        return 2

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tfdfd.data.frame_source import PyAvFrameSource
    from tfdfd.faces.config import ExtractionConfig
    from tfdfd.faces.mtcnn import MTCNN
    from tfdfd.faces.tracking import link_tracks

    config = ExtractionConfig(detect_every=arguments.detect_every)
    detector, source = MTCNN(min_face_share=config.min_face_share), PyAvFrameSource()
    full_hd, total = Tally(), Tally()
    print(f"looking for faces at least every {config.detect_every} s, crops with margin {config.margin}")
    print(HEADER)
    for clip in clips:
        frames = source.read(clip, config.frame_plan)
        paths = paths_everywhere(frames, detector)
        path_seconds = timed(lambda: paths_everywhere(frames, detector), arguments.repeats)  # noqa: B023, called here
        decode_seconds = timed(lambda: decode_all(clip), arguments.repeats)  # noqa: B023
        found, size = detect_every_frame(clip, detector, frames.info.quarter_turns)
        every = link_tracks(found, np.arange(len(found)), len(found), size)
        seconds = frames.seconds_of(np.arange(frames.info.num_frames))
        lag = max(1, round(JITTER_SECONDS / float(np.median(np.diff(seconds))))) if len(seconds) > 1 else 1
        tally = compare(list(every), paths, lag, config.margin)
        tally.num_frames, tally.num_looks = len(found), len(frames.detection_rows)
        tally.decode_seconds, tally.path_seconds = [decode_seconds], [path_seconds]
        print(tally.row(str(clip.relative_to(arguments.data))), flush=True)
        total.add(tally)
        if min(size) == 1080:
            full_hd.add(tally)
    if full_hd.num_frames:
        print(full_hd.row(f"the {len(full_hd.path_seconds)} of 1080p"))
    print(total.row(f"all {len(clips)} clips"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
