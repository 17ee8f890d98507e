"""People on the sides of a split: nobody may be on both."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tfdfd.clip import TfdfdError
from tfdfd.data.connected_sets import family_keys, people_seen
from tfdfd.data.tables import some, values

_SHOWN = 8
"""People that an error names."""


def without_people(table: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest's table that knows nobody, by which only originals and fakes belong together."""
    return table.assign(person="")


def parted_people(table: pd.DataFrame, is_val: np.ndarray) -> np.ndarray:
    """Return the people who are seen on both sides, sorted, object (m,).

    Args:
        table: a manifest's table, n rows.
        is_val: bool, shape (n,): which clips are on the validation side.
    """
    rows, names = _people_shown(table)
    return np.intersect1d(names[is_val[rows]], names[~is_val[rows]])


def parted_families(table: pd.DataFrame, families: np.ndarray, is_val: np.ndarray) -> np.ndarray:
    """Return which training clips must go so that nobody is on both sides, bool (n,).

    A clip goes with its original and all fakes: a fake shows the body of the one and the face of another.

    Args:
        table: a manifest's table, n rows.
        families: int, shape (n,): the connected sets of originals and fakes, none of them on both sides.
        is_val: bool, shape (n,): which clips are on the validation side.
    """
    rows, names = _people_shown(table)
    shows = rows[np.isin(names, parted_people(table, is_val)) & ~is_val[rows]]
    return np.isin(families, np.unique(families[shows])) & ~is_val


def _people_shown(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return who is seen in which clip as `people_seen` does, and whose face was put in, where the layout tells."""
    rows, names = people_seen(table)
    donors = family_keys(table, "donor")
    known = np.flatnonzero(donors != "")
    return np.concatenate([rows, known]), np.concatenate([names, donors[known]])


def require_whole_people(table: pd.DataFrame, is_val: np.ndarray, flag: str) -> None:
    """Refuse sides that put a person on both.

    Args:
        table: a manifest's table, n rows.
        is_val: bool, shape (n,): which clips are on the validation side.
        flag: what chose them, for the message.

    Raises:
        TfdfdError: if somebody is on both sides; names people and clips, and says what to do.
    """
    parted = parted_people(table, is_val)
    if not len(parted):
        return
    rows, names = _people_shown(table)
    clip_ids = values(table, "clip_id")
    lines = []
    for name in parted[:_SHOWN]:
        of_person = rows[names == name]
        train, val = (clip_ids[of_person[side]] for side in (~is_val[of_person], is_val[of_person]))
        lines.append(f"\n  {name}: training {some(train, limit=3)}; validation {some(val, limit=3)}")
    more = f"\n  and {len(parted) - _SHOWN:,} more people" if len(parted) > _SHOWN else ""
    raise TfdfdError(
        f"{flag} puts {len(parted):,} people on both sides, so validation would know them from training:"
        f"{''.join(lines)}{more}"
        "\nChoose folders that keep them together, use --val-fraction, or --drop-parted, which leaves out the training "
        "clips that show them. Who was found in which clip is in people/people.html of the store; where that is wrong, "
        "run `tfdfd people` again with a smaller --eps."
    )
