"""Shards of a store, one a machine, and the rule by which they become one tree.

`shards/<name>/` has `strips/` and `records/` as the store has, and is written to in the same way. A merge moves its
clips into the store by renaming. Killed at any moment, the next merge finishes it: a clip that is being moved is marked
by its record's name, which is the last thing to go.
"""

from __future__ import annotations

import errno
import json
import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from tfdfd.clip import FAILED, NO_FACE, OK, PARTIAL, TfdfdError
from tfdfd.data.atomic import TEMPORARY
from tfdfd.data.fingerprint import Fingerprint, require_same_preprocessing
from tfdfd.data.store_records import is_whole, record_name, strip_name

SHARDS = "shards"
"""Folder of the shards in a store."""
_MOVING = ".moving"
"""Suffix of the record of a clip that is being moved: it was found whole, some of its strips may have gone already."""
_RANKS = {OK: 0, PARTIAL: 1, NO_FACE: 2, FAILED: 3}
_LEFT_BY_RUNS = ("store.json", "manifest.parquet", "clips.parquet", "tracks.parquet", "writer.lock")
"""What else a store copied to be a shard holds; not needed once its clips are moved."""


def merge_shards(store: Path, fingerprint: Fingerprint) -> list[str]:
    """Move what is in the shards of a store into its main tree; the caller holds it for writing.

    Where several hold a clip, the better status wins (ok, partial, no_face, failed), then the main tree, then the first
    shard by name. Strips go first, then the record.

    Args:
        store: the store's folder.
        fingerprint: the store's.

    Returns:
        What was not taken and is to be done again, for a person to read.

    Raises:
        TfdfdError: if a shard was made otherwise.
        OSError: if the disk fails; call it again to go on.
    """
    shards = shard_folders(store)
    problems: list[str] = []
    for shard in shards:
        if shard.is_symlink():
            raise TfdfdError(
                f"the shard {shard} is a link: a merge would empty what it leads to; copy that store there"
            )
        _require_same(shard, store, fingerprint)
        for marked in _records(shard, f".json{_MOVING}"):
            _finish_move(marked, shard, store)
    found: dict[str, list[tuple[int, str, Path]]] = defaultdict(list)
    for shard in shards:
        for path in _records(shard, ".json"):
            record, problem = _checked(path, shard)
            if record is None:
                problems.append(f"shard {shard.name}: {problem}: not taken, the clip is done again")
                path.unlink()
                continue
            found[str(path.relative_to(shard))].append((_RANKS[record["status"]], shard.name, shard))
    for name, candidates in sorted(found.items()):
        # An empty name, so that the main tree comes before any shard.
        if (in_main := _status_in_main(store, name)) is not None:
            candidates.append((_RANKS[in_main], "", store))
        best, *others = sorted(candidates)
        # Those that lose go first: killed in between, the next merge finds the same winner.
        for _, _, folder in others:
            if folder != store:
                (folder / name).unlink()
        if best[2] != store:
            marked = best[2] / f"{name}{_MOVING}"
            os.replace(best[2] / name, marked)
            _finish_move(marked, best[2], store)
    for shard in shards:
        _clear(shard)
    _remove_if_empty(store / SHARDS)
    return problems


def shard_folders(store: Path) -> list[Path]:
    """Return the folders of a store's shards, in the order of their names."""
    try:
        return sorted(path for path in (store / SHARDS).iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _require_same(shard: Path, store: Path, fingerprint: Fingerprint) -> None:
    if (shard / "store.json").is_file():  # a store of its own, copied here
        found = Fingerprint.from_file(shard / "store.json")
        require_same_preprocessing(
            fingerprint,
            found,
            expected_name=f"the store {store}",
            found_name=f"its shard {shard}, which must be taken away",
            accept=False,
        )
        theirs, ours = (print_.provenance["num_places"] for print_ in (found, fingerprint))
        if theirs != ours:
            raise TfdfdError(f"the shard {shard} has {theirs} places a track, its store {ours}: take it away")


def _records(tree: Path, suffix: str) -> list[Path]:
    return sorted((tree / "records").glob(f"*/*{suffix}"))


def _checked(path: Path, shard: Path) -> tuple[dict[str, Any] | None, str]:
    """Return a record if it and its strips are whole, else None and what is wrong."""
    where = path.relative_to(shard)
    try:
        record = json.loads(path.read_bytes())
        clip_id, status = record["clip_id"], record["status"]
        strips = [track["strip"] for track in record["tracks"]]
    except (ValueError, KeyError, TypeError):
        return None, f"{where} is cut off or no record"
    expected = [strip_name(clip_id, number) for number in range(len(strips))]
    if record_name(clip_id) != str(where) or status not in _RANKS or strips != expected:
        return None, f"{where} is no record of this version"
    for strip in strips:
        if not _is_whole(shard / strip):
            return None, f"{strip} is missing or cut off"
    return record, ""


def _is_whole(strip: Path) -> bool:
    """Return whether a file begins and ends as a JPEG does."""
    try:
        with open(strip, "rb") as file:
            begin = file.read(2)
            file.seek(-2, os.SEEK_END)
            return (begin, file.read(2)) == (b"\xff\xd8", b"\xff\xd9")
    except FileNotFoundError:
        return False
    except OSError:
        if strip.stat().st_size < 2:  # one cannot seek before the beginning
            return False
        raise


def _status_in_main(store: Path, name: str) -> str | None:
    """Return the status of a clip that the main tree holds with all its strips."""
    try:
        record = json.loads((store / name).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not is_whole(record):
        return None
    return record["status"] if all((store / track["strip"]).is_file() for track in record["tracks"]) else None


def _finish_move(marked: Path, shard: Path, store: Path) -> None:
    record = json.loads(marked.read_bytes())
    target = store / marked.relative_to(shard).with_name(marked.name.removesuffix(_MOVING))
    try:
        before = [track["strip"] for track in json.loads(target.read_bytes())["tracks"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or a damaged one
        before = []
    strips = [track["strip"] for track in record["tracks"]]
    for left in sorted(set(before) - set(strips)):
        (store / left).unlink(missing_ok=True)
    for strip in strips:
        if (shard / strip).exists():  # else it has gone already
            _make_folders(store, Path(strip).parent)
            os.replace(shard / strip, store / strip)
    _make_folders(store, target.parent.relative_to(store))
    os.replace(marked, target)


def _make_folders(root: Path, inside: Path) -> None:
    """Make folders inside a root, which must be there: nothing is made where a disk is not mounted."""
    for folder in [*reversed(inside.parents[:-1]), inside]:
        (root / folder).mkdir(exist_ok=True)


def _clear(shard: Path) -> None:
    """Remove what a merged shard has left: strips that no record names, and empty folders."""
    for name in _LEFT_BY_RUNS:
        (shard / name).unlink(missing_ok=True)
    for path in sorted(shard.rglob("*"), reverse=True):
        if path.is_dir():
            _remove_if_empty(path)
        elif path.name.endswith(TEMPORARY) or path.suffix == ".jpg":
            path.unlink(missing_ok=True)
    _remove_if_empty(shard)


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder, unless something is in it: a worker of a lost run may write there for some seconds yet."""
    with suppress(FileNotFoundError):
        if not os.listdir(folder):
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
