"""What is fitted to scores of known labels: the temperature that makes them as sure as they are right, a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from tfdfd.evaluation.metrics import checked, without_extremes

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Where a temperature is looked for; one that sits on a bound says that the best lies beyond."""
_NUM_STARTS = 25


def fit_temperature(labels: np.ndarray, scores_at: Callable[[float], np.ndarray]) -> float:
    """Return the temperature at which the plain log loss of clip scores is lowest.

    Args:
        labels: int, shape (n,), 1 is fake, both classes.
        scores_at: from a temperature to the clip scores by it, float, shape (n,), in [0, 1].

    Returns:
        In [MIN_TEMPERATURE, MAX_TEMPERATURE], to about a ten-thousandth of itself. Exactly a bound where the loss
        still falls there: scores that separate the classes can never be too sure, scores that tell nothing never
        unsure enough.

    Raises:
        ValueError: if a class is missing, or a score is not in [0, 1].

    Source: Guo et al., arXiv:1706.04599.
    """
    _check_both_classes(labels)

    def loss_at(temperature: float) -> float:
        of_labels, scores = checked(labels, scores_at(temperature))
        return log_loss(of_labels, without_extremes(scores), labels=[0, 1])

    # Scores that combine many faces may have several valleys of the loss: find the deepest, then its floor.
    starts = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, _NUM_STARTS).tolist()
    losses = [loss_at(start) for start in starts]
    best = int(np.argmin(losses))
    floor = minimize_scalar(
        lambda log_temperature: loss_at(math.exp(log_temperature)),
        bounds=(math.log(starts[max(best - 1, 0)]), math.log(starts[min(best + 1, _NUM_STARTS - 1)])),
        method="bounded",
        options={"xatol": 1e-4},
    )
    if loss_at(1.0) <= min(losses[best], floor.fun):  # as where all temperatures are equally good
        return 1.0
    # A bounded search comes near to its bounds and never tries them.
    return starts[best] if losses[best] <= floor.fun else math.exp(floor.x)


def choose_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the threshold with the highest balanced accuracy, where a score at or above it is called fake.

    Args:
        labels: int, shape (n,), 1 is fake, both classes.
        scores: float, shape (n,), in [0, 1].

    Returns:
        In [0, 1], in the middle between two neighbours among the distinct scores and 0 and 1. Of several that are
        equally good the one nearest to 0.5, of two as near the lower.

    Raises:
        ValueError: if a class is missing, or a score is not in [0, 1].
    """
    labels, scores = checked(labels, scores)
    _check_both_classes(labels)
    edges = np.concatenate([[0.0], np.unique(scores), [1.0]])
    thresholds = (edges[:-1] + edges[1:]) / 2
    fakes, reals = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    found = len(fakes) - np.searchsorted(fakes, thresholds)
    passed = np.searchsorted(reals, thresholds)
    # Balanced accuracy times twice the product of both counts: whole numbers, so that ties are ties.
    qualities = found * len(reals) + passed * len(fakes)
    best = thresholds[qualities == qualities.max()]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _check_both_classes(labels: np.ndarray) -> None:
    num_fake, num_real = int((np.asarray(labels) == 1).sum()), int((np.asarray(labels) == 0).sum())
    if not (num_fake and num_real):
        raise ValueError(f"calibration needs real and fake clips, got {num_real} real and {num_fake} fake")
