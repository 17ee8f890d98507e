"""People whom `tfdfd people` found, for a split: who they are, and the proof that nobody is on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.data.people import people_of_sides, read_people, require_people_of, unknown_people, with_people
from tfdfd.data.splits import TRAIN, VAL
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import rows_where, some, values


def with_known_people(table: pd.DataFrame, store: Path, console: Console) -> pd.DataFrame:
    """Return a manifest's table with the people that its store knows; as it is where nobody was looked for.

    Args:
        table: a manifest's table.
        store: folder of its store, there or not.
        console: says what is known, and which clips came after.

    Raises:
        TfdfdError: if the table of people is damaged, or was made of other crops.
    """
    people = read_people(store)
    if people is None:
        return table
    faces = FaceStore.open(store)
    require_people_of(faces)
    here = rows_where(people, np.isin(values(people, "clip_id"), values(table, "clip_id")))
    console.print(
        f"people known in clips of {store} (`tfdfd people`): {here['person'].nunique():,}, in "
        f"{here['clip_id'].nunique():,} clips"
    )
    late = np.intersect1d(unknown_people(faces.tracks(columns=["clip_id", "track"]), people), values(table, "clip_id"))
    if len(late):
        console.print(
            f"{len(late):,} clips have faces that came into the store after its people were found, so nothing says "
            f"who they are: {some(late, limit=3)}. Run `tfdfd people --store {store}` again",
            style="yellow",
        )
    return with_people(table, people)


def print_people_of_sides(table: pd.DataFrame, console: Console) -> None:
    """Print how many people are on each side of a split, and prove that nobody is on both.

    Args:
        table: the table of a `Split`; nothing is printed where it knows nobody.

    Raises:
        TfdfdError: if somebody is on both sides.
    """
    sides = people_of_sides(table)
    if not sides[TRAIN] | sides[VAL]:
        return
    both = sorted(sides[TRAIN] & sides[VAL])
    if both:
        raise TfdfdError(f"{len(both)} people are on both sides of the split, please report this: {some(both)}")
    console.print(
        f"people seen in training clips: {len(sides[TRAIN]):,}, in validation clips: {len(sides[VAL]):,}, nobody in "
        "both"
    )
