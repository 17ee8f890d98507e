"""Charts of the scores of all clips: how well they separate, what they are worth, how they spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tfdfd.reports.charts import (
    ABOVE,
    BELOW,
    DASHED,
    DOTTED,
    LEGEND_ROW,
    RIGHT,
    WIDTH,
    Chart,
    check_alike,
    drawing,
    series_line,
    series_style,
)
from tfdfd.reports.page import counted
from tfdfd.reports.themed_svg import INK, SOFT
from tfdfd.reports.thinning import thinned

NUM_HISTOGRAM_BINS = 25
_SIDE = 280
"""Height of the axes of both curves in units."""
_REAL, _FAKE = 0, 1
"""The series that real and fake clips are drawn as."""


@dataclass(frozen=True)
class RocCurve:
    """How many fakes are found at how many false alarms."""

    name: str
    false_positive_rate: np.ndarray
    """float, shape (n,), from 0 to 1, never falling."""
    true_positive_rate: np.ndarray
    """float, shape (n,), from 0 to 1, never falling."""
    figure: str
    """What the legend says, such as `AUC 0.912 [0.880, 0.941]`."""

    def __post_init__(self) -> None:
        check_alike(self.name, self.false_positive_rate, self.true_positive_rate)


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """How many of those called fake are fake, at how many fakes found."""

    name: str
    recall: np.ndarray
    """float, shape (n,), from 1 down to 0, as scikit-learn has it."""
    precision: np.ndarray
    """float, shape (n,), in [0, 1]."""
    figure: str
    """What the legend says, such as `average precision 0.93`."""

    def __post_init__(self) -> None:
        check_alike(self.name, self.recall, self.precision)


@dataclass(frozen=True)
class ReliabilityBin:
    """The clips whose scores are about the same: one of bins of equal width from 0 to 1, of which none is left out."""

    mean_score: float
    """In [0, 1]; not looked at where the bin is empty."""
    share_fake: float
    count: int


def roc_chart(curves: Sequence[RocCurve], *, key: str = "roc") -> Markup:
    """Draw ROC curves, the line of chance, and where the error is the same for both classes."""
    with drawing():
        told = "; ".join(f"{curve.name}, {curve.figure}" for curve in curves)
        chart, axes = _square(key, f"ROC: share of fakes found against share of real called fake. {told}", len(curves))
        chance = axes.plot([0, 1], [0, 1], color=SOFT, linestyle=DOTTED, linewidth=1.2)[0]
        rows = []
        for number, curve in enumerate(curves):
            line = series_line(axes, number, *thinned(curve.false_positive_rate, curve.true_positive_rate))
            axes.plot(*_equal_error(curve), color=line.get_color(), marker="o", markersize=7, markerfacecolor="none",
                      markeredgewidth=1.6, gid=f"mark-equal-error-{number}", clip_on=False)  # fmt: skip
            rows.append((line, curve.name, curve.figure))
        ring = Line2D([], [], color=INK, linestyle="none", marker="o", markersize=7, markerfacecolor="none")
        rows += [(ring, "equal error: misses as often as it cries wolf", ""), (chance, "chance", "AUC 0.5")]
        chart.name_axes(axes, right="real clips called fake", up="fakes found")
        chart.legend(ABOVE + _SIDE + BELOW, rows)
        return chart.svg()


def precision_recall_chart(
    curves: Sequence[PrecisionRecallCurve], *, base_rate: float, key: str = "precision-recall"
) -> Markup:
    """Draw precision-recall curves, and the share of fakes that guessing would reach."""
    with drawing():
        told = "; ".join(f"{curve.name}, {curve.figure}" for curve in curves)
        label = f"Precision and recall: share of fakes among those called fake against share of fakes found. {told}"
        chart, axes = _square(key, label, len(curves))
        guess = axes.axhline(base_rate, color=SOFT, linestyle=DOTTED, linewidth=1.2)
        rows = []
        for number, curve in enumerate(curves):
            # Average precision adds steps, so steps are what is drawn.
            steps = np.repeat(curve.recall, 2)[1:], np.repeat(curve.precision, 2)[:-1]
            rows.append((series_line(axes, number, *thinned(*steps)), curve.name, curve.figure))
        chart.name_axes(axes, right="fakes found (recall)", up="fakes among those called fake (precision)")
        chart.legend(ABOVE + _SIDE + BELOW, [*rows, (guess, "guessing", f"share of fakes {base_rate:.2f}")])
        return chart.svg()


def reliability_chart(bins: Sequence[ReliabilityBin], *, key: str = "reliability") -> Markup:
    """Draw the share of fakes among clips of about one score, and below how many those are."""
    with drawing():
        above, gap, under = 216, 28, 48
        counts = [entry.count for entry in bins]
        label = f"Reliability: share of fakes against mean score, {len(bins)} bins of {sum(counts)} clips"
        chart = Chart(key, label, height=ABOVE + above + gap + under + BELOW + 2 * LEGEND_ROW)
        axes = _unit_square(chart.axes(top=ABOVE, height=above))
        axes.tick_params(labelbottom=False)
        ideal = axes.plot([0, 1], [0, 1], color=SOFT, linestyle=DOTTED, linewidth=1.2)[0]
        filled = [entry for entry in bins if entry.count > 0]
        scores, shares = [entry.mean_score for entry in filled], [entry.share_fake for entry in filled]
        seen = axes.plot(scores, shares, color=series_style(0).colour, gid="mark-reliability")[0]
        # A bin of three clips must not look as sure as one of three hundred.
        most = max(counts, default=1)
        areas = [16 + 64 * entry.count / most for entry in filled]
        axes.scatter(scores, shares, s=areas, color=series_style(0).colour, clip_on=False, zorder=3)
        below = chart.axes(top=ABOVE + above + gap, height=under)
        below.bar(np.linspace(0, 1, len(bins) + 1)[:-1], counts, width=0.92 / max(len(bins), 1), align="edge",
                  color=SOFT, gid="mark-counts")  # fmt: skip
        below.set_xlim(0, 1)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        chart.text(0, ABOVE + above + 17, "clips in the bin", colour=SOFT)
        chart.name_axes(below, right="clip score", up="share that is fake")
        rows = [(seen, "clips of about one score", "larger: more clips"), (ideal, "scores that mean what they say", "")]
        chart.legend(ABOVE + above + gap + under + BELOW, rows)
        return chart.svg()


def score_histogram(
    real_scores: np.ndarray, fake_scores: np.ndarray, threshold: float, *, key: str = "histogram"
) -> Markup:
    """Draw how scores of fake and of real clips spread, and how many lie on each side of the threshold."""
    with drawing():
        panel, gap = 118, 30
        label = f"Scores of {len(fake_scores)} fake and {len(real_scores)} real clips, threshold {threshold:.2f}"
        chart = Chart(key, label, height=2 * (panel + gap) + BELOW + LEGEND_ROW)
        edges = np.linspace(0, 1, NUM_HISTOGRAM_BINS + 1)
        histograms = [np.histogram(scores, edges)[0] for scores in (fake_scores, real_scores)]
        threshold_line = Line2D([], [], color=INK, linestyle=DASHED, linewidth=1.2)
        classes = (("fake", fake_scores, _FAKE), ("real", real_scores, _REAL))
        for number, (name, scores, series) in enumerate(classes):
            top = number * (panel + gap) + gap
            axes = chart.axes(top=top, height=panel)
            shares = histograms[number] / max(len(scores), 1)
            axes.bar(edges[:-1], shares, width=0.94 / NUM_HISTOGRAM_BINS, align="edge",
                     color=series_style(series).colour, gid=f"mark-{name}")  # fmt: skip
            axes.axvline(threshold, color=INK, linestyle=DASHED, linewidth=1.2, gid="mark-threshold")
            axes.tick_params(labelbottom=number == 1)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, max(0.05, *(count.max() / max(count.sum(), 1) for count in histograms)) * 1.12)
            axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
            called = int((np.asarray(scores) >= threshold).sum())
            chart.text(0, top - 13, counted(len(scores), f"{name} clip"), colour=series_style(series).colour)
            told = f"{len(scores) - called:,} called real, {called:,} called fake"
            chart.text(WIDTH - RIGHT, top - 13, told, colour=SOFT, align="right")
        axes.set_xlabel("clip score")
        rows = [(threshold_line, "threshold: called fake from here on", f"{threshold:.2f}")]
        chart.legend(2 * (panel + gap) + BELOW, rows)
        return chart.svg()


def _square(key: str, label: str, num_curves: int) -> tuple[Chart, Axes]:
    chart = Chart(key, label, height=ABOVE + _SIDE + BELOW + LEGEND_ROW * (num_curves + 2))
    return chart, _unit_square(chart.axes(top=ABOVE, height=_SIDE))


def _unit_square(axes: Axes) -> Axes:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    return axes


def _equal_error(curve: RocCurve) -> tuple[list[float], list[float]]:
    """Return the point at which as large a share of the real is called fake as of the fakes is missed."""
    gap = np.asarray(curve.false_positive_rate) + curve.true_positive_rate - 1
    after = max(int(np.argmax(gap >= 0)), 1)
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    rates = (curve.false_positive_rate, curve.true_positive_rate)
    x, y = (float(rate[after - 1] + share * (rate[after] - rate[after - 1])) for rate in rates)
    return [x], [y]
