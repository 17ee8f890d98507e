"""What figures with bootstrap intervals take, beside a plain loop that resamples and calls scikit-learn.

The scores are simulated: originals with four fakes each, alike in what makes them hard, and faces alike within a clip.
Printed are, of clips and of faces: seconds and peak memory of our figures and intervals; seconds of the loop, of which
a few replicates are run and scaled to as many, and its peak memory; their ratio; and the largest difference between
both in any figure of those replicates, which draw the same originals. A last row has ours of clips and faces together,
in one process. Each part is a process of its own. Seconds leave out imports and simulation; memory includes them, and
the first row says how much they take alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    precision_recall_curve,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from sklearn.utils.class_weight import compute_sample_weight

from tfdfd.evaluation.intervals import bootstrap_figures, bootstrap_intervals
from tfdfd.evaluation.metrics import METRICS, NUM_BINS, REAL_PER_FAKE, RECALLS, FigureSettings, score_metrics
from tfdfd.evaluation.ranked_scores import RankedScores

CLIPS_PER_ORIGINAL = 5
SEED = 0
SETTINGS = FigureSettings()
Scores = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Labels, scores and groups."""


def main() -> None:
    """Run each part in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000, help="clips to simulate")
    parser.add_argument("--faces", type=int, default=17, help="faces of each")
    parser.add_argument("--clip-replicates", type=int, default=1000, help="draws for the clips' intervals")
    parser.add_argument("--face-replicates", type=int, default=200, help="draws for the faces' intervals")
    parser.add_argument("--peer-replicates", type=int, default=3, help="draws of the scikit-learn loop that are run")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(measured(arguments)))
        return
    print(
        f"{arguments.clips} clips with {arguments.faces} faces each, {-(-arguments.clips // CLIPS_PER_ORIGINAL)} "
        f"originals; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':16s} {'draws':>6s} | {'ours':>8s} {'memory':>9s} | {'sklearn':>8s} {'memory':>9s} | ratio  difference")
    alone = run_part("nothing")
    print(f"{'scores alone':16s} {'':6s} | {'':8s} {mebibytes(alone)}", flush=True)
    for kind, replicates in (("clips", arguments.clip_replicates), ("faces", arguments.face_replicates)):
        ours, peer = run_part(kind), run_part(f"{kind}-sklearn")
        # Once for the figures themselves.
        peer_seconds = peer["seconds"] / arguments.peer_replicates * (replicates + 1)
        print(
            f"{kind:16s} {replicates:6d} | {ours['seconds']:6.1f} s {mebibytes(ours)} | {peer_seconds:6.0f} s "
            f"{mebibytes(peer)} | {peer_seconds / ours['seconds']:5.0f}  {peer['difference']:.1e}",
            flush=True,
        )
    both = run_part("both")
    print(f"{'both, 1 process':16s} {'':6s} | {both['seconds']:6.1f} s {mebibytes(both)}")


def run_part(part: str) -> dict[str, float]:
    """Return what a process of this script that was given the same arguments measured."""
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--part", part], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def mebibytes(found: dict[str, float]) -> str:
    """Return the peak memory of a part for the table."""
    return f"{found['peak_bytes'] / 2**20:5.0f} MiB"


def measured(arguments: argparse.Namespace) -> dict[str, float]:
    """Run the part that the arguments name, and return its seconds, peak memory and what it found."""
    clips, faces = simulated(arguments.clips, arguments.faces)
    start = time.perf_counter()
    found = PARTS[arguments.part](clips, faces, arguments)
    seconds = time.perf_counter() - start
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_bytes": peak_kib * 1024.0} | found


def simulated(num_clips: int, num_faces: int) -> tuple[Scores, Scores]:
    """Return scores of clips and of their faces, float32 as a model gives them."""
    rng = np.random.default_rng(SEED)
    groups = np.arange(num_clips) // CLIPS_PER_ORIGINAL
    labels = (np.arange(num_clips) % CLIPS_PER_ORIGINAL > 0).astype(np.int64)
    of_groups, of_clips = rng.normal(size=groups[-1] + 1)[groups], rng.normal(size=num_clips)
    logits = 2 * labels - 1 + of_groups + 0.5 * of_clips
    of_faces = np.repeat(logits, num_faces) + 0.7 * rng.normal(size=num_clips * num_faces)
    return (
        (labels, expit(logits).astype(np.float32), groups),
        (np.repeat(labels, num_faces), expit(of_faces).astype(np.float32), np.repeat(groups, num_faces)),
    )


def ours(values: Scores, num_replicates: int) -> None:
    """Take the figures and their intervals as an evaluation does."""
    score_metrics(values[0], values[1], SETTINGS)
    bootstrap_intervals(*values, SETTINGS, num_replicates=num_replicates, seed=SEED)


def plain_loop(values: Scores, num_replicates: int) -> dict[str, float]:
    """Resample groups and call scikit-learn.

    Returns:
        `seconds` of the loop, and the largest `difference` of a figure from ours for the same draws.
    """
    labels, scores, groups = values
    num_groups = int(groups.max()) + 1
    rows_of = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    start, found = time.perf_counter(), []
    for replicate in range(num_replicates):
        # Drawn as `bootstrap_figures` does, so that the figures can be compared.
        drawn = np.random.default_rng([SEED, replicate]).integers(num_groups, size=num_groups)
        rows = np.concatenate([rows_of[group] for group in drawn])
        found.append(plain_figures(labels[rows], scores[rows].astype(np.float64)))
    seconds = time.perf_counter() - start
    ranked = RankedScores(labels, scores, groups, SETTINGS)
    expected = bootstrap_figures([ranked], num_replicates=num_replicates, seed=SEED)[:, 0]
    plain = np.array([[figures[name] for name in METRICS] for figures in found])
    return {"seconds": seconds, "difference": float(np.abs(plain - expected).max())}


def plain_figures(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return the figures of METRICS as one would write them down with scikit-learn, each curve taken once."""
    weights = compute_sample_weight("balanced", labels)
    is_called_fake = scores >= SETTINGS.threshold
    false_alarms, found, _ = roc_curve(labels, scores)
    precisions, recalls, _ = precision_recall_curve(labels, scores)
    bins = np.minimum((scores * NUM_BINS).astype(int), NUM_BINS - 1)
    figures = {
        "log_loss": log_loss(labels, scores),
        "log_loss_clipped": log_loss(labels, np.clip(scores, SETTINGS.clip_low, SETTINGS.clip_high)),
        "log_loss_balanced": log_loss(labels, scores, sample_weight=weights),
        "auc": roc_auc_score(labels, scores),
        "average_precision": average_precision_score(labels, scores),
        "equal_error_rate": brentq(lambda rate: 1 - rate - np.interp(rate, false_alarms, found), 0, 1),
        "accuracy": accuracy_score(labels, is_called_fake),
        "balanced_accuracy": balanced_accuracy_score(labels, is_called_fake),
        "fakes_found": recall_score(labels, is_called_fake),
        "false_alarms": 1 - recall_score(labels, is_called_fake, pos_label=0),
        "brier_score": brier_score_loss(labels, scores),
        "expected_calibration_error": sum(
            abs((labels - scores)[bins == number].sum()) / len(labels) for number in range(NUM_BINS)
        ),
    }
    for recall in RECALLS:
        # Recall falls with the threshold's place in the arrays.
        precision = precisions[np.flatnonzero(recalls >= recall)[-1]]
        figures[f"precision_at_recall_{recall}"] = precision
        weighted = precision / (precision + REAL_PER_FAKE * (1 - precision))
        figures[f"log_weighted_precision_at_recall_{recall}"] = np.log(weighted)
    return figures


def both_ours(clips: Scores, faces: Scores, arguments: argparse.Namespace) -> dict[str, float]:
    """Take ours of clips, then of faces."""
    ours(clips, arguments.clip_replicates)
    ours(faces, arguments.face_replicates)
    return {}


PARTS = {
    "nothing": lambda clips, faces, arguments: {},
    "clips": lambda clips, faces, arguments: ours(clips, arguments.clip_replicates) or {},
    "clips-sklearn": lambda clips, faces, arguments: plain_loop(clips, arguments.peer_replicates),
    "faces": lambda clips, faces, arguments: ours(faces, arguments.face_replicates) or {},
    "faces-sklearn": lambda clips, faces, arguments: plain_loop(faces, arguments.peer_replicates),
    "both": both_ours,
}
"""What a process can be asked for, and what does it."""


if __name__ == "__main__":
    main()
