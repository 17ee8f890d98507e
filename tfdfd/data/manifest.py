"""The manifest: one table of the clips of a data folder, whatever its layout."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, REAL, Clip, TfdfdError
from tfdfd.data.clip_csv import read_clip_csv
from tfdfd.data.data_tree import BETWEEN_PICTURES, PICTURE_SUFFIXES, DataTree, has_suffix, walk
from tfdfd.data.layouts import LAYOUTS, layouts_of
from tfdfd.data.originals import resolve
from tfdfd.data.tables import FACES_CSV, TEXT_COLUMNS, LayoutRows, columns, rows_where, some, values

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

    clip_id (unique), path (absolute; empty throughout where a CSV is an index without files; of ready face crops a
    picture, a folder of pictures, or pictures with `|` between them), label (int64, 0 real, 1 fake), folder, original
    (the clip id it was made from, or its name where it is not here), method, dataset, compression, donor (the clip id
    or person whose face was put in), person (who is seen), official_split (`test` or `train`, where the data set
    publishes a list).
    """
    layout: str
    """A key of `LAYOUTS`, or UNLABELLED."""
    root: Path
    """The folder that was given, or the folder of the CSV."""
    is_faces: bool = False
    """Whether the paths are ready face crops, which go straight to the store."""
    has_frames: bool = False
    """Whether a clip of ready face crops may have several, its frames in order of name."""
    missing: tuple[tuple[str, str], ...] = ()
    """Clip id and reason of each clip that is listed but has no file; they are not in the table."""
    unlisted: tuple[str, ...] = ()
    """Paths of the videos under the root that are not in the table, because no list names them or no folder fits."""
    unknown_originals: tuple[str, ...] = ()
    """Names of originals that are no clip here, or may be several; fakes of one stay together all the same."""
    notes: tuple[str, ...] = ()
    """What a person should know of how the clips were read."""

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


def load_manifest(folder_or_csv: Path, *, compression: str | None = None) -> Manifest:
    """Recognise the layout of a data folder and read its clips; no clip is opened.

    Args:
        folder_or_csv: a folder with one of `LAYOUTS`, or a CSV of clips (`faces.csv`: of ready face crops).
        compression: take the clips of this compression alone; None for all.

    Raises:
        TfdfdError: if there is no such folder, it is empty or of no known layout, its lists are wrong, or a class that
            its folders should hold has no clip while videos are left over.
    """
    # Not resolve(): a link to a big disk keeps the name that the user gave.
    given = Path(folder_or_csv).expanduser().absolute()
    if not given.exists():
        raise TfdfdError(f"{given} does not exist. Give the folder of your clips, or --demo to run without data.")
    try:
        if given.is_file():
            layout, rows = _read_file(given)
            root, notes = given.parent, ()
        else:
            tree = walk(given)
            root, layout = given, recognise_layout(tree)
            rows, notes = LAYOUTS[layout].read(tree), _notes_of(tree)
        manifest = _checked(rows, layout=layout, given=given, root=root, compression=compression)
        return replace(manifest, notes=(*manifest.notes, *notes))
    except OSError as error:
        raise TfdfdError(f"{error.filename or given} cannot be read: {error.strerror}.") from error
    except UnicodeEncodeError as error:
        name = os.fsencode(error.object) if isinstance(error.object, str) else error.object
        raise TfdfdError(f"a file name in {given} is not UTF-8, rename it: {name!r}") from error


def _is_several(path: str) -> bool:
    return BETWEEN_PICTURES in path or (not has_suffix(path, PICTURE_SUFFIXES) and os.path.isdir(path))


def _notes_of(tree: DataTree) -> tuple[str, ...]:
    if not tree.asides:
        return ()
    return (f"{len(tree.asides):,} videos are masks and no clips, the first: {tree.root / tree.asides[0].path}",)


def recognise_layout(tree: DataTree) -> str:
    """Return the key of `LAYOUTS` that a folder has.

    Raises:
        TfdfdError: if it is empty, of no known layout, or of more than one.
    """
    root = tree.root
    held = sorted(entry.name for entry in root.iterdir())
    if not held:
        raise TfdfdError(f"{root} is empty. Give the folder of your clips, or --demo to run without data.")
    found = layouts_of(tree)
    if len(found) == 1:
        return found[0]
    tried = "".join(f"\n  {layout.expects}" for layout in LAYOUTS.values())
    if found:
        both = "".join(f"\n  {LAYOUTS[name].expects}" for name in found)
        raise TfdfdError(f"{root} has more than one layout; give the folder of one of them, or the CSV itself:{both}")
    inside = [name for name in held[:50] if (root / name).is_dir() and layouts_of(walk(root / name))]
    hint = f"\nThese folders inside it have one: {some(str(root / name) for name in inside)}" if inside else ""
    clips = f", {len(tree.items):,} videos and folders of pictures in all" if tree.items else ""
    raise TfdfdError(
        f"{root} has no layout that tfdfd knows; it holds {some(held, limit=5)}{clips}. Tried:{tried}{hint}"
        "\nBring the clips into one of these, write a CSV of them, or run with --demo, which needs no data."
    )


