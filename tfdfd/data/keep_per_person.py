"""A small training set that keeps every person: a few real clips of each, and as many fakes made from them. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.util import hash_array

from tfdfd.clip import LABEL_NAMES
from tfdfd.data.connected_sets import is_fake
from tfdfd.data.manifest import COLUMNS
from tfdfd.data.tables import columns, values


def keep_per_person(table: pd.DataFrame, people: pd.DataFrame, *, count: int, seed: int) -> np.ndarray:
    """Choose a few clips of every person.

    A real clip is of the person of its main track. A fake is of the person whose recording was altered: of its
    original, from which training shall tell it; where the original is not here, of that original's name, and where it
    is not known, of whoever was found in the fake itself. Of each person at most `count` real clips are chosen and as
    many fakes: first those made from the chosen real clips, of each method in turn. Then a real clip is added for
    everyone who is seen in real clips but in none of those chosen.

    Args:
        table: a manifest's table, n rows; clips without a face are never chosen.
        people: the table of people of its store.
        count: clips of a person and label, at least 1.
        seed: of what is chosen; the order of the rows does not matter.

    Returns:
        bool, shape (n,).

    Raises:
        ValueError: if count is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    clip_ids, originals, fake = values(table, "clip_id"), values(table, "original"), is_fake(table)
    seen: dict[str, list[str]] = {}
    for clip_id, name in zip(people["clip_id"], people["person"], strict=True):  # the main track first
        seen.setdefault(clip_id, []).append(name)
    order = _shuffled(clip_ids, seed)
    order = [row for row in order if clip_ids[row] in seen]
    main = {row: _whose(clip_ids[row], originals[row], bool(fake[row]), seen) for row in order}

    chosen = np.zeros(len(table), bool)
    real_of: dict[str, list[int]] = {}
    fakes_of: dict[str, list[int]] = {}
    for row in order:
        (fakes_of if fake[row] else real_of).setdefault(main[row], []).append(row)
    for rows in real_of.values():
        chosen[rows[:count]] = True
    kept = set(clip_ids[chosen].tolist())
    methods = values(table, "method")
    for rows in fakes_of.values():
        chosen[_fakes_in_turn(rows, originals, methods, kept)[:count]] = True
    covered = {name for row in np.flatnonzero(chosen & ~fake).tolist() for name in seen[clip_ids[row]]}
    for row in order:
        if not fake[row] and not covered.issuperset(seen[clip_ids[row]]):
            chosen[row] = True
            covered |= set(seen[clip_ids[row]])
    return chosen


def csv_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest's table as the CSV that `load_manifest` reads: labels in words, the columns in their order."""
    names = [name for name in COLUMNS if name in table]
    labels = [LABEL_NAMES[int(label)] for label in table["label"]]
    return columns(table.assign(label=labels), names)


def _whose(clip_id: str, original: str, is_fake: bool, seen: dict[str, list[str]]) -> str:
    if not is_fake:
        return seen[clip_id][0]
    if original in seen:
        return seen[original][0]
    return f"original {original}" if original else seen[clip_id][0]


def _shuffled(clip_ids: np.ndarray, seed: int) -> list[int]:
    """Return the rows in an order that follows from the clip ids and the seed alone."""
    canonical = np.lexsort((clip_ids.astype(str), hash_array(clip_ids)))  # pyright: ignore[reportCallIssue]
    return canonical[np.random.default_rng(seed).permutation(len(clip_ids))].tolist()


def _fakes_in_turn(rows: list[int], originals: np.ndarray, methods: np.ndarray, kept: set[str]) -> list[int]:
    """Return fakes with those of kept originals first, and of each method one in turn."""
    number: dict[tuple[bool, str], int] = {}
    keys = []
    for position, row in enumerate(rows):
        of_kept = originals[row] in kept
        turn = number[of_kept, methods[row]] = number.get((of_kept, methods[row]), -1) + 1
        keys.append((not of_kept, turn, position, row))
    return [row for *_, row in sorted(keys)]
