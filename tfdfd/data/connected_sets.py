"""Which clips belong together: the connected sets of originals and fakes that no split may part."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from pandas.util import hash_array
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tfdfd.clip import FAKE
from tfdfd.data.originals import named_in, nested_names, recording_keys
from tfdfd.data.tables import values

BETWEEN_PEOPLE = ";"
"""Parts the names in the column `person` of a clip that shows several people."""
_TRIES = 32
_WORK = 200_000  # sets looked at in all tries together: about a quarter of a second
_COMPRESSION = re.compile(r"/(?:raw|c0|c23|c40)/")


def family_key(clip_id: str) -> str:
    """Return a clip id without its compression: `youtube/c23/183` and `youtube/c40/183` are one recording."""
    return _COMPRESSION.sub("/", clip_id)


def family_keys(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return the `family_key` of each name in a column of clip ids, shape (n,); rows without compression as is."""
    keys = values(table, name).copy()
    for row in np.flatnonzero(values(table, "compression") != ""):
        keys[row] = family_key(keys[row])
    return keys


def connected_sets(table: pd.DataFrame, *, whole_folders: bool = False) -> np.ndarray:
    """Number the connected sets of clips: two clips are in one set if a chain of these links joins them.

    - A fake and its original, and through it all fakes of that original, even where the original itself is absent.
      Names count in all their spellings: with a suffix or a folder, in other letters, composed or decomposed accents.
      A name that may mean several clips joins all of them.
    - A fake and its donor: 183 and 253 of FaceForensics++ are swapped with each other, so they are one set.
    - The same recording in several compressions.
    - The people seen and the donor, where the layout names people (Celeb-DF) or `tfdfd people` has found them: the
      clips of one person are one set. Because its people are swapped in groups, all of Celeb-DF v2 is a few large sets
      and single YouTube clips.
    - A fake of unknown original and its whole folder, one of whose clips may be the original. (All known originals of
      DFDC lie in the folder of their fakes.) Where the folder is unknown too, nothing can link it.

    Args:
        table: a manifest's table, n rows.
        whole_folders: also keep each folder together, as people recur within a part of DFDC.

    Returns:
        int64, shape (n,): the set of each row, numbered from 0 in order of appearance.
    """
    n = len(table)
    if n == 0:
        return np.zeros((0,), np.int64)
    links = [recording_keys(table, name) for name in ("clip_id", "original", "donor")]
    seen_in, seen = people_seen(table.assign(person=recording_keys(table, "person")))
    names = np.concatenate([*links, seen])
    codes, uniques = pd.factorize(names)
    rows = np.concatenate([np.tile(np.arange(n), len(links)), seen_in])
    named = names != ""

    folders = table.groupby(["dataset", "folder"], sort=False).ngroup().to_numpy()
    known = values(table, "folder") != ""
    binding = known if whole_folders else known & unknown_originals(table)
    bound = np.flatnonzero(known & np.isin(folders, np.unique(folders[binding])))

    spelled = _links_by_spelling(table, dict(zip(uniques.tolist(), range(n, n + len(uniques)), strict=True)))
    starts = np.concatenate([rows[named], bound, spelled[:, 0]])
    ends = np.concatenate([n + codes[named], n + len(uniques) + folders[bound], spelled[:, 1]])
    size = n + len(uniques) + int(folders.max()) + 1
    graph = coo_matrix((np.ones(len(starts), np.int8), (starts, ends)), shape=(size, size))
    _, sets = connected_components(graph, directed=False)
    return pd.factorize(sets[:n])[0].astype(np.int64)


