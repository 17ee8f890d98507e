"""From the frame to the crop: where a box and landmarks lie in it, and one crop seen through another's square."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tfdfd.faces.boxes import square_boxes


def crop_squares(boxes_xyxy: np.ndarray, margin: float) -> np.ndarray:
    """Return the square of the frame that each crop shows, as `tfdfd.faces.crops` cuts it.

    Args:
        boxes_xyxy: float, shape (n, 4), pixels of the frame.
        margin: share of a box's longer side that was added to it.

    Returns:
        float64, shape (n, 3): left, top and side in pixels of the frame.
    """
    squares = square_boxes(boxes_xyxy, margin).astype(np.float64)
    side = np.maximum(squares[:, 2] - squares[:, 0], 1e-6)
    return np.column_stack([squares[:, :2], side])


def to_crop(points_xy: np.ndarray, square: np.ndarray, crop_size: int) -> np.ndarray:
    """Move points from the frame into a crop.

    Args:
        points_xy: float, shape (n, 2), pixels of the frame.
        square: float, shape (3,): what the crop shows, of `crop_squares`.
        crop_size: side of the crop in pixels.

    Returns:
        float64, shape (n, 2), pixels of the crop.
    """
    return (np.asarray(points_xy, np.float64) - square[:2]) * (crop_size / square[2])


def shrink(crop: np.ndarray, side: int) -> np.ndarray:
    """Return a crop as a square picture of another side, uint8 RGB."""
    return _resample(crop, 0.0, 0.0, float(crop.shape[0]), side)


def through_square(
    crop: np.ndarray, square: np.ndarray, other_square: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Show the part of the frame that another crop shows, as far as this crop holds it.

    The filter is that of `shrink`, so that the same pixels of the frame look the same through both.

    Args:
        crop: uint8 RGB, shape (size, size, 3).
        square: float, shape (3,): what this crop shows, of `crop_squares`.
        other_square: the same of the other crop.
        side: side of the picture to make.

    Returns:
        The picture, uint8 RGB, shape (side, side, 3), and where this crop holds it, bool, shape (side, side).
    """
    size = crop.shape[0]
    left, top = to_crop(other_square[None, :2], square, size)[0]
    span = other_square[2] * size / square[2]
    if max(-left, -top, left + span - size, top + span - size) > 4 * size:
        return np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.bool_)
    centres = (np.arange(side) + 0.5) * (span / side)
    inside_x = (left + centres >= 0) & (left + centres <= size)
    inside_y = (top + centres >= 0) & (top + centres <= size)
    return _resample(crop, left, top, span, side), inside_y[:, None] & inside_x[None, :]


def _resample(crop: np.ndarray, left: float, top: float, span: float, side: int) -> np.ndarray:
    """Return a square part of a crop, in pixels of it, as a picture; what lies outside goes on as its edge."""
    size = crop.shape[0]
    # Pillow reads inside a picture only: the crop is grown by its edge pixels, far enough for the filter too.
    reach = int(np.ceil(max(0.0, -left, -top, left + span - size, top + span - size))) + 2
    grown = np.pad(crop, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    box = (left + reach, top + reach, left + span + reach, top + span + reach)
    return np.asarray(Image.fromarray(grown).resize((side, side), Image.Resampling.BICUBIC, box=box))
