"""What is known of each clip that figures can be broken down by: where it is from, how it was coded, who is in it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tfdfd.data.ready_crops import READY_MADE
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import columns, rows_where, values

NOT_KNOWN = "not known"
DIMENSIONS = ("dataset", "folder", "method", "codec", "resolution", "face_size", "people", "status")
"""What `clip_facts` tells of each clip."""

_SHORT_SIDES = (480, 720, 1080)
_FACE_SIDES = (64, 128, 256)


def clip_facts(clips: pd.DataFrame, store: FaceStore) -> pd.DataFrame:
    """Return what is known of clips, as text.

    Args:
        clips: n rows of the manifest.
        store: holds them.

    Returns:
        n rows in the order of `clips`, columns DIMENSIONS; NOT_KNOWN where nothing is known:

        - dataset, folder, method: of the manifest; the method of a real clip is empty;
        - codec: with its profile; resolution: of the shorter side in pixels; status: of the store;
        - face_size: the longer side of the face's box in the main track, its median over the places, in pixels;
        - people: the tracks of the clip.
    """
    joined = columns(clips, ("clip_id", "dataset", "folder", "method", "label")).merge(
        columns(store.clips(), ("clip_id", "status", "codec", "profile", "width", "height")),
        on="clip_id",
        how="left",
        validate="one_to_one",
    )
    tracks = store.tracks(columns=["clip_id", "track", "is_face", "boxes_xyxy"])
    clip_ids = values(joined, "clip_id")
    num_tracks = tracks["clip_id"].value_counts().to_dict()
    people = np.array([num_tracks.get(clip_id, 0) for clip_id in clip_ids], np.int64)
    facts = pd.DataFrame(
        {
            "dataset": _known(joined, "dataset"),
            "folder": _known(joined, "folder"),
            "method": np.where(joined["label"] == 1, _known(joined, "method"), ""),
            "codec": [_codec(*row) for row in zip(joined["codec"], joined["profile"], strict=True)],
            "resolution": _binned(_short_sides(joined), _SHORT_SIDES, "px"),
            "face_size": _binned(_face_sides(clip_ids, tracks, store), _FACE_SIDES, "px"),
            "people": np.select([people == 0, people == 1, people == 2], ["0", "1", "2"], "3 or more"),
            "status": joined["status"].fillna(NOT_KNOWN),
        }
    )
    return columns(facts, DIMENSIONS)


def _known(table: pd.DataFrame, name: str) -> np.ndarray:
    column = values(table, name)
    return np.where(column == "", NOT_KNOWN, column)


def _short_sides(table: pd.DataFrame) -> np.ndarray:
    """Return the shorter side of each clip's frames in pixels, NaN where it is not known."""
    # A clip that failed has None.
    width, height = (np.asarray(table[name], np.float64) for name in ("width", "height"))
    return np.minimum(width, height)


def _codec(codec: object, profile: object) -> str:
    if not isinstance(codec, str) or not codec:
        return NOT_KNOWN
    return f"{codec} {profile}" if isinstance(profile, str) and profile else codec


def _face_sides(clip_ids: np.ndarray, tracks: pd.DataFrame, store: FaceStore) -> np.ndarray:
    """Return the face size of each clip in pixels, NaN where there is no face or its box is not the detector's."""
    if store.fingerprint.preprocessing.get("detector") == READY_MADE:
        return np.full(len(clip_ids), np.nan)
    main = rows_where(tracks, tracks["track"].to_numpy() == 0)
    sides: dict[str, float] = {}
    for clip_id, is_face, boxes in zip(main["clip_id"], main["is_face"], main["boxes_xyxy"], strict=True):
        x1, y1, x2, y2 = np.stack(boxes)[np.asarray(is_face, bool)].T
        sides[clip_id] = float(np.median(np.maximum(x2 - x1, y2 - y1)))
    return np.array([sides.get(clip_id, np.nan) for clip_id in clip_ids])


def _binned(sides: np.ndarray, edges: tuple[int, ...], unit: str) -> np.ndarray:
    """Return the bin of each value by its upper edges, smallest first: `up to 480 px`, `481 to 720 px`, ..."""
    lows = [edge + 1 for edge in edges[:-1]]
    names = [f"up to {edges[0]} {unit}"]
    names += [f"{low} to {high} {unit}" for low, high in zip(lows, edges[1:], strict=True)]
    names += [f"above {edges[-1]} {unit}"]
    numbers = np.asarray(sides, np.float64)
    found = np.array(names, object)[np.searchsorted(edges, np.nan_to_num(numbers))]
    return np.where(np.isnan(numbers), NOT_KNOWN, found)
