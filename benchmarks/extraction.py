"""Measure extraction against its peers, in one run: detector, clips, boxes of every frame, memory, cost against work.

    python benchmarks/extraction.py --data data/clips --peers peers/bin/python

The peers run in an environment of their own (see extraction_peers.py, which says what it needs); without --peers their
columns stay empty. Ours and theirs take turns, so that a busy machine slows both; figures are medians and ratios. The
sections, of which --only picks some:

    detector     1080p frames at equal settings (faces from 20 pixels, factor 0.709), one by one and in batches of six
    clips        a 1080p clip to 17 crops against decoding all its frames with PyAV, and against the plain way
    every-frame  boxes of every frame from one detection a second (benchmarks/every_frame.py)
    memory       peak memory of the whole process tree of `tfdfd prepare` over 39 and over 390 clips
    work         clips a second of `tfdfd prepare` from 10 to 160 clips, and with two workers
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from prepare_cost import measure_memory, measure_work

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = Path(__file__).parent
BATCH = 6
CONFIDENT = 0.95
"""Confidence from which a face of a peer counts as one that must be found."""
MIN_FACE_SIZE = 20
IN_A_ROW = 6
PEERS = ("mtcnn", "facenet")


class Peers:
    """The process that runs the peers.

    Args:
        python: the interpreter of their environment.
    """

    def __init__(self, python: str) -> None:
        command = [python, str(HERE / "extraction_peers.py")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request; what it takes to hand it over is not in its seconds."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the peers' process ended on {request}; run extraction_peers.py by hand to see why")
        return json.loads(answer)


def clips_of_1080p(data: Path) -> list[Path]:
    """Return the mp4 clips under a folder whose frames are 1080 pixels on the shorter side."""
    chosen = []
    for path in sorted(data.rglob("*.mp4")):
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            if min(context.width, context.height) == 1080:
                chosen.append(path)
    return chosen


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Return by how much theirs takes longer, as text; empty where it was not measured."""
    return f"{statistics.median(theirs) / statistics.median(ours):5.2f}" if theirs else "    -"


def measure_detector(clips: list[Path], peers: Peers | None, runs: int) -> None:
    """Print seconds a frame of MTCNN and its peers, and how many of their confident faces ours finds."""
    from tfdfd.clip import FramePlan
    from tfdfd.data.frame_source import PyAvFrameSource
    from tfdfd.faces.boxes import iou
    from tfdfd.faces.mtcnn import MTCNN

    ours = MTCNN(min_face_size=MIN_FACE_SIZE, thresholds=(0.6, 0.7, 0.7))
    # Portrait clips come as landscape does to a detector: the same number of pixels.
    sixes = [PyAvFrameSource().read(path, FramePlan(BATCH)).frames for path in clips]
    ours(sixes[0][:1])
    seconds: dict[tuple[str, str], list[float]] = {}
    found: dict[str, list[bool]] = {name: [] for name in PEERS}
    with tempfile.TemporaryDirectory() as folder:
        for number, frames in enumerate(sixes):
            np.save(f"{folder}/{number}.npy", frames)
        for name in PEERS if peers else ():
            peers.ask(do="detect", detector=name, frames=f"{folder}/0.npy", one_by_one=True, min_face_size=20)
        for run in range(runs):
            for number, frames in enumerate(sixes):
                for way in ("one by one", f"batch of {BATCH}"):
                    single = way == "one by one"
                    start = time.perf_counter()
                    groups = [frames[row : row + 1] for row in range(BATCH)] if single else [frames]
                    detections = [faces for group in groups for faces in ours(group)]
                    seconds.setdefault(("tfdfd", way), []).append((time.perf_counter() - start) / BATCH)
                    for name in PEERS if peers else ():
                        answer = peers.ask(
                            do="detect",
                            detector=name,
                            frames=f"{folder}/{number}.npy",
                            one_by_one=single,
                            min_face_size=MIN_FACE_SIZE,
                        )
                        seconds.setdefault((name, way), []).append(answer["seconds"] / BATCH)
                        if run or not single:
                            continue
                        for boxes, scores, mine in zip(answer["boxes"], answer["confidences"], detections, strict=True):
                            sure = np.array(boxes, np.float32).reshape(-1, 4)[np.array(scores) >= CONFIDENT]
                            overlaps = iou(sure, mine.boxes_xyxy)
                            found[name] += (overlaps.max(axis=1, initial=0) > 0.5).tolist()
    print(f"\nDetector, {len(sixes) * BATCH} frames of 1080p, smallest face {MIN_FACE_SIZE} px, {runs} runs")
    print(f"{'':12} {'tfdfd s':>8} {'mtcnn s':>8} {'facenet s':>9} {'mtcnn/tfdfd':>12} {'facenet/tfdfd':>14}")
    for way in ("one by one", f"batch of {BATCH}"):
        mine, others = seconds["tfdfd", way], [seconds.get((name, way), []) for name in PEERS]
        cells = [f"{statistics.median(other):8.3f}" if other else "       -" for other in others]
        print(
            f"{way:12} {statistics.median(mine):8.3f} {cells[0]} {cells[1]:>9} {ratio(others[0], mine):>12} "
            f"{ratio(others[1], mine):>14}"
        )
    for name, faces in found.items():
        if faces:
            print(f"faces of which {name} is sure ({CONFIDENT}): {len(faces)}, found by tfdfd: {sum(faces)}")


