"""Clips of the manifest joined, by clip id, with their tracks in the store."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, REAL
from tfdfd.data.crop_landmarks import Watch, landmarks_in_crops
from tfdfd.data.mask_store import MaskStore, track_masks
from tfdfd.data.rows import FaceTable, StripRows
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import rows_where


def training_table(
    store: FaceStore,
    clips: pd.DataFrame,
    *,
    main_only: bool,
    watch_landmarks: Watch | None = None,
    masks: MaskStore | None = None,
) -> FaceTable:
    """Return the tracks to train on.

    Args:
        store: the store.
        clips: rows of the manifest with `clip_id`, `label` and perhaps `original`; those without a face in the store
            are left out.
        main_only: leave out all people of a clip but the main one.
        watch_landmarks: shows the search for landmarks; None where none are needed, and the table has none then.
        masks: those of the store, to go with the faces; None where none are needed.

    Returns:
        One row a track, all of weight 1; clip_rows are row numbers in `clips`.
    """
    tracks = _joined(store, clips)
    if main_only:
        tracks = rows_where(tracks, tracks["track"].to_numpy() == 0)
    return FaceTable(
        strip_paths=_strip_paths(store, tracks),
        is_face=_masks(tracks, store.num_places),
        labels=_labels(tracks, clips),
        weights=np.ones(len(tracks), np.float32),
        clip_rows=tracks["clip_row"].to_numpy(np.int32),
        originals=_originals(tracks, clips),
        landmarks_xy=(None if watch_landmarks is None else landmarks_in_crops(store, tracks, watch=watch_landmarks)),
        masks=None if masks is None else track_masks(masks, tracks, _labels(tracks, clips) == FAKE),
    )


def _labels(tracks: pd.DataFrame, clips: pd.DataFrame) -> np.ndarray:
    return clips["label"].to_numpy(np.float32)[tracks["clip_row"].to_numpy()]


def _originals(tracks: pd.DataFrame, clips: pd.DataFrame) -> np.ndarray:
    """Return the row of the track that each fake one is made from: the same person of its original, else the main."""
    if "original" not in clips or tracks.empty:
        return np.full(len(tracks), -1, np.int32)
    clip_rows = tracks["clip_row"].to_numpy()
    labels = clips["label"].to_numpy()[clip_rows]
    names = np.where(labels == FAKE, clips["original"].to_numpy()[clip_rows], "")
    real = rows_where(tracks.assign(row=np.arange(len(tracks))), labels == REAL).set_index(["clip_id", "track"])["row"]
    same, main = (
        real.reindex(pd.MultiIndex.from_arrays([names, numbers])).to_numpy()
        for numbers in (tracks["track"].to_numpy(), np.zeros(len(tracks), np.int64))
    )
    return np.nan_to_num(np.where(np.isnan(same), main, same), nan=-1).astype(np.int32)


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


def track_landmarks(store: FaceStore, clips: pd.DataFrame, watch: Watch) -> np.ndarray:
    """Return the landmarks of the tracks of `scoring_rows`, float32 (n, places, 5, 2); see `landmarks_in_crops`."""
    return landmarks_in_crops(store, _joined(store, clips), watch=watch)


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
