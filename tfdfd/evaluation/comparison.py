"""Models compared on the same clips: paired differences, DeLong's test of the AUC, ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import norm, rankdata

from tfdfd.evaluation.intervals import (
    NUM_REPLICATES,
    Interval,
    RankedScores,
    bootstrap_figures,
    percentile_interval,
)
from tfdfd.evaluation.metrics import METRICS, FigureSettings, checked, score_metrics, without_extremes


@dataclass(frozen=True)
class PairedDifference:
    """One figure of two models on the same clips."""

    one: str
    other: str
    figure: str
    """One of METRICS."""
    value_of_one: float | None
    value_of_other: float | None
    difference: float | None
    """Other less one; None where the figure needs a class that is not there."""
    interval: Interval | None
    """Of the difference, over the same draws of originals for both; None where nothing can be told."""

    def written(self) -> str:
        """Return the difference with its interval, such as `+0.0210  [+0.0040, +0.0380]`; `-` where there is none."""
        if self.difference is None:
            return "-"
        edges = "" if self.interval is None else f"  [{self.interval.low:+.4f}, {self.interval.high:+.4f}]"
        return f"{self.difference:+.4f}{edges}"


@dataclass(frozen=True)
class DeLong:
    """DeLong's test of two AUC."""

    auc_of_one: float
    auc_of_other: float
    difference: float
    """Other less one."""
    standard_error: float
    z: float
    p_value: float
    """Two-sided."""


def paired_differences(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    groups: np.ndarray,
    settings: FigureSettings,
    *,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> list[PairedDifference]:
    """Compare every two models, figure by figure.

    What is hard about a clip is mostly hard for both models, so that the difference is surer than either figure.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: for each model float, shape (n,), in [0, 1].
        groups: int, shape (n,): the original, with its fakes, that each belongs to.
        settings: threshold, and bounds of the clipped log loss.
        num_replicates: draws for the intervals.
        seed: of the draws.

    Returns:
        For each two names in their order an entry for each of METRICS.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].
    """
    values = {name: score_metrics(labels, of_model, settings) for name, of_model in scores.items()}
    ranked = [RankedScores(labels, of_model, groups, settings) for of_model in scores.values()]
    drawn = bootstrap_figures(ranked, num_replicates=num_replicates, seed=seed)
    found = []
    for (row, one), (other_row, other) in combinations(enumerate(scores), 2):
        for column, figure in enumerate(METRICS):
            before, after = values[one][figure], values[other][figure]
            difference = None if before is None or after is None else after - before
            interval = percentile_interval(drawn[:, other_row, column] - drawn[:, row, column])
            found.append(PairedDifference(one, other, figure, before, after, difference, interval))
    return found


def delong_test(labels: np.ndarray, one: np.ndarray, other: np.ndarray) -> DeLong:
    """Test whether two models have the same AUC.

    It takes clips as independent: with several fakes an original, the interval of `paired_differences` is the one to
    trust.

    Args:
        labels: int, shape (n,), 1 is fake; both labels.
        one: float, shape (n,), in [0, 1].
        other: float, shape (n,), in [0, 1].

    Raises:
        ValueError: if there is but one label, or a score is not in [0, 1].

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); by midranks as Sun and Xu, IEEE Signal Processing
    Letters 21 (2014).
    """
    labels, one = checked(labels, one)
    _, other = checked(labels, other)
    is_fake = labels == 1
    num_fake, num_real = int(is_fake.sum()), int((~is_fake).sum())
    if not (num_fake and num_real):
        raise ValueError("an AUC needs real and fake clips, got one label alone")
    scores = np.stack([one, other])
    of_all, of_fake, of_real = (rankdata(part, axis=1) for part in (scores, scores[:, is_fake], scores[:, ~is_fake]))
    # How large a share of the real ones lies below each fake, and of the fakes above each real one.
    above = (of_all[:, is_fake] - of_fake) / num_real
    below = 1 - (of_all[:, ~is_fake] - of_real) / num_fake
    aucs = above.mean(axis=1)
    variance = sum(
        (np.var(part[1] - part[0], ddof=1) / part.shape[1] if part.shape[1] > 1 else np.nan) for part in (above, below)
    )
    difference, error = float(aucs[1] - aucs[0]), float(np.sqrt(variance))
    # Of models that rank alike nothing speaks against being equal.
    z = difference / error if error > 0 else 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return DeLong(float(aucs[0]), float(aucs[1]), difference, error, z, float(2 * norm.sf(abs(z))))


def ensembles(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Combine the clip scores of several models.

    Args:
        scores: for each model float, shape (n,), in [0, 1]; at least two.

    Returns:
        `arithmetic mean` and `geometric mean`, float64, shape (n,). The geometric one is of the probabilities of fake
        and of real, brought to a sum of 1: that of fake alone would lean to real.

    Raises:
        ValueError: for fewer than two models.
    """
    if len(scores) < 2:
        raise ValueError(f"an ensemble needs at least two models, got {list(scores)}")
    stacked = np.stack([np.asarray(of_model, np.float64) for of_model in scores.values()])
    fake = without_extremes(stacked)
    of_fake, of_real = (np.exp(np.log(part).mean(axis=0)) for part in (fake, 1 - fake))
    return {"arithmetic mean": stacked.mean(axis=0), "geometric mean": of_fake / (of_fake + of_real)}
