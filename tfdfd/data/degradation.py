"""Degradation: what cameras, messengers and video sites do to a face, done to training faces at random."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tfdfd.data.alterations import (
    NOISE_SHIFTS,
    NOISE_STEP,
    NUM_NOISES,
    WIDEST_BLUR,
    column_slice,
    no_alterations,
)
from tfdfd.data.options import check_range, option

HIGHEST_QUALITY = 95
"""JPEG qualities are drawn from the lowest that is set up to this one."""
_HOLES = ((0, 1), (2,), (3, 4))
"""Landmarks about which a hole is: eyes, nose, mouth."""


@dataclass(frozen=True)
class Degradation:
    """Which share of the training faces is degraded how, and how strongly at most; drawn anew every epoch."""

    move: float = option(0.0, "share of the training faces that are turned, shifted and zoomed")
    move_degrees: float = option(10.0, "turn at most so far, either way")
    move_share: float = option(0.05, "shift and zoom by at most such a share of the side, either way")
    colour: float = option(0.0, "share whose brightness, contrast, saturation and hue change")
    colour_strength: float = option(0.2, "largest change: 0.2 is 0.8 to 1.2 times, and 20 degrees of hue")
    blur: float = option(0.0, "share that is blurred")
    blur_sigma: float = option(0.012, "largest standard deviation of the blur, as a share of the side")
    downscale: float = option(0.0, "share that is shrunk and enlarged again")
    downscale_to: float = option(0.4, "smallest side that it is shrunk to, as a share of the side")
    noise: float = option(0.0, "share that gets Gaussian noise")
    noise_sigma: float = option(10.0, "largest standard deviation of the noise, in levels of 255")
    jpeg: float = option(0.0, "share that goes through a JPEG")
    jpeg_quality: int = option(30, "lowest quality of it, 1 to 95")
    cutout: float = option(0.0, "share in which eyes, nose or mouth, found by the landmarks, are painted grey")
    cutout_share: float = option(0.3, "largest side of that, as a share of the side")

    def __post_init__(self) -> None:
        for name, *_ in _STRENGTHS:
            check_range(self, name, 0, 1)
        check_range(self, "move_degrees", 0, 180)
        for name in ("move_share", "colour_strength"):
            check_range(self, name, 0, 0.5)
        check_range(self, "blur_sigma", 0, WIDEST_BLUR)
        for name in ("downscale_to", "cutout_share"):
            check_range(self, name, 0.05, 1)
        check_range(self, "noise_sigma", NOISE_STEP, NOISE_STEP * NUM_NOISES)
        check_range(self, "jpeg_quality", 1, HIGHEST_QUALITY)
        for share, *strengths in _STRENGTHS:
            for name in strengths:
                default = next(field.default for field in dataclasses.fields(self) if field.name == name)
                if not getattr(self, share) and getattr(self, name) != default:
                    raise ValueError(f"{name} changes nothing while {share} is 0: set {share} too, or leave {name} out")

    @property
    def is_on(self) -> bool:
        """Whether any face is degraded."""
        return any(getattr(self, share) for share, *_ in _STRENGTHS)

    @property
    def needs_landmarks(self) -> bool:
        """Whether it must be known where eyes, nose and mouth lie."""
        return self.cutout > 0

    def draw(
        self, num_rows: int, rng: np.random.Generator, *, crop_size: int, landmarks_xy: np.ndarray | None
    ) -> np.ndarray:
        """Draw what is done to each face of an epoch.

        Args:
            num_rows: faces.
            rng: what is drawn is the same whatever other options say.
            crop_size: side of a crop in pixels.
            landmarks_xy: float32 (num_rows, 5, 2), pixels of the crop, NaN where they are not known; may be None
                where nothing needs them.

        Returns:
            float32 (num_rows, alterations.WIDTH), with 0 in the columns of blends.
        """
        table = no_alterations(num_rows)
        chosen, strength = rng.random((7, num_rows)), rng.random((7, num_rows))
        either = rng.uniform(-1, 1, (8, num_rows))
        cut_from = rng.integers(0, NOISE_SHIFTS, (2, num_rows))
        which_hole = rng.integers(0, len(_HOLES), num_rows)

        def put(name: str, is_chosen: np.ndarray, *numbers: np.ndarray) -> None:
            table[:, column_slice(name)] = np.where(is_chosen[:, None], np.stack(numbers, axis=1), 0)

        put("view", chosen[0] < self.move, *self._views(crop_size, *either[:4]))
        factors = 1 + self.colour_strength * either[4:7]
        put("colour", chosen[1] < self.colour, *factors, 100 * self.colour_strength * either[7])
        # From a fifth of the strength on: less is hardly seen.
        amount = 0.2 + 0.8 * strength
        put("sigma", chosen[2] < self.blur, amount[2] * self.blur_sigma * crop_size)
        side = np.rint(crop_size * (self.downscale_to + (1 - self.downscale_to) * strength[3]))
        put("side", chosen[3] < self.downscale, np.maximum(side, 1))
        picture = np.maximum(np.rint(amount[4] * self.noise_sigma / NOISE_STEP), 1)
        put("noise", chosen[4] < self.noise, picture, *cut_from)
        quality = self.jpeg_quality + (HIGHEST_QUALITY - self.jpeg_quality) * strength[5]
        put("quality", chosen[5] < self.jpeg, np.rint(quality))
        if self.needs_landmarks:
            assert landmarks_xy is not None
            holes = self._holes(crop_size, landmarks_xy, which_hole, strength[6])
            put("hole", (chosen[6] < self.cutout) & np.isfinite(landmarks_xy).all(axis=(1, 2)), *holes)
        return table

    def _views(self, crop_size: int, turn: np.ndarray, right: np.ndarray, down: np.ndarray, zoom: np.ndarray) -> list:
        angle, scale = np.radians(self.move_degrees * turn), 1 + self.move_share * zoom
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        middle, shift = crop_size / 2, self.move_share * crop_size
        return [
            *(cos, -sin, middle + shift * right - middle * (cos - sin)),
            *(sin, cos, middle + shift * down - middle * (sin + cos)),
        ]

    def _holes(self, crop_size: int, landmarks_xy: np.ndarray, which: np.ndarray, strength: np.ndarray) -> list:
        around = np.stack([landmarks_xy[:, list(points)].mean(axis=1) for points in _HOLES])
        x, y = np.nan_to_num(around[which, np.arange(len(which))]).T
        height = crop_size * self.cutout_share * (0.5 + 0.5 * strength)
        # Both eyes or the whole mouth: wider than high, but for the nose.
        width = np.where(which == 1, height, 2 * height)
        edges = (y - height / 2, x - width / 2, y + height / 2, x + width / 2)
        top, left, bottom, right = (np.clip(np.rint(edge), 0, crop_size) for edge in edges)
        return [np.maximum(bottom - top, 1), np.maximum(right - left, 1), top, left]


_STRENGTHS = (
    ("move", "move_degrees", "move_share"),
    ("colour", "colour_strength"),
    ("blur", "blur_sigma"),
    ("downscale", "downscale_to"),
    ("noise", "noise_sigma"),
    ("jpeg", "jpeg_quality"),
    ("cutout", "cutout_share"),
)
