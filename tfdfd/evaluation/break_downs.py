"""Figures of parts of the clips: by folder, method, codec and what else is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.evaluation.clip_facts import DIMENSIONS
from tfdfd.evaluation.figures import Figures, figures_of
from tfdfd.evaluation.metrics import FigureSettings

MOST_PARTS = 60
"""Parts of one dimension that get figures, those with most clips first; a data set of 1,000 folders has too many."""


@dataclass(frozen=True)
class Part:
    """The clips that have one value of a dimension."""

    value: str
    figures: Figures


@dataclass(frozen=True)
class BreakDown:
    """The parts of one dimension."""

    dimension: str
    """One of DIMENSIONS."""
    parts: tuple[Part, ...]
    """By value."""
    num_left_out: int
    """Parts without figures, because there are more than MOST_PARTS."""


def break_downs(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    groups: np.ndarray,
    settings: FigureSettings,
    *,
    num_replicates: int = 200,
) -> tuple[BreakDown, ...]:
    """Return the figures of the parts of each dimension in which clips differ.

    Args:
        scores: n rows with `label` and `clip_score`.
        facts: n rows, as `clip_facts` returns them.
        groups: int, shape (n,): the original of each clip, with its fakes, for the intervals.
        settings: threshold and bounds.
        num_replicates: draws for the intervals of each part.

    Returns:
        The dimensions with more than one value. A real clip has no method: each method's fakes are compared with all
        real clips of the data sets that the method occurs in.
    """
    found = []
    labels, datasets = scores["label"].to_numpy(), facts["dataset"].to_numpy(object)
    for dimension in DIMENSIONS:
        column = facts[dimension].to_numpy(object)
        counts = pd.Series(column[column != ""]).value_counts()
        if len(counts) < 2:
            continue
        chosen = sorted(counts.index[:MOST_PARTS], key=_natural)
        parts = []
        for value in chosen:
            rows = column == value
            if dimension == "method":
                rows = rows | ((labels == 0) & np.isin(datasets, np.unique(datasets[rows].astype(str))))
            figures = figures_of(
                labels[rows],
                scores["clip_score"].to_numpy()[rows],
                groups[rows],
                settings,
                num_replicates=num_replicates,
            )
            parts.append(Part(str(value), figures))
        found.append(BreakDown(dimension, tuple(parts), len(counts) - len(chosen)))
    return tuple(found)


def to_json(found: tuple[BreakDown, ...]) -> dict[str, Any]:
    """Return the break-downs as they stand in metrics.json: dimension to value to figures."""
    return {down.dimension: {part.value: part.figures.to_json() for part in down.parts} for down in found}


def _natural(value: str) -> list[Any]:
    """Sort `part_2` before `part_10`, and `up to 480 px` before `481 to 720 px` before `above 1080 px`."""
    order = {"up": "0", "above": "~"}.get(value.split(" ")[0], "1")
    digits = "".join(character if character.isdigit() else " " for character in value).split()
    text = "".join(character for character in value if not character.isdigit())
    return [order, text if order == "1" and not value[0].isdigit() else "", [int(number) for number in digits], value]
