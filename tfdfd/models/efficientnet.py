"""EfficientNet: depth, width and input grown together, and ImageNet's mean and deviation of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdfd.models.backbone import Backbone
from tfdfd.models.imagenet import normalise_as_imagenet

if TYPE_CHECKING:
    import keras

SIZES = ("b1", "b4", "b7")
"""Which of the family; each a backbone `efficientnet_<size>`."""

SOURCE = "arXiv:1905.11946"


def _build(size: str, input_size: int, weights: str | None) -> keras.Model:
    import keras

    makers = {
        "b1": keras.applications.EfficientNetB1,
        "b4": keras.applications.EfficientNetB4,
        "b7": keras.applications.EfficientNetB7,
    }
    # Under the name that Keras gives it: its download asks for a file of that name.
    return makers[size](
        include_top=False,
        weights=weights,  # pyright: ignore[reportArgumentType]  None is documented
        input_shape=(input_size, input_size, 3),
    )


def without_scaling(network: keras.Model, name: str) -> keras.Model:
    """Return what follows the scaling of pixels in an EfficientNet.

    Keras scales inside, under mixed precision in float16, by the mean and variance in the weights file; ImageNet's
    deviations stand there for the variances, and only with `weights="imagenet"` another layer makes up for it. So a
    network of the same weights from a file would see other pixels. Here all are normalised before, in one way.

    Args:
        network: as keras.applications makes it without its top, its weights loaded.
        name: what the result is called.

    Returns:
        A network of its own layers: normalised pixels [batch, size, size, 3] -> feature maps.

    Source: tensorflow issue 49930, on what the published files hold.
    """
    import keras

    first = network.get_layer("stem_conv_pad")
    behind = keras.Model(first.input, network.output, name=name)
    # Cut out, its layers still stand in the whole network too, and batchnorm folding leaves those alone.
    copy = keras.models.clone_model(behind)
    for layer in behind.layers:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _efficientnet(size: str) -> Backbone:
    name = f"efficientnet_{size}"
    return Backbone(
        name=name,
        build=lambda input_size, weights: _build(size, input_size, weights),
        preprocess=normalise_as_imagenet,
        min_input_size=32,
        weights_file=f"efficientnet{size}_notop.h5",
        source=SOURCE,
        adapt=lambda network: without_scaling(network, name),
    )


EFFICIENTNETS = tuple(map(_efficientnet, SIZES))
