"""Pixels as the networks of ImageNet see them that are not scaled to -1 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

MEAN_RGB, DEVIATION_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of ImageNet's pictures, in pixels of 0 to 1."""


def normalise_as_imagenet() -> keras.layers.Layer:
    """Make the layer from pixels 0 to 255 to mean 0 and deviation 1, in float32 also under mixed precision."""
    import keras

    scale = [1 / (255 * deviation) for deviation in DEVIATION_RGB]
    offset = [-mean / deviation for mean, deviation in zip(MEAN_RGB, DEVIATION_RGB, strict=True)]
    return keras.layers.Rescaling(scale, offset=offset, dtype="float32", name="scaling")  # pyright: ignore[reportArgumentType]
