"""What is done to each face of an epoch before the network sees it, as one table that every graph follows.

All numbers are drawn in NumPy before the epoch begins, from its seed alone. So the DALI graph and its tf.data twin, one
replica and several, a resumed run and an undisturbed one alter every face alike.
"""

from __future__ import annotations

import itertools

import numpy as np

WIDTHS = {
    # A self-blended fake, see self_blend.py.
    "mask": 1,
    "mask_view": 6,
    "inside_view": 6,
    "inside_colour": 4,
    "inside_sigma": 1,
    "is_inside": 1,
    "opacity": 1,
    # A degraded picture, see degradation.py.
    "view": 6,
    "colour": 4,
    "sigma": 1,
    "side": 1,
    "noise": 3,
    "quality": 1,
    "hole": 4,
}
"""The columns of the table, in the order in which they are applied, and how many numbers each has. 0 in the first
number of a column, but for the views, leaves the face as it is:

`mask`: number of the mask by which the face is blended with itself, 1 for the first.
`mask_view`: affine map (2 x 3, row by row) from pixels of the crop to pixels of the mask, pixel centres at 0.5.
`inside_view`: the same from pixels of the blended crop to pixels of what is put in.
`inside_colour`: brightness, contrast (about 128), saturation (factors) and hue (degrees) of the blend's altered side.
`inside_sigma`: Gaussian blur of that side, pixels.
`is_inside`: 1 where what is put in is altered, 0 where all around it is.
`opacity`: what the mask is multiplied by.
`view`: affine map from pixels of the new crop to pixels of the old; all 0 leaves it as it is.
`colour`: as `inside_colour`.
`sigma`: Gaussian blur, pixels.
`side`: side that the crop is shrunk to and enlarged from again, pixels.
`noise`: number of the noise picture, 1 for the first; top and left of the part of it that is added.
`quality`: of a JPEG that the crop goes through.
`hole`: height, width, top and left of what is painted grey, pixels."""

WIDTH = sum(WIDTHS.values())
_STARTS = dict(zip(WIDTHS, itertools.accumulate(WIDTHS.values(), initial=0), strict=False))

BLEND = tuple(itertools.takewhile(lambda name: name != "view", WIDTHS))
"""The columns of a self-blended fake."""

NOISE_SHIFTS = 256
"""A noise picture is so many pixels larger than a crop, to either side, as there are places to cut it from."""
NOISE_STEP, NUM_NOISES = 2.5, 16
"""Standard deviation of the first noise picture, in levels, of which the others have multiples; and how many there are.
Pictures of their own, for to add bytes costs a third of scaling them first."""
WIDEST_BLUR = 0.05
"""Largest standard deviation of a blur, as a share of the side: far beyond what any face is recognised by."""
HOLE_LEVEL = 128
"""What a hole is painted with."""


def column_slice(name: str) -> slice:
    """Return where a column lies in the table."""
    return slice(_STARTS[name], _STARTS[name] + WIDTHS[name])


def no_alterations(num_rows: int) -> np.ndarray:
    """Return a table that leaves every face as it is, float32 (num_rows, WIDTH)."""
    return np.zeros((num_rows, WIDTH), np.float32)


def used_columns(table: np.ndarray) -> frozenset[str]:
    """Return the columns of a table float32 (n, WIDTH or 0) that alter some face: a graph needs no others."""
    if not table.shape[1]:
        return frozenset()
    return frozenset(name for name in WIDTHS if table[:, column_slice(name)].any())


def noise_pictures(crop_size: int) -> np.ndarray:
    """Return Gaussian noise to cut from: int8 (NUM_NOISES, side, side, 3), side crop_size + NOISE_SHIFTS."""
    side = crop_size + NOISE_SHIFTS
    noise = np.random.default_rng(0).normal(0, NOISE_STEP, (side, side, 3))
    levels = np.arange(1, NUM_NOISES + 1)[:, None, None, None]
    return np.clip(np.rint(levels * noise), -127, 127).astype(np.int8)


RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])
"""The colour space whose first axis is brightness: hue is a turn of the other two and saturation their stretch, as
DALI's `color_twist` has it."""
