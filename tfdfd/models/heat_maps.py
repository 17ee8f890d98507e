"""What the network looked at: the part of a face's logit that each place of the picture gives."""

from __future__ import annotations

import keras


def with_heat_maps(classifier: keras.Model) -> keras.Model:
    """Return the same network, sharing its weights, with a heat map beside each logit.

    Behind global average pooling and one linear layer, the gradient of the logit by a feature is the layer's weight, so
    this class activation map is Grad-CAM's map before its ReLU, without a gradient having to be taken. Signed, it tells
    more: above 0 a place speaks for fake, below 0 for real, and the mean of the map is the logit less its bias.

    Args:
        classifier: crops [n, size, size, 3] -> logits [n, 1]; in it, or in the one network inside it, global average
            pooling, and a Dense layer of one unit at the end.

    Returns:
        crops -> logits float32 [n, 1] and heat maps float32 [n, height, width], of the size of the last features.

    Raises:
        ValueError: if the network is of another kind.

    Source: class activation maps, arXiv:1512.04150; that Grad-CAM generalises them, arXiv:1610.02391, section 3.1.
    """
    *before, logit = classifier.layers
    if not isinstance(logit, keras.layers.Dense) or logit.units != 1:
        raise ValueError(f"heat maps need a Dense layer of one unit at the end, got {type(logit).__name__}")
    for number, layer in enumerate(before):
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            features = layer.input
            break
        if isinstance(layer, keras.Model) and isinstance(layer.layers[-1], keras.layers.GlobalAveragePooling2D):
            inner = keras.Model(layer.inputs, layer.layers[-1].input)
            features = inner(before[number - 1].output)
            break
    else:
        raise ValueError("heat maps need global average pooling before the last layer")
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(features)
    maps = _Weighted(logit, dtype="float32")(features)
    return keras.Model(classifier.input, [logit(pooled), maps])


class _Weighted(keras.layers.Layer):
    """Sum the features of each place with the weights of a Dense layer of one unit."""

    def __init__(self, dense: keras.layers.Dense, **kwargs: object) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportArgumentType]
        self._dense = dense

    def call(self, features):
        summed = keras.ops.matmul(keras.ops.cast(features, "float32"), self._dense.kernel)
        return keras.ops.squeeze(summed, -1)
