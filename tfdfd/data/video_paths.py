"""Which video files a person means: files, folders and patterns, each file once."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tfdfd.clip import TfdfdError
from tfdfd.data.data_tree import VIDEO_SUFFIXES


class NamedVideos(NamedTuple):
    """The files that names stand for."""

    paths: list[Path]
    """In the order of the names, those of a folder or pattern sorted, each file once."""
    left_out: list[Path]
    """Files in folders that are no videos by their suffix, photographs for example; hidden ones do not count."""


def find_videos(names: Sequence[str]) -> NamedVideos:
    """Return the files that are named.

    Args:
        names: files, whatever their suffix; folders, of which the video files are taken, those in folders inside too;
            patterns with * ? [ ], ** for any folders, for what a shell did not expand. A name of something that exists
            is no pattern.

    Raises:
        TfdfdError: if a name names nothing, or a folder or pattern no video file.
    """
    found: dict[Path, Path] = {}
    for name in names:
        for path in _named(name):
            found.setdefault(path.resolve(), path)
    folders = [folder for name in names if (folder := Path(name).expanduser()).is_dir()]
    others = {path.resolve(): path for folder in folders for path in sorted(folder.rglob("*")) if _is_other(path)}
    return NamedVideos(list(found.values()), [path for file, path in others.items() if file not in found])


def _named(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if path.is_dir():
        return _some(_videos_in(path), f"the folder {name}")
    if path.exists():
        return [path]
    if not glob.has_magic(name):
        raise TfdfdError(f"{name}: no such file or folder")
    # As in a shell, no pattern matches a hidden file.
    matched = [Path(one) for one in sorted(glob.glob(str(path), recursive=True))]
    videos = [
        video for one in matched for video in (_videos_in(one) if one.is_dir() else [one] if _is_video(one) else [])
    ]
    return _some(videos, f"the pattern {name}")


def _videos_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if _is_video(path) and (path.is_file() or _leads_nowhere(path))]


def _leads_nowhere(path: Path) -> bool:
    """Return whether a path is a link to nothing: scored, it fails with that reason, and is not passed over."""
    return path.is_symlink() and not path.exists()


def _is_other(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in VIDEO_SUFFIXES


def _is_video(path: Path) -> bool:
    # macOS writes `._x.mp4` beside `x.mp4`.
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def _some(videos: Iterable[Path], what: str) -> list[Path]:
    chosen = list(videos)
    if not chosen:
        raise TfdfdError(f"{what} has no video file ({', '.join(VIDEO_SUFFIXES)})")
    return chosen
