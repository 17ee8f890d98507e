"""From the frame to the crop: where points of a face lie in what was cut out around it."""

from __future__ import annotations

import numpy as np

from tfdfd.faces.alignment import roll_radians
from tfdfd.faces.boxes import centres_xy, sides


def crop_views(
    boxes_xyxy: np.ndarray, landmarks_xy: np.ndarray, *, size: int, margin: float, alignment: str
) -> np.ndarray:
    """Return how each crop lies in the frame, as `tfdfd.faces.crops` cuts it.

    Args:
        boxes_xyxy: float, shape (n, 4), pixels of the frame.
        landmarks_xy: float, shape (n, 5, 2), pixels of the frame; not looked at for alignment `none`.
        size: side of a crop in pixels.
        margin: share of a box's longer side that was added to it.
        alignment: one of `tfdfd.faces.alignment.ALIGNMENTS`.

    Returns:
        float64, shape (n, 2, 3): the affine map from pixels of the frame to pixels of the crop.
    """
    boxes = np.asarray(boxes_xyxy, np.float64)
    scale = size / (np.maximum(sides(boxes), 1e-6) * (1 + margin))
    # Back by as much as the face leans.
    rolls = roll_radians(landmarks_xy).astype(np.float64) if alignment == "landmarks" else np.zeros(len(boxes))
    cos, sin = scale * np.cos(rolls), scale * np.sin(rolls)
    linear = np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)
    offset = size / 2 - np.einsum("nij,nj->ni", linear, centres_xy(boxes))
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def to_crop(points_xy: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Move points from the frame into a crop.

    Args:
        points_xy: float, shape (n, 2), pixels of the frame.
        view: float, shape (2, 3), of `crop_views`.

    Returns:
        float64, shape (n, 2), pixels of the crop.
    """
    return np.asarray(points_xy, np.float64) @ view[:, :2].T + view[:, 2]
