"""InceptionResNetV2: Inception blocks whose sums are carried on, and its scaling of pixels to -1 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdfd.models.backbone import Backbone
from tfdfd.models.xception import scale_to_unit

if TYPE_CHECKING:
    import keras


def build_inception_resnet(input_size: int, weights: str | None) -> keras.Model:
    """Build InceptionResNetV2 without its top.

    Args:
        input_size: side of the input in pixels, at least 75.
        weights: `imagenet` (downloads) or None (random).

    Returns:
        float32 [batch, input_size, input_size, 3] in [-1, 1] -> feature maps [batch, height, width, 1536].

    Source: arXiv:1602.07261.
    """
    import keras

    return keras.applications.InceptionResNetV2(
        include_top=False,
        weights=weights,  # pyright: ignore[reportArgumentType]  None is documented
        input_shape=(input_size, input_size, 3),
        name="inception_resnet_v2",
    )


INCEPTION_RESNET = Backbone(
    name="inception_resnet_v2",
    build=build_inception_resnet,
    preprocess=scale_to_unit,
    min_input_size=75,
    weights_file="inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    source="arXiv:1602.07261",
)
