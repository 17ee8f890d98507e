"""The layouts whose lists say which clip is real and which fake: DFDC's parts, its test set and its preview."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from tfdfd.clip import FAKE, LABEL_NAMES, REAL, TfdfdError
from tfdfd.data.clip_csv import read_index
from tfdfd.data.data_tree import DataTree, Item, without_suffix
from tfdfd.data.tables import LayoutRows, records, some

_LABELS = {name: label for label, name in LABEL_NAMES.items()}
_DEEPEST = 3
"""Folders between the data folder and a list that is looked for."""
_PREVIEW_SWAP = re.compile(r"(?P<donor>\d+)_(?P<original>(?P<person>\d+)_[A-Za-z]+_.+)")


@dataclass(frozen=True)
class Entry:
    """A clip as a list names it."""

    list_file: Path
    folder: str
    """The list's folder in the data folder, `.` for the data folder itself."""
    name: str
    """The clip's file, as it stands in the list."""
    row: dict[str, object]
    """What the manifest is to say of it, but its path."""


class _Files:
    """The clips under a data folder by the name of their file or folder."""

    def __init__(self, tree: DataTree) -> None:
        self._by_name = defaultdict[str, list[Item]](list)
        for item in tree.items:
            self._by_name[PurePosixPath(item.path).name].append(item)

    def find(self, entry: Entry, *, is_frames: bool) -> Item | None:
        """Return what lies where an entry says, else the only one of this name under its list's folder."""
        said = PurePosixPath(entry.name.replace("\\", "/"))
        name = without_suffix(said.name) if is_frames else said.name
        below = "" if entry.folder == "." else f"{entry.folder}/"
        found = [item for item in self._by_name[name] if item.is_frames == is_frames and item.path.startswith(below)]
        exact = [item for item in found if item.path == below + str(said.with_name(name))]
        first = said.parts[0] if len(said.parts) > 1 else ""
        # `method_A/643049/x.mp4` may lie as `method_A/videos/x.mp4`, but never under `method_B`.
        alike = [item for item in found if not first or item.path[len(below) :].startswith(f"{first}/")]
        return exact[0] if exact else alike[0] if len(alike) == 1 else None


def read_entries(tree: DataTree, entries: list[Entry], notes: list[str]) -> LayoutRows:
    """Return the rows of the entries whose clips are there: videos, or where there is none, folders of frames."""
    files = _Files(tree)
    found = [files.find(entry, is_frames=False) for entry in entries]
    is_frames = not any(found) and any(item.is_frames for item in tree.items)
    if is_frames:
        found = [files.find(entry, is_frames=True) for entry in entries]
    pairs = list(zip(entries, found, strict=True))
    rows = [{**entry.row, "path": str(tree.root / item.path)} for entry, item in pairs if item]
    missing = tuple(
        (str(entry.row["clip_id"]), f"listed in {entry.list_file}, but there is no such file")
        for entry, item in pairs
        if not item
    )
    taken = {item.path for item in found if item}
    left = tuple(
        str(tree.root / item.path) for item in tree.of_kind(is_frames=is_frames).items if item.path not in taken
    )
    return LayoutRows(pd.DataFrame(rows), missing, left, tuple(notes), is_faces=is_frames)


def lists_of(tree: DataTree, name: str) -> list[str]:
    """Return the folders that hold a list of this name, not too deep under the data folder."""
    return [folder for folder in tree.lists.get(name, ()) if folder == "." or folder.count("/") < _DEEPEST]


def _file(tree: DataTree, folder: str, name: str) -> Path:
    path = tree.root / folder
    return next(path / entry.name for entry in sorted(path.iterdir()) if entry.name.lower() == name)


def _folder_name(tree: DataTree, folder: str) -> str:
    return tree.root.name if folder == "." else folder.rsplit("/", 1)[-1]


# --- DFDC ------------------------------------------------------------------------------------------------------


def read_dfdc(tree: DataTree) -> LayoutRows:
    """Read the parts of DFDC (`metadata.json`) and its test set (`labels.csv`), however the folders are nested."""
    entries, notes = list[Entry](), list[str]()
    parts = lists_of(tree, "metadata.json")
    for folder in parts:
        file = _file(tree, folder, "metadata.json")
        for name, entry in read_dfdc_metadata(file).items():
            row = {
                "clip_id": without_suffix(PurePosixPath(name).name),
                "label": _dfdc_label(entry),
                "folder": _folder_name(tree, folder),
                "original": without_suffix(str(entry.get("original") or "")),
            }
            entries.append(Entry(file, folder, name, row))
    for folder in lists_of(tree, "labels.csv"):
        file = _file(tree, folder, "labels.csv")
        if folder in parts:
            notes.append(f"{file} is not read: labels come from the metadata.json beside it")
            continue
        table, said = read_index(file)
        notes += said
        if "path" not in table:
            table = table.assign(path=table["clip_id"])
        for row in records(table):
            name = str(row.pop("path"))
            known = {"clip_id": without_suffix(name.replace("\\", "/")), "folder": _folder_name(tree, folder)}
            entries.append(Entry(file, folder, name, {**known, **row}))
    return read_entries(tree, entries, notes)


