"""The layouts a data folder can have: how each is recognised and read into rows of a manifest.

A reader returns plain rows; `tfdfd.data.manifest` checks them and makes the table. A new layout is one pair of
functions and one line of `LAYOUTS`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, LABEL_NAMES, REAL, TfdfdError
from tfdfd.data.tables import FACES_CSV, MANIFEST_CSV, LayoutRows, read_clip_csv, some, values

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
    *(".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp", ".ogv"),
)
COMPRESSIONS = ("raw", "c0", "c23", "c40")
TESTING_LIST = "List_of_testing_videos.txt"

_LABELS = {name: label for label, name in LABEL_NAMES.items()}
_SWAP = re.compile(r"(?P<target>\d+)_(?P<donor>\d+)")
_ACTOR_SWAP = re.compile(r"(?P<target>\d+)_(?P<donor>\d+)__(?P<scene>.+)__[A-Za-z0-9]+")
_CELEB_SWAP = re.compile(r"(?P<target>id\d+)_(?P<donor>id\d+)_(?P<number>\d+)")
_CELEB_REAL = re.compile(r"(?P<person>id\d+)_\d+")


@dataclass(frozen=True)
class Layout:
    """One way to lay out a data folder."""

    expects: str
    """What the folder must hold, for the person whose folder was not recognised."""
    matches: Callable[[Path], bool]
    """Whether a folder has this layout."""
    read: Callable[[Path], LayoutRows]
    """Reads the rows of such a folder."""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds, by name, without hidden entries (macOS writes `._x.mp4` beside `x.mp4`)."""
    with os.scandir(folder) as found:
        return sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)


