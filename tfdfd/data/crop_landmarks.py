"""Where eyes, nose and mouth lie in stored crops: from the index, or found in the crops where it does not know."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import write_parquet
from tfdfd.data.ready_crops import READY_MADE
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import read_strip
from tfdfd.faces.crop_views import crop_views

LANDMARKS_FILE = "crop_landmarks.parquet"
"""In a store of ready-made crops: `strip`, its `bytes` and `landmarks_xy`, ten numbers a place in pixels of the crop,
NaN where no face is found."""

_BORDER = 0.25
"""Ready-made crops are searched with so much of their edge pixels around them: MTCNN wants to see past the face."""
_MIN_FACE_SHARE = 0.4
"""Of the picture with its border: a crop holds one face, and it fills it."""
_AT_ONCE = 64

Watch = Callable[[Sequence[int]], Iterable[int]]
"""Gives what it is given, and shows meanwhile how much of it is done: `rich.progress.track` and the like."""


def landmarks_in_crops(store: FaceStore, tracks: pd.DataFrame, *, watch: Watch) -> np.ndarray:
    """Return the landmarks of tracks in pixels of their crops.

    Args:
        store: the store that holds them.
        tracks: rows of its index of tracks.
        watch: shows the search through ready-made crops, which is done once and kept in the store.

    Returns:
        float32 (n, num_places, 5, 2), NaN where there is no face, or none of its landmarks is known.

    Raises:
        TfdfdError: if the detector that made the crops gave no landmarks.
    """
    placed = landmarks_if_known(store, tracks, watch=watch)
    if len(placed) and store.fingerprint.preprocessing["detector"] != READY_MADE and np.isnan(placed).all():
        raise TfdfdError(
            f"the detector that made the store {store.folder} found no landmarks, and self-blended fakes and cut-outs "
            "need them: prepare the clips with a detector that finds them, or leave these out"
        )
    return placed


def landmarks_if_known(store: FaceStore, tracks: pd.DataFrame, *, watch: Watch) -> np.ndarray:
    """Return what `landmarks_in_crops` does, all NaN where the detector that made the crops gave none."""
    made = store.fingerprint.preprocessing
    if tracks.empty:
        return np.zeros((0, store.num_places, 5, 2), np.float32)
    is_face = np.stack([np.asarray(mask, np.bool_) for mask in tracks["is_face"]])
    if made["detector"] == READY_MADE:
        points = _of_ready_crops(store, tracks["strip"].tolist(), watch)
        return np.where(is_face[:, :, None, None], points, np.nan).astype(np.float32)
    n, places = is_face.shape
    boxes = np.stack([np.asarray(list(boxes), np.float32) for boxes in tracks["boxes_xyxy"]]).reshape(-1, 4)
    points = np.stack([_points(marks) for marks in tracks["landmarks_xy"]]).reshape(-1, 5, 2)
    known = is_face.reshape(-1) & np.ptp(points, axis=1).any(axis=1)
    placed = np.full((n * places, 5, 2), np.nan, np.float32)
    if known.any():
        views = crop_views(
            boxes[known], points[known], size=store.crop_size, margin=made["margin"], alignment=made["alignment"]
        )
        placed[known] = np.einsum("nij,nkj->nki", views[:, :, :2], points[known]) + views[:, None, :, 2]
    return placed.reshape(n, places, 5, 2)


class LandmarkFinder:
    """Looks for the landmarks of the one face that each ready-made crop shows.

    Args:
        crop_size: side of a crop in pixels.
    """

    def __init__(self, crop_size: int) -> None:
        from tfdfd.faces.mtcnn import MTCNN  # TensorFlow, which nothing else here needs

        self._detector = MTCNN(min_face_share=_MIN_FACE_SHARE)
        self._border = round(crop_size * _BORDER)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Return float32 (n, 5, 2), pixels of the crops uint8 (n, size, size, 3), NaN where no face is found."""
        found = np.full((len(crops), 5, 2), np.nan, np.float32)
        around = (self._border, self._border)
        for row, detections in enumerate(self._detector(np.pad(crops, ((0, 0), around, around, (0, 0)), mode="edge"))):
            if len(detections):
                found[row] = detections.landmarks_xy[0] - self._border
        return found


def _of_ready_crops(store: FaceStore, strips: list[str], watch: Watch) -> np.ndarray:
    path = store.folder / LANDMARKS_FILE
    # By size too: a crop that was replaced is searched again.
    keys = [(strip, (store.folder / strip).stat().st_size) for strip in strips]
    known: dict[tuple[str, int], np.ndarray] = {}
    if path.is_file():
        table = pd.read_parquet(path)
        points = (np.asarray(points, np.float32) for points in table["landmarks_xy"])
        known = dict(zip(zip(table["strip"], table["bytes"], strict=True), points, strict=True))
    missing = [key for key in keys if key not in known]
    find = LandmarkFinder(store.crop_size) if missing else None
    places = store.num_places
    at_once = max(1, _AT_ONCE // places)
    for start in watch(range(0, len(missing), at_once)) if missing else ():
        assert find
        some = missing[start : start + at_once]
        crops = [read_strip(store.folder / strip, num_places=places) for strip, _ in some]
        known |= dict(zip(some, find(np.concatenate(crops)).reshape(-1, 10 * places), strict=True))
    if missing and os.access(store.folder, os.W_OK):  # a store that may only be read is searched again next time
        names, sizes = zip(*known, strict=True)
        points = [points.tolist() for points in known.values()]
        write_parquet(path, pd.DataFrame({"strip": names, "bytes": sizes, "landmarks_xy": points}))
    return np.stack([known[key] for key in keys]).reshape(-1, places, 5, 2)


def _points(marks: Sequence) -> np.ndarray:
    return np.stack([np.stack(list(place)) for place in marks]).astype(np.float32)