def _dfdc_label(entry: Any) -> int | None:
    if not isinstance(entry, dict):
        return None
    label = entry.get("label")
    if isinstance(label, str):
        return _LABELS.get(label)
    # The metadata of the test set.
    return {0: REAL, 1: FAKE}.get(entry.get("is_fake", -1)) if label is None else None


def read_json_list(file: Path) -> dict[str, Any]:
    """Read a JSON file that maps names of clips to what is known of each.

    Raises:
        TfdfdError: if it is no such JSON, or lists a clip twice.
    """

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise TfdfdError(f"{file} lists more than once: {some(repeated)}. Keep one entry of each.")
        return dict(pairs)

    try:
        listed = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise TfdfdError(f"{file} is not JSON: {error.msg} at {where}. Fix it or copy it again.") from error
    except UnicodeDecodeError as error:
        raise TfdfdError(f"{file} is not JSON: it is not UTF-8 text ({error}). Copy it again.") from error
    if not isinstance(listed, dict):
        raise TfdfdError(f"{file} must map file names to {{label, original}}, got a {type(listed).__name__}.")
    return listed


def read_dfdc_metadata(file: Path) -> dict[str, dict[str, Any]]:
    """Read and check one `metadata.json`: file name of a clip to its entry.

    Raises:
        TfdfdError: if it is not JSON, lists a clip twice, or has a label that is neither REAL nor FAKE.
    """
    metadata = read_json_list(file)
    for name, entry in metadata.items():
        if _dfdc_label(entry) is None:
            label = entry.get("label", entry.get("is_fake")) if isinstance(entry, dict) else entry
            raise TfdfdError(f"{file}: the label of {name} must be REAL or FAKE, got {label!r}.")
    return metadata


# --- the preview of DFDC ---------------------------------------------------------------------------------------


def read_dfdc_preview(tree: DataTree) -> LayoutRows:
    """Read the preview of DFDC: `dataset.json` maps a path to label, set, target_id and swapped_id.

    `method_A/1003254/1003254_A/1255229_1003254_A_001.mp4` is the clip `1003254_A_001` with the face of 1255229; where
    that clip is not here, the people (target_id and swapped_id) keep the fake beside its recording.
    """
    (folder, *others) = lists_of(tree, "dataset.json")
    file = _file(tree, folder, "dataset.json")
    listed = read_json_list(file)
    reals = {
        without_suffix(PurePosixPath(name).name) for name, entry in listed.items() if _preview_label(entry) == REAL
    }
    entries = []
    for name, entry in listed.items():
        label, stem = _preview_label(entry), without_suffix(PurePosixPath(name).name)
        if label is None:
            got = entry.get("label") if isinstance(entry, dict) else entry
            raise TfdfdError(f"{file}: the label of {name} must be real or fake, got {got!r}.")
        top = PurePosixPath(name).parts[0]
        row: dict[str, object] = {
            "clip_id": f"{top}/{stem}",
            "label": label,
            "folder": top,
            "person": _person(entry, "target_id"),
            "official_split": {"train": "train", "test": "test"}.get(str(entry.get("set", "")).strip().lower(), ""),
        }
        if label == FAKE:
            match = _PREVIEW_SWAP.fullmatch(stem)
            original = str(entry.get("source_video") or (match["original"] if match else ""))
            known = without_suffix(PurePosixPath(original).name) in reals
            row |= {"method": top, "donor": _person(entry, "swapped_id"), "original": original if known else ""}
        entries.append(Entry(file, folder, name, row))
    notes = [f"{tree.root / other} has another dataset.json, which is not read" for other in others[:1]]
    return read_entries(tree, entries, notes)


def _preview_label(entry: Any) -> int | None:
    label = entry.get("label") if isinstance(entry, dict) else None
    return _LABELS.get(label.strip().upper()) if isinstance(label, str) else None


def _person(entry: dict[str, Any], name: str) -> str:
    """Return the name of a person, which is a number in the list and must not be taken for that of a clip."""
    number = entry.get(name)
    return f"actor {number}" if number not in (None, "") else ""
