"""ConvNeXt: wide depthwise convolutions with layer normalisation, and ImageNet's mean and deviation of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdfd.models.backbone import Backbone
from tfdfd.models.imagenet import normalise_as_imagenet

if TYPE_CHECKING:
    import keras

SIZES = ("tiny", "base")
"""Which of the family; each a backbone `convnext_<size>`."""

SOURCE = "arXiv:2201.03545"


def _build(size: str, input_size: int, weights: str | None) -> keras.Model:
    """Build a ConvNeXt without its top.

    In the paper layer normalisation follows average pooling. Keras puts it on every place of the feature maps where it
    returns those, with the same weights; so it is here, for then each pooling, and the heat maps, see the same maps.
    """
    import keras

    makers = {"tiny": keras.applications.ConvNeXtTiny, "base": keras.applications.ConvNeXtBase}
    return makers[size](
        include_top=False,
        # Keras would scale in float16 under mixed precision. Its layer holds no weights: the files stay the same.
        include_preprocessing=False,
        weights=weights,  # pyright: ignore[reportArgumentType]  None is documented
        input_shape=(input_size, input_size, 3),
    )


def with_depthwise_layers(network: keras.Model) -> keras.Model:
    """Return a ConvNeXt whose depthwise convolutions are depthwise layers.

    Keras makes them of grouped convolutions, which it has XLA compile everywhere, anew for every batch size: a server
    would need XLA, and replicas on CPUs cannot train so.

    Args:
        network: as keras.applications makes it, its weights loaded.

    Returns:
        A network of its own layers that gives the same.
    """
    import keras

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not _is_depthwise(layer):
            return type(layer).from_config(layer.get_config())
        return keras.layers.DepthwiseConv2D(
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            dtype=layer.dtype_policy,
            name=layer.name,
        )

    result = keras.models.clone_model(network, clone_function=copy, recursive=True)
    _copy_weights(network, result)
    return result


def _is_depthwise(layer: keras.layers.Layer) -> bool:
    import keras

    return isinstance(layer, keras.layers.Conv2D) and layer.groups == layer.filters > 1


def _copy_weights(network: keras.Model, result: keras.Model) -> None:
    for layer in network.layers:
        weights = layer.get_weights()
        if _is_depthwise(layer):  # kernel (rows, columns, 1, channels) becomes (rows, columns, channels, 1)
            weights[0] = weights[0].swapaxes(2, 3)
        if weights:
            result.get_layer(layer.name).set_weights(weights)


def _convnext(size: str) -> Backbone:
    return Backbone(
        name=f"convnext_{size}",
        build=lambda input_size, weights: _build(size, input_size, weights),
        preprocess=normalise_as_imagenet,
        min_input_size=32,
        weights_file=f"convnext_{size}_notop.h5",
        source=SOURCE,
        adapt=with_depthwise_layers,
        has_batchnorm=False,
    )


CONVNEXTS = tuple(map(_convnext, SIZES))
