"""What lies under a data folder: videos, folders of pictures and the lists that name them, found in one walk."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"),
    *(".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp", ".ogv"),
)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
LISTS = ("metadata.json", "dataset.json", "labels.csv", "meta_data.csv", "manifest.csv", "faces.csv")
"""Names of the files that may say which clips there are, in small letters."""
BETWEEN_PICTURES = "|"
"""Stands between the pictures of one clip in a path: `a/000.png|a/001.png`."""

_MEDIA_SUFFIXES = frozenset(VIDEO_SUFFIXES + PICTURE_SUFFIXES)
_NOT_CLIPS = {"mask", "masks", "landmarks"}
_SAMPLES = 20
_HOLDERS = {"video", "videos", "frames"}
"""Folders that only hold clips: `videos/183.mp4` and `frames/183/000.png` are the clip `183`."""


@dataclass(frozen=True)
class Item:
    """A video file, or a folder of pictures that are the frames of one clip."""

    path: str
    """In the data folder, with `/`."""
    is_frames: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """The path without the folders that only hold clips, and without a video's suffix."""
        *folders, name = PurePosixPath(self.path).parts
        return *(folder for folder in folders if folder.lower() not in _HOLDERS), without_suffix(name)


@dataclass(frozen=True)
class DataTree:
    """The clips and lists under a data folder."""

    root: Path
    items: tuple[Item, ...]
    """In the order of their paths; hidden files and folders are left out."""
    asides: tuple[Item, ...]
    """Videos of altered regions (`masks`) and the like, which are no clips."""
    lists: Mapping[str, tuple[str, ...]]
    """Each of `LISTS` that is there, to the folders that hold one, `.` for the data folder itself."""

    def samples(self) -> list[Item]:
        """Return the first few items of each folder."""
        counts = Counter[str]()
        chosen = []
        for item in self.items:
            folder = os.path.dirname(item.path)
            counts[folder] += 1
            if counts[folder] <= _SAMPLES:
                chosen.append(item)
        return chosen

    def of_kind(self, *, is_frames: bool) -> DataTree:
        """Return the tree with its videos alone, or with its folders of pictures alone."""
        chosen = tuple(item for item in self.items if item.is_frames == is_frames)
        return DataTree(self.root, chosen, self.asides, self.lists)


def walk(root: Path) -> DataTree:
    """Look through a data folder once; links are followed, and no folder is entered twice.

    Raises:
        OSError: if a folder cannot be read.
    """
    items, asides, lists = list[Item](), list[Item](), dict[str, list[str]]()
    for folder, files in _folders(root, ".", set()):
        prefix = "" if folder == "." else f"{folder}/"
        is_aside = not _NOT_CLIPS.isdisjoint(folder.lower().split("/"))
        videos = [name for name in files if has_suffix(name, VIDEO_SUFFIXES)]
        (asides if is_aside else items).extend(Item(prefix + name, False) for name in videos)
        if not videos and prefix and not is_aside and any(has_suffix(name, PICTURE_SUFFIXES) for name in files):
            items.append(Item(folder, True))
        for name in files:
            if name.lower() in LISTS:
                lists.setdefault(name.lower(), []).append(folder)
    order = sorted(items, key=lambda item: item.path)
    return DataTree(root, tuple(order), tuple(asides), {name: tuple(sorted(found)) for name, found in lists.items()})


def _folders(root: Path, folder: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder under a root, and the names of its files."""
    where = root if folder == "." else root / folder
    status = os.stat(where)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    # macOS writes `._x.mp4` beside `x.mp4`.
    with os.scandir(where) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    # A link that leads nowhere is a file that cannot be read, which is said of its clip.
    yield folder, [entry.name for entry in entries if entry.is_file() or not os.path.exists(entry.path)]
    for entry in entries:
        if entry.is_dir():
            yield from _folders(root, entry.name if folder == "." else f"{folder}/{entry.name}", seen)


def pictures_of(path: str) -> list[Path]:
    """Return the pictures of a clip in order of name, numbers in names by their value.

    Args:
        path: a picture, a folder of pictures, or pictures with `|` between them.
    """
    if os.path.isdir(path):
        with os.scandir(path) as found:
            names = [entry.name for entry in found if not entry.name.startswith(".") and entry.is_file()]
        return [Path(path, name) for name in in_order(name for name in names if has_suffix(name, PICTURE_SUFFIXES))]
    return [Path(picture) for picture in in_order(path.split(BETWEEN_PICTURES))]


def in_order(names: Iterator[str] | list[str]) -> list[str]:
    """Return names in order, numbers in them by their value: `2.png` before `10.png`."""
    return sorted(names, key=lambda name: [(int(part), "") if part.isdigit() else (-1, part) for part in _pieces(name)])


def _pieces(name: str) -> list[str]:
    return [part for part in re.split(r"([0-9]+)", name) if part]


def has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file's name ends with one of these suffixes, in letters of any case."""
    return os.path.splitext(name)[1].lower() in suffixes


def without_suffix(name: str) -> str:
    """Return a name or path without the suffix of a video or picture; any other dot stays."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix and suffix.lower() in _MEDIA_SUFFIXES else name
