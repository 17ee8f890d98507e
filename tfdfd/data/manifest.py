"""The manifest: one table of the clips of a data folder, whatever its layout."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, REAL, Clip, TfdfdError
from tfdfd.data.layouts import LAYOUTS
from tfdfd.data.tables import FACES_CSV, TEXT_COLUMNS, LayoutRows, read_clip_csv, some, values

UNLABELLED = "unlabelled"
"""The layout of clips that nobody has labelled; see `tfdfd.data.unlabelled`."""
NO_LABEL = -1
"""The label of each of them."""
COLUMNS = ("clip_id", "path", "label", *TEXT_COLUMNS[2:])


@dataclass(frozen=True)
class Manifest:
    """The clips of a data folder and what is known of each."""

    table: pd.DataFrame = field(repr=False)
    """One row a clip, index 0 to n-1, columns `COLUMNS`, text empty where nothing is known:

    clip_id (unique), path (absolute; empty throughout where a CSV is an index without files), label (int64, 0 real,
    1 fake), folder, original (the clip id it was made from, here or not), method, dataset, compression, donor (the clip
    id or person whose face was put in), person (who is seen), official_split (`test` or `train`, where the data set
    publishes a list).
    """
    layout: str
    """A key of `LAYOUTS`, or UNLABELLED."""
    root: Path
    """The folder that was given, or the folder of the CSV."""
    is_faces: bool = False
    """Whether the paths are ready face crops, which go straight to the store."""
    missing: tuple[tuple[str, str], ...] = ()
    """Clip id and reason of each clip that is listed but has no file; they are not in the table."""
    unlisted: tuple[str, ...] = ()
    """Paths of the videos that no list names; they are not in the table."""

    def __post_init__(self) -> None:
        if tuple(self.table.columns) != COLUMNS:
            raise ValueError(f"a manifest has the columns {COLUMNS}, got {tuple(self.table.columns)}")
        if self.layout not in (*LAYOUTS, UNLABELLED):
            raise ValueError(f"layout must be one of {[*LAYOUTS, UNLABELLED]}, got {self.layout!r}")
        if not np.isin(self.table["label"], [NO_LABEL] if self.layout == UNLABELLED else [REAL, FAKE]).all():
            raise ValueError("a label must be 0 (real) or 1 (fake), or -1 for all clips of an unlabelled folder")
        if not self.table["clip_id"].is_unique or (values(self.table, "clip_id") == "").any():
            raise ValueError("a clip_id must be unique and not empty")

    def __len__(self) -> int:
        return len(self.table)


def clips_in(table: pd.DataFrame) -> list[Clip]:
    """Return the clips of a manifest's table, in its order."""
    return [Clip(clip_id, Path(path)) for clip_id, path in zip(table["clip_id"], table["path"], strict=True)]


def load_manifest(folder_or_csv: Path) -> Manifest:
    """Recognise the layout of a data folder and read its clips; no clip is opened.

    Args:
        folder_or_csv: a folder with one of `LAYOUTS`, or a CSV of clips (`faces.csv`: of ready face crops).

    Raises:
        TfdfdError: if there is no such folder, it is empty or of no known layout, or its lists are wrong.
    """
    # Not resolve(): a link to a big disk keeps the name that the user gave.
    given = Path(folder_or_csv).expanduser().absolute()
    if not given.exists():
        raise TfdfdError(f"{given} does not exist. Give the folder of your clips, or --demo to run without data.")
    try:
        if given.is_file():
            layout, rows = _read_file(given)
            root = given.parent
        else:
            root, layout = given, recognise_layout(given)
            rows = LAYOUTS[layout].read(root)
        return _checked(rows, layout=layout, given=given, root=root)
    except OSError as error:
        raise TfdfdError(f"{error.filename or given} cannot be read: {error.strerror}.") from error
    except UnicodeEncodeError as error:
        name = os.fsencode(error.object) if isinstance(error.object, str) else error.object
        raise TfdfdError(f"a file name in {given} is not UTF-8, rename it: {name!r}") from error


def recognise_layout(root: Path) -> str:
    """Return the key of `LAYOUTS` that a folder has.

    Raises:
        TfdfdError: if it is empty, of no known layout, or of more than one.
    """
    held = sorted(entry.name for entry in root.iterdir())
    if not held:
        raise TfdfdError(f"{root} is empty. Give the folder of your clips, or --demo to run without data.")
    found = [name for name, layout in LAYOUTS.items() if layout.matches(root)]
    if len(found) == 1:
        return found[0]
    tried = "".join(f"\n  {layout.expects}" for layout in LAYOUTS.values())
    if found:
        both = "".join(f"\n  {LAYOUTS[name].expects}" for name in found)
        raise TfdfdError(f"{root} has more than one layout; give the folder of one of them, or the CSV itself:{both}")
    inside = [name for name in held[:50] if _has_layout(root / name)]
    hint = f"\nThese folders inside it have one: {some(str(root / name) for name in inside)}" if inside else ""
    raise TfdfdError(
        f"{root} has no layout that tfdfd knows; it holds {some(held, limit=5)}. Tried:{tried}{hint}"
        "\nBring the clips into one of these, write a CSV of them, or run with --demo, which needs no data."
    )


def _has_layout(folder: Path) -> bool:
    return folder.is_dir() and any(layout.matches(folder) for layout in LAYOUTS.values())


def _read_file(file: Path) -> tuple[str, LayoutRows]:
    if file.suffix.lower() != ".csv":
        raise TfdfdError(f"{file} is a file, but neither a folder of clips nor a .csv that lists them.")
    return ("faces" if file.name == FACES_CSV else "csv"), read_clip_csv(file)


def _checked(rows: LayoutRows, *, layout: str, given: Path, root: Path) -> Manifest:
    """Make a manifest of what a layout found, or say what is wrong with it."""
    if not len(rows.table):
        lost = f"; listed without a file: {some(c for c, _ in rows.missing)}" if rows.missing else ""
        also = f"; videos that no list names: {some(rows.unlisted)}" if rows.unlisted else ""
        raise TfdfdError(f"{given} has no clips. As {LAYOUTS[layout].expects}{lost}{also}.")
    table = _full_table(rows.table, dataset=layout)
    clip_ids, paths = values(table, "clip_id"), values(table, "path")
    nameless = np.flatnonzero(clip_ids == "")
    if len(nameless):
        raise TfdfdError(f"{given}: {len(nameless)} clips have no clip_id, the first is row {nameless[0] + 1}.")
    for names, rule in ((clip_ids, "clip ids must be unique"), (paths, "two clips must not be one file")):
        repeated = np.flatnonzero(pd.Index(names).duplicated(keep=False) & (names != ""))
        if len(repeated):
            clips = [f"{clip_ids[row]} ({paths[row]})" if paths[row] else clip_ids[row] for row in repeated]
            raise TfdfdError(f"{given}: {rule}, got {some(sorted(clips))}.")
    return Manifest(
        table=table,
        layout=layout,
        root=root,
        is_faces=layout == "faces",
        missing=rows.missing,
        unlisted=rows.unlisted,
    )


def _full_table(found: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Return the rows of a layout with all columns of a manifest in their order and dtype."""
    columns: dict[str, object] = {}
    for name in COLUMNS:
        if name == "label":
            columns[name] = np.asarray(found[name], dtype=np.int64)
        elif name in found.columns:
            column = pd.Series(found[name].array).fillna("")
            columns[name] = column.replace("", dataset) if name == "dataset" else column
        else:
            columns[name] = dataset if name == "dataset" else ""
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(found)))
    return table.astype(dict.fromkeys(TEXT_COLUMNS, "str"))
