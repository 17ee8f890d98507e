"""Tables of clips: what a layout reads, and rows and columns of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import pandas as pd

MANIFEST_CSV = "manifest.csv"
FACES_CSV = "faces.csv"
TEXT_COLUMNS = (
    "clip_id",
    "path",
    "folder",
    "original",
    "method",
    "dataset",
    "compression",
    "donor",
    "person",
    "official_split",
)
"""The columns of a manifest that hold text, empty where nothing is known; `label` is the one that does not."""


@dataclass(frozen=True)
class LayoutRows:
    """What a layout found, before the manifest checks it."""

    table: pd.DataFrame
    """One row a clip: clip_id, path (absolute), label (0 or 1) and what else the layout knows of `TEXT_COLUMNS`."""
    missing: tuple[tuple[str, str], ...] = ()
    """Clip id and reason of each clip that is listed but has no file."""
    unlisted: tuple[str, ...] = ()
    """Paths of the videos under the data folder that are not taken."""
    notes: tuple[str, ...] = ()
    """What was read otherwise than it stands, and what else a person should know."""
    looked_for: tuple[str, str] | None = None
    """Where folders give the labels: which of them hold the real, and which the fake clips."""
    is_faces: bool = False
    """Whether the paths are ready face crops: a picture, or a folder of them, a clip."""


def some(names: Iterable[object], *, limit: int = 10) -> str:
    """Return the first few names and how many more there are, for a message."""
    names = list(names)
    rest = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(str(name) for name in islice(names, limit)) + rest


def values(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a text column of a manifest as an object array, shape (n,)."""
    return np.asarray(table[name], dtype=object)


def columns(table: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return some of the columns, in the order of their names, as a table of its own."""
    return cast(pd.DataFrame, table[list(names)]).copy()


def rows_where(table: pd.DataFrame, chosen: np.ndarray) -> pd.DataFrame:
    """Return the chosen rows, numbered anew from 0.

    Args:
        table: n rows.
        chosen: bool, shape (n,).
    """
    return cast(pd.DataFrame, table[np.asarray(chosen)]).reset_index(drop=True)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dicts of Python values, column name to value."""
    return cast("list[dict[str, Any]]", table.to_dict("records"))