def decode_all(path: Path) -> float:
    """Return the seconds that PyAV takes to decode all frames with two threads."""
    start = time.perf_counter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.thread_type = 2, "AUTO"
        for _ in container.decode(stream):
            pass
    return time.perf_counter() - start


def measure_clips(clips: list[Path], peers: Peers | None, runs: int) -> None:
    """Print what a clip takes from file to crops, alone and in a row, against PyAV and the plain way."""
    from tfdfd.clip import Clip, FramePlan
    from tfdfd.commands.inputs import choose_frame_source
    from tfdfd.data.strips import encode_strip
    from tfdfd.extraction import faces_of_clips
    from tfdfd.faces.config import ExtractionConfig
    from tfdfd.faces.mtcnn import MTCNN

    config, detector = ExtractionConfig(), MTCNN()
    source, _ = choose_frame_source(gpu=False, num_threads=2)

    def extract(clip: Clip, times: int) -> list[float]:
        """Do a clip so many times as `prepare` does, the next one read meanwhile; return when each was done."""
        done = [time.perf_counter()]
        for _, faces in faces_of_clips([clip] * times, source, detector, config):
            for crops in faces.crops:
                encode_strip(crops)
            done.append(time.perf_counter())
        return done

    sizes = (MIN_FACE_SIZE, 60) if peers else ()
    rows: dict[str, dict[str, float]] = {}
    for path in clips:
        clip = Clip(path.stem, path)
        extract(clip, 1)
        indices = source.read(path, FramePlan(config.places)).frame_indices.tolist()
        seconds: dict[str, list[float]] = {}
        for _ in range(runs):
            seconds.setdefault("PyAV", []).append(decode_all(path))
            # The last one has no neighbour that is read meanwhile.
            _, first, *others, _ = extract(clip, IN_A_ROW)
            seconds.setdefault("in a row", []).append((others[-1] - first) / len(others))
            seconds.setdefault("alone", []).append(float(np.diff(extract(clip, 1))[0]))
            for size in sizes:
                answer = peers.ask(
                    do="clip",
                    path=str(path),
                    indices=indices,
                    min_face_size=size,
                    size=config.crop_size,
                    margin=config.margin,
                )
                seconds.setdefault(f"plain {size}", []).append(answer["seconds"])
        rows[path.stem] = {name: statistics.median(values) for name, values in seconds.items()}

    print(
        f"\nClips of 1080p to {config.places} crops a person, default settings, {runs} runs: seconds a clip. PyAV only"
    )
    print(
        f"decodes, all frames, two threads; in a row: {IN_A_ROW} times, the next read while this one's faces are found;"
    )
    print("plain: OpenCV, facenet-pytorch in each wanted frame, faces from so many pixels")
    names = list(next(iter(rows.values())))
    print(f"{'clip':12}" + "".join(f"{name:>10}" for name in names) + f"{'in a row/PyAV':>15}{'alone/PyAV':>12}")
    for clip_id, row in rows.items():
        cells = "".join(f"{row[name]:10.2f}" for name in names)
        print(f"{clip_id[-12:]:12}{cells}{row['in a row'] / row['PyAV']:15.2f}{row['alone'] / row['PyAV']:12.2f}")
    for name in ("in a row", "alone"):
        print(f"median over the clips, {name}: {median_ratio(rows, name, 'PyAV'):.2f} of PyAV's time")
    for size in sizes:
        print(
            f"median over the clips, plain {size} px: {median_ratio(rows, f'plain {size}', 'in a row'):.1f} times ours"
        )


def median_ratio(rows: dict[str, dict[str, float]], over: str, under: str) -> float:
    """Return the median over clips of the ratio of two columns."""
    return statistics.median(row[over] / row[under] for row in rows.values())


def main() -> int:
    """Run the sections and print their tables."""
    sections = ("detector", "clips", "every-frame", "memory", "work")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of clips, searched through")
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections, help="sections (default: all)")
    parser.add_argument("--runs", type=int, default=3, help="repeats of the timed sections (default 3)")
    arguments = parser.parse_args()
    clips = clips_of_1080p(arguments.data)
    if not clips or arguments.runs < 1:
        print(f"{arguments.data}: no 1080p mp4 in it, or --runs below 1", file=sys.stderr)
        return 2
    print(f"{len(clips)} clips of 1080p under {arguments.data}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    peers = Peers(arguments.peers) if arguments.peers else None
    if "detector" in arguments.only:
        measure_detector(clips, peers, arguments.runs)
    if "clips" in arguments.only:
        measure_clips(clips, peers, arguments.runs)
    if "every-frame" in arguments.only:
        subprocess.run([sys.executable, str(HERE / "every_frame.py"), "--data", str(arguments.data)], check=True)
    if "memory" in arguments.only:
        measure_memory(arguments.data)
    if "work" in arguments.only:
        measure_work(arguments.data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
