"""Self-blended images: fakes made on the fly from real faces, so that no real fake is needed to train.

A face is altered a little (colour, sharpness, place, size) and blended with itself through a mask about its landmarks.
What a detector learns from it is the seam and the disagreement of both sides, which every swap and re-enactment has,
whatever made it.

Source: self-blended images, arXiv:2204.08376, where a mask is the hull of 81 landmarks. MTCNN gives five, so here masks
are drawn about a template face and laid onto each face by them.
"""

from __future__ import annotations

import functools

import numpy as np

from tfdfd.data.alterations import column_slice, no_alterations
from tfdfd.faces.alignment import FROM_CENTRE_XY, UPRIGHT_XY

NUM_MASKS = 256
MASK_SIDE = 72
"""Side of a mask in pixels."""
_SCALE, _BORDER = 0.5, 16
"""A mask shows the template and so many pixels of it around, at half its size."""

_REGIONS = (
    # Share of the masks, middle and radii of an ellipse in pixels of the template.
    (0.60, (56, 64), (40, 50)),  # the whole face
    (0.20, (56, 84), (32, 30)),  # nose, mouth and chin
    (0.10, (56, 50), (40, 18)),  # eyes and brows
    (0.10, (56, 92), (24, 14)),  # the mouth
)
OPACITIES = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)


def landmark_views(landmarks_xy: np.ndarray) -> np.ndarray:
    """Return how the template face lies on each face: the least-squares similarity from the face to the template.

    Args:
        landmarks_xy: shape (n, 5, 2), pixels of a crop; not all in one point.

    Returns:
        float64 (n, 2, 3): affine map from pixels of the crop to pixels of the template.

    Source: Umeyama, IEEE Trans. Pattern Anal. 13 (1991).
    """
    points = np.asarray(landmarks_xy, np.float64)
    middle = points.mean(axis=1)
    points = points - middle[:, None]
    # As complex numbers a similarity is one factor.
    found, template = points[..., 0] + 1j * points[..., 1], FROM_CENTRE_XY[:, 0] + 1j * FROM_CENTRE_XY[:, 1]
    factor = (found.conj() * template).sum(axis=1) / (np.abs(found) ** 2).sum(axis=1)
    linear = np.stack([factor.real, -factor.imag, factor.imag, factor.real], axis=1).reshape(-1, 2, 2)
    offset = UPRIGHT_XY.mean(axis=0) - np.einsum("nij,nj->ni", linear, middle)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


@functools.cache
def blend_masks() -> np.ndarray:
    """Draw the masks: soft-edged, bent regions of the template face; always the same.

    Returns:
        uint8 (NUM_MASKS, MASK_SIDE, MASK_SIDE, 1), 255 where a blend shows what is put in.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates  # slow to import, and `--help` reads this module

    rng = np.random.default_rng(0)
    y, x = (np.indices((MASK_SIDE, MASK_SIDE)) + 0.5) / _SCALE - _BORDER
    masks = np.empty((NUM_MASKS, MASK_SIDE, MASK_SIDE), np.uint8)
    # To nothing at the border, where a face that fills its crop may lie.
    inwards = np.minimum(np.indices((MASK_SIDE, MASK_SIDE)), MASK_SIDE - 1 - np.indices((MASK_SIDE, MASK_SIDE)))
    fading = np.clip(inwards / 6, 0, 1).prod(axis=0)
    ends = np.cumsum([share for share, _, _ in _REGIONS]) * NUM_MASKS
    for number in range(NUM_MASKS):
        _, middle, radii = _REGIONS[int(np.searchsorted(ends, number, side="right"))]
        (middle_x, middle_y), (radius_x, radius_y) = middle + rng.normal(0, 3, 2), radii * rng.uniform(0.8, 1.15, 2)
        across, down = (x - middle_x) / radius_x, (y - middle_y) / radius_y
        angle = np.arctan2(down, across)
        edge = np.ones_like(angle)
        for wave in range(2, 6):
            edge += rng.normal(0, 0.12 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
        mask = (np.hypot(across, down) < edge).astype(np.float32)
        bend = gaussian_filter(rng.normal(0, 1, (2, MASK_SIDE, MASK_SIDE)), (0, 6, 6))
        bend *= rng.uniform(0, 3) / bend.std()
        mask = map_coordinates(mask, np.indices(mask.shape) + bend, order=1)
        masks[number] = np.rint(255 * fading * np.clip(gaussian_filter(mask, rng.uniform(0.7, 4)), 0, 1))
    return masks[..., None]


def draw_blends(
    landmarks_xy: np.ndarray, is_blended: np.ndarray, rng: np.random.Generator, *, crop_size: int
) -> np.ndarray:
    """Draw how faces are blended with themselves.

    Args:
        landmarks_xy: float32 (n, 5, 2), pixels of the crops; not looked at where nothing is blended.
        is_blended: bool (n,), which are.
        rng: the same numbers are drawn whatever is blended.
        crop_size: side of a crop in pixels.

    Returns:
        float32 (n, alterations.WIDTH), with 0 in the columns of degradation.
    """
    n = len(is_blended)
    table = no_alterations(n)

    def put(name: str, *numbers: np.ndarray) -> None:
        table[:, column_slice(name)] = np.where(is_blended[:, None], np.stack(numbers, axis=1), 0)

    put("mask", rng.integers(1, NUM_MASKS + 1, n))
    known = np.where(is_blended[:, None, None], landmarks_xy, UPRIGHT_XY)
    to_mask = landmark_views(known) * _SCALE
    to_mask[:, :, 2] += _SCALE * _BORDER
    put("mask_view", *to_mask.reshape(n, 6).T)
    # What is put in lies a little off and has another size, in places of the face: 3 % and 5 % as published.
    right, down = rng.uniform(-0.03, 0.03, (2, n)) * crop_size
    wider, higher = rng.uniform(0.95, 1.05, (2, n))
    middle, none = crop_size / 2, np.zeros(n)
    put(
        "inside_view",
        *(wider, none, middle * (1 - wider) + right),
        *(none, higher, middle * (1 - higher) + down),
    )
    brightness, contrast = rng.uniform(0.9, 1.1, (2, n))
    saturation, hue = rng.uniform(0.7, 1.3, n), rng.uniform(-18, 18, n)
    put("inside_colour", brightness, contrast, saturation, hue)
    is_soft = rng.random(n) < 0.5
    put("inside_sigma", np.where(is_soft, rng.uniform(0.002, 0.01, n) * crop_size, 0))
    put("is_inside", rng.random(n) < 0.5)
    put("opacity", rng.choice(OPACITIES, n))
    return table
