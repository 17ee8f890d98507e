"""The figures of a set of scores with their intervals, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdfd.evaluation.intervals import NUM_REPLICATES, Interval, bootstrap_intervals, edges_of, with_interval
from tfdfd.evaluation.metrics import METRICS, FigureSettings, score_metrics


@dataclass(frozen=True)
class Figures:
    """What `score_metrics` says of some scores, and how sure that is."""

    values: dict[str, float | None]
    """Each of METRICS; None where it needs a class that is not there."""
    intervals: dict[str, Interval | None]
    """Of each of METRICS; None where nothing can be told."""
    num_real: int
    num_fake: int
    num_originals: int
    """Groups that the intervals draw."""

    @property
    def count(self) -> int:
        """Scores in all."""
        return self.num_real + self.num_fake

    def written(self, name: str) -> str:
        """Return a figure with its interval, such as `0.8340  [0.8123, 0.8541]`; `-` where there is none."""
        value = self.values[name]
        return "-" if value is None else with_interval(value, self.intervals[name])

    def to_json(self) -> dict[str, Any]:
        """Return them flat, as they stand in metrics.json: figures, counts, and `intervals` as [low, high]."""
        return {
            "count": self.count,
            "real": self.num_real,
            "fake": self.num_fake,
            "num_originals": self.num_originals,
            **self.values,
            "intervals": {name: edges_of(interval) for name, interval in self.intervals.items()},
        }


def figures_of(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    settings: FigureSettings,
    *,
    num_replicates: int = NUM_REPLICATES,
) -> Figures:
    """Return the figures of some scores.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), in [0, 1].
        groups: int, shape (n,): the original, with its fakes, that each belongs to.
        settings: threshold and bounds.
        num_replicates: draws for the intervals.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].
    """
    found = score_metrics(labels, scores, settings)
    intervals = bootstrap_intervals(labels, scores, groups, settings, num_replicates=num_replicates)
    return Figures(
        {name: found[name] for name in METRICS},
        intervals,
        num_real=int((np.asarray(labels) == 0).sum()),
        num_fake=int((np.asarray(labels) == 1).sum()),
        num_originals=len(np.unique(groups)),
    )
