"""Charts of parts of an evaluation: groups of clips, disturbances, one clip over its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tfdfd.reports.charts import (
    ABOVE,
    BELOW,
    DASHED,
    LEGEND_ROW,
    RIGHT,
    WIDTH,
    Chart,
    check_alike,
    drawing,
    series_line,
    series_style,
)
from tfdfd.reports.lettering import shortened, width_of
from tfdfd.reports.themed_svg import INK, LINE, SOFT

_INTERVAL_ROW = 36


@dataclass(frozen=True)
class IntervalRow:
    """One group of a break-down."""

    name: str
    count_text: str
    """Such as `212 clips`."""
    value: float | None
    """None where the group has no such figure: too few clips, or all of one label."""
    low: float | None = None
    """Both None where there is no interval."""
    high: float | None = None


@dataclass(frozen=True)
class RobustnessLine:
    """One model, or one figure, as a disturbance grows."""

    name: str
    values: tuple[float | None, ...]
    """At each level, the first undisturbed; None where it is not known."""
    lows: tuple[float | None, ...] = ()
    highs: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class RobustnessSeries:
    """One disturbance."""

    name: str
    levels: tuple[str, ...]
    """What it was set to at each level, the first undisturbed."""
    lines: tuple[RobustnessLine, ...]

    def __post_init__(self) -> None:
        for line in self.lines:
            if len(line.values) != len(self.levels):
                raise ValueError(f"{self.name}: {line.name} has {len(line.values)} values, levels {len(self.levels)}")


@dataclass(frozen=True)
class TimelineTrack:
    """The face probabilities of one track."""

    name: str
    seconds: np.ndarray
    """float, shape (num_places,), ascending."""
    probabilities: np.ndarray
    """float, shape (num_places,), in [0, 1], NaN where there is no face."""

    def __post_init__(self) -> None:
        check_alike(self.name, self.seconds, self.probabilities)


@dataclass(frozen=True)
class TimelineStep:
    """The score of a stretch of a clip."""

    start_seconds: float
    end_seconds: float
    score: float


def interval_chart(
    rows: Sequence[IntervalRow], *, figure: str, overall: float | None, overall_name: str = "all", key: str
) -> Markup:
    """Draw a break-down: a row a group, value and interval, and a line at the value of all.

    Args:
        rows: the groups.
        figure: the figure's name, such as `AUC`.
        overall: its value over all groups, None if it has none.
        overall_name: what the overall value is of.
        key: as of `Chart`.
    """
    with drawing():
        height = _INTERVAL_ROW * len(rows)
        label = f"{figure} by group: " + "; ".join(f"{row.name} {_in_words(row)}" for row in rows)
        chart = Chart(key, label, height=height + BELOW + LEGEND_ROW)
        axes = chart.axes(top=0, height=height, left=RIGHT)
        axes.set_ylim(max(height, 1), 0)
        axes.set_yticks([])
        axes.grid(False)  # lines would strike through the names
        known = [edge for row in rows for edge in (row.value, row.low, row.high) if edge is not None]
        known += [] if overall is None else [overall]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        spare = max(high - low, 0.02) * 0.06
        axes.set_xlim(low - spare, high + spare)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        tops = _INTERVAL_ROW * np.arange(len(rows))
        known_rows = np.array([row.value is not None for row in rows], np.bool_)
        axes.hlines(tops[known_rows] + 26, low - spare, high + spare, color=LINE, linewidth=0.8)
        everything = Line2D([], [], color=SOFT, linewidth=1.6)
        if overall is not None:
            at, marked = np.full(int(known_rows.sum()), overall), tops[known_rows]
            axes.vlines(at, marked + 18, marked + 34, color=SOFT, linewidth=1.6, gid="mark-overall")
        colour = series_style(0).colour
        for number, row in enumerate(rows):
            top = number * _INTERVAL_ROW
            y = top + 26
            count = shortened(row.count_text, WIDTH / 2)
            chart.text(RIGHT, top + 11, row.name, room=WIDTH - 2 * RIGHT - 8 - width_of(count))
            chart.text(WIDTH - RIGHT, top + 11, count, colour=SOFT, align="right")
            if row.value is None:
                chart.text(RIGHT, y + 1, "too few", colour=SOFT)
                continue
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2.4, gid=f"mark-interval-{number}",
                          solid_capstyle="butt", clip_on=False)  # fmt: skip
            axes.plot([row.value], [y], color=colour, marker="o", markersize=7, gid=f"mark-value-{number}",
                      clip_on=False)  # fmt: skip
        axes.set_xlabel(figure)
        chart.legend(height + BELOW, [(everything, overall_name, f"{overall:.3f}")] if overall is not None else [])
        return chart.svg()


def robustness_chart(
    series: RobustnessSeries, *, figure: str, value_range: tuple[float, float] | None = None, key: str
) -> Markup:
    """Draw how a figure holds as one disturbance grows.

    Args:
        series: the disturbance, with a line a model.
        figure: the figure's name, such as `AUC`.
        value_range: of the axis that goes up; give several disturbances the same. None for that of the values.
        key: as of `Chart`.
    """
    with drawing():
        label = f"{figure} against {series.name}: " + "; ".join(
            f"{line.name} {_from_to(line.values)}" for line in series.lines
        )
        chart = Chart(key, label, height=ABOVE + 150 + BELOW + LEGEND_ROW * len(series.lines))
        axes = chart.axes(top=ABOVE, height=150, left=44, right=20)
        rows = []
        for number, entry in enumerate(series.lines):
            values = _numbers(entry.values)
            line = series_line(axes, number, np.arange(len(values)), values, has_markers=True)
            if entry.lows and entry.highs:
                axes.fill_between(np.arange(len(values)), _numbers(entry.lows), _numbers(entry.highs),
                                  color=line.get_color(), alpha=0.15, linewidth=0)  # fmt: skip
            rows.append((line, entry.name, _from_to(entry.values)))
        axes.set_xlim(-0.2, len(series.levels) - 0.8)
        low, high = value_range or range_of([series])
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_xticks(range(len(series.levels)), [str(level) for level in series.levels])
        chart.name_axes(axes, right=series.name, up=figure)
        chart.legend(ABOVE + 150 + BELOW, rows)
        return chart.svg()


def range_of(series: Sequence[RobustnessSeries]) -> tuple[float, float]:
    """Return a range in which all values of some disturbances, and their intervals, can be drawn."""
    lines = [line for entry in series for line in entry.lines]
    known = [value for line in lines for value in (*line.values, *line.lows, *line.highs) if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    spare = max(high - low, 0.02) * 0.06
    return low - spare, high + spare


def timeline_chart(
    tracks: Sequence[TimelineTrack],
    threshold: float,
    *,
    clip_score: float,
    steps: Sequence[TimelineStep] = (),
    key: str,
) -> Markup:
    """Draw the face probabilities of a clip over its time, a line a track with gaps where there is no face.

    Args:
        tracks: of the clip.
        threshold: at or above it a clip is called fake.
        clip_score: of the clip.
        steps: the scores of its windows, none for a clip that was scored as a whole.
        key: as of `Chart`.
    """
    with drawing():
        label = f"Face probability over time: clip score {clip_score:.3f}, threshold {threshold:.2f}; " + "; ".join(
            f"{track.name} {_from_to(track.probabilities.tolist())}" for track in tracks
        )
        chart = Chart(key, label, height=ABOVE + 120 + BELOW + LEGEND_ROW * (len(tracks) + 2 + bool(steps)))
        axes = chart.axes(top=ABOVE, height=120, right=20)  # a number may end beyond the axes
        limit = axes.axhline(threshold, color=SOFT, linestyle=DASHED, linewidth=1.2, gid="mark-threshold")
        score = axes.axhline(clip_score, color=INK, linewidth=1.2, gid="mark-clip-score")
        rows = []
        for number, track in enumerate(tracks):
            line = series_line(axes, number, track.seconds, track.probabilities, has_markers=True)
            rows.append((line, track.name, f"{int(np.isfinite(track.probabilities).sum())} faces"))
        for step in steps:
            window = axes.plot([step.start_seconds, step.end_seconds], [step.score] * 2, color=SOFT, linewidth=4,
                               solid_capstyle="butt", zorder=1.5)[0]  # fmt: skip
        if steps:
            told = [step.score for step in steps]
            rows.append((window, "score of a window", f"{min(told):.3f} to {max(told):.3f}"))
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1])
        chart.name_axes(axes, right="seconds", up="probability that the face is fake")
        rows += [(score, "clip score", f"{clip_score:.3f}"), (limit, "threshold", f"{threshold:.2f}")]
        chart.legend(ABOVE + 120 + BELOW, rows)
        return chart.svg()


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _in_words(row: IntervalRow) -> str:
    if row.value is None:
        return "too few"
    return f"{row.value:.3f}" + ("" if row.low is None else f" from {row.low:.3f} to {row.high:.3f}")


def _from_to(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return f"{known[0]:.3f} to {known[-1]:.3f}" if known else "not known"
