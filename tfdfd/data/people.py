"""Who is seen in which clip: the table that `tfdfd people` leaves in a store, and the manifest's column made of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import explain_write_errors, write_atomically, write_parquet
from tfdfd.data.clusters import Clusters
from tfdfd.data.connected_sets import BETWEEN_PEOPLE, people_seen
from tfdfd.data.fingerprint import Fingerprint, require_same_preprocessing
from tfdfd.data.splits import TRAIN, VAL
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import rows_where, values
from tfdfd.data.track_embeddings import FOLDER, TrackEmbeddings

PEOPLE_FILE, SETTINGS_FILE = "people.parquet", "clusters.json"
PEOPLE_COLUMNS = ("clip_id", "track", "person", "is_alone", "pca_x", "pca_y", "tsne_x", "tsne_y")
"""Of each track: who it is, whether DBSCAN left it alone, and where it lies in both projections (NaN: not embedded)."""


def people_table(embeddings: TrackEmbeddings, clusters: Clusters) -> pd.DataFrame:
    """Return the table of people.

    A person's name is `p00012@3f2a9c1b`: a number, the most seen person first, and a digest of who was put together,
    so that people of two stores, or of two settings, are never taken for each other.

    Args:
        embeddings: n tracks, and those that could not be embedded, each of which is a person of its own.
        clusters: of the n embeddings.

    Returns:
        One row a track, in the order of clip ids, columns PEOPLE_COLUMNS.
    """
    pca = np.zeros((len(clusters.person), 2))
    pca[:, : clusters.pca.shape[1]] = clusters.pca[:, :2]
    tsne = np.full_like(pca, np.nan) if clusters.tsne is None else clusters.tsne.astype(np.float64)
    failed = embeddings.failed
    number = np.concatenate([clusters.person, clusters.num_people + np.arange(len(failed))]).astype(np.int64)
    unknown = np.full((len(failed), 2), np.nan)
    table = pd.DataFrame(
        {
            "clip_id": [*embeddings.table["clip_id"], *(clip_id for clip_id, _, _ in failed)],
            "track": np.array([*embeddings.table["track"], *(track for _, track, _ in failed)], np.int64),
            "is_alone": np.concatenate([clusters.is_alone, np.ones(len(failed), bool)]),
        }
    )
    for name, places in (("pca", np.concatenate([pca, unknown])), ("tsne", np.concatenate([tsne, unknown]))):
        table[f"{name}_x"], table[f"{name}_y"] = places[:, 0], places[:, 1]
    told = sorted(zip(table["clip_id"].tolist(), table["track"].tolist(), number.tolist(), strict=True))
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]
    table["person"] = [f"p{n:05d}@{digest}" for n in number.tolist()]
    table = table[list(PEOPLE_COLUMNS)]
    return table.sort_values(["clip_id", "track"], ignore_index=True)  # pyright: ignore[reportCallIssue]


def write_people(store_folder: Path, table: pd.DataFrame, settings: Mapping[str, Any]) -> None:
    """Keep a table of people in a store, and what it was made with.

    Raises:
        TfdfdError: if the store cannot be written.
    """
    folder = store_folder / FOLDER
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / SETTINGS_FILE, (json.dumps(settings, indent=1, sort_keys=True) + "\n").encode())
        write_parquet(folder / PEOPLE_FILE, table)


def require_people_of(store: FaceStore) -> None:
    """Refuse a table of people that was made of crops with other settings than those of its store.

    Raises:
        TfdfdError: says both values, or that nothing tells what it was made of.
    """
    path = store.folder / FOLDER / SETTINGS_FILE
    again = f"run `tfdfd people --store {store.folder}` again"
    try:
        made = Fingerprint({"crops": dict(json.loads(path.read_bytes())["crops"])})
    except (OSError, ValueError, KeyError, TypeError) as error:  # gone, damaged, or of an older version
        raise TfdfdError(f"{path} does not say in which crops the people beside it were found: {again}") from error
    require_same_preprocessing(
        Fingerprint({"crops": store.fingerprint.preprocessing}),
        made,
        expected_name=f"the store {store.folder}",
        found_name=f"its table of people {path.parent / PEOPLE_FILE}",
        accept=False,
        advice=f"These people were found in other crops: {again}",
    )


def read_people(store_folder: Path) -> pd.DataFrame | None:
    """Return the table of people of a store, None where `tfdfd people` has not been there.

    Raises:
        TfdfdError: if it is damaged.
    """
    path = store_folder / FOLDER / PEOPLE_FILE
    if not path.is_file():
        return None
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise TfdfdError(f"{path} is damaged ({error}): run `tfdfd people --store {store_folder}` again") from error
    if tuple(table.columns) != PEOPLE_COLUMNS:
        raise TfdfdError(
            f"{path} must have the columns {list(PEOPLE_COLUMNS)}, got {list(table.columns)}: run "
            f"`tfdfd people --store {store_folder}` again"
        )
    return table


def with_people(manifest: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest's table whose column `person` also names who was found in each clip.

    Args:
        manifest: a manifest's table, n rows; whom its layout names stays.
        people: the table of people of a store.

    Returns:
        The n rows in their order. A clip without a face names nobody more.
    """
    found = people.groupby("clip_id")["person"].agg(lambda names: BETWEEN_PEOPLE.join(sorted(set(names))))
    added = found.reindex(manifest["clip_id"]).fillna("").to_numpy(object)
    named = values(manifest, "person")
    joined = [_joined(*both) for both in zip(named, added, strict=True)]
    return manifest.assign(person=pd.Series(joined, index=manifest.index, dtype="str"))


def _joined(named: str, added: str) -> str:
    people = [*named.split(BETWEEN_PEOPLE), *added.split(BETWEEN_PEOPLE)]
    return BETWEEN_PEOPLE.join(dict.fromkeys(name for name in people if name))


def unknown_people(tracks: pd.DataFrame, people: pd.DataFrame) -> np.ndarray:
    """Return the clips with a track that a table of people does not know: it came into the store after it.

    Args:
        tracks: clip_id and track of those of the store.
        people: the table of people.

    Returns:
        Clip ids, object (n,), sorted, each once.
    """
    known = set(zip(people["clip_id"], people["track"], strict=True))
    is_late = [pair not in known for pair in zip(tracks["clip_id"], tracks["track"], strict=True)]
    return np.unique(values(rows_where(tracks, np.array(is_late, bool)), "clip_id"))


def people_of_sides(table: pd.DataFrame) -> dict[str, set[str]]:
    """Return who is seen on each side of a split: `train` and `val` to names of people.

    Args:
        table: a manifest's table with the column `split`.
    """
    return {
        side: set(people_seen(rows_where(table, values(table, "split") == side))[1].tolist()) for side in (TRAIN, VAL)
    }
