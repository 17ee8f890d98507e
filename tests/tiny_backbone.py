"""A backbone of two layers, in place of those that take seconds."""

from __future__ import annotations

import keras

from tfdfd.models.backbone import Backbone
from tfdfd.models.xception import scale_to_unit


def build_tiny(input_size: int, weights: str | None) -> keras.Model:
    """Make a convolution and its normalisation."""
    if weights == "imagenet":
        raise Exception("URL fetch failure")  # what Keras raises
    pictures = keras.Input((input_size, input_size, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(pictures)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(pictures, x, name="tiny")


TINY = Backbone("tiny", build_tiny, scale_to_unit, 8, "tiny_notop.h5", "none")
