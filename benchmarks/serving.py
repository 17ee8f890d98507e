"""Serving and scoring against their peers, in one run: latency, throughput, first requests, clips, start-up.

    python benchmarks/serving.py --model saved_models/NAME --data data/clips --peers peers/bin/python

Ours and theirs take turns, so that a busy machine slows both; figures are medians and ratios. The peers run in an
environment of their own (extraction_peers.py and naive_server.py say what they need); without --peers their columns are
missing. The sections, of which --only picks some:

    signatures  each signature in a fresh process as a server has it: loaded, its warm-up records replayed or not, the
                first request against the median of the next ones
    clients     one to sixteen clients of the server, against Flask with Keras's predict. The server is
                tensorflow_model_server where it is on the PATH, else the Python server of our tests, which is said
    clips       `tfdfd score` on 10-second clips of 1080p, once warm, against PyAV, which merely decodes them, and
                against OpenCV, facenet-pytorch and predict
    start-up    `tfdfd score` to its first answer against `import tensorflow`, and `tfdfd --help`
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from extraction import Peers, clips_of_1080p, decode_all  # which quietens TensorFlow
from serving_load import measure_clients
from serving_requests import SIGNATURES_TIMED

HERE = Path(__file__).parent

SIZES = (20, 60)
"""Smallest faces that the plain way looks for, in pixels: facenet-pytorch's default, and ours for 1080p."""


