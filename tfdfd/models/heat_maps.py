"""What the network looked at: the part of a face's logit that each place of the picture gives."""

from __future__ import annotations

import keras

from tfdfd.models.head import Head, find_head
from tfdfd.models.segmentation import mask_logits_of


def with_heat_maps(classifier: keras.Model) -> keras.Model:
    """Return the same network, sharing its weights, with a heat map beside each logit.

    At each place the map is the sum over the features of their value times the gradient of the logit by it, times the
    number of places. Signed, it tells more than what is above 0 alone: there a place speaks for fake, below 0 for real.

    Behind average pooling all places have the same gradient, so this is Grad-CAM's map before its ReLU, and without a
    hidden layer the class activation map. Behind max pooling a feature has a gradient only where it is largest (where
    several places tie, each its share). Grad-CAM would spread that over all places, even those that the logit does not
    depend on; here they get nothing.

    The mean of a map is the logit less its bias where there is no hidden layer, whatever the pooling. With one it is
    that less a constant for the units that are active: their biases times their weights in the logit.

    Where the network tells what was altered (`tfdfd.models.segmentation`), that is the map: the probability, 0 to 1,
    that each place was.

    The head is small enough for its gradient to be written down, so no gradient has to be taken while serving.

    Args:
        classifier: crops [n, size, size, 3] -> logits [n, 1], with a head as `build_head` makes it.

    Returns:
        crops -> logits float32 [n, 1] and heat maps float32 [n, height, width], of the size of the feature maps, or of
        the masks.

    Raises:
        ValueError: if the network ends in another kind of head.

    Source: class activation maps, arXiv:1512.04150; that Grad-CAM generalises them, arXiv:1610.02391, section 3.1;
    gradient times value at each place, HiResCAM, arXiv:2011.08891.
    """
    told = mask_logits_of(classifier)
    if told is not None:
        shares = keras.layers.Activation("sigmoid", dtype="float32", name="heat_maps")(told)
        return keras.Model(classifier.input, [classifier.outputs[0], shares])
    head = find_head(classifier)
    maps = _HeatMaps(head, dtype="float32", name="heat_maps")(head.maps)
    return keras.Model(classifier.input, [classifier.outputs[0], maps])


class _HeatMaps(keras.layers.Layer):
    """Feature maps [n, height, width, features] -> heat maps [n, height, width], through the weights of a head."""

    def __init__(self, head: Head, **kwargs: object) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportArgumentType]
        self._poolings = head.poolings
        self._hidden = head.hidden
        self._logit = head.logit

    def call(self, maps):
        ops = keras.ops
        pooled = [pooling(maps) for pooling in self._poolings]
        gradients = ops.split(self._gradient(ops.concatenate(pooled, -1)), len(pooled), -1)
        return sum(map(lambda *each: _map_of(maps, *each), self._poolings, pooled, gradients))

    def _gradient(self, pooled):
        """Return the gradient of the logit by the pooled features, [n or 1, features]."""
        by_last = keras.ops.transpose(self._logit.kernel)
        if self._hidden is None:
            return by_last
        is_active = keras.ops.cast(self._hidden(pooled) > 0, "float32")
        return keras.ops.matmul(is_active * by_last, keras.ops.transpose(self._hidden.kernel))


def _map_of(maps, pooling: keras.layers.Layer, pooled, gradient):
    """Return what one pooling gives to the heat, [n, height, width]."""
    ops = keras.ops
    weights = gradient[:, None, None]
    if isinstance(pooling, keras.layers.GlobalMaxPooling2D):
        is_largest = ops.cast(maps == pooled[:, None, None], "float32")
        num_places = maps.shape[1] * maps.shape[2]
        weights = weights * is_largest * (num_places / ops.sum(is_largest, (1, 2), keepdims=True))
    return ops.sum(maps * weights, -1)
