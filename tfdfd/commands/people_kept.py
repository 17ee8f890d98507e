"""`tfdfd people --keep-per-person`: the CSV of a small training set that keeps everyone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import FAKE, TfdfdError
from tfdfd.data.manifest import NO_LABEL
from tfdfd.data.tables import FACES_CSV, MANIFEST_CSV, rows_where, values

if TYPE_CHECKING:
    from tfdfd.data.store import FaceStore


def check_kept(store: FaceStore, manifest: pd.DataFrame, arguments: argparse.Namespace) -> None:
    """Refuse a small training set that could not be made of this store, before any work.

    Raises:
        TfdfdError: says why.
    """
    if arguments.keep_per_person is None:
        return
    if np.any(manifest["label"] == NO_LABEL):
        raise TfdfdError("--keep-per-person needs to know which clips are fake, and these have no labels")
    path, name = kept_path(store, arguments)
    if name == FACES_CSV and path.name != FACES_CSV:
        raise TfdfdError(
            f"--keep-to: a CSV of ready-made crops is known by its name: call it {path.parent / FACES_CSV}"
        )


def kept_path(store: FaceStore, arguments: argparse.Namespace) -> tuple[Path, str]:
    """Return where the CSV of a small training set goes, and what it is called unless a person says otherwise."""
    from tfdfd.data.ready_crops import READY_MADE
    from tfdfd.data.track_embeddings import FOLDER

    name = FACES_CSV if store.fingerprint.preprocessing["detector"] == READY_MADE else MANIFEST_CSV
    return Path(arguments.keep_to or store.folder / FOLDER / f"kept_{arguments.keep_per_person}" / name), name


def write_kept(
    store: FaceStore,
    table: pd.DataFrame,
    people: pd.DataFrame,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Write the CSV of a small training set into a store or where --keep-to says, and print what it keeps.

    Args:
        store: the store.
        table: its manifest's table, with the people who were found.
        people: their table.
        arguments: the command line.
        console: gets the line.

    Raises:
        TfdfdError: if it cannot be written.
    """
    from tfdfd.data.atomic import explain_write_errors, write_atomically
    from tfdfd.data.keep_per_person import csv_of, keep_per_person

    count = arguments.keep_per_person
    kept = rows_where(table, keep_per_person(table, people, count=count, seed=arguments.seed))
    path, _ = kept_path(store, arguments)
    with explain_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, csv_of(kept).to_csv(index=False).encode())
    num_fake = int(np.sum(values(kept, "label") == FAKE))
    console.print(
        f"kept {len(kept):,} of {len(table):,} clips ({len(kept) - num_fake:,} real, {num_fake:,} fake), at most "
        f"{count} of each person and label but where a person is seen only beside others: --data {path}"
    )
    if num_fake == 0:
        console.print("no fake is kept: there is none with a face", style="yellow")