def _videos(folder: Path) -> list[str]:
    """Return the names of the video files of a folder, by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return [e.name for e in _entries(folder) if Path(e.name).suffix.lower() in VIDEO_SUFFIXES and e.is_file()]


# --- DFDC ------------------------------------------------------------------------------------------------------


def _dfdc_folders(root: Path) -> Iterator[Path]:
    if (root / "metadata.json").is_file():
        yield root
    yield from (Path(e.path) for e in _entries(root) if e.is_dir() and Path(e.path, "metadata.json").is_file())


def _matches_dfdc(root: Path) -> bool:
    return next(_dfdc_folders(root), None) is not None


def read_dfdc_metadata(file: Path) -> dict[str, dict[str, Any]]:
    """Read and check one `metadata.json`: file name of a clip to its entry.

    Raises:
        TfdfdError: if it is not JSON, lists a clip twice, or has a label that is neither REAL nor FAKE.
    """

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise TfdfdError(f"{file} lists more than once: {some(repeated)}. Keep one entry of each.")
        return dict(pairs)

    try:
        metadata = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise TfdfdError(f"{file} is not JSON: {error.msg} at {where}. Mend it or copy it anew.") from error
    except UnicodeDecodeError as error:
        raise TfdfdError(f"{file} is not JSON: it is not UTF-8 text ({error}). Copy it anew.") from error
    if not isinstance(metadata, dict):
        raise TfdfdError(f"{file} must map file names to {{label, original}}, got a {type(metadata).__name__}.")
    for name, entry in metadata.items():
        label = entry.get("label") if isinstance(entry, dict) else entry
        if not isinstance(entry, dict) or not isinstance(label, str) or label not in _LABELS:
            raise TfdfdError(f"{file}: the label of {name} must be REAL or FAKE, got {label!r}.")
    return metadata


def _read_dfdc(root: Path) -> LayoutRows:
    rows, missing, unlisted = [], [], []
    folders = list(_dfdc_folders(root))
    for folder in folders:
        file = folder / "metadata.json"
        metadata = read_dfdc_metadata(file)
        present = {e.name for e in _entries(folder) if e.is_file()}
        for name, entry in metadata.items():
            if name not in present:
                missing.append((Path(name).stem, f"listed in {file}, but there is no such file"))
                continue
            rows.append(
                {
                    "clip_id": Path(name).stem,
                    "path": str(folder / name),
                    "label": _LABELS[entry["label"]],
                    "folder": folder.name,
                    "original": Path(str(entry.get("original") or "")).stem,
                }
            )
        unlisted += [str(folder / name) for name in _videos(folder) if name not in metadata]
    for folder in (Path(e.path) for e in _entries(root) if e.is_dir()):
        if folder not in folders:
            unlisted += [str(folder / name) for name in _videos(folder)]
    return LayoutRows(pd.DataFrame(rows), tuple(missing), tuple(unlisted))


# --- FaceForensics++ -------------------------------------------------------------------------------------------


def _matches_ffpp(root: Path) -> bool:
    return (root / "original_sequences").is_dir() or (root / "manipulated_sequences").is_dir()


def _ffpp_links(stem: str, compression: str) -> dict[str, str]:
    """Return original and donor of a manipulated clip from its name, empty where the name does not say.

    `183_253` is video 183 with the face of 253. `01_02__exit_phone_room__YVGY8LOK` (DeepFakeDetection) is actor 01
    with the face of actor 02; which clip of actor 02 gave the face is not published, so the one of the same scene
    stands for it.
    """
    if match := _SWAP.fullmatch(stem):
        target, donor = match["target"], match["donor"]
        return {"original": f"youtube/{compression}/{target}", "donor": f"youtube/{compression}/{donor}"}
    if match := _ACTOR_SWAP.fullmatch(stem):
        target, donor, scene = match["target"], match["donor"], match["scene"]
        actors = f"actors/{compression}"
        return {"original": f"{actors}/{target}__{scene}", "donor": f"{actors}/{donor}__{scene}"}
    return {"original": "", "donor": ""}


def _read_ffpp(root: Path) -> LayoutRows:
    rows = []
    for top, label in (("original_sequences", REAL), ("manipulated_sequences", FAKE)):
        sources = _entries(root / top) if (root / top).is_dir() else []
        for source in (e for e in sources if e.is_dir()):
            for compression in COMPRESSIONS:  # and not `masks`, which lie beside them
                folder = Path(source.path, compression, "videos")
                for name in _videos(folder):
                    stem = Path(name).stem
                    row: dict[str, object] = {
                        "clip_id": f"{source.name}/{compression}/{stem}",
                        "path": str(folder / name),
                        "label": label,
                        "folder": source.name,
                        "compression": compression,
                    }
                    if label == FAKE:
                        row |= {"method": source.name, **_ffpp_links(stem, compression)}
                    rows.append(row)
    return LayoutRows(pd.DataFrame(rows))


# --- Celeb-DF --------------------------------------------------------------------------------------------------

_CELEB_FOLDERS = {"Celeb-real": REAL, "Celeb-synthesis": FAKE, "YouTube-real": REAL}


def _matches_celebdf(root: Path) -> bool:
    return any((root / folder).is_dir() for folder in ("Celeb-real", "Celeb-synthesis"))


def read_testing_list(file: Path) -> list[str]:
    """Return the clip ids of Celeb-DF's testing list, in which, other than here, 1 means REAL.

    Raises:
        TfdfdError: if a line is not `1 YouTube-real/00170.mp4`, or its label is not that of its folder.
    """
    clip_ids = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        listed, _, name = line.strip().partition(" ")
        folder, _, clip = name.strip().replace("\\", "/").partition("/")
        label = {"1": REAL, "0": FAKE}.get(listed)
        if label is None or not clip or _CELEB_FOLDERS.get(folder) != label:
            raise TfdfdError(
                f"{file}, line {number}: expected '1 YouTube-real/NAME.mp4' or '1 Celeb-real/NAME.mp4' (1 is real) "
                f"or '0 Celeb-synthesis/NAME.mp4', got {line.strip()!r}."
            )
        clip_ids.append(f"{folder}/{Path(clip).stem}")
    return clip_ids


def _read_celebdf(root: Path) -> LayoutRows:
    rows = []
    for folder, label in _CELEB_FOLDERS.items():
        for name in _videos(root / folder):
            stem = Path(name).stem
            row = {
                "clip_id": f"{folder}/{stem}",
                "path": str(root / folder / name),
                "label": label,
                "folder": folder,
            }
            if folder == "Celeb-synthesis":
                row["method"] = folder
            if match := _CELEB_SWAP.fullmatch(stem):
                row["original"] = f"Celeb-real/{match['target']}_{match['number']}"
                row["person"] = f"Celeb-real/{match['target']}"
                row["donor"] = f"Celeb-real/{match['donor']}"
            elif match := _CELEB_REAL.fullmatch(stem):
                row["person"] = f"Celeb-real/{match['person']}"
            rows.append(row)
    table = pd.DataFrame(rows)
    file = root / TESTING_LIST
    missing = []
    if file.is_file() and len(table):
        listed = read_testing_list(file)
        clip_ids = values(table, "clip_id")
        table["official_split"] = np.where(np.isin(clip_ids, listed), "test", "train")
        present = set(clip_ids)
        missing = [(c, f"listed in {file}, but there is no such file") for c in listed if c not in present]
    return LayoutRows(table, tuple(missing))


LAYOUTS = {
    "dfdc": Layout("DFDC: */metadata.json beside the clips that it lists", _matches_dfdc, _read_dfdc),
    "ffpp": Layout(
        "FaceForensics++: original_sequences/SOURCE/COMPRESSION/videos/*.mp4 and "
        "manipulated_sequences/METHOD/COMPRESSION/videos/*.mp4",
        _matches_ffpp,
        _read_ffpp,
    ),
    "celebdf": Layout(
        f"Celeb-DF v2: Celeb-real/, Celeb-synthesis/, YouTube-real/ and {TESTING_LIST}",
        _matches_celebdf,
        _read_celebdf,
    ),
    "csv": Layout(
        f"CSV: {MANIFEST_CSV} with columns clip_id, path, label (REAL or FAKE) and perhaps folder, original, "
        "method, dataset; or the path of such a CSV",
        lambda root: (root / MANIFEST_CSV).is_file(),
        lambda root: read_clip_csv(root / MANIFEST_CSV),
    ),
    "faces": Layout(
        f"ready face crops: {FACES_CSV} with columns path, clip_id, label, original, folder beside its pictures",
        lambda root: (root / FACES_CSV).is_file(),
        lambda root: read_clip_csv(root / FACES_CSV),
    ),
}
"""Every known layout by the name that goes into the manifest."""
