"""A clip's score over time with its faces, as one picture."""

from __future__ import annotations

import io
import warnings
from pathlib import PurePath

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tfdfd.reports.charts import DASHED, series_style
from tfdfd.reports.themed_svg import SERIES
from tfdfd.scored_clip import ScoredClip, ScoredTrack

INK, SOFT, LINE, PAPER = "#1c1f23", "#5b636e", "#d9dce1", "#ffffff"
"""The light colours of the reports' pages, for a picture that lies on no page."""
COLOURS = dict(zip(SERIES, ("#0072b2", "#bf4d00", "#12503c", "#d264a0", "#3d0f3a", "#968b66"), strict=True))
"""The colours of lines, by what stands for them in the reports' charts."""
MOST_PEOPLE = 4
"""People whose faces are shown, and who have a line of their own in the legend."""
MOST_MARKERS = 400
"""Faces whose points are marked on the lines; more would be a smear."""
NUM_SLOTS = 17
"""Faces along the time axis: each is the most suspicious one of its stretch of time."""

_WIDTH, _LEFT, _RIGHT = 1000, 64, 16
_ABOVE, _PLOT, _BELOW = 78, 250, 52
_GAP = 4
_SLOT = (_WIDTH - _LEFT - _RIGHT) / NUM_SLOTS
_NAME_ROW, _FACE_ROW = 22, _SLOT + 20
_STYLE = {
    "text.parse_math": False,  # a file name may hold a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


def timeline_figure(clip: ScoredClip, *, threshold: float) -> Figure:
    """Draw the probability of each face over time, one line a person, and the faces below, along the time axis.

    The windows of a long clip have scores of their own, drawn as steps; who a person is, is known within a window only.

    Args:
        clip: scored; with crops, where faces are to be shown.
        threshold: of the scoring rule.

    Returns:
        The drawing, 1000 units wide, 72 to an inch.
    """
    people = _people(clip)
    shown = [tracks for tracks in people[:MOST_PEOPLE] if any(track.crops is not None for track in tracks)]
    height = _ABOVE + _PLOT + _BELOW + len(shown) * (_NAME_ROW + _FACE_ROW)
    end = max((window.end_seconds for window in clip.windows), default=1.0) or 1.0
    with style.context([_STYLE], after_reset=True):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(_WIDTH / 72, height / 72))
        _write_title(figure, clip, height)
        axes = _axes(figure, height, top=_ABOVE, rows=_PLOT, end=end)
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xlabel("seconds")
        axes.set_ylabel("probability of fake")
        _draw_lines(axes, clip, people, threshold)
        for number, tracks in enumerate(shown):
            top = _ABOVE + _PLOT + _BELOW + number * (_NAME_ROW + _FACE_ROW)
            colour = COLOURS[series_style(number).colour]
            _text(figure, height, _LEFT, top + _NAME_ROW / 2, _name(number, clip), color=colour)
            if number == 0:
                note = f"the highest of each stretch of time; bold from the threshold {threshold:.2f} on"
                _text(figure, height, _WIDTH - _RIGHT, top + _NAME_ROW / 2, note, color=SOFT, ha="right", fontsize=11)
            row = _axes(figure, height, top=top + _NAME_ROW, rows=_FACE_ROW, end=end)
            _draw_faces(row, tracks, end, threshold)
    return figure


def timeline_png(clip: ScoredClip, *, threshold: float) -> bytes:
    """Return `timeline_figure` as the bytes of a PNG file, the same for the same clip."""
    buffer = io.BytesIO()
    with style.context([_STYLE], after_reset=True), warnings.catch_warnings():  # pyright: ignore[reportArgumentType]
        warnings.filterwarnings("ignore", message="Glyph")  # a box stands for a letter that the font lacks
        timeline_figure(clip, threshold=threshold).savefig(buffer, format="png", dpi=108, metadata={"Software": None})
    return buffer.getvalue()


def _people(clip: ScoredClip) -> list[list[ScoredTrack]]:
    """Return the main tracks of all windows, then the second ones, and so on."""
    most = max((len(window.tracks) for window in clip.windows), default=0)
    return [[window.tracks[rank] for window in clip.windows if len(window.tracks) > rank] for rank in range(most)]


def _name(number: int, clip: ScoredClip) -> str:
    name = "main person" if number == 0 else f"person {number + 1}"
    return name if clip.max_score is None else f"{name} of each window"


