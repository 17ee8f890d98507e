"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from tfdfd.clip import TfdfdError

TEMPORARY = ".tmp"
"""Suffix of files that are being written; what still has it was left by a killed run."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: a reader sees the old content or the new, never a part."""
    temporary = path.with_name(path.name + TEMPORARY)
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # else a power cut can leave a renamed but empty file
    os.replace(temporary, path)


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table in the same way."""
    temporary = path.with_name(path.name + TEMPORARY)
    with open(temporary, "wb") as file:
        table.to_parquet(file, index=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def require_writable_folder(folder: Path) -> None:
    """Refuse a folder that could not be made or written to, without making it.

    Raises:
        TfdfdError: if it is a file, or it or the folder that it would be made in cannot be written to.
    """
    with explain_write_errors(folder):
        there = _nearest(folder)
        if not there.is_dir():
            raise TfdfdError(_no_folder(folder, there))
        if not os.access(there, os.W_OK | os.X_OK):
            raise TfdfdError(
                f"cannot write to {folder}: you may not write into {there}; give a folder that can be written"
            )


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into a TfdfdError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
            raise TfdfdError(
                f"no space left while writing to {folder} ({free / 2**20:.0f} MiB free): free some space and run the "
                "same command again"
            ) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            there = _nearest(folder)
            if not there.is_dir():
                raise TfdfdError(_no_folder(folder, there)) from error
        named = f" ({error.filename})" if error.filename and str(error.filename) != str(folder) else ""
        raise TfdfdError(
            f"cannot write to {folder}: {error.strerror or error}{named}; give a folder that can be written"
        ) from error


def _nearest(folder: Path) -> Path:
    """Return what is there of a path: itself, or the first above it that is."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists() or place.is_symlink())


def _no_folder(folder: Path, there: Path) -> str:
    which = "it" if there == folder else str(there)
    what = "a link that leads nowhere" if there.is_symlink() and not there.exists() else "a file"
    return f"cannot write to {folder}: {which} is {what}, no folder; give another folder"
