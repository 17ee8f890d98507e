"""What one crop shows of another's piece of the frame."""

from __future__ import annotations

import numpy as np
from PIL import Image

_MOST_LARGER = 8.0
"""Times that a piece of the frame may be larger than what a crop holds of it to be shown through that crop."""


def shrink(crop: np.ndarray, side: int) -> np.ndarray:
    """Return a crop as a square picture of another side, uint8 RGB."""
    return _resample(crop, 0.0, 0.0, float(crop.shape[0]), side)


def through_view(
    crop: np.ndarray, view: np.ndarray, other_view: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Show the part of the frame that another crop shows, as far as this crop holds it.

    The filter is that of `shrink`, so that the same pixels of the frame look the same through both.

    Args:
        crop: uint8 RGB, shape (size, size, 3).
        view: float, shape (2, 3): how this crop lies in the frame, of `tfdfd.faces.crop_views.crop_views`.
        other_view: the same of the other crop, of the same size.
        side: side of the picture to make.

    Returns:
        The picture, uint8 RGB, shape (side, side, 3), and where this crop holds it, bool, shape (side, side).
    """
    size = crop.shape[0]
    from_other = view[:, :2] @ np.linalg.inv(other_view[:, :2])
    offset = view[:, 2] - from_other @ other_view[:, 2]
    centres = (np.arange(side) + 0.5) * (size / side)
    seen_at = np.stack(np.meshgrid(centres, centres), axis=-1) @ from_other.T + offset
    is_known = ((seen_at >= 0) & (seen_at <= size)).all(axis=-1)
    if not is_known.any() or np.abs(from_other).max() > _MOST_LARGER:
        return np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.bool_)
    if from_other[0, 0] > 0 and abs(from_other[0, 1]) * size < 0.01:  # of a pixel: the same way up
        return _resample(crop, offset[0], offset[1], from_other[0, 0] * size, side), is_known
    return shrink(_turned(crop, from_other, offset), side), is_known


def _turned(crop: np.ndarray, linear: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return a crop of the same size whose pixel p shows this one's at linear @ p + offset."""
    size = crop.shape[0]
    corners = [offset + linear @ corner for corner in ([0, 0], [size, 0], [0, size], [size, size])]
    grown, reach = _grown(crop, *corners)
    matrix = (*linear[0], offset[0] + reach, *linear[1], offset[1] + reach)
    turned = Image.fromarray(grown).transform(
        (size, size), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BICUBIC
    )
    return np.asarray(turned)


def _resample(crop: np.ndarray, left: float, top: float, span: float, side: int) -> np.ndarray:
    """Return a square part of a crop, in pixels of it, as a picture; what lies outside goes on as its edge."""
    grown, reach = _grown(crop, np.array([left, top]), np.array([left + span, top + span]))
    box = (left + reach, top + reach, left + span + reach, top + span + reach)
    return np.asarray(Image.fromarray(grown).resize((side, side), Image.Resampling.BICUBIC, box=box))


def _grown(crop: np.ndarray, *corners: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a crop grown by its edge pixels up to some corners, and by how much: Pillow reads inside pictures only."""
    size = crop.shape[0]
    beyond = max(0.0, -float(np.min(corners)), float(np.max(corners)) - size)
    reach = int(np.ceil(beyond)) + 2  # and far enough for the filter
    return np.pad(crop, ((reach, reach), (reach, reach), (0, 0)), mode="edge"), reach