def _write_title(figure: Figure, clip: ScoredClip, height: float) -> None:
    if clip.clip_score is None:
        verdict = f"no score: {clip.reason}"
    else:
        verdict = f"{'fake' if clip.is_fake else 'real'}, score {clip.clip_score:.3f}"
        verdict += "" if clip.max_score is None else f" (mean of its windows, highest {clip.max_score:.3f})"
        verdict += f"; {clip.status}: {clip.reason}" if clip.reason else ""
    _text(figure, height, _LEFT, 16, _cut(PurePath(clip.path).name, 90), fontweight="bold", fontsize=14)
    _text(figure, height, _LEFT, 37, _cut(verdict, 125))


def _cut(text: str, length: int) -> str:
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _text(figure: Figure, height: float, x: float, y: float, text: str, **options: object) -> None:
    figure.text(x / _WIDTH, 1 - y / height, text, va="center_baseline", **options)  # pyright: ignore[reportArgumentType]


def _axes(figure: Figure, height: float, *, top: float, rows: float, end: float) -> Axes:
    bounds = (_LEFT / _WIDTH, 1 - (top + rows) / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, rows / height)
    axes = figure.add_axes(bounds)
    axes.set_xlim(0, end)
    return axes


def _draw_lines(axes: Axes, clip: ScoredClip, people: list[list[ScoredTrack]], threshold: float) -> None:
    legend: list[Line2D] = []
    is_crowded = sum(int(track.is_face.sum()) for tracks in people for track in tracks) > MOST_MARKERS
    for number, tracks in enumerate(people):
        drawn = series_style(number)
        for track in tracks:
            seconds, probabilities = track.seconds[track.is_face], track.face_probabilities[track.is_face]
            (line,) = axes.plot(
                seconds,
                probabilities,
                color=COLOURS[drawn.colour],
                linestyle=drawn.dashes,
                linewidth=0.9 if is_crowded else 1.8,
                marker="None" if is_crowded else drawn.marker,
                label=_name(number, clip),
                clip_on=False,
                zorder=3,
            )
        if tracks and number < MOST_PEOPLE:
            legend.append(line)
    scored = [(window, window.score) for window in clip.windows if window.score is not None]
    for window, score in scored:
        (step,) = axes.plot([window.start_seconds, window.end_seconds], [score, score], color=INK, linewidth=3.5,
                            alpha=0.55, solid_capstyle="butt", zorder=2,
                            label="score" if clip.max_score is None else "score of a window")  # fmt: skip
        axes.axvline(window.start_seconds, color=LINE, linewidth=0.8)
    legend += [step] if scored else []
    legend.append(axes.axhline(threshold, color=INK, linestyle=DASHED, linewidth=1.2, label="threshold"))
    axes.legend(handles=legend, loc="lower left", bbox_to_anchor=(-0.012, 1.0), ncols=len(legend), frameon=False,
                handlelength=3, columnspacing=1.6, labelcolor=INK)  # fmt: skip


def _draw_faces(axes: Axes, tracks: list[ScoredTrack], end: float, threshold: float) -> None:
    """Draw in each stretch of time the most suspicious face, its probability below."""
    axes.set_axis_off()
    axes.set_ylim(_FACE_ROW, 0)
    best: dict[int, tuple[float, np.ndarray]] = {}
    for track in tracks:
        if track.crops is None:
            continue
        for place in np.flatnonzero(track.is_face).tolist():
            slot = min(int(track.seconds[place] / end * NUM_SLOTS), NUM_SLOTS - 1)
            probability = float(track.face_probabilities[place])
            if slot not in best or probability > best[slot][0]:
                best[slot] = (probability, track.crops[place])
    unit = end / (_SLOT * NUM_SLOTS)
    for slot, (probability, crop) in best.items():
        left, right = (slot * _SLOT + _GAP / 2) * unit, ((slot + 1) * _SLOT - _GAP / 2) * unit
        bottom = _SLOT - _GAP
        axes.imshow(crop, extent=(left, right, bottom, 0), aspect="auto", interpolation="antialiased")
        is_fake = np.float32(probability) >= np.float32(threshold)
        axes.add_patch(
            Rectangle(
                (left, 0),
                right - left,
                bottom,
                fill=False,
                edgecolor=INK if is_fake else SOFT,
                linewidth=2.6 if is_fake else 0.8,
                clip_on=False,
            )
        )
        axes.text((left + right) / 2, bottom + 11, f"{probability:.2f}", ha="center", va="center_baseline",
                  fontweight="bold" if is_fake else "normal", color=INK if is_fake else SOFT, fontsize=11)  # fmt: skip
    axes.set_xlim(0, end)
    axes.set_ylim(_FACE_ROW, 0)
