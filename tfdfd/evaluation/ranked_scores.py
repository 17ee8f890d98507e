"""Scores sorted once for many draws of their originals: every figure of a draw in linear time."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from tfdfd.evaluation.metrics import (
    METRICS,
    NUM_BINS,
    REAL_PER_FAKE,
    RECALLS,
    FigureSettings,
    bins_of,
    checked,
    clipped,
    crossing,
    without_extremes,
)


class RankedScores:
    """Scores in descending order, sorted once for many draws of groups: the figures of METRICS in linear time.

    Figures that are sums over the scores need but one sum a group. Those of the ranks go through all scores, in whole
    numbers for as long as they can: a running sum of these takes a seventh of one of floats.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), in [0, 1].
        groups: int, shape (n,): what is drawn together; any numbers.
        settings: threshold, and bounds of the clipped log loss.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, settings: FigureSettings) -> None:
        labels, scores = checked(labels, scores)
        if np.shape(groups) != labels.shape:
            raise ValueError(f"need as many groups as labels, got {np.shape(groups)} and {labels.shape}")
        # Numbered anew, so that no number is drawn that nothing belongs to.
        names, groups = np.unique(groups, return_inverse=True)
        self.num_groups = len(names)
        self._sum_by_group(labels, scores, groups, settings)
        self._rank(labels, scores, groups)

    def _sum_by_group(
        self, labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, settings: FigureSettings
    ) -> None:
        is_fake = labels == 1
        summed = [
            np.ones(len(labels)),
            _losses(is_fake, without_extremes(scores)),
            _losses(is_fake, clipped(scores, settings)),
            (scores >= settings.called_fake_from) == is_fake,
            np.square(scores - labels),
        ]
        self._sums = np.array(
            [
                [np.bincount(groups[part], weights=values[part], minlength=self.num_groups) for values in summed]
                for part in (is_fake, ~is_fake)
            ]
        )
        """float64, shape (2, 5, groups): of the fake and of the real, the count and sums of _SUMMED."""
        cells = bins_of(scores) * self.num_groups + groups
        self._excess = np.bincount(cells, weights=labels - scores, minlength=NUM_BINS * self.num_groups).reshape(
            NUM_BINS, self.num_groups
        )
        """float64, shape (bins, groups): how far labels exceed scores."""

    def _rank(self, labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> None:
        order = np.argsort(-scores, kind="stable")
        is_fake, groups, scores = labels[order] == 1, groups[order], scores[order]
        self._fake_groups, self._real_groups = groups[is_fake], groups[~is_fake]
        """int, shapes (fake,) and (real,): the group of each, highest score first."""
        # A point of the ROC curve is a threshold; equal scores are one. At point 0 nothing is called fake.
        ends = np.concatenate([[0], np.flatnonzero(np.diff(scores)) + 1, [len(scores)]])
        self._fakes_at = np.concatenate([[0], np.cumsum(is_fake)])[ends]
        self._reals_at = ends - self._fakes_at
        """int, shape (points,): how many fakes, and how many real ones, a point calls fake."""
        adds_fake, adds_real = np.diff(self._fakes_at) > 0, np.diff(self._reals_at) > 0
        with_fakes, self._mixed = np.flatnonzero(adds_fake) + 1, np.flatnonzero(adds_fake & adds_real) + 1
        """int: points at which fakes are added, and those of them at which real ones are as well."""
        self._fakes_at_fakes, self._reals_at_fakes = self._fakes_at[with_fakes], self._reals_at[with_fakes]

    def figures(self, times_drawn: np.ndarray) -> dict[str, float]:
        """Return the figures where each score counts as often as its group was drawn.

        Args:
            times_drawn: int64, shape (num_groups,), not all 0.

        Returns:
            The names of METRICS; NaN where a figure needs a class that is not there.
        """
        drawn = times_drawn.astype(np.float64)
        # einsum, not @: BLAS brings threads of its own, and these and ours keep each other waiting.
        sums = np.einsum("cfg,g->cf", self._sums, drawn)
        (num_fake, *_), (num_real, *_) = sums.tolist()
        total = num_fake + num_real
        found = dict(zip(_SUMMED, (sums[:, 1:].sum(axis=0) / total).tolist(), strict=True))
        excess = np.einsum("bg,g->b", self._excess, drawn)
        found["expected_calibration_error"] = float(np.abs(excess).sum() / total)
        if num_fake and num_real:
            of_fake, of_real = (
                dict(zip(_SUMMED, means, strict=True)) for means in (sums[:, 1:] / sums[:, :1]).tolist()
            )
            for name, single in (("log_loss_balanced", "log_loss"), ("balanced_accuracy", "accuracy")):
                found[name] = (of_fake[single] + of_real[single]) / 2
            found["fakes_found"], found["false_alarms"] = of_fake["accuracy"], 1 - of_real["accuracy"]
            hits, alarms = (_running_sum(times_drawn[groups]) for groups in (self._fake_groups, self._real_groups))
            found |= self._areas(hits, alarms) | self._crossings(hits, alarms)
        return {name: found.get(name, float("nan")) for name in METRICS}

    def _areas(self, hits: np.ndarray, alarms: np.ndarray) -> dict[str, float]:
        """Return the areas under both curves, from the weights of the first 0, 1, ... fakes and real ones."""
        wrong_pairs = found_precision = hits_before = 0.0
        # Block by block: what a block needs in between stays in the processor's cache.
        for start in range(0, len(self._fakes_at_fakes), _BLOCK):
            block = slice(start, start + _BLOCK)
            hits_at = hits[self._fakes_at_fakes[block]].astype(np.float64)
            alarms_at = alarms[self._reals_at_fakes[block]].astype(np.float64)
            added = np.diff(hits_at, prepend=hits_before)
            hits_before = hits_at[-1]
            wrong_pairs += np.einsum("p,p", added, alarms_at)
            # Where nothing drawn has been called fake yet, precision is 0 / 1 and weighs nothing.
            precisions = hits_at / np.maximum(hits_at + alarms_at, 1)
            found_precision += np.einsum("p,p", added, precisions)
        # So far a pair that scores the same counted as wrong; it is half wrong.
        fakes, reals = (
            counts[at[self._mixed]] - counts[at[self._mixed - 1]]
            for counts, at in ((hits, self._fakes_at), (alarms, self._reals_at))
        )
        wrong_pairs -= (fakes * reals).sum() / 2
        return {
            "auc": float(1 - wrong_pairs / (float(hits[-1]) * float(alarms[-1]))),
            "average_precision": float(found_precision / hits[-1]),
        }

    def _crossings(self, hits: np.ndarray, alarms: np.ndarray) -> dict[str, float]:
        """Return the figures of single points, which are looked up without a walk along the curve."""
        num_fake, num_real = int(hits[-1]), int(alarms[-1])

        def counts_at(point: int) -> tuple[int, int]:
            return int(hits[self._fakes_at[point]]), int(alarms[self._reals_at[point]])

        def rates_at(point: int) -> tuple[float, float]:
            fake, real = counts_at(point)
            return real / num_real, 1 - fake / num_fake

        def is_past(point: int) -> bool:
            alarm_rate, miss_rate = rates_at(point)
            return alarm_rate >= miss_rate

        points = range(len(self._fakes_at))
        after = bisect_left(points, True, key=is_past)
        found = {"equal_error_rate": crossing(*np.transpose([rates_at(after - 1), rates_at(after)]))}
        for recall in RECALLS:
            point = bisect_left(points, recall * num_fake - 1e-9, key=lambda point: counts_at(point)[0])
            fake, real = counts_at(point)
            found[f"precision_at_recall_{recall}"] = fake / (fake + real)
            found[f"log_weighted_precision_at_recall_{recall}"] = float(np.log(fake / (fake + REAL_PER_FAKE * real)))
        return found


_BLOCK = 1 << 16
_SUMMED: tuple[str, ...] = ("log_loss", "log_loss_clipped", "accuracy", "brier_score")


def _losses(is_fake: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return -np.log(np.where(is_fake, scores, 1 - scores))


def _running_sum(values: np.ndarray) -> np.ndarray:
    """Return the sums of the first 0, 1, ... n values, int64, shape (n + 1,)."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
