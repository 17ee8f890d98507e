"""Where the versions of a model lie. Loads no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from tfdfd.clip import TfdfdError

ASSETS = "assets.extra"
"""TensorFlow's folder for files that travel with a SavedModel and are not loaded by its graph."""


def versions(folder: Path) -> list[int]:
    """Return the version numbers in `saved_models/<name>`, ascending."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def newest_version(folder: Path) -> Path:
    """Return the folder of the newest version of a model.

    Args:
        folder: `saved_models/<name>`, or `saved_models/<name>/<version>` itself.

    Raises:
        TfdfdError: if there is no SavedModel.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    found = versions(folder)
    if not found:
        raise TfdfdError(f"{folder} holds no SavedModel (a folder <version>/ with saved_model.pb): train one first")
    return folder / str(found[-1])
