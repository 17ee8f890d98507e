"""Models compared on the same clips: what is hard for one is hard for the other, so a difference is surer than both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

from tfdfd.evaluation.intervals import (
    NUM_REPLICATES,
    Interval,
    bootstrap_figures,
    percentile_interval,
)
from tfdfd.evaluation.metrics import METRICS, FigureSettings, checked, score_metrics, without_extremes
from tfdfd.evaluation.ranked_scores import RankedScores


@dataclass(frozen=True)
class PairedDifference:
    """How far a figure of two models lies apart."""

    one: str
    other: str
    figure: str
    """A name of METRICS."""
    value_of_one: float | None
    """None, like the difference, where the figure needs a class that is not there."""
    value_of_other: float | None
    difference: float | None
    """That of the other less that of the one."""
    interval: Interval | None
    """Of the difference; None where nothing can be told."""

    def written(self) -> str:
        """Return the difference with its interval, such as `+0.0120  [+0.0031, +0.0212]`; `-` where there is none."""
        if self.difference is None:
            return "-"
        edges = "" if self.interval is None else f"  [{self.interval.low:+.4f}, {self.interval.high:+.4f}]"
        return f"{self.difference:+.4f}{edges}"


def paired_differences(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    groups: np.ndarray,
    settings: FigureSettings,
    *,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> list[PairedDifference]:
    """Compare each pair of models, with 95 % intervals of the differences over the same draws of groups.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: of each model by its name, float, shape (n,), in [0, 1].
        groups: int, shape (n,): the original, with its fakes, that each belongs to.
        settings: threshold, and bounds of the clipped log loss, for all models.
        num_replicates: draws.
        seed: of the draws; the same seed draws the same as `bootstrap_intervals`.

    Returns:
        Pairs in the order of the names, the figures of METRICS for each.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].
    """
    if not scores:
        return []
    values = [score_metrics(labels, of_model, settings) for of_model in scores.values()]
    ranked = [RankedScores(labels, of_model, groups, settings) for of_model in scores.values()]
    drawn = bootstrap_figures(ranked, num_replicates=num_replicates, seed=seed)
    found = []
    for (one, name), (other, other_name) in combinations(enumerate(scores), 2):
        differences = drawn[:, other] - drawn[:, one]
        for column, figure in enumerate(METRICS):
            value, other_value = values[one][figure], values[other][figure]
            difference = None if value is None or other_value is None else other_value - value
            interval = percentile_interval(differences[:, column])
            found.append(PairedDifference(name, other_name, figure, value, other_value, difference, interval))
    return found


@dataclass(frozen=True)
class DeLong:
    """Whether two models differ in the area under the ROC curve."""

    auc_of_one: float
    auc_of_other: float
    difference: float
    """That of the other less that of the one."""
    standard_error: float
    """Of the difference."""
    z: float
    """Difference in standard errors; infinite where scores without any error differ."""
    p_value: float
    """How often models that are equally good differ by as much, one way or the other."""


def delong_test(labels: np.ndarray, one: np.ndarray, other: np.ndarray) -> DeLong:
    """Test whether two models have the same area under the ROC curve.

    It takes clips as independent. Several fakes of an original are not: the p-value is then off, and the interval of
    `paired_differences`, which draws originals, is the one to trust.

    Args:
        labels: int, shape (n,), 1 is fake.
        one: float, shape (n,), in [0, 1].
        other: float, shape (n,), in [0, 1].

    Raises:
        ValueError: if there are not two clips of each class, or a score is not in [0, 1].

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); by midranks as in Sun and Xu, IEEE Signal
    Processing Letters 21 (2014).
    """
    shares = [_shares_won(*checked(labels, scores)) for scores in (one, other)]
    aucs = [float(of_fakes.mean()) for of_fakes, _ in shares]
    difference = aucs[1] - aucs[0]
    # The variance of a difference, so that no covariance is needed, and identical scores have exactly none.
    variance = sum(
        float(np.var(of_other - of_one, ddof=1)) / len(of_one) for of_one, of_other in zip(*shares, strict=True)
    )
    error = math.sqrt(variance)
    z = 0.0
    if difference:
        z = difference / error if error else math.copysign(math.inf, difference)
    return DeLong(aucs[0], aucs[1], difference, error, z, math.erfc(abs(z) / math.sqrt(2)))


def _shares_won(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the real that each fake outscores, and of the fakes that outscore each real one.

    A tie is half won. Both have the area under the ROC curve as their mean.
    """
    fakes, reals = scores[labels == 1], scores[labels == 0]
    if min(len(fakes), len(reals)) < 2:
        raise ValueError(
            f"DeLong's test needs at least two clips of each class, got {len(fakes)} fake and {len(reals)} real"
        )
    ranks = rankdata(np.concatenate([fakes, reals]))
    # A rank among all less that among one's own class is how many of the other class lie below.
    of_fakes = (ranks[: len(fakes)] - rankdata(fakes)) / len(reals)
    of_reals = 1 - (ranks[len(fakes) :] - rankdata(reals)) / len(fakes)
    return of_fakes, of_reals


def ensembles(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Combine the clip scores of several models.

    Args:
        scores: of each model by its name, float, shape (n,), in [0, 1], the same clips in the same order.

    Returns:
        `arithmetic mean` and `geometric mean`, float64, shape (n,). The geometric one is g1 / (g1 + g0) of the
        geometric means g1 of the probabilities of fake and g0 of those of real: these do not sum to one, and g1 alone
        would lean towards real wherever models disagree.

    Raises:
        ValueError: if there are fewer than two models, or they have not as many clips.
    """
    shapes = {name: np.shape(of_model) for name, of_model in scores.items()}
    if len(shapes) < 2 or len(set(shapes.values())) > 1:
        raise ValueError(f"an ensemble needs at least two models, with scores of the same clips, got {shapes}")
    stacked = np.array(list(scores.values()), np.float64)
    # The same as g1 / (g1 + g0): the mean of the log odds, back to a probability.
    geometric = expit(logit(without_extremes(stacked)).mean(axis=0))
    return {"arithmetic mean": stacked.mean(axis=0), "geometric mean": geometric}
