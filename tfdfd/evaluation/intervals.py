"""How sure the figures are: bootstrap intervals that draw originals, as ten fakes of one clip are not ten facts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tfdfd.evaluation.metrics import METRICS, FigureSettings
from tfdfd.evaluation.ranked_scores import RankedScores

CONFIDENCE = 0.95
NUM_REPLICATES = 1000


@dataclass(frozen=True)
class Interval:
    """Where a figure lies, if the clips had been others of their kind."""

    low: float
    high: float
    num_replicates: int
    """Draws that have the figure: a draw of one class has no AUC."""


def edges_of(interval: Interval | None) -> list[float] | None:
    """Return an interval as it stands in metrics.json."""
    return None if interval is None else [interval.low, interval.high]


def with_interval(value: float, interval: Interval | None) -> str:
    """Return a figure as it is printed, such as `0.8340  [0.8123, 0.8541]`."""
    return f"{value:.4f}" + ("" if interval is None else f"  [{interval.low:.4f}, {interval.high:.4f}]")


def bootstrap_intervals(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    settings: FigureSettings,
    *,
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Return a 95 % interval of each figure of `score_metrics`, by the percentiles of a cluster bootstrap.

    Each replicate draws as many groups as there are, with replacement, and takes each with all that belongs to it.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), in [0, 1].
        groups: int, shape (n,): the original, with its fakes, that each belongs to (`connected_sets`).
        settings: threshold, and bounds of the clipped log loss.
        num_replicates: draws.
        seed: of the draws.

    Returns:
        The names of METRICS with their intervals; None where no draw has the figure, or where there is but one group,
        of which nothing can be told.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].

    Source: Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007).
    """
    ranked = RankedScores(labels, scores, groups, settings)
    drawn = bootstrap_figures([ranked], num_replicates=num_replicates, seed=seed)[:, 0]
    return {name: percentile_interval(figures) for name, figures in zip(METRICS, drawn.T, strict=True)}


def bootstrap_figures(
    models: Sequence[RankedScores], *, num_replicates: int, seed: int, num_threads: int | None = None
) -> np.ndarray:
    """Draw groups, and return the figures of all models for each draw: the same draws for all of them.

    Args:
        models: scores of the same clips or faces, with the same groups.
        num_replicates: draws.
        seed: of the draws.
        num_threads: at work at the same time; all cores by default. It changes no figure.

    Returns:
        float64, shape (num_replicates, len(models), len(METRICS)); NaN where a draw does not have the figure. No draws
        at all where there is but one group.
    """
    num_groups = models[0].num_groups
    num_replicates = num_replicates if num_groups > 1 else 0
    num_threads = num_threads or os.cpu_count() or 1
    found = np.empty((num_replicates, len(models), len(METRICS)))

    def draw_from(first: int) -> None:
        for replicate in range(first, num_replicates, num_threads):
            # A seed for each draw: it is the same in whichever thread, and after however many others.
            drawn = np.random.default_rng([seed, replicate]).integers(num_groups, size=num_groups)
            times_drawn = np.bincount(drawn, minlength=num_groups)
            found[replicate] = [list(ranked.figures(times_drawn).values()) for ranked in models]

    # NumPy works on large arrays outside of the interpreter's lock, so that threads are enough.
    with ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(draw_from, range(num_threads)))  # a list, so that what one raises is raised here
    return found


def mean_interval(
    numbers: np.ndarray, groups: np.ndarray, *, num_replicates: int = NUM_REPLICATES, seed: int = 0
) -> Interval | None:
    """Return a 95 % interval of a mean, drawing groups as `bootstrap_intervals` does; None of one group.

    Args:
        numbers: float, shape (n,).
        groups: int, shape (n,).
        num_replicates: draws.
        seed: of the draws.
    """
    of_group = np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(of_group, numbers), np.bincount(of_group)
    if len(sums) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(sums), size=(num_replicates, len(sums)))
    return percentile_interval(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))


def percentile_interval(figures: np.ndarray) -> Interval | None:
    """Return the interval that holds 95 % of the draws of a figure, those that are NaN left out; None without any."""
    figures = figures[~np.isnan(figures)]
    if len(figures) == 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    return Interval(float(low), float(high), len(figures))
