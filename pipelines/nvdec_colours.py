"""What turns the colours of DALI's NVDEC decoder into PyAV's: a matrix for BT.709, and PyAV's rounding.

DALI converts every clip by BT.601, of full range where the stream or its container says so (read in the code of DALI
2.4's `FramesDecoderGpu::IsFullRange`). Two things separate that from what PyAV gives:

- A clip tagged BT.709 is converted by another matrix. Both conversions are linear and treat the range alike, so what
  lies between them is one 3 x 3 matrix on RGB. A colour that BT.709 shows and BT.601 puts outside 0 to 255 was clamped
  before the matrix sees it; `share_outside` measures how much of a clip that is.
- DALI rounds to the nearest level. PyAV's conversion (swscale) rounds each of its terms down: on x86 its frames are 1.0
  (red, blue) and 1.5 (green) levels darker where the range is limited, which is more than decoders may be apart.
  `pyav_offset` measures it on this machine. Without a matrix whole levels are taken from whole levels, so up to half a
  level is left of it.

`benchmarks/nvdec_colours.py` prints how near the result comes to PyAV's frames. Of 9 DFDC clips it is 0.4 to 0.9 levels
(mean) and 0.4 to 0.55 (signed mean of a channel) as BT.601; as BT.709 0.3 to 0.5 and 0.04 to 0.2 for the six of which
BT.601 clamps less than `MAX_SHARE_OUTSIDE`. Without the offset the signed mean was 1.4 to 1.55 for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

BT601, BT709 = "bt601", "bt709"
LUMA_WEIGHTS = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722)}
"""Red's and blue's share of luma; source: ITU-R BT.601-7 and BT.709-6."""
MAX_SHARE_OUTSIDE = 0.05
"""Share of a BT.709 clip's pixels that BT.601 may have clamped. Of 19 real clips that were read as BT.709, those above
this share came to a mean difference of up to 1.3 levels, those below to 0.8 at most."""

_COLOURFUL = 24
"""Levels between the largest and smallest channel from which a pixel at 0 or 255 is a clamped colour, not black or
white."""
_EVERY = 8
"""Every so many-th row and column is looked at."""
_CHROMA_REACH = 20
"""Of the chart on which PyAV is measured, about the middle: what skin, hair and rooms have."""

Rows = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Correction:
    """What is done to each pixel, float RGB in levels: `matrix @ pixel + offset`, rounded and clamped."""

    matrix: Rows
    offset: tuple[float, float, float]

    def applied_to(self, frames: np.ndarray) -> np.ndarray:
        """Return corrected frames, uint8 RGB (..., 3): the twin of `frame_graphs.correct_colours`."""
        moved = frames.astype(np.float32) @ np.array(self.matrix, np.float32).T + np.array(self.offset, np.float32)
        return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


@cache
def correction_of(matrix: str, *, is_full_range: bool) -> Correction:
    """Return what turns DALI's frames of a clip into PyAV's.

    Args:
        matrix: BT601 or BT709, in which the clip is coded.
        is_full_range: of the clip.
    """
    turned = rgb_from_yuv(matrix) @ np.linalg.inv(rgb_from_yuv(BT601)) if matrix != BT601 else np.eye(3)
    red, green, blue = (tuple(float(value) for value in row) for row in turned)
    return Correction((red, green, blue), pyav_offset(matrix, is_full_range=is_full_range))  # pyright: ignore[reportArgumentType]


def rgb_from_yuv(matrix: str) -> np.ndarray:
    """Return the float64 3 x 3 matrix from luma in 0 to 1 and chroma in -0.5 to 0.5 to RGB in 0 to 1."""
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    return np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )


def exact_rgb(yuv: np.ndarray, matrix: str, *, is_full_range: bool) -> np.ndarray:
    """Return what 8-bit YUV (..., 3) means in RGB levels, float64, neither rounded nor clamped."""
    offset, scale = ((0, 128, 128), (1, 1, 1)) if is_full_range else ((16, 128, 128), (255 / 219, 255 / 224, 255 / 224))
    return (yuv - np.array(offset)) * scale @ rgb_from_yuv(matrix).T


@cache
def pyav_offset(matrix: str, *, is_full_range: bool) -> tuple[float, float, float]:
    """Measure how many levels PyAV's RGB lies above the exact conversion, on a chart of random colours.

    Returns:
        Red, green, blue: negative, since swscale rounds down.
    """
    side = 128
    generator = np.random.default_rng(0)
    luma = generator.integers(32, 224, (side, side))
    chroma = generator.integers(128 - _CHROMA_REACH, 128 + _CHROMA_REACH, (2, side, side))
    frame = av.VideoFrame(2 * side, 2 * side, "yuvj420p" if is_full_range else "yuv420p")
    for plane, values in zip(frame.planes, (luma.repeat(2, 0).repeat(2, 1), *chroma), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    space = Colorspace.ITU709 if matrix == BT709 else Colorspace.ITU601
    rgb = VideoReformatter().reformat(frame, format="rgb24", src_colorspace=space, dst_colorspace=space).to_ndarray()
    exact = exact_rgb(np.stack([luma, *chroma], axis=-1), matrix, is_full_range=is_full_range)
    is_inside = (exact.min(axis=-1) > 4) & (exact.max(axis=-1) < 251)
    red, green, blue = (rgb[::2, ::2] - exact)[is_inside].mean(axis=0)
    return float(red), float(green), float(blue)


def share_outside(frames: np.ndarray, correction: Correction) -> float:
    """Return which share of a corrected clip's pixels BT.601 probably clamped.

    Args:
        frames: uint8 RGB, shape (n, height, width, 3), corrected.
        correction: that was applied.
    """
    some = frames[:, ::_EVERY, ::_EVERY].astype(np.float32) - np.array(correction.offset, np.float32)
    before = some @ np.linalg.inv(np.array(correction.matrix)).T.astype(np.float32)
    lowest, highest = before.min(axis=-1), before.max(axis=-1)
    # What was clamped comes back within rounding.
    is_clamped = (lowest < 1.5) | (highest > 253.5)
    share = float((is_clamped & (highest - lowest > _COLOURFUL)).mean())
    return 0.0 if math.isnan(share) else share
