"""Alignment: how far a face leans, and where points of the frame lie in its crop; in NumPy."""

from __future__ import annotations

import numpy as np

ALIGNMENTS = ("none", "landmarks")
"""How a crop lies: as the frame does, or turned so that the five landmarks stand upright."""

UPRIGHT_XY = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""float32 (5, 2): eyes, nose and mouth corners of an upright face, the template that face recognition aligns to.

Source: InsightFace's 112 x 112 template, used in ArcFace, arXiv:1801.07698."""

FROM_CENTRE_XY = UPRIGHT_XY - UPRIGHT_XY.mean(axis=0)
"""The template about its own centre, in which position and size of a face make no difference."""


def roll_radians(landmarks_xy: np.ndarray) -> np.ndarray:
    """Return how far faces lean: the turn of the least-squares similarity from the template to the landmarks.

    Of that similarity only the turn is used: centre and size of a crop stay those of the box, so that margin and size
    mean the same with and without alignment. All five points count, so a profile, whose eyes lie close together, gives
    no wild angle.

    Args:
        landmarks_xy: shape (n, 5, 2), pixels: left eye, right eye, nose, left and right mouth corner.

    Returns:
        float32, shape (n,), clockwise as the frame is seen, in [-pi, pi]; 0 where all five points are one.

    Source: Umeyama, IEEE Trans. Pattern Anal. 13 (1991), which in the plane comes down to one arctangent.
    """
    points = np.asarray(landmarks_xy, np.float32).reshape(-1, 5, 2)
    points = points - points.mean(axis=1, keepdims=True)
    along = (points * FROM_CENTRE_XY).sum(axis=(1, 2))
    across = (points[..., 1] * FROM_CENTRE_XY[:, 0] - points[..., 0] * FROM_CENTRE_XY[:, 1]).sum(axis=1)
    return np.arctan2(across, along).astype(np.float32)
