"""CSV files that list clips, as spreadsheets and other programs export them."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.data_tree import BETWEEN_PICTURES, without_suffix
from tfdfd.data.tables import TEXT_COLUMNS, LayoutRows, some, values

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_WORDS = {"real": REAL, "fake": FAKE}
_NUMBERS = {"0": REAL, "1": FAKE, "0.0": REAL, "1.0": FAKE, "false": REAL, "true": FAKE}
_OTHER_NAMES = {
    "path": ("file", "filename", "file_name", "filepath", "file_path", "video", "video_path", "image_path"),
    "clip_id": ("clip", "video_id"),
    "label": ("labels", "is_fake"),
    "original": ("original_video", "original_clip"),
}
"""What else a column may be called, in small letters and with `_` for blanks."""


def read_clip_csv(file: Path, *, is_faces: bool = False) -> LayoutRows:
    """Read a CSV of clips; without a column of paths it is an index of clips whose files are elsewhere.

    Args:
        file: the CSV, as `read_index` takes it; paths are absolute, or relative to its folder.
        is_faces: whether the paths are ready face crops: a picture each, of which a clip may have several rows, or a
            folder of pictures.

    Raises:
        TfdfdError: as `read_index`, or if the pictures of one clip disagree.
    """
    table, notes = read_index(file)
    if "path" not in table:
        return LayoutRows(table, notes=notes, is_faces=is_faces)
    if "clip_id" not in table:
        table = table.assign(clip_id=[without_suffix(path.replace("\\", "/")) for path in table["path"]])
        notes += (f"{file} has no column clip_id: a clip is named by its path without the suffix",)
    rows = _with_files(table, file, is_faces=is_faces)
    rows = replace(rows, notes=(*notes, *rows.notes), is_faces=is_faces)
    return _joined(rows, file) if is_faces else rows


def read_index(file: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read what a CSV says of clips; whether their files are there is not looked at.

    What it holds must be unambiguous: encodings UTF-8, UTF-16 and Windows-1252, columns separated by commas, semicolons
    or tabs, labels REAL and FAKE or 0 and 1.

    Args:
        file: a CSV with a column label, clip_id or path, and perhaps others of `TEXT_COLUMNS`.

    Returns:
        Its rows, those of `TEXT_COLUMNS` that it has and label (int64, 0 or 1), and what was read otherwise than as
        words in UTF-8 between commas.

    Raises:
        TfdfdError: if it is no such table; names the file and, for a label, the line.
    """
    text, encoding = _text_of(file)
    table, delimiter = _table_of(text, file)
    table, renamed = _with_our_names(table, file)
    labels, said = _labels(table, file)
    notes = [
        *([f"{file} is not UTF-8: read as {encoding}"] if encoding != "utf-8-sig" else []),
        *([f"{file}: columns are separated by {_DELIMITERS[delimiter]}"] if delimiter != "," else []),
        *(f"{file}: column {theirs!r} is read as {ours}" for theirs, ours in renamed),
        *said,
    ]
    columns = [name for name in TEXT_COLUMNS if name in table.columns]
    return table[columns].assign(label=labels), tuple(notes)


def _text_of(file: Path) -> tuple[str, str]:
    """Return the text of a file, and the encoding that it is in."""
    content = file.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif content[:200].count(0):  # UTF-16 without a mark: every other byte of ASCII text is 0
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise TfdfdError(
        f"{file} is not a CSV table: it is text in none of UTF-8, UTF-16 and Windows-1252. "
        "Export it again as CSV UTF-8."
    )


