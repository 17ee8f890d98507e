"""What becomes of a face on its way through cameras and web sites: corruptions, each in five levels.

Where DeeperForensics-1.0 (Jiang et al., arXiv:2001.03024; levels as in `perturbation/` of its repository) has a
corruption, its levels are taken. Its frames are corrupted whole and ours are crops, so lengths are told in pixels of a
crop of 224 and scaled: a level means the same for stores of any crop size.

- `noise`: its variances 0.001, 0.002, 0.005, 0.01 and 0.05 of a scale from 0 to 1, as standard deviations. It adds them
  to luma and chroma, we to red, green and blue, at every pixel of the stored crop.
- `blur`: its kernels of 7, 9, 13, 17 and 21 pixels, whose sigma is a sixth of that.
- `downscale`: its factors 2 to 6 (it calls them JPEG), here as the pixels that are left of a crop's side.
- `darker`: its factors 0.85 to 0.35, which it calls contrast: every pixel is multiplied.
- `contrast`: the same factors, about the mean of the crop, so that brightness stays: our choice.
- `brighter`: what ImageNet-C adds to the value of HSV (Hendrycks and Dietterich, arXiv:1903.12261). It stands beside
  `darker` since they harm otherwise: one rounds away detail, the other drives it into white.
- `jpeg`: our choice, from what a careful web site keeps to what a careless one leaves; ImageNet-C has 25 to 7 only.
  Real JPEG at 4:2:0; its blocks are 8 pixels of the stored crop.
- `h264`: its constant rate factors. `frame_rate`: our choice, from half of what is usual to a slide show.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

NUM_LEVELS = 5
LEVELS = range(1, NUM_LEVELS + 1)
"""Mild to severe; level 0 is the picture or the clip as it is."""
RULES = 1
"""Raised whenever the same level would give other pixels."""

_CROP_SIZE = 224
"""Side of the crop whose pixels the levels of lengths count."""

Apply = Callable[[np.ndarray, float, int], np.ndarray]
"""(crop uint8 (size, size, 3), level, seed) -> crop of the same shape."""


@dataclass(frozen=True)
class Strengths:
    """The five levels of a corruption, made on crops or, where it is not a `Corruption`, on the clip."""

    name: str
    """A key of CORRUPTIONS or CLIP_CORRUPTIONS."""
    unit: str
    """Of the levels, for people, e.g. `quality`."""
    levels: tuple[float, ...]
    """From mild to severe."""

    def __post_init__(self) -> None:
        if len(self.levels) != NUM_LEVELS:
            raise ValueError(f"{self.name} must have {NUM_LEVELS} levels, got {self.levels}")


@dataclass(frozen=True)
class Corruption(Strengths):
    """A corruption of pictures."""

    apply: Apply
    """Corrupts one crop at one of the levels; the same crop, level and seed give the same pixels."""


def corrupt_track(
    corruption: Corruption, level: int, crops: np.ndarray, is_face: np.ndarray, *, clip_id: str, track: int
) -> np.ndarray:
    """Corrupt the faces of a track; what is random depends on clip, track and place alone.

    Args:
        corruption: one of CORRUPTIONS.
        level: 1 (mild) to 5.
        crops: uint8 RGB, shape (num_places, size, size, 3).
        is_face: bool, shape (num_places,); places without a face stay as they are.
        clip_id: the clip.
        track: number of the track in it.

    Returns:
        uint8 RGB, a new array of the same shape.
    """
    corrupted = crops.copy()
    for place in np.flatnonzero(is_face):
        seed = seed_of(clip_id, track, int(place))
        corrupted[place] = corruption.apply(crops[place], corruption.levels[level - 1], seed)
    return corrupted


def seed_of(clip_id: str, track: int, place: int) -> int:
    """Return a seed for one crop that is the same in every process."""
    digest = hashlib.sha256(f"{clip_id}\0{track}\0{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _jpeg(crop: np.ndarray, quality: float, seed: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "JPEG", quality=int(quality), subsampling="4:2:0")
    with Image.open(buffer) as picture:
        return np.asarray(picture)


def _blur(crop: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    scaled = sigma * len(crop) / _CROP_SIZE
    return _rounded(gaussian_filter(crop.astype(np.float32), (scaled, scaled, 0), mode="mirror", truncate=3))


def _noise(crop: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    # The seed does not depend on the level: levels differ in the strength of one noise, not by luck.
    noise = np.random.default_rng(seed).standard_normal(crop.shape, np.float32)
    return _rounded(crop + np.float32(deviation) * noise)


def _downscale(crop: np.ndarray, side_left: float, seed: int) -> np.ndarray:
    size, left = len(crop), int(side_left)
    if size <= left:
        return crop  # a small crop has no more detail than that
    small = Image.fromarray(crop).resize((left, left), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))


def _darker(crop: np.ndarray, factor: float, seed: int) -> np.ndarray:
    return _rounded(crop * np.float32(factor))


def _brighter(crop: np.ndarray, added_value: float, seed: int) -> np.ndarray:
    # A pixel's value is the largest of its three; hue and saturation stay where all three are scaled alike.
    value = crop.max(axis=-1, keepdims=True).astype(np.float32)
    raised = np.minimum(value + np.float32(255 * added_value), 255)
    return _rounded(np.where(value > 0, crop * (raised / np.maximum(value, 1)), raised))


def _contrast(crop: np.ndarray, factor: float, seed: int) -> np.ndarray:
    mean = crop.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return _rounded(mean + np.float32(factor) * (crop - mean))


def _rounded(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


_FACTORS = (0.85, 0.725, 0.6, 0.475, 0.35)

CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("jpeg", "quality", (90, 70, 50, 30, 10), _jpeg),
        Corruption("blur", "sigma, px of a 224 px crop", (1.17, 1.5, 2.17, 2.83, 3.5), _blur),
        Corruption("noise", "standard deviation, of 255", (8.1, 11.4, 18.0, 25.5, 57.0), _noise),
        Corruption("downscale", "px left of the crop's side", (112, 75, 56, 45, 37), _downscale),
        Corruption("darker", "factor", _FACTORS, _darker),
        Corruption("brighter", "added to the value of HSV, of 1", (0.1, 0.2, 0.3, 0.4, 0.5), _brighter),
        Corruption("contrast", "factor", _FACTORS, _contrast),
    )
}
"""Corruptions of the crops of a store."""

CLIP_CORRUPTIONS: dict[str, Strengths] = {
    strengths.name: strengths
    for strengths in (
        Strengths("frame_rate", "frames a second", (15, 10, 5, 2, 1)),
        Strengths("h264", "CRF", (30, 32, 35, 38, 40)),
    )
}
"""Corruptions of the clip, after which faces are looked for anew: `tfdfd.data.thinned_frames` and `.transcoding`."""