def measure_signatures(model: Path, data: Path, runs: int) -> None:
    """Print the median and the 95th percentile of each signature, and the first request with and without warm-up."""
    clip = clips_of_1080p(data)[0]
    print(
        f"\nSignatures, one request at a time, {runs} requests: milliseconds. first: of a process that has replayed the"
    )
    print("warm-up records; cold: of one that has not, over the same median")
    print(f"{'':16}{'p50':>8}{'p95':>8}{'first':>8}{'first/p50':>11}{'cold/p50':>10}")
    for name in SIGNATURES_TIMED:
        timed = {}
        for way in ("warm", "cold"):
            command = [sys.executable, str(HERE / "serving_requests.py"), str(model), str(clip), name, way, str(runs)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            timed[way] = json.loads(done.stdout.splitlines()[-1])
        first, *others = timed["warm"]
        p50, p95 = statistics.median(others), statistics.quantiles(others, n=20)[-1]
        print(
            f"{name:16}{1e3 * p50:8.0f}{1e3 * p95:8.0f}{1e3 * first:8.0f}{first / p50:11.2f}"
            f"{timed['cold'][0] / p50:10.2f}"
        )


def measure_clips(model: Path, clips: list[Path], peers: Peers | None, runs: int) -> None:
    """Print what a clip takes from file to score, once warm, against PyAV's decoding and the plain way."""
    from rich.console import Console

    from tfdfd.commands.local_scoring import make_local_scorer

    scorer = make_local_scorer(model, Console(stderr=True))
    input_size = int(scorer.model.card()["input_size"])
    rows: dict[str, dict[str, float]] = {}
    list(scorer.score_all(clips[:2]))
    for path in clips:
        seconds: dict[str, list[float]] = {}
        indices = scorer_indices(scorer, path)
        for _ in range(runs):
            seconds.setdefault("PyAV", []).append(decode_all(path))
            # Clips in a row, as they are scored: the next is read meanwhile. The last has no next one.
            done = [time.perf_counter()]
            done += [time.perf_counter() for _ in scorer.score_all([path] * 5)]
            seconds.setdefault("in a row", []).append((done[-2] - done[1]) / (len(done) - 3))
            done = time.perf_counter()
            scorer.score(path)
            seconds.setdefault("alone", []).append(time.perf_counter() - done)
            for size in SIZES if peers else ():
                answer = peers.ask(
                    do="clip",
                    path=str(path),
                    indices=indices,
                    min_face_size=size,
                    size=scorer.model.crop_size,
                    margin=scorer.config.margin,
                    input_size=input_size,
                )
                seconds.setdefault(f"plain {size}", []).append(answer["seconds"])
        rows[path.stem] = {name: statistics.median(values) for name, values in seconds.items()}
    names = list(next(iter(rows.values())))
    print(f"\nClips of 1080p to a score by a network of {input_size} px, once warm, {runs} runs: seconds a clip")
    print(f"{'clip':12}" + "".join(f"{name:>10}" for name in names) + f"{'in a row/PyAV':>15}{'alone/PyAV':>12}")
    for clip_id, row in rows.items():
        cells = "".join(f"{row[name]:10.2f}" for name in names)
        print(f"{clip_id[-12:]:12}{cells}{row['in a row'] / row['PyAV']:15.2f}{row['alone'] / row['PyAV']:12.2f}")

    def of_medians(over: str, under: str) -> float:
        return statistics.median(row[over] / row[under] for row in rows.values())

    for name in ("in a row", "alone"):
        print(f"median over the clips, {name}: {of_medians(name, 'PyAV'):.2f} of PyAV's time")
    for size in SIZES if peers else ():
        times = of_medians(f"plain {size}", "in a row")
        print(f"median over the clips, plain way, faces from {size} px: {times:.1f} times ours")


def scorer_indices(scorer, path: Path) -> list[int]:
    """Return the frames that a scorer looks at."""
    from tfdfd.data.frame_plan import plan_frames
    from tfdfd.data.video import probe

    return plan_frames(scorer.config.frame_plan, probe(path), path).of_places.tolist()


def measure_start_up(model: Path, clip: Path, runs: int) -> None:
    """Print how long `tfdfd score` takes to its first answer, beside `import tensorflow`, each a process of its own."""
    tfdfd = [sys.executable, "-m", "tfdfd.commands.main"]
    commands = {
        "import tensorflow": [sys.executable, "-c", "import tensorflow"],
        "tfdfd score": [*tfdfd, "score", str(clip), "--model", str(model), "--json"],
        "tfdfd --help": [*tfdfd, "--help"],
        "tfdfd score --help": [*tfdfd, "score", "--help"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=HERE.parent
            ) as process:
                assert process.stdout
                process.stdout.readline()
                if name == "import tensorflow":
                    process.wait()
                seconds[name].append(time.perf_counter() - start)
                process.stdout.read()
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first reads from disk
    print(f"\nStart-up, {runs} runs: seconds to the first line of the answer, over `import tensorflow`")
    for name, value in medians.items():
        print(f"{name:20}{value:8.2f}{value / medians['import tensorflow']:8.2f}")


def main() -> int:
    """Run the sections and print their tables."""
    sections = ("signatures", "clients", "clips", "start-up")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, nargs="+", help="saved_models/NAME, maybe several")
    parser.add_argument("--data", type=Path, required=True, help="folder of clips, searched through")
    parser.add_argument("--peers", metavar="PYTHON", help="the interpreter of the peers' environment")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections, help="sections (default: all)")
    parser.add_argument("--runs", type=int, default=3, help="repeats of clips and start-up (default 3)")
    parser.add_argument("--requests", type=int, default=20, help="requests of each signature (default 20)")
    arguments = parser.parse_args()
    clips = clips_of_1080p(arguments.data)
    if not clips or arguments.runs < 1 or arguments.requests < 2:
        print(f"{arguments.data}: no 1080p mp4 in it, or --runs below 1, or --requests below 2", file=sys.stderr)
        return 2
    print(f"{len(clips)} clips of 1080p under {arguments.data}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for model in arguments.model:
        print(f"\n=== {model}")
        if "signatures" in arguments.only:
            measure_signatures(model, arguments.data, arguments.requests)
        if "clients" in arguments.only:
            measure_clients(model, arguments.peers)
        if "clips" in arguments.only:
            measure_clips(model, clips, Peers(arguments.peers) if arguments.peers else None, arguments.runs)
        if "start-up" in arguments.only:
            measure_start_up(model, clips[0], arguments.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
