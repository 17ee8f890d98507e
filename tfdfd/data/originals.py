"""Which clip a name means: originals and donors as lists, folders and people spell them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE
from tfdfd.data.data_tree import BETWEEN_PICTURES, without_suffix
from tfdfd.data.tables import values

_COMPRESSION = re.compile(r"(?<=/)(?:raw|c0|c23|c40)/")


@lru_cache(maxsize=1 << 18)
def name_key(name: str) -> str:
    """Return a name as all its spellings have it: NFC, small letters, `/`, without a video's or picture's suffix."""
    key = name.strip().replace("\\", "/")
    if not key.isascii():
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold())
    return without_suffix(key.lower()).removeprefix("./").strip("/")


def recording_key(name: str) -> str:
    """Return the `name_key` of a recording: `youtube/c23/183.mp4` and `youtube/c40/183` are one."""
    return _COMPRESSION.sub("", name_key(name))


def recording_keys(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return the `recording_key` of each name in a column, object (n,).

    A compression is dropped from the names of rows that have one, and from clip ids of such rows wherever they stand.
    """
    names, has_compression = values(table, name), values(table, "compression") != ""
    codes, uniques = pd.factorize(names)
    keys = np.array([name_key(unique) for unique in uniques] + [""], object)[codes]
    for row in np.flatnonzero(has_compression):
        keys[row] = _COMPRESSION.sub("", keys[row])
    compressed = set(values(table, "clip_id")[has_compression].tolist())
    if name != "clip_id" and compressed:
        for row in np.flatnonzero(~has_compression & (names != "")):
            if names[row] in compressed:
                keys[row] = recording_key(names[row])
    return keys


@dataclass(frozen=True)
class Named:
    """What the names in a column mean that are no clip id as they stand."""

    rows: np.ndarray
    """int64, shape (m,): the rows with such a name."""
    keys: np.ndarray
    """object, shape (m,): the recording key of each."""
    candidates: list[list[int]] = field(repr=False)
    """The rows of the real clips that each may mean: one where it is clear, none where there is no such clip."""


def named_in(table: pd.DataFrame, column: str) -> Named:
    """Look for the clips that a column names by anything but their clip id.

    A name means a clip of the same key. Without one, it means the real clips whose id or file has the same last part,
    of these the ones whose folders agree with it furthest.

    Args:
        table: a manifest's table, n rows.
        column: `original` or `donor`.
    """
    names, clip_ids = values(table, column), values(table, "clip_id")
    known = {*clip_ids.tolist(), ""}
    codes, uniques = pd.factorize(names)
    rows = np.flatnonzero(np.array([name not in known for name in uniques] + [False], bool)[codes])
    if not len(rows):
        return Named(rows, np.zeros(0, object), [])
    keys = recording_keys(table.iloc[rows], column)
    index = _Index(table)
    found: dict[tuple[str, str], list[int]] = {}
    candidates = []
    compressions = values(table, "compression")
    for row, key in zip(rows.tolist(), keys.tolist(), strict=True):
        if (key, compressions[row]) not in found:
            found[key, compressions[row]] = index.find(key, compressions[row])
        candidates.append([other for other in found[key, compressions[row]] if other != row])
    return Named(rows, keys, candidates)


class _Index:
    """The real clips of a table by what a name may call them."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._keys = recording_keys(table, "clip_id")
        self._compressions = values(table, "compression")
        self._spellings = defaultdict[int, set[str]](set)
        self._by_key = defaultdict[str, list[int]](list)
        self._by_last = defaultdict[str, list[int]](list)
        for row in np.flatnonzero(np.asarray(table["label"]) != FAKE).tolist():
            path = str(table["path"].iat[row]) if "path" in table else ""
            for key in {self._keys[row], "" if BETWEEN_PICTURES in path else name_key(path)} - {""}:
                self._spellings[row].add(key)
                self._by_last[_last(key)].append(row)
            self._by_key[self._keys[row]].append(row)

    def find(self, key: str, compression: str) -> list[int]:
        """Return the rows that a key may mean, of one recording those of the compression that is asked for."""
        rows = self._by_key.get(key) or self._furthest(key)
        alike = [row for row in rows if self._compressions[row] == compression]
        return alike if alike and len({self._keys[row] for row in rows}) == 1 else rows

    def _furthest(self, key: str) -> list[int]:
        rows = list(dict.fromkeys(self._by_last.get(_last(key), ())))
        agree = [max(_common_parts(key, spelling) for spelling in self._spellings[row]) for row in rows]
        return [row for row, parts in zip(rows, agree, strict=True) if parts == max(agree)]


def _last(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _common_parts(one: str, other: str) -> int:
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), other.count("/")) + 1)


def resolve(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Replace names of originals and donors by the clip ids that they mean, where that is clear.

    Args:
        table: a manifest's table, n rows.

    Returns:
        The table, and the originals of fakes that are no clip of it: each name as it is spelled, with the clip that
        names it and what it may mean.
    """
    unknown: dict[str, str] = {}
    clip_ids, is_fake = values(table, "clip_id"), np.asarray(table["label"]) == FAKE
    for column in ("original", "donor"):
        named, names = named_in(table, column), values(table, column).copy()
        if not len(named.rows):
            continue
        recordings = recording_keys(table, "clip_id")
        for row, candidates in zip(named.rows.tolist(), named.candidates, strict=True):
            meant = {recordings[other] for other in candidates}
            if len(candidates) == 1:
                names[row] = clip_ids[candidates[0]]
            elif column == "original" and is_fake[row] and len(meant) != 1:
                may = f", may be any of {', '.join(sorted(clip_ids[candidates])[:5])}" if candidates else ""
                unknown.setdefault(str(names[row]), f"{names[row]} (of {clip_ids[row]}{may})")
        table = table.assign(**{column: pd.Series(names, index=table.index, dtype=table[column].dtype)})
    return table, unknown


def nested_names(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of keys of which one is the end of the other: `x/gone` and `gone` may be one recording."""
    known = set(keys)
    pairs = []
    for key in known:
        rest = key
        while "/" in rest:
            rest = rest.split("/", 1)[1]
            if rest in known:
                pairs.append((key, rest))
    return sorted(pairs)
