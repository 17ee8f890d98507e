"""Temperature and threshold, fitted on clips that no figure is of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar

from tfdfd.evaluation.metrics import EPSILON, checked

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Temperatures that are looked at; an optimum at one of them says that the clips are too few or too easy."""


def fit_temperature(labels: np.ndarray, scores_at: Callable[[float], np.ndarray]) -> float:
    """Return the temperature at which clip scores cost the least log loss.

    Args:
        labels: int, shape (n,), 1 is fake; both labels.
        scores_at: from a temperature to the clip scores float (n,) by it.

    Returns:
        A temperature in [MIN_TEMPERATURE, MAX_TEMPERATURE].

    Raises:
        ValueError: if there is but one label, or a score is not in [0, 1].

    Source: Guo et al., "On calibration of modern neural networks", arXiv:1706.04599.
    """
    labels = _of_both(labels)

    def loss_at(log_temperature: float) -> float:
        _, scores = checked(labels, scores_at(float(np.exp(log_temperature))))
        of_truth = np.clip(np.where(labels == 1, scores, 1 - scores), EPSILON, None)
        return float(-np.log(of_truth).mean())

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    found = minimize_scalar(loss_at, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))  # pyright: ignore[reportAttributeAccessIssue]


def choose_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the threshold with the highest balanced accuracy.

    Args:
        labels: int, shape (n,), 1 is fake; both labels.
        scores: float, shape (n,), in [0, 1].

    Returns:
        In the middle between two neighbouring scores; of equally good ones the one nearest 0.5.

    Raises:
        ValueError: if there is but one label, or a score is not in [0, 1].
    """
    labels, scores = checked(_of_both(labels), scores)
    distinct, places = np.unique(scores, return_inverse=True)
    fakes, reals = (np.bincount(places, weights=labels == label, minlength=len(distinct)) for label in (1, 0))
    # Of threshold k the scores from k on are called fake; at the ends all or none of them.
    missed = np.concatenate([[0.0], np.cumsum(fakes)]) / fakes.sum()
    alarms = 1 - np.concatenate([[0.0], np.cumsum(reals)]) / reals.sum()
    thresholds = np.concatenate([[0.0], (distinct[1:] + distinct[:-1]) / 2, [1.0]])
    cost = missed + alarms
    if distinct[-1] == 1.0:  # at 1 a score of 1 is still called fake
        cost[-1] = np.inf
    best = np.flatnonzero(cost <= cost.min() + 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])


def _of_both(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if not (np.any(labels == 0) and np.any(labels == 1)):
        raise ValueError("calibration needs real and fake clips, got one label alone")
    return labels
