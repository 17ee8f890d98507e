"""Where a fake differs from its original: two crops of one place of the frame to a mask.

Compression alters every pixel a little, most where there is texture, in the absolute difference; structural similarity
forgives texture, but takes the noise of a flat wall for another structure. So a pixel counts as altered where both are
far above what they are around the face, where nothing was altered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.metrics import structural_similarity
from skimage.morphology import disk

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class RegionSettings:
    """How a difference becomes a region; lengths are shares of a crop's side, so that no crop size changes the result.

    All of it stands in the fingerprint of the masks.
    """

    context: float = 0.25
    """What is looked at around a crop, to either side: there the noise of compression is measured."""
    blur: float = 0.0075
    """Sigma of the Gaussians that both measures are averaged by, SSIM's own too: its 1.5 pixels at a crop of 200."""
    noise_quantile: float = 0.9
    """What a measure stays below in this share of the pixels around a crop is noise. Not its median: where a picture
    stands still an encoder repeats it, without any noise, and a face does not stand still."""
    least_difference: float = 2.0
    """Levels of 255 that the noise is taken to be at least, however clean the clips."""
    least_dissimilarity: float = 0.01
    """The same of (1 - SSIM) / 2."""
    most: float = 4.0
    """Times the noise beyond which a measure counts no more, so that neither can do without the other: SSIM is low as
    far as its window reaches beside what was altered."""
    surely: float = 2.5
    """Times the noise above which a pixel is surely altered."""
    perhaps: float = 1.9
    """Times the noise above which it is altered where it hangs together with one that surely is."""
    closing: float = 0.04
    """Radius up to which gaps are closed."""
    opening: float = 0.03
    """Radius below which parts and spikes are dropped."""
    smallest_part: float = 0.15
    """Share of the largest part below which another one is dropped."""
    smallest_region: float = 0.004
    """Share of the crop below which there is no region at all."""


def dissimilarity(fake: np.ndarray, original: np.ndarray, *, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Measure how far two pictures differ at each pixel, in two ways.

    Args:
        fake: uint8 RGB, shape (height, width, 3).
        original: the same, showing the same piece of the frame.
        sigma: of the Gaussian that both are averaged by, pixels.

    Returns:
        The absolute difference in levels, mean of the colours, and (1 - SSIM) / 2 of the brightness, in [0, 1]; both
        float32, shape (height, width).

    Source: SSIM, Wang et al., IEEE Trans. Image Process. 13 (2004), as scikit-image has it with Gaussian weights.
    """
    one, other = fake.astype(np.float32), original.astype(np.float32)
    difference = ndimage.gaussian_filter(np.abs(one - other).mean(axis=2), sigma)
    similarity = structural_similarity(
        one @ LUMA,
        other @ LUMA,
        data_range=255.0,
        gaussian_weights=True,
        sigma=sigma,
        use_sample_covariance=False,
        full=True,
    )[1]
    unlike = np.clip((1 - similarity) / 2, 0, 1).astype(np.float32)
    return difference, ndimage.gaussian_filter(unlike, sigma)


def evidence(
    fake: np.ndarray,
    original: np.ndarray,
    is_unaltered: np.ndarray,
    *,
    crop_size: int,
    settings: RegionSettings = RegionSettings(),
) -> np.ndarray:
    """Return how many times the noise of compression two pictures differ at each pixel.

    Both measures are divided by what they hardly ever are above where nothing was altered, up to `most`, and their
    geometric mean is taken: it is high only where neither is low.

    Args:
        fake, original: as in `dissimilarity`.
        is_unaltered: bool, shape (height, width): where nothing was altered as far as one knows, around the face.
        crop_size: side of a crop in pixels.
        settings: see RegionSettings.

    Returns:
        float32, shape (height, width), in [0, most].
    """
    measures = dissimilarity(fake, original, sigma=settings.blur * crop_size)
    ratio = np.ones(fake.shape[:2], np.float32)
    for measure, least in zip(measures, (settings.least_difference, settings.least_dissimilarity), strict=True):
        noise = float(np.quantile(measure[is_unaltered], settings.noise_quantile)) if is_unaltered.any() else 0.0
        ratio *= np.minimum(measure / max(noise, least), settings.most)
    return np.sqrt(ratio)


def altered_region(
    fake: np.ndarray,
    original: np.ndarray,
    *,
    crop_size: int,
    is_shown: np.ndarray,
    settings: RegionSettings = RegionSettings(),
) -> np.ndarray:
    """Return where a fake's crop was altered.

    Args:
        fake: uint8 RGB, shape (side, side, 3): the crop with `context` around it on every side.
        original: the original's frame through the same window.
        crop_size: side of the crop in pixels, at most `side` and by an even number less.
        is_shown: bool, shape (side, side): what lies inside both frames.
        settings: see RegionSettings.

    Returns:
        bool, shape (crop_size, crop_size).
    """
    reach = (fake.shape[0] - crop_size) // 2
    inside = np.zeros(is_shown.shape, np.bool_)
    inside[reach : reach + crop_size, reach : reach + crop_size] = True
    ratio = np.where(is_shown, evidence(fake, original, is_shown & ~inside, crop_size=crop_size, settings=settings), 0)
    region = apply_hysteresis_threshold(ratio, settings.perhaps, settings.surely)
    return cleaned(region, crop_size=crop_size, settings=settings)[reach : reach + crop_size, reach : reach + crop_size]


def cleaned(
    region: np.ndarray,
    *,
    crop_size: int,
    settings: RegionSettings = RegionSettings(),
) -> np.ndarray:
    """Close gaps and holes of a region, drop specks and spikes, keep its largest parts.

    Args:
        region: bool, shape (height, width).
        crop_size: side of a crop in pixels.
        settings: see RegionSettings.

    Returns:
        bool, the same shape.
    """
    closing, opening = (round(share * crop_size) for share in (settings.closing, settings.opening))
    padded = np.pad(region, closing)  # else closing would eat at the border
    closed = ndimage.binary_closing(padded, disk(closing)) if closing else padded
    closed = ndimage.binary_fill_holes(closed[closing : closing + len(region), closing : closing + region.shape[1]])
    opened = ndimage.binary_opening(closed, disk(opening)) if opening else closed
    parts = np.zeros(region.shape, np.int32)
    if not ndimage.label(opened, output=parts):
        return np.zeros_like(region)
    sizes = np.bincount(parts.ravel())[1:]
    is_kept = (sizes >= settings.smallest_part * sizes.max()) & (sizes >= settings.smallest_region * crop_size**2)
    return np.append(False, is_kept)[parts]
