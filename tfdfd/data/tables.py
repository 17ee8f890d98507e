"""What a layout reads: rows of clips, and the CSV files that hold them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, LABEL_NAMES, TfdfdError

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
    """Paths of the videos that no list names, which are left out."""


def some(names: Iterable[object], *, limit: int = 10) -> str:
    """Return the first few names and how many more there are, for a message."""
    names = list(names)
    rest = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(str(name) for name in islice(names, limit)) + rest


def values(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a text column of a manifest as an object array, shape (n,)."""
    return np.asarray(table[name], dtype=object)


def read_clip_csv(file: Path) -> LayoutRows:
    """Read a CSV of clips, LF or CRLF; without a `path` column it is an index of clips whose files are elsewhere.

    Args:
        file: UTF-8, with columns clip_id and label (REAL or FAKE), and perhaps path (absolute, or relative to the
            folder of the CSV), folder, original, method, dataset, compression, donor, person, official_split.

    Raises:
        TfdfdError: if it is no such table; names the file and, for a label, the line.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise TfdfdError(f"{file} is not a CSV table in UTF-8: {str(error).strip()}") from error
    table = table.fillna("")  # a row with too few fields
    table.columns = [str(name).strip() for name in table.columns]
    if lacking := [name for name in ("clip_id", "label") if name not in table.columns]:
        raise TfdfdError(
            f"{file} must have the columns clip_id and label, and path where the clips are here; it lacks {lacking}, "
            f"its first line gives {list(table.columns)}. Columns are parted by commas."
        )
    labels = values(table, "label")
    wrong = np.flatnonzero(~np.isin(labels, list(LABEL_NAMES.values())))
    if len(wrong):
        clip_ids = values(table, "clip_id")
        shown = [f"line {row + 2}: {clip_ids[row]} {labels[row]!r}" for row in wrong]
        raise TfdfdError(f"{file}: a label must be REAL or FAKE, got {some(shown, limit=5)}.")
    columns = [name for name in TEXT_COLUMNS if name in table.columns]
    table = table[columns].assign(label=(labels == LABEL_NAMES[FAKE]).astype("int64"))
    return _with_files(table, file) if "path" in columns else LayoutRows(table)


def _with_files(table: pd.DataFrame, file: Path) -> LayoutRows:
    """Make the paths absolute and set aside the rows without a file, looking into each folder once."""
    base = str(file.parent)
    paths = [os.path.normpath(os.path.join(base, path)) if path else "" for path in table["path"]]
    held: dict[str, set[str]] = {}
    for folder in {os.path.dirname(path) for path in paths if path}:
        if os.path.isdir(folder):
            with os.scandir(folder) as found:
                held[folder] = {entry.name for entry in found if not entry.is_dir()}
    present = np.array([os.path.basename(p) in held.get(os.path.dirname(p), ()) for p in paths], dtype=bool)
    clip_ids = values(table, "clip_id")
    missing = tuple(
        (clip_ids[row], f"listed in {file} " + (f"as {path}, but there is no such file" if path else "without a path"))
        for row, path in enumerate(paths)
        if not present[row]
    )
    return LayoutRows(table.assign(path=paths).iloc[np.flatnonzero(present)], missing)


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
