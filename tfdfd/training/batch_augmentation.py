"""MixUp, CutMix, GridMask and RandAugment of a replica's batch, by keras-cv; the only module that imports it.

A keras-cv layer draws from generators of its own and from TensorFlow's stateful ones (`tf.random.shuffle`,
`tf.random.gamma`), whose state nobody can save: a resumed run would draw otherwise. So everything random is drawn here,
from a seed that the epoch and the step decide, and the layers' own functions are called with what was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras_cv
import tensorflow as tf

from tfdfd.training.augmentation import Augmentation

VALUE_RANGE = (0, 255)
MAGNITUDE_DEVIATION = 0.15
"""Standard deviation of RandAugment's strength around its mean; keras-cv's."""
APPLIED = 10 / 11
"""Share of RandAugment's changes that are made: the paper's list of eleven holds the identity."""
MAX_ANGLE = 0.15 * 2 * math.pi
"""GridMask's rotation in radians, either way; keras-cv's."""
SOLARIZE_ADDITION = 110
"""Levels that solarizing adds at full strength; keras-cv's, which nearly empties a picture with more."""

Change = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""(faces float32 [n, size, size, 3], strengths [n, 1] in [0, 1], offsets [n, 1] in [-1, 1)) -> faces."""


class BatchAugmentation:
    """What the settings ask for, as one function of a batch.

    Args:
        settings: shares and strengths.

    Source: MixUp arXiv:1710.09412, CutMix arXiv:1905.04899, GridMask arXiv:2001.04086, RandAugment arXiv:1909.13719;
    strengths that are not set are those papers' for ImageNet.
    """

    def __init__(self, settings: Augmentation) -> None:
        self._settings = settings
        self._mixup_alpha = settings.mixup_alpha or 0.2
        self._cutmix_alpha = settings.cutmix_alpha or 1.0
        self._gridmask_ratio = settings.gridmask_ratio or 0.5
        self._rounds = settings.rand_augment_layers or 2
        self._magnitude = settings.rand_augment_magnitude or 0.3
        self._mixup = keras_cv.layers.MixUp(dtype="float32")
        self._cutmix = keras_cv.layers.CutMix(dtype="float32")
        self._gridmask = keras_cv.layers.GridMask(dtype="float32")
        self._changes = _rand_augment_changes(self._magnitude)

    def __call__(
        self, crops: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Augment a batch.

        The loss of a mixed face is the mixture of the losses of its two faces, each with its own weight. That makes
        its weight W = k w + (1 - k) v and its label (k w y + (1 - k) v z) / W, where k is the share of the face with
        weight w and label y, and v and z are the other one's. With equal weights the label is k y + (1 - k) z.

        Args:
            crops: uint8, shape (n, size, size, 3).
            labels: float32, shape (n,), in [0, 1].
            weights: float32, shape (n,); a face of weight 0 is padding: it is neither mixed nor mixed in.
            seed: int32, shape (2,): decides all that is random.

        Returns:
            crops, labels and weights of the same types and shapes.
        """
        settings = self._settings
        shape = crops.shape
        faces = tf.cast(crops, tf.float32)
        seeds = _split(seed, 3)
        if settings.rand_augment:
            faces = self._rand_augment(faces, seeds[0])
        if settings.gridmask:
            faces = self._mask(faces, seeds[1])
        if settings.mixup or settings.cutmix:
            faces, labels, weights = self._mix(faces, labels, weights, seeds[2])
        rounded = tf.cast(tf.round(tf.clip_by_value(faces, *VALUE_RANGE)), crops.dtype)
        return tf.ensure_shape(rounded, shape), labels, weights

    def _mix(
        self, faces: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        settings = self._settings
        count, height, width = tf.shape(faces)[0], tf.shape(faces)[1], tf.shape(faces)[2]
        seeds = _split(seed, 5)
        other = tf.argsort(_uniform(tf.stack([count]), seeds[0]))
        chosen = _uniform(tf.stack([count]), seeds[1])
        is_face = weights > 0
        is_pair = is_face & tf.gather(is_face, other)
        is_blended = is_pair & (chosen < settings.mixup)
        is_cut = is_pair & (chosen >= settings.mixup) & (chosen < settings.mixup + settings.cutmix)
        # Loss = weight x (something linear in the label), so these two columns say all of it and mix like the pictures.
        columns = tf.stack([weights * labels, weights], axis=1)

        if settings.mixup:
            share = tf.where(is_blended, _beta(self._mixup_alpha, count, seeds[2]), 1.0)
            # Keras-cv blends masks as it blends pictures, and only the function for masks takes what was drawn.
            faces = self._mixup._update_segmentation_masks(faces, share, other)
            columns = self._mixup._update_labels(columns, share, other)
        if settings.cutmix:
            side = tf.sqrt(1.0 - _beta(self._cutmix_alpha, count, seeds[3]))
            centres = _uniform(tf.stack([2, count]), seeds[4])
            boxes = []
            for centre, length in ((centres[0], height), (centres[1], width)):
                cut = tf.where(is_cut, tf.cast(side * tf.cast(length, tf.float32), tf.int32), 0)
                boxes.append((tf.cast(centre * tf.cast(length, tf.float32), tf.int32), cut))
            (y, cut_height), (x, cut_width) = boxes
            faces = self._cutmix._update_segmentation_masks(faces, other, y, x, cut_width, cut_height)
            # By the pixels that were pasted: keras-cv would count those of a rectangle outside of the picture too.
            area = _inside(y, cut_height, height) * _inside(x, cut_width, width)
            columns = self._cutmix._update_labels(columns, 1.0 - area, other)
        return faces, tf.math.divide_no_nan(columns[:, 0], columns[:, 1]), columns[:, 1]

    def _mask(self, faces: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        draws = _uniform(tf.stack([tf.shape(faces)[0], 6]), seed)

        def masked(face: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
            generator: Any = _GivenDraws(tf.unstack(drawn[2:5]))
            self._gridmask._random_generator = generator
            mask = self._gridmask._compute_grid_mask(tf.shape(face), ratio=drawn[1] * self._gridmask_ratio)
            mask = tf.cast(mask, tf.float32)[None, :, :, None]
            angles = tf.reshape((2 * drawn[5] - 1) * MAX_ANGLE, (1,))
            mask = self._gridmask.random_rotate.augment_images(mask, {"angles": angles})[0]
            return self._gridmask.augment_image(face, transformation=(mask, tf.zeros_like(face)))

        def mask_one(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            face, drawn = values
            return tf.cond(drawn[0] < self._settings.gridmask, lambda: masked(face, drawn), lambda: face)

        return tf.map_fn(mask_one, (faces, draws), fn_output_signature=tf.TensorSpec(faces.shape[1:], tf.float32))

    def _rand_augment(self, faces: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count = tf.shape(faces)[0]
        seeds = _split(seed, 1 + 4 * self._rounds)
        is_chosen = _uniform(tf.stack([count]), seeds[0]) < self._settings.rand_augment
        unchanged = len(self._changes)
        for number in range(self._rounds):
            which, applied, strength, offset = seeds[1 + 4 * number : 5 + 4 * number]
            change = tf.random.stateless_uniform(tf.stack([count]), which, maxval=unchanged, dtype=tf.int32)
            is_applied = is_chosen & (_uniform(tf.stack([count]), applied) < APPLIED)
            change = tf.where(is_applied, change, unchanged)
            strengths = tf.random.stateless_normal(tf.stack([count, 1]), strength, self._magnitude, MAGNITUDE_DEVIATION)
            strengths = tf.clip_by_value(strengths, 0.0, 1.0)
            offsets = 2 * _uniform(tf.stack([count, 1]), offset) - 1
            # Each change works on its own faces only: ten times less than all changes on all.
            parts = [
                tf.dynamic_partition(values, change, unchanged + 1)
                for values in (faces, strengths, offsets, tf.range(count))
            ]
            changed = [
                _unless_empty(function, *arguments)
                for function, *arguments in zip(self._changes, *parts[:3], strict=False)
            ]
            faces = tf.dynamic_stitch(parts[3], [*changed, parts[0][unchanged]])
        return faces


class _GivenDraws:
    """Stands for a layer's generator and gives it numbers that were drawn before, each in [0, 1)."""

    def __init__(self, draws: list[tf.Tensor]) -> None:
        self._draws = iter(draws)

    def uniform(self, shape: tuple[int, ...], minval: tf.Tensor, maxval: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        return tf.cast(minval + next(self._draws) * (maxval - minval), dtype)


def _rand_augment_changes(magnitude: float) -> list[Change]:
    """Return keras-cv's ten changes, with the strengths that its policy gives them."""
    layers = keras_cv.layers
    contrast = layers.AutoContrast(value_range=VALUE_RANGE, dtype="float32")
    equalization = layers.Equalization(value_range=VALUE_RANGE, dtype="float32")
    solarization = layers.Solarization(value_range=VALUE_RANGE, dtype="float32")
    degeneration = layers.RandomColorDegeneration(factor=0.5, dtype="float32")
    scaled_contrast = layers.RandomContrast(value_range=VALUE_RANGE, factor=0.5, dtype="float32")
    brightness = layers.RandomBrightness(value_range=VALUE_RANGE, factor=0.5, dtype="float32")
    shear = layers.RandomShear(x_factor=0.5, y_factor=0.5, dtype="float32")
    translation = layers.RandomTranslation(height_factor=0.5, width_factor=0.5, dtype="float32")

    def solarize(faces: tf.Tensor, strengths: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
        # Offsets stand in for a second draw: threshold and addition need not go together.
        thresholds = 255 * (1 - tf.clip_by_value(magnitude + 2 * MAGNITUDE_DEVIATION * offsets, 0.0, 1.0))
        given = {"additions": SOLARIZE_ADDITION * strengths, "thresholds": thresholds}
        return solarization.augment_images(faces, {name: _spread(value) for name, value in given.items()})

    def shear_along(axis: str) -> Change:
        def change(faces: tf.Tensor, strengths: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
            given = {"shear_x": None, "shear_y": None, f"shear_{axis}": strengths * tf.sign(offsets)}
            return shear.augment_images(faces, given)

        return change

    def translate_along(axis: str) -> Change:
        def change(faces: tf.Tensor, strengths: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
            none = tf.zeros_like(offsets)
            given = {"height_translations": none, "width_translations": none}
            return translation.augment_images(faces, given | {f"{axis}_translations": magnitude * offsets})

        return change

    return [
        lambda faces, strengths, offsets: contrast.augment_images(faces),
        lambda faces, strengths, offsets: equalization.augment_images(tf.round(tf.clip_by_value(faces, *VALUE_RANGE))),
        solarize,
        lambda faces, strengths, offsets: degeneration.augment_images(faces, _spread(strengths)),
        lambda faces, strengths, offsets: scaled_contrast.augment_images(faces, _spread(1 + magnitude * offsets)),
        lambda faces, strengths, offsets: brightness.augment_images(faces, _spread(255 * magnitude * offsets)),
        shear_along("x"),
        shear_along("y"),
        translate_along("width"),
        translate_along("height"),
    ]


def _split(seed: tf.Tensor, number: int) -> list[tf.Tensor]:
    return tf.unstack(tf.random.split(seed, number))


def _uniform(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed)


def _unless_empty(change: Change, faces: tf.Tensor, strengths: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.shape(faces)[0] > 0, lambda: change(faces, strengths, offsets), lambda: faces)


def _spread(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, (-1, 1, 1, 1))


def _beta(alpha: float, count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return draws of Beta(alpha, alpha), float32, shape (count,)."""
    drawn = tf.random.stateless_gamma(tf.stack([2, count]), seed, tf.constant(alpha))
    return tf.math.divide_no_nan(drawn[0], drawn[0] + drawn[1])


def _inside(centre: tf.Tensor, length: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return the share of a side's pixels that lie within half a length of a centre."""
    half = tf.cast(length, tf.float32) / 2
    first = tf.maximum(tf.math.ceil(tf.cast(centre, tf.float32) - half), 0.0)
    last = tf.minimum(tf.math.ceil(tf.cast(centre, tf.float32) + half), tf.cast(size, tf.float32))
    return (last - first) / tf.cast(size, tf.float32)
