"""What was made of clips and is costly to make again: a file a clip, under one fingerprint."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.data.fingerprint import Fingerprint, require_same_preprocessing
from tfdfd.data.store_records import record_name

CACHE_FILE = "cache.json"
"""Holds the fingerprint."""
_MADE_OF = "made_of"


class ClipCache:
    """A folder with an .npz of arrays for each clip.

    Args:
        folder: of the cache, made by `create_or_open`.
        fingerprint: how the arrays are made.
    """

    def __init__(self, folder: Path, fingerprint: Fingerprint) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    @staticmethod
    def create_or_open(folder: Path, fingerprint: Fingerprint, *, flag: str) -> ClipCache:
        """Open the cache in a folder, or make it.

        Args:
            folder: the cache's.
            fingerprint: how the arrays will be made; a cache of another preprocessing is refused.
            flag: what names another folder, for the message.

        Raises:
            TfdfdError: if the folder holds a cache of another fingerprint (both values of all that differs are in the
                message) or something else, or cannot be written.
        """
        path = folder / CACHE_FILE
        if path.is_file():
            require_same_preprocessing(
                fingerprint,
                Fingerprint.from_file(path, advice=f"Delete the folder {folder}: it is made anew"),
                expected_name="this run",
                found_name=f"the cache {folder}",
                accept=False,
                advice=f"Give another folder with {flag}, or delete this one: it is made anew",
            )
            return ClipCache(folder, fingerprint)
        if folder.is_dir() and any(each.name != CACHE_FILE + ".tmp" for each in folder.iterdir()):
            raise TfdfdError(f"{folder} is not empty and is no cache (no {CACHE_FILE}): give another {flag}")
        with explain_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, fingerprint.to_json().encode())
        return ClipCache(folder, fingerprint)

    def path(self, clip_id: str) -> Path:
        """Return the file of a clip, there or not."""
        return self.folder / (record_name(clip_id).removesuffix(".json") + ".npz")

    def get(
        self, clip_id: str, made_of: Mapping[str, object], *, names: Collection[str] = ()
    ) -> dict[str, np.ndarray] | None:
        """Return the arrays of a clip; None where there are none, they were made of something else, or are damaged.

        Args:
            clip_id: the clip.
            made_of: what they depend on beside the fingerprint, e.g. the size of the clip's file; JSON-able.
            names: arrays without which a file is damaged.
        """
        try:
            arrays = read_arrays(self.path(clip_id))
        except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            return None
        kept = str(arrays.pop(_MADE_OF, ""))
        return arrays if kept == _told(made_of) and arrays.keys() >= set(names) else None

    def put(self, clip_id: str, made_of: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of a clip.

        Raises:
            TfdfdError: if they cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, **{_MADE_OF: np.array(_told(made_of))}, **dict(arrays))  # pyright: ignore[reportArgumentType]
        path = self.path(clip_id)
        with explain_write_errors(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a clip's file."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _told(made_of: Mapping[str, object]) -> str:
    return json.dumps(dict(made_of), sort_keys=True)