def _table_of(text: str, file: Path) -> tuple[pd.DataFrame, str]:
    """Return the rows of a CSV as they stand, and what separates its columns."""
    lines = text.splitlines(keepends=True)
    if lines and lines[0].strip().lower().startswith("sep="):  # written by and for Excel
        text = "".join(lines[1:])
    try:
        header = next((line for line in text.splitlines() if line.strip()), "")
        # Of the header alone: a `;` in a row may stand between people, a `,` in a path.
        delimiter = max(_DELIMITERS, key=header.count) if header else ","
        table = pd.read_csv(StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise TfdfdError(f"{file} is not a CSV table: {str(error).strip()}") from error
    table = table.fillna("")  # a row with too few fields
    table = table.apply(lambda column: column.str.strip()) if len(table) else table
    filled = (table != "").to_numpy().any(axis=1)
    return cast(pd.DataFrame, table.iloc[np.flatnonzero(filled)]), delimiter


def _with_our_names(table: pd.DataFrame, file: Path) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Return a table with its columns called as ours, and which were called otherwise.

    Raises:
        TfdfdError: if a column is lacking, or two are the same one.
    """
    theirs = [str(name).strip() for name in table.columns]
    small = ["_".join(name.lower().replace("-", " ").split()) for name in theirs]
    ours, renamed = list(small), []
    for name, others in _OTHER_NAMES.items():
        found = [other for other in others if other in small]
        if name not in small and len(found) == 1:
            ours[small.index(found[0])] = name
            renamed.append((theirs[small.index(found[0])], name))
    table = table.set_axis(ours, axis=1)
    repeated = sorted({name for name in ours if name in (*TEXT_COLUMNS, "label") and ours.count(name) > 1})
    if repeated:
        raise TfdfdError(f"{file} has more than one column {', '.join(repeated)}: its first line gives {theirs}.")
    lacking = [name for name in ("label",) if name not in ours]
    lacking += ["clip_id"] if not {"clip_id", "path"} & set(ours) else []
    if lacking:
        raise TfdfdError(
            f"{file} must have the columns clip_id and label, and path where the clips are here; it lacks {lacking}, "
            f"its first line gives {theirs}. Columns may be separated by commas, semicolons or tabs. Rename a column, "
            f"or export it again; a path may also be called {', '.join(_OTHER_NAMES['path'])}."
        )
    return table, renamed


def _labels(table: pd.DataFrame, file: Path) -> tuple[np.ndarray, list[str]]:
    """Return 0 or 1 of each row, int64 (n,), and how they were read where they are no words.

    Raises:
        TfdfdError: if one is no label, or 0 and 1 seem to mean the opposite.
    """
    given = np.array([label.casefold() for label in table["label"]], object)
    known = {**_WORDS, **_NUMBERS}
    wrong = [row for row, label in enumerate(given) if label not in known]
    if wrong:
        names = values(table, "clip_id" if "clip_id" in table else "path")
        shown = [f"line {table.index[row] + 2}: {names[row]} {table['label'].iat[row]!r}" for row in wrong]
        raise TfdfdError(
            f"{file}: a label must be REAL or FAKE (or 0 for real and 1 for fake), got {some(shown, limit=5)}."
        )
    labels = np.array([known[label] for label in given], np.int64)
    numbers = sorted(set(given) - set(_WORDS))
    if not numbers:
        return labels, []
    meaning = ", ".join(f"{number} as {'FAKE' if known[number] else 'REAL'}" for number in numbers)
    if "original" in table:
        made_from = values(table, "original") != ""
        if made_from.any() and not (made_from & (labels == FAKE)).any():
            raise TfdfdError(
                f"{file}: labels {numbers} are read as 0 for real and 1 for fake, but only clips labelled as real name "
                "an original, so 1 seems to mean real here. Write REAL and FAKE."
            )
    return labels, [f"{file}: labels are numbers or truth values, read {meaning}"]


class _Folders:
    """The files of folders by name, each folder looked into once.

    Args:
        with_folders: whether a folder, of pictures, may be what is looked for.
    """

    def __init__(self, *, with_folders: bool) -> None:
        self._with_folders = with_folders
        self._held: dict[str, set[str]] = {}

    def find(self, path: str, *, key: Callable[[str], str] = str) -> str:
        """Return the file or folder of this path, or the only one of the same key, empty if there is none."""
        folder, name = os.path.split(path)
        if folder not in self._held:
            self._held[folder] = set()
            if os.path.isdir(folder):
                with os.scandir(folder) as found:
                    self._held[folder] = {entry.name for entry in found if self._with_folders or not entry.is_dir()}
        held = self._held[folder]
        if name in held:
            return path
        alike = [other for other in held if key(other) == key(name)] if key is not str else []
        return os.path.join(folder, alike[0]) if len(alike) == 1 else ""


def _any_spelling(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _with_files(table: pd.DataFrame, file: Path, *, is_faces: bool) -> LayoutRows:
    """Make the paths absolute and set aside the rows without a file."""
    folders, notes = _Folders(with_folders=is_faces), list[str]()
    paths = [_located(path, str(file.parent), folders) for path in table["path"]]
    for how, said in (
        ("slashes", "paths have \\ between folders, read as /"),
        (
            "spelling",
            "paths are files whose names are in other letters (capitals, or accents in Unicode's other form)",
        ),
    ):
        if count := sum(found == how for _, found in paths):
            notes.append(f"{file}: {count:,} {said}")
    clip_ids = values(table, "clip_id")
    present = np.array([found != "" for _, found in paths], bool)
    missing = tuple(
        (clip_ids[row], f"listed in {file} " + (f"as {path}, but there is no such file" if path else "without a path"))
        for row, (path, found) in enumerate(paths)
        if not found
    )
    found = table.assign(path=[path for path, _ in paths]).iloc[np.flatnonzero(present)]
    return LayoutRows(found, missing, notes=tuple(notes))


def _located(path: str, base: str, folders: _Folders) -> tuple[str, str]:
    """Return the absolute path of a file and how it was found, empty where there is none: then it was tried."""
    if not path:
        return "", ""
    if BETWEEN_PICTURES in path:
        pictures = [os.path.normpath(os.path.join(base, one)) for one in path.split(BETWEEN_PICTURES)]
        if all(folders.find(one) for one in pictures):
            return BETWEEN_PICTURES.join(pictures), "as it stands"
    whole = os.path.normpath(os.path.join(base, path))
    if folders.find(whole):
        return whole, "as it stands"
    slashed = os.path.normpath(os.path.join(base, path.replace("\\", "/")))
    if folders.find(slashed):
        return slashed, "slashes"
    found = folders.find(slashed, key=_any_spelling)
    return found or slashed, "spelling" if found else ""


def _joined(rows: LayoutRows, file: Path) -> LayoutRows:
    """Make one row of the pictures of each clip.

    Raises:
        TfdfdError: if the rows of a clip differ in anything but their path, or name a picture twice.
    """
    table = rows.table
    clip_ids, paths = values(table, "clip_id"), values(table, "path")
    pictures: dict[str, list[int]] = {}
    for row, clip_id in enumerate(clip_ids):
        pictures.setdefault(clip_id, []).append(row)
    if len(pictures) == len(table) or "" in pictures:
        return rows
    for name in (name for name in table.columns if name not in ("clip_id", "path")):
        column = values(table, name)
        for clip_id, of_clip in pictures.items():
            if len(found := sorted({str(column[row]) for row in of_clip})) > 1:
                raise TfdfdError(f"{file}: the pictures of the clip {clip_id} must have one {name}, got {some(found)}.")
    twice = pd.Index(paths).duplicated()
    if twice.any():
        raise TfdfdError(f"{file} lists a picture twice: {some(paths[twice])}. Keep one row of each.")
    joined = table.iloc[[of_clip[0] for of_clip in pictures.values()]].assign(
        path=[BETWEEN_PICTURES.join(paths[of_clip]) for of_clip in pictures.values()]
    )
    said = f"{file}: {len(table):,} pictures are the frames of {len(joined):,} clips, in order of name"
    return replace(rows, table=joined, notes=(*rows.notes, said))
