"""The page of people: who was put together, as rows of faces, and both projections as plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.lines import Line2D

from tfdfd.clip import FAKE, REAL, ClipError
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import read_strip
from tfdfd.data.tables import records, rows_where, values
from tfdfd.reports.charts import LEGEND_ROW, RIGHT, Chart, drawing, series_style
from tfdfd.reports.faces_in_crops import shrink
from tfdfd.reports.page import counted, picture_uri, write_page
from tfdfd.reports.selection import evenly

PEOPLE_SHOWN, FACES_SHOWN = 60, 16
"""People and faces of each that a page shows: a few MB, however large the store."""
THUMBNAIL = 72
_POINTS_SHOWN = 3_000
_PLOT = 330
"""Height of the axes of a plot in units."""
SIDES = {"train": "training", "val": "validation", "": "no side"}


@dataclass(frozen=True)
class FaceShown:
    """One face of a person."""

    title: str
    picture: str
    side: str
    is_fake: bool


@dataclass(frozen=True)
class PersonShown:
    """One person."""

    name: str
    facts: str
    faces: tuple[FaceShown, ...]
    num_left_out: int
    problems: tuple[str, ...]


def write_people_page(
    store: FaceStore,
    path: Path,
    people: pd.DataFrame,
    *,
    labels: Mapping[str, int],
    sides: Mapping[str, str],
    facts: Mapping[str, str],
    notices: tuple[str, ...] = (),
) -> int:
    """Write the page.

    Args:
        store: holds the faces.
        path: the HTML file.
        people: its table of people.
        labels: clip id to REAL or FAKE; others are not known.
        sides: clip id to `train` or `val`; empty where nothing was split.
        facts: what was found, by what and how many: name to text.
        notices: what a person should know of it.

    Returns:
        Bytes written.

    Raises:
        TfdfdError: if it cannot be written.
    """
    names = values(people, "person")
    found, which, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    together = found[counts > 1].tolist()  # by name, and so the most seen first
    alone = rows_where(people, counts[which] == 1)
    strips = store.tracks(columns=["clip_id", "track", "strip", "is_face"])
    strips = {(row["clip_id"], int(row["track"])): row for row in records(strips)}
    shown_rows = rows_where(people, np.isin(names, together[:PEOPLE_SHOWN]))
    by_person = {str(name): part for name, part in shown_rows.groupby("person")}

    def shown() -> Iterator[PersonShown]:
        for name in together[:PEOPLE_SHOWN]:
            yield _show_person(store, name, by_person[name], strips, labels, sides)

    def shown_alone() -> Iterator[PersonShown]:
        rows = evenly(list(range(len(alone))), FACES_SHOWN * 2)
        if rows:
            chosen = rows_where(alone, np.isin(np.arange(len(alone)), rows))
            yield _show_person(store, "alone", chosen, strips, labels, sides, limit=FACES_SHOWN * 2)

    return write_page(
        path,
        "people.html",
        title="People",
        facts=facts,
        notices=notices,
        plots=[_plot(people, way, labels, sides) for way in ("pca", "tsne")],
        people=shown(),
        num_together=len(together),
        num_people_left_out=max(len(together) - PEOPLE_SHOWN, 0),
        alone=shown_alone(),
        num_alone=len(alone),
        thumbnail=THUMBNAIL,
    )


def _show_person(
    store: FaceStore,
    name: str,
    rows: pd.DataFrame,
    strips: Mapping[tuple[str, int], dict],
    labels: Mapping[str, int],
    sides: Mapping[str, str],
    *,
    limit: int = FACES_SHOWN,
) -> PersonShown:
    faces, problems = [], []
    chosen = evenly(records(rows), limit)
    for row in chosen:
        clip_id, track = row["clip_id"], int(row["track"])
        label, side = labels.get(clip_id), sides.get(clip_id, "")
        held = strips.get((clip_id, track))
        title = f"{clip_id}, track {track + 1}"
        if held is None:
            problems.append(f"{title}: its faces are no longer in the store")
            continue
        try:
            crops = read_strip(store.folder / held["strip"], num_places=len(held["is_face"]))
        except ClipError as error:
            problems.append(f"{title}: {error}")
            continue
        places = np.flatnonzero(held["is_face"])
        picture = picture_uri(shrink(crops[places[len(places) // 2]], THUMBNAIL))
        words = {REAL: ", real", FAKE: ", fake"}.get(label, "") if label is not None else ""
        faces.append(FaceShown(f"{title}{words}{', ' + SIDES[side] if side else ''}", picture, side, label == FAKE))
    of_rows = [labels.get(clip_id) for clip_id in rows["clip_id"]]
    facts = f"{counted(len(rows), 'track')}, {of_rows.count(REAL)} real, {of_rows.count(FAKE)} fake"
    on = sorted({SIDES[sides[clip_id]] for clip_id in rows["clip_id"] if clip_id in sides})
    facts += f"; {' and '.join(on)}" if on else ""
    return PersonShown(name, facts, tuple(faces), len(rows) - len(chosen), tuple(problems))


def _plot(
    people: pd.DataFrame, way: str, labels: Mapping[str, int], sides: Mapping[str, str]
) -> dict[str, str | Markup]:
    """Draw a projection: by side where there is a split, else real and fake."""
    x, y = (people[f"{way}_{axis}"].to_numpy(float) for axis in "xy")
    clip_ids = people["clip_id"].tolist()
    groups = ("training", "validation") if sides else ("real", "fake")
    keys = ("train", "val") if sides else (REAL, FAKE)
    of_clip = sides if sides else labels
    which = np.array([of_clip.get(clip_id) for clip_id in clip_ids], object)
    placed = np.isfinite(x) & np.isfinite(y)
    name = {"pca": "PCA", "tsne": "t-SNE"}[way]
    drawn = np.zeros(len(x), bool)
    drawn[evenly(np.flatnonzero(placed).tolist(), _POINTS_SHOWN)] = True
    with drawing():
        chart = Chart(f"people-{way}", f"{name} of the faces: each point a track", height=_PLOT + 40 + 3 * LEGEND_ROW)
        axes = chart.axes(top=24, height=_PLOT, left=RIGHT)
        axes.set_xticks([])
        axes.set_yticks([])
        rows = []
        for number, (group, key) in enumerate(zip(groups, keys, strict=True)):
            mask = drawn & (which == key)
            style = series_style(number)
            axes.scatter(x[mask], y[mask], s=7, marker=style.marker, color=style.colour, linewidths=0)
            line = Line2D([], [], color=style.colour, marker=style.marker, linestyle="None")
            rows.append((line, group, counted(int((placed & (which == key)).sum()), "track")))
        chart.text(0, 9, name)
        chart.legend(_PLOT + 36, rows)
        svg = chart.svg()
    left = [] if placed.all() else [f"{counted(int((~placed).sum()), 'track')} without a place in it"]
    left += [f"{int(drawn.sum()):,} of {int(placed.sum()):,} points are drawn"] if drawn.sum() < placed.sum() else []
    return {"name": name, "svg": svg, "note": "; ".join(left)}
