"""Crops laid as an embedder wants them: eyes, nose and mouth at given places, whatever margin the crop was cut with."""

from __future__ import annotations

import numpy as np

IN_BOX_XY = np.array([[0.33, 0.385], [0.67, 0.385], [0.50, 0.57], [0.365, 0.77], [0.635, 0.77]], np.float32)
"""Where the five landmarks lie in the square around MTCNN's box, in shares of its side: the mean over 762 faces of 39
clips, made symmetrical. For crops in which none are found."""


def landmarks_by_box(crop_size: int, margin: float) -> np.ndarray:
    """Return where landmarks are to be expected in a crop, float32 (5, 2), pixels.

    Args:
        crop_size: side of the crop in pixels.
        margin: share of the face box's longer side that was added to it, above -1.
    """
    return ((IN_BOX_XY - 0.5) / (1 + margin) + 0.5) * crop_size


def align_face(crop: np.ndarray, landmarks_xy: np.ndarray, target_xy: np.ndarray, size: int) -> np.ndarray:
    """Turn, scale and move a crop so that its landmarks lie as near as can be to where they shall lie.

    A large crop is first shrunk by a whole number, so that no pixel is left out; beyond the crop its edge goes on.

    Args:
        crop: uint8 RGB, shape (height, width, 3).
        landmarks_xy: float, shape (5, 2), pixels of the crop.
        target_xy: float, shape (5, 2), pixels of the result.
        size: side of the result in pixels.

    Returns:
        uint8 RGB, shape (size, size, 3).

    Source: least-squares similarity of Umeyama, IEEE Trans. Pattern Anal. 13 (1991); bilinear interpolation.
    """
    linear, offset = _similarity(np.asarray(target_xy, np.float64), np.asarray(landmarks_xy, np.float64))
    pixels = crop.astype(np.float32)
    if (factor := int(np.hypot(*linear[:, 0]))) >= 2:
        pixels = _shrunk(pixels, factor)
        linear, offset = linear / factor, offset / factor
    centres = np.arange(size) + 0.5
    x, y = np.meshgrid(centres, centres)
    # Pixel centres lie at halves.
    from_x = linear[0, 0] * x + linear[0, 1] * y + offset[0] - 0.5
    from_y = linear[1, 0] * x + linear[1, 1] * y + offset[1] - 0.5
    return np.clip(np.rint(_bilinear(pixels, from_x, from_y)), 0, 255).astype(np.uint8)


def _similarity(source: np.ndarray, destination: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return linear part (2, 2) and offset (2,) of the similarity without mirroring that best maps one to the other."""
    a, b = source - source.mean(axis=0), destination - destination.mean(axis=0)
    along, across = (a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    cos, sin = np.array([along, across]) / max((a**2).sum(), 1e-12)
    linear = np.array([[cos, -sin], [sin, cos]])
    return linear, destination.mean(axis=0) - linear @ source.mean(axis=0)


def _shrunk(pixels: np.ndarray, factor: int) -> np.ndarray:
    height, width = (side // factor * factor for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return blocks.mean(axis=(1, 3))


def _bilinear(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    above = pixels[top, left] * (1 - fx) + pixels[top, right] * fx
    below = pixels[bottom, left] * (1 - fx) + pixels[bottom, right] * fx
    return above * (1 - fy) + below * fy
