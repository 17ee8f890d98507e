"""Lines of many points, made light enough for a page without a change that anyone would see."""

from __future__ import annotations

import numpy as np
from skimage.measure import approximate_polygon


def thinned(x: np.ndarray, y: np.ndarray, *, tolerance: float = 1 / 1000) -> tuple[np.ndarray, np.ndarray]:
    """Leave out points of a line that nobody would see.

    Args:
        x, y: float, shape (n,), both in a range of about 1.
        tolerance: how far the line may move; by default a third of a unit of a chart.

    Returns:
        float64, shape (k,): points whose line lies within the tolerance of all that were left out.

    Source: Ramer (1972), Douglas and Peucker (1973).
    """
    points = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=1)
    # First of all those that fall on one spot: of 100,000 points few thousand are left.
    spots = np.round(points / (tolerance / 4))
    is_new = np.append(True, (np.diff(spots, axis=0) != 0).any(axis=1))
    is_new[-1] = True
    kept = approximate_polygon(points[is_new], tolerance * 0.6)
    return kept[:, 0], kept[:, 1]
