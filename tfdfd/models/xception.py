"""Xception: depthwise separable convolutions, and its scaling of pixels to -1 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdfd.models.backbone import Backbone

if TYPE_CHECKING:
    import keras

# Keras is imported inside the functions: the names of the backbones are asked for by `--help`, which must be quick.


def build_xception(input_size: int, weights: str | None) -> keras.Model:
    """Build Xception without its top.

    Args:
        input_size: side of the input in pixels, at least 71.
        weights: `imagenet` (downloads) or None (random).

    Returns:
        float32 [batch, input_size, input_size, 3] in [-1, 1] -> feature maps
        [batch, height, width, 2048].

    Source: arXiv:1610.02357.
    """
    import keras

    return keras.applications.Xception(
        include_top=False,
        weights=weights,  # pyright: ignore[reportArgumentType]  None is documented
        input_shape=(input_size, input_size, 3),
        name="xception",
    )


def scale_to_unit() -> keras.layers.Layer:
    """Make the layer from pixels 0 to 255 to -1 to 1, in float32 also under mixed precision."""
    import keras

    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scaling")


XCEPTION = Backbone(
    name="xception",
    build=build_xception,
    preprocess=scale_to_unit,
    min_input_size=71,
    weights_file="xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
    source="arXiv:1610.02357",
)
