"""Where the versions of a model lie. Loads no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from tfdfd.clip import TfdfdError

ASSETS = "assets.extra"
"""TensorFlow's folder for files that travel with a SavedModel and are not loaded by its graph."""

_GRAPH = "saved_model.pb"
_MOST_NAMED = 10
"""Models that a message names."""


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
        TfdfdError: if there is no such folder, or no SavedModel in it: where the newest version has none, an older one
            is named but not taken.
    """
    if (folder / _GRAPH).is_file():
        return folder
    if not folder.exists():
        raise TfdfdError(_missing(folder))
    found, whole = _all_versions(folder), _whole_versions(folder)
    if not found or not (whole or _leads_nowhere(folder / str(found[-1]))):
        raise TfdfdError(
            f"{folder} holds no SavedModel (a folder <version>/ with {_GRAPH}): train one, or copy it again"
        )
    newest = folder / str(found[-1])
    if (newest / _GRAPH).is_file():
        return newest
    wrong = "is a link that leads nowhere" if _leads_nowhere(newest) else f"holds no SavedModel (no {_GRAPH})"
    older = f", or name an older version: {folder / str(whole[-1])}" if whole else ""
    raise TfdfdError(f"{newest}, the newest version, {wrong}: copy it anew, remove it{older}")


def _all_versions(folder: Path) -> list[int]:
    """Return the version numbers with those whose folder is a link that leads nowhere."""
    lost = (
        [int(path.name) for path in folder.iterdir() if path.name.isdigit() and _leads_nowhere(path)]
        if folder.is_dir()
        else []
    )
    return sorted({*versions(folder), *lost})


def _missing(folder: Path) -> str:
    if _leads_nowhere(folder):
        return f"{folder} is a link that leads nowhere (to {folder.readlink()}): mend it, or name another model"
    beside = folder.parent
    if folder.name.isdigit() and _whole_versions(beside):
        return f"{beside} has no version {folder.name}: it has {', '.join(map(str, versions(beside)))}"
    models = sorted(path.name for path in beside.iterdir() if _whole_versions(path)) if beside.is_dir() else []
    named = ", ".join(models[:_MOST_NAMED]) + (f" and {len(models) - _MOST_NAMED} more" if models[_MOST_NAMED:] else "")
    place = f"{str(beside).rstrip('/')}/"
    listed = f": {place} holds the model{'s' if models[1:] else ''} {named}" if models else ""
    return f"{folder}: no such folder{listed}"


def _whole_versions(folder: Path) -> list[int]:
    """Return the versions that have a graph, ascending: other folders may have numbers for names too, as in /proc."""
    try:
        return [number for number in versions(folder) if (folder / str(number) / _GRAPH).is_file()]
    except OSError:  # another user's
        return []


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()
