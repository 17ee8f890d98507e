"""Clips of the manifest joined, by clip id, with their tracks in the store."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tfdfd.data.rows import FaceTable, StripRows
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import rows_where


def training_table(store: FaceStore, clips: pd.DataFrame, *, main_only: bool) -> FaceTable:
    """Return the tracks to train on.

    Args:
        store: the store.
        clips: rows of the manifest with `clip_id` and `label`; those without a face in the store are left out.
        main_only: leave out all people of a clip but the main one.

    Returns:
        One row a track, all of weight 1; clip_rows are row numbers in `clips`.
    """
    tracks = _joined(store, clips)
    if main_only:
        tracks = rows_where(tracks, tracks["track"].to_numpy() == 0)
    return FaceTable(
        strip_paths=_strip_paths(store, tracks),
        is_face=_masks(tracks, store.num_places),
        labels=clips["label"].to_numpy(np.float32)[tracks["clip_row"].to_numpy()],
        weights=np.ones(len(tracks), np.float32),
        clip_rows=tracks["clip_row"].to_numpy(np.int32),
    )


def scoring_rows(store: FaceStore, clips: pd.DataFrame) -> StripRows:
    """Return the tracks to score, in the order of the clips, each clip's main track first.

    Args and clip_rows: as in `training_table`.
    """
    tracks = _joined(store, clips)
    return StripRows(
        strip_paths=_strip_paths(store, tracks),
        is_face=_masks(tracks, store.num_places),
        clip_rows=tracks["clip_row"].to_numpy(np.int32),
        track=tracks["track"].to_numpy(np.int32),
    )


def _joined(store: FaceStore, clips: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame({"clip_id": clips["clip_id"].to_numpy(), "clip_row": np.arange(len(clips))})
    tracks = store.tracks().merge(rows, on="clip_id", how="inner", validate="many_to_one")
    return tracks.sort_values(["clip_row", "track"], kind="stable", ignore_index=True)


def _strip_paths(store: FaceStore, tracks: pd.DataFrame) -> list[str]:
    return [str(store.folder / strip) for strip in tracks["strip"]]


def _masks(tracks: pd.DataFrame, num_places: int) -> np.ndarray:
    if tracks.empty:
        return np.zeros((0, num_places), np.bool_)
    return np.stack([np.asarray(mask, np.bool_) for mask in tracks["is_face"]])
