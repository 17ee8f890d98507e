"""How sure the figures are: bootstrap intervals that draw originals, as ten fakes of one clip are not ten facts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfdfd.evaluation.metrics import (
    CLIP_HIGH,
    CLIP_LOW,
    EPSILON,
    METRICS,
    NUM_BINS,
    REAL_PER_FAKE,
    RECALLS,
    bins_of,
    checked,
    crossing,
)

CONFIDENCE = 0.95
NUM_REPLICATES = 1000


@dataclass(frozen=True)
class Interval:
    """Where a figure lies, if the clips had been others of their kind."""

    low: float
    high: float
    num_replicates: int
    """Draws that have the figure: a draw of one class has no AUC."""


def bootstrap_intervals(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    *,
    threshold: float,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Return a 95 % interval of each figure of `score_metrics`, by the percentiles of a cluster bootstrap.

    Each replicate draws as many groups as there are, with replacement, and takes each with all that belongs to it.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), in [0, 1].
        groups: int, shape (n,), from 0: the original, with its fakes, that each belongs to (`connected_sets`).
        threshold: a score at or above it is called fake.
        num_replicates: draws.
        seed: of the draws.

    Returns:
        The names of METRICS with their intervals; None where no draw has the figure, or where there is but one group,
        of which nothing can be told.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].

    Source: Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007).
    """
    ranked = RankedScores(labels, scores, threshold=threshold)
    num_groups = int(np.max(groups)) + 1
    of_rank = np.asarray(groups)[ranked.order]
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in ranked.figures(np.ones(len(of_rank)))}
    for _ in range(num_replicates if num_groups > 1 else 0):
        times_drawn = np.bincount(rng.integers(num_groups, size=num_groups), minlength=num_groups)
        for name, figure in ranked.figures(times_drawn[of_rank].astype(np.float64)).items():
            if not np.isnan(figure):
                found[name].append(figure)
    tail = (1 - CONFIDENCE) / 2
    return {
        name: Interval(float(np.quantile(figures, tail)), float(np.quantile(figures, 1 - tail)), len(figures))
        if figures
        else None
        for name, figures in found.items()
    }


class RankedScores:
    """Scores in descending order, once sorted for many sets of weights: the figures of METRICS in linear time.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), in [0, 1].
        threshold: a score at or above it is called fake.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray, *, threshold: float) -> None:
        labels, scores = checked(labels, scores)
        self.order = np.argsort(-scores, kind="stable")
        """int, shape (n,): the row of each rank."""
        labels, scores = labels[self.order], scores[self.order]
        # Scores that are equal are one threshold.
        self._ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
        self._is_fake = (labels == 1).astype(np.float64)
        self._losses = {
            "log_loss": _losses(labels, np.clip(scores, EPSILON, 1 - EPSILON)),
            "log_loss_clipped": _losses(labels, np.clip(scores, CLIP_LOW, CLIP_HIGH)),
            "accuracy": ((scores >= threshold) == (labels == 1)).astype(np.float64),
            "brier_score": np.square(scores - labels),
        }
        self._bins = bins_of(scores)
        self._excess = labels - scores

    def figures(self, weights: np.ndarray) -> dict[str, float]:
        """Return the figures where each score counts as often as its weight says.

        Args:
            weights: float64, shape (n,), in the order of `order`, not all 0.

        Returns:
            The names of METRICS; NaN where a figure needs a class that is not there.
        """
        fake = weights * self._is_fake
        total, num_fake = weights.sum(), fake.sum()
        num_real = total - num_fake
        found = {name: float(losses @ weights / total) for name, losses in self._losses.items()}
        errors = np.bincount(self._bins, weights=weights * self._excess, minlength=NUM_BINS)
        found["expected_calibration_error"] = float(np.abs(errors).sum() / total)
        if num_fake == 0 or num_real == 0:
            return {name: found.get(name, float("nan")) for name in _NAMES}
        real = weights - fake
        for name, single in (("log_loss_balanced", "log_loss"), ("balanced_accuracy", "accuracy")):
            of_fake, of_real = (self._losses[single] @ part for part in (fake, real))
            found[name] = float(of_fake / num_fake + of_real / num_real) / 2
        hits = np.concatenate([[0.0], np.cumsum(fake)[self._ends]])
        alarms = np.concatenate([[0.0], np.cumsum(real)[self._ends]])
        found["auc"] = float((np.diff(alarms) * (hits[1:] + hits[:-1])).sum() / (2 * num_fake * num_real))
        precision = np.divide(hits, hits + alarms, out=np.zeros_like(hits), where=hits + alarms > 0)
        found["average_precision"] = float((np.diff(hits) * precision[1:]).sum() / num_fake)
        found["equal_error_rate"] = crossing(alarms / num_real, 1 - hits / num_fake)
        for recall in RECALLS:
            point = int(np.searchsorted(hits, recall * num_fake - 1e-9))
            found[f"precision_at_recall_{recall}"] = float(precision[point])
            weighted = hits[point] / (hits[point] + REAL_PER_FAKE * alarms[point])
            found[f"log_weighted_precision_at_recall_{recall}"] = float(np.log(weighted))
        return {name: found[name] for name in _NAMES}


_NAMES = tuple(METRICS)


def _losses(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return -np.log(np.where(labels == 1, scores, 1 - scores))
