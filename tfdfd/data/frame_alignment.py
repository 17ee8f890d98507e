"""How an original's frames lie on its fake's: alike, cut differently, or scaled; and whether they belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from tfdfd.clip import ClipError
from tfdfd.data.altered_region import LUMA

LEAST_AGREEMENT = 0.5
"""Correlation of the details of two pictures below which they do not show the same."""
FLAT_DIFFERENCE = 6.0
"""Mean difference in levels up to which two pictures show the same whatever their details: a wall has none."""
MOST_STRETCHED = 0.1
"""Share by which width and height may be scaled differently, or by which more than the scale a size may differ."""
_PROBES = 3
"""Pairs of frames by which the place of one on the other is found."""


@dataclass(frozen=True)
class Placement:
    """How the original's frames lie on the fake's."""

    scale_xy: tuple[float, float] = (1.0, 1.0)
    """What the original's width and height are multiplied by."""
    shift_xy: tuple[float, float] = (0.0, 0.0)
    """Pixels of the fake's frame by which it is then moved to the right and down."""

    def __str__(self) -> str:
        """Say what is done to the original's frames."""
        done = []
        if self.scale_xy != (1.0, 1.0):
            done.append(f"scaled by {self.scale_xy[0]:.4f} x {self.scale_xy[1]:.4f}")
        if self.shift_xy != (0.0, 0.0):
            done.append(f"moved by {self.shift_xy[0]:g} px to the right and {self.shift_xy[1]:g} px down")
        return " and ".join(done) or "laid on it as it is"

    def placed(self, frames: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Lay the original's frames on the fake's.

        Args:
            frames: uint8 RGB, shape (n, h, w, 3): the original's.
            height, width: of the fake's.

        Returns:
            uint8 RGB, shape (n, height, width, 3), and where they reach, bool, shape (height, width).
        """
        if self == Placement() and frames.shape[1:3] == (height, width):
            return frames, np.ones((height, width), np.bool_)
        scaled_size = tuple(
            round(side * scale) for side, scale in zip(frames.shape[2:0:-1], self.scale_xy, strict=True)
        )
        matrix = (1, 0, -self.shift_xy[0], 0, 1, -self.shift_xy[1])

        def moved(picture: Image.Image) -> np.ndarray:
            # First with Pillow's antialiasing resize, which a transform lacks.
            scaled = picture if picture.size == scaled_size else picture.resize(scaled_size, Image.Resampling.BICUBIC)
            return np.asarray(
                scaled.transform((width, height), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BICUBIC)
            )

        placed = np.stack([moved(Image.fromarray(frame)) for frame in frames])
        reach = moved(Image.fromarray(np.full(frames.shape[1:3], 255, np.uint8)))
        return placed, reach > 254


def details(frame: np.ndarray) -> np.ndarray:
    """Return what of a picture, uint8 RGB (height, width, 3), is neither noise nor light, float32 (height, width)."""
    grey = frame.astype(np.float32) @ LUMA
    return ndimage.gaussian_filter(grey, 1.0) - ndimage.gaussian_filter(grey, 4.0)


def agreement(fake: np.ndarray, original: np.ndarray, is_compared: np.ndarray) -> float:
    """Return how well two pictures show the same, from 0 (or below) to 1.

    Args:
        fake: uint8 RGB, shape (height, width, 3).
        original: the same.
        is_compared: bool, shape (height, width): where; nowhere gives 1, for nothing speaks against it.

    Returns:
        The correlation of their details; 1 where they hardly differ at all.
    """
    if not is_compared.any():
        return 1.0
    if np.abs(fake[is_compared].astype(np.float32) - original[is_compared]).mean() <= FLAT_DIFFERENCE:
        return 1.0
    one, other = (details(picture)[is_compared] for picture in (fake, original))
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(float(np.sqrt((one**2).sum() * (other**2).sum())), 1e-6))


def find_placement(fakes: np.ndarray, originals: np.ndarray, is_background: np.ndarray) -> Placement:
    """Find how the original's frames lie on the fake's, from a few pairs of them.

    Tried are: as they are, if the sizes are the same; cut at the sides, so moved alone; and scaled to the fake's size,
    then moved. What fits best is taken.

    Args:
        fakes: uint8 RGB, shape (n, height, width, 3), n >= 1.
        originals: uint8 RGB, shape (n, h, w, 3): the same frames of the original.
        is_background: bool, shape (n, height, width): where the fake shows no face.

    Raises:
        ClipError: if nothing fits: what was tried, and how badly it fits.
    """
    height, width = fakes.shape[1:3]
    size = originals.shape[1:3]
    fit = (width / size[1], height / size[0])
    scales = [(1.0, 1.0)]
    if size != (height, width):
        scales = [scale for scale in {(1.0, 1.0), fit, (fit[1],) * 2, (fit[0],) * 2} if _is_close(scale, fit)]
        if not scales:
            raise ClipError(
                f"the fake's frames are {width} x {height}, its original's {size[1]} x {size[0]}: of another shape, so "
                "they cannot be laid on each other"
            )
    rows = np.unique(np.linspace(0, len(fakes) - 1, _PROBES).round().astype(int))
    best, found = -1.0, Placement()
    for scale in sorted(scales, reverse=True):
        unmoved = Placement(scale)
        for placement in dict.fromkeys([unmoved, _moved(unmoved, fakes[rows[0]], originals[rows[0]])]):
            placed, is_covered = placement.placed(originals[rows], height, width)
            fits = [
                agreement(fakes[row], picture, is_background[row] & is_covered)
                for row, picture in zip(rows, placed, strict=True)
            ]
            # A little better is no reason to move anything.
            if (value := float(np.median(fits))) > best + 0.005:
                best, found = value, placement
    if best < LEAST_AGREEMENT:
        raise ClipError(
            f"around the faces the fake's frames of {width} x {height} do not show what its original's of {size[1]} x "
            f"{size[0]} show (agreement {best:.2f}, at least {LEAST_AGREEMENT:g} is needed): is it the right original?"
        )
    return found


def _is_close(scale: tuple[float, float], fit: tuple[float, float]) -> bool:
    return all(abs(one / other - 1) <= MOST_STRETCHED for one, other in zip(scale, fit, strict=True)) and (
        abs(scale[0] / scale[1] - 1) <= MOST_STRETCHED
    )


def _moved(placement: Placement, fake: np.ndarray, original: np.ndarray) -> Placement:
    placed, _ = placement.placed(original[None], *fake.shape[:2])
    no_normalization: Any = None  # with it, whatever is sharp counts as much as what is there
    shift, _, _ = phase_cross_correlation(
        details(fake), details(placed[0]), upsample_factor=10, normalization=no_normalization
    )
    down, right = (round(float(value), 1) + 0.0 for value in shift)
    return Placement(placement.scale_xy, (right, down))
