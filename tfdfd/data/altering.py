"""Alterations of a crop as TensorFlow ops: the twin of `pipelines.augment`, by the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.data.alterations import (
    HOLE_LEVEL,
    RGB_TO_YIQ,
    column_slice,
    noise_pictures,
)
from tfdfd.data.self_blend import blend_masks

Numbers = Callable[[str], Any]
"""Column -> the float32 numbers of a face in it."""


class Altering:
    """What a graph does to its crops.

    DALI's values come out but for rounding, by a level or so; of a JPEG, and of what a blur or a warp does at the very
    edge, by a little more.

    Args:
        columns: what some face of the epoch needs; nothing else goes into the graph.
        crop_size: side of a crop in pixels.
    """

    def __init__(self, columns: frozenset[str], crop_size: int) -> None:
        self._columns, self._size = columns, crop_size
        self._noise: Any = noise_pictures(crop_size) if "noise" in columns else None
        self._masks: Any = blend_masks() if "mask" in columns else None

    def __call__(self, crop: tf.Tensor, row: Any) -> tf.Tensor:
        """Alter a crop.

        Args:
            crop: uint8 [size, size, 3].
            row: float32 [WIDTH], of `alterations`.

        Returns:
            uint8 [size, size, 3].
        """

        def numbers(name: str) -> Any:
            return row[column_slice(name)]

        for name, alter in _STEPS.items():
            if name in self._columns:
                is_on = tf.reduce_any(numbers(name) != 0) if name == "view" else numbers(name)[0] > 0
                altered: Callable[[], tf.Tensor] = lambda crop=crop, alter=alter: alter(self, crop, numbers)  # noqa: E731
                crop = tf.cond(is_on, altered, lambda crop=crop: crop)
        return tf.ensure_shape(crop, [self._size, self._size, 3])

    def mask(self, mask: tf.Tensor, row: Any) -> tf.Tensor:
        """Move a mask as its crop is moved; what else is done to a crop leaves its mask as it is.

        Args:
            mask: uint8 [size, size, 1].
            row: as in `__call__`.

        Returns:
            uint8 [size, size, 1].
        """
        if "view" in self._columns:
            view = row[column_slice("view")]
            is_on = tf.reduce_any(view != 0)
            mask = tf.cond(is_on, lambda: _to_levels(self._warped(mask, view, "NEAREST")), lambda: mask)
        return tf.ensure_shape(mask, [self._size, self._size, 1])

    def _blend(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        altered = _twisted(crop, numbers("inside_colour"))
        sigma = numbers("inside_sigma")[0]
        altered = tf.cond(sigma > 0, lambda: _blurred(altered, sigma), lambda: altered)
        is_inside = numbers("is_inside")[0] > 0
        inside, around = tf.where(is_inside, altered, crop), tf.where(is_inside, crop, altered)
        inside = _to_levels(self._warped(inside, numbers("inside_view"), "NEAREST"))
        mask = tf.constant(self._masks)[tf.cast(numbers("mask")[0], tf.int32) - 1]
        mask = tf.round(self._warped(mask, numbers("mask_view"), "CONSTANT"))
        share = mask * (numbers("opacity")[0] / 255)
        around = tf.cast(around, tf.float32)
        return _to_levels(around + (tf.cast(inside, tf.float32) - around) * share)

    def _move(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        return _to_levels(self._warped(crop, numbers("view"), "NEAREST"))

    def _recolour(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        return _twisted(crop, numbers("colour"))

    def _blur(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        return _blurred(crop, numbers("sigma")[0])

    def _downscale(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        side = tf.cast(numbers("side")[0], tf.int32)
        small = _to_levels(tf.image.resize(crop, tf.stack([side, side]), antialias=True))
        return _to_levels(tf.image.resize(small, [self._size, self._size], antialias=True))

    def _add_noise(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        picture, top, left = tf.unstack(tf.cast(numbers("noise"), tf.int32))
        noise = tf.slice(tf.constant(self._noise)[picture - 1], tf.stack([top, left, 0]), [self._size, self._size, 3])
        return _to_levels(tf.cast(crop, tf.float32) + tf.cast(noise, tf.float32))

    def _compress(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        return tf.image.adjust_jpeg_quality(crop, tf.cast(numbers("quality")[0], tf.int32))

    def _cut_out(self, crop: tf.Tensor, numbers: Numbers) -> tf.Tensor:
        height, width, top, left = tf.unstack(numbers("hole"))
        places = tf.range(self._size, dtype=tf.float32)
        rows, columns = (
            (places >= start) & (places < start + extent) for start, extent in ((top, height), (left, width))
        )
        return tf.where((rows[:, None] & columns[None, :])[..., None], tf.constant(HOLE_LEVEL, tf.uint8), crop)

    def _warped(self, picture: tf.Tensor, view: tf.Tensor, fill_mode: str) -> tf.Tensor:
        """Return a picture float32 [size, size, channels] that shows at p what another shows at view @ p."""
        a, b, x, c, d, y = tf.unstack(view)
        # The op has a pixel's corner, not its centre, at whole numbers.
        transform = [a, b, x + (a + b - 1) / 2, c, d, y + (c + d - 1) / 2, 0.0, 0.0]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(picture, tf.float32)[None],
            transforms=tf.stack(transform)[None],
            output_shape=tf.constant([self._size, self._size]),
            fill_value=tf.constant(0.0),
            interpolation="BILINEAR",
            fill_mode=fill_mode,
        )[0]


_STEPS = {
    "mask": Altering._blend,
    "view": Altering._move,
    "colour": Altering._recolour,
    "sigma": Altering._blur,
    "side": Altering._downscale,
    "noise": Altering._add_noise,
    "quality": Altering._compress,
    "hole": Altering._cut_out,
}
"""In the order of `alterations.WIDTHS`."""


def _twisted(crop: tf.Tensor, colour: tf.Tensor) -> tf.Tensor:
    """Apply what `alterations.colour_matrix` says, as ops."""
    brightness, contrast, saturation, hue = tf.unstack(colour)
    angle = hue * (np.pi / 180)
    cos, sin = saturation * tf.cos(angle), saturation * tf.sin(angle)
    turn = tf.reshape(tf.stack([1.0, 0.0, 0.0, 0.0, cos, sin, 0.0, -sin, cos]), [3, 3])
    from_yiq, to_yiq = tf.constant(np.linalg.inv(RGB_TO_YIQ), tf.float32), tf.constant(RGB_TO_YIQ, tf.float32)
    linear = brightness * contrast * (from_yiq @ turn @ to_yiq)
    offset = brightness * (128 - 128 * contrast)
    return _to_levels(tf.einsum("hwc,dc->hwd", tf.cast(crop, tf.float32), linear) + offset)


def _blurred(crop: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Blur as DALI does: a window of three sigmas to each side, the picture mirrored about its outermost pixels."""
    reach = tf.cast(tf.math.ceil(3 * sigma), tf.int32)
    offsets = tf.cast(tf.range(-reach, reach + 1), tf.float32)
    weights = tf.exp(-0.5 * tf.square(offsets / sigma))
    weights = weights / tf.reduce_sum(weights)
    around: Any = [[reach, reach], [reach, reach], [0, 0]]
    padded = tf.pad(tf.cast(crop, tf.float32), around, mode="REFLECT")
    pictures = tf.expand_dims(tf.transpose(padded, [2, 0, 1]), -1)
    for kernel in (weights[:, None, None, None], weights[None, :, None, None]):
        pictures = tf.nn.conv2d(pictures, kernel, 1, "VALID")
    return _to_levels(tf.ensure_shape(tf.transpose(tf.squeeze(pictures, -1), [1, 2, 0]), crop.shape))


def _to_levels(picture: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(picture), 0.0, 255.0), tf.uint8)