def _read_file(file: Path) -> tuple[str, LayoutRows]:
    if file.suffix.lower() != ".csv":
        raise TfdfdError(f"{file} is a file, but neither a folder of clips nor a .csv that lists them.")
    is_faces = file.name.lower() == FACES_CSV
    return ("faces" if is_faces else "csv"), read_clip_csv(file, is_faces=is_faces)


def _checked(rows: LayoutRows, *, layout: str, given: Path, root: Path, compression: str | None) -> Manifest:
    """Make a manifest of what a layout found, or say what is wrong with it."""
    if not len(rows.table):
        lost = f"; listed without a file: {some(c for c, _ in rows.missing)}" if rows.missing else ""
        tried = f"; the first is {' '.join(rows.missing[0])}" if rows.missing else ""
        also = f"; videos that are not taken: {some(rows.unlisted)}" if rows.unlisted else ""
        raise TfdfdError(f"{given} has no clips. As {LAYOUTS[layout].expects}{lost}{tried}{also}.")
    table = _full_table(rows.table, dataset=layout)
    _require_unique(table, given)
    empty = _require_both_classes(table, rows, layout=layout, given=given)
    table, unknown = resolve(table)
    table, of_compression = _of_compression(table, compression, given)
    return Manifest(
        table=table,
        layout=layout,
        root=root,
        is_faces=rows.is_faces,
        has_frames=rows.is_faces and any(map(_is_several, values(table, "path"))),
        missing=rows.missing,
        unlisted=rows.unlisted,
        unknown_originals=tuple(unknown),
        notes=(*rows.notes, *of_compression, *empty, *_of_unknown(unknown)),
    )


def _require_unique(table: pd.DataFrame, given: Path) -> None:
    clip_ids, paths = values(table, "clip_id"), values(table, "path")
    nameless = np.flatnonzero(clip_ids == "")
    if len(nameless):
        raise TfdfdError(f"{given}: {len(nameless)} clips have no clip_id, the first is row {nameless[0] + 1}.")
    for names, rule in ((clip_ids, "clip ids must be unique"), (paths, "two clips must not be one file")):
        repeated = np.flatnonzero(pd.Index(names).duplicated(keep=False) & (names != ""))
        if len(repeated):
            clips = [f"{clip_ids[row]} ({paths[row]})" if paths[row] else clip_ids[row] for row in repeated]
            raise TfdfdError(f"{given}: {rule}, got {some(sorted(clips))}.")


def _require_both_classes(table: pd.DataFrame, rows: LayoutRows, *, layout: str, given: Path) -> list[str]:
    """Refuse folders without a real or without a fake clip if there are videos that may be those; else say it.

    A folder of fakes alone may be meant: they are evaluated beside others. So may one of real clips alone, whose fakes
    are made of them.
    """
    if rows.looked_for is None:
        return []
    for label, word, looked_for in zip((REAL, FAKE), ("real", "fake"), rows.looked_for, strict=True):
        if np.any(table["label"] == label):
            continue
        said = f"{given} has no {word} clip: as {layout}, they were looked for in {looked_for}"
        if rows.unlisted:
            raise TfdfdError(
                f"{said}. {len(rows.unlisted):,} videos are left over, the first: {rows.unlisted[0]}. Move or "
                "rename the folders, or write a CSV of the clips"
            )
        return [said]
    return []


def _of_compression(table: pd.DataFrame, compression: str | None, given: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the clips of one compression, or all and a note that there are several."""
    found = values(table, "compression")
    counts = {name: int(np.sum(found == name)) for name in sorted(set(found) - {""})}
    there = ", ".join(f"{name} ({count:,} clips)" for name, count in counts.items())
    if compression is None:
        if len(counts) < 2:
            return table, []
        one = next(iter(counts))
        return table, [
            f"clips are here in several compressions, and all are taken: {there}; --compression {one} takes one"
        ]
    if compression not in counts:
        raise TfdfdError(f"--compression {compression}: {given} has {there or 'no clip whose compression is known'}")
    return rows_where(table, found == compression), []


def with_known_originals(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table that a store holds with its originals as clip ids, and a note of those that are unknown."""
    held = list(table.columns)
    resolved, unknown = resolve(table.assign(**{name: "" for name in COLUMNS if name not in table}))
    return columns(resolved, held), tuple(_of_unknown(unknown))


def _of_unknown(unknown: dict[str, str]) -> list[str]:
    if not unknown:
        return []
    (first, *_) = unknown.values()
    return [
        f"{len(unknown):,} originals are unknown: no clip here, or not one alone, has their name. The first: {first}. "
        "Fakes of one of them stay on one side of a split"
    ]


def _full_table(found: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Return the rows of a layout with all columns of a manifest in their order and dtype."""
    filled: dict[str, object] = {}
    for name in COLUMNS:
        if name == "label":
            filled[name] = np.asarray(found[name], dtype=np.int64)
        elif name in found.columns:
            column = pd.Series(found[name].array).fillna("")
            filled[name] = column.replace("", dataset) if name == "dataset" else column
        else:
            filled[name] = dataset if name == "dataset" else ""
    table = pd.DataFrame(filled, index=pd.RangeIndex(len(found)))
    return table.astype(dict.fromkeys(TEXT_COLUMNS, "str"))