def _links_by_spelling(table: pd.DataFrame, node_of: dict[str, int]) -> np.ndarray:
    """Return links of names that are no clip id as they stand, int64 (m, 2): to the clips and names they may mean.

    Args:
        table: a manifest's table, n rows, which are the nodes 0 to n-1.
        node_of: the node of each recording key in it.
    """
    pairs, nameless = list[tuple[int, int]](), set[str]()
    for column in ("original", "donor"):
        named = named_in(table, column)
        for row, key, candidates in zip(named.rows.tolist(), named.keys, named.candidates, strict=True):
            pairs += [(row, other) for other in candidates]
            if not candidates and column == "original":
                nameless.add(key)
    pairs += [(node_of[whole], node_of[end]) for whole, end in nested_names(nameless)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def people_seen(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return who is seen in which clip.

    Args:
        table: a manifest's table, n rows; its `person` may name several people of a clip.

    Returns:
        int64 (m,), rows of the table, ascending; object (m,), a person of that row's clip, never empty.
    """
    rows, names = list[int](), list[str]()
    people = family_keys(table, "person")
    for row in np.flatnonzero(people != "").tolist():
        for name in people[row].split(BETWEEN_PEOPLE):
            if name.strip():
                rows.append(row)
                names.append(name.strip())
    return np.array(rows, np.int64), np.array(names, object)


def unknown_originals(table: pd.DataFrame) -> np.ndarray:
    """Return a bool array, shape (n,): which rows are fakes whose original is not known."""
    return is_fake(table) & (values(table, "original") == "")


def is_fake(table: pd.DataFrame) -> np.ndarray:
    """Return a bool array, shape (n,): which rows are fakes."""
    return np.asarray(table["label"]) == FAKE


def choose_sets(table: pd.DataFrame, sets: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
    """Choose whole sets that hold about this fraction of the real and of the fake clips.

    Each try goes through the sets in a random order and takes those that bring both shares closer to the fraction;
    the best of the tries wins. To leave a side without one of the labels costs most, so that happens only where no
    try found better.

    Args:
        table: a manifest's table, n rows, with real and fake clips.
        sets: int, shape (n,), from `connected_sets`.
        fraction: in (0, 1).
        seed: of the random orders; the order of the rows does not matter.

    Returns:
        bool, shape (n,): the rows of the chosen sets.
    """
    num_sets = int(sets.max()) + 1
    fake = is_fake(table)
    reals = np.bincount(sets[~fake], minlength=num_sets)
    fakes = np.bincount(sets[fake], minlength=num_sets)
    # Sets in the order of their smallest hash, whatever the order of the rows.
    hashes = hash_array(values(table, "clip_id"))  # pyright: ignore[reportCallIssue]
    firsts = np.full(num_sets, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(firsts, sets, hashes)
    canonical = np.argsort(firsts, kind="stable")

    rng = np.random.default_rng(seed)
    best_cost, best = np.inf, canonical[:0]
    for _ in range(int(np.clip(_WORK // num_sets, 1, _TRIES))):
        order = canonical[rng.permutation(num_sets)]
        cost, taken = _take_sets(reals[order].tolist(), fakes[order].tolist(), fraction)
        if cost < best_cost:
            best_cost, best = cost, order[taken]
    return np.isin(sets, best)


def _take_sets(reals: list[int], fakes: list[int], fraction: float) -> tuple[float, list[int]]:
    """Go through the sets once; return the cost of those that were taken (0 is best) and their positions."""
    all_reals, all_fakes = sum(reals), sum(fakes)

    def cost_of(real: int, fake: int) -> float:
        one_sided = (real == 0) + (real == all_reals) + (fake == 0) + (fake == all_fakes)
        return abs(real / all_reals - fraction) + abs(fake / all_fakes - fraction) + 10 * one_sided

    real = fake = 0
    cost, taken = cost_of(0, 0), list[int]()
    for position, (more_real, more_fake) in enumerate(zip(reals, fakes, strict=True)):
        new_cost = cost_of(real + more_real, fake + more_fake)
        if new_cost < cost:
            real, fake, cost = real + more_real, fake + more_fake, new_cost
            taken.append(position)
    return cost, taken
