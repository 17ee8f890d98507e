"""A trained network without its batch normalisation, folded into the convolutions before it: the same answers sooner.

In inference it is a scale and a shift of each channel, which a convolution can do with its own weights.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

Weights = dict[str, list[np.ndarray]]
"""Of each convolution that takes over a normalisation, by its name, what it then holds."""


class _Apart(keras.layers.Layer):
    """Gives what it gets, through an operation that TensorFlow's optimiser of graphs leaves where it is.

    The optimiser takes a convolution, bias, sum and activation for one operation and deletes the sum though others read
    it too; it then gives up on the whole graph, with an error in the log of whoever runs it. Only after folding are
    bias and sum neighbours.
    """

    def call(self, values: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(values, values.shape)


def fold_batchnorm(network: keras.Model) -> keras.Model:
    """Return a network that gives what this one gives in inference, with fewer passes over memory.

    A normalisation is folded where it alone follows a convolution without activation; others stay as they are.

    Args:
        network: a functional model; models inside it are folded too.

    Returns:
        A copy that shares nothing with it.
    """
    folded: Weights = {}
    gone: set[str] = set()
    _collect(network, folded, gone)
    activations = _of_shared_sums(network) if gone else set()

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in gone:
            return keras.layers.Identity(name=layer.name)
        config = layer.get_config()
        if layer.name in folded:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        # A normalisation that is gone leaves its input as it is, and has arguments that an identity does not take.
        if layer.name in gone:
            return args[0]
        if layer.name in activations:
            return layer(_Apart()(args[0]), *args[1:], **kwargs)
        return layer(*args, **kwargs)

    result = keras.models.clone_model(network, clone_function=copy, call_function=call, recursive=True)
    _set_weights(network, result, folded)
    return result


def _collect(network: keras.Model, folded: Weights, gone: set[str]) -> None:
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            _collect(layer, folded, gone)
        elif isinstance(layer, keras.layers.BatchNormalization) and len(layer._inbound_nodes) == 1:
            history: Any = layer.input
            before = history._keras_history.operation
            if _takes_over(before):
                folded[before.name] = _scaled(before, *_scale_and_shift(layer))
                gone.add(layer.name)


def _of_shared_sums(network: keras.Model) -> set[str]:
    """Return the names of activations of a sum that others read too."""
    found: set[str] = set()
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            found |= _of_shared_sums(layer)
        elif isinstance(layer, keras.layers.Activation | keras.layers.ReLU) and len(layer._inbound_nodes) == 1:
            history: Any = layer.input
            before = history._keras_history.operation
            if isinstance(before, keras.layers.Add) and len(before._outbound_nodes) > 1:
                found.add(layer.name)
    return found


def _takes_over(layer: keras.layers.Layer) -> bool:
    kinds = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D)
    is_alone = len(layer._inbound_nodes) == 1 and len(layer._outbound_nodes) == 1
    return type(layer) in kinds and is_alone and layer.activation is keras.activations.linear


def _scale_and_shift(layer: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Return what a normalisation multiplies channels by, and what it then adds, float64 [channels]."""
    mean, variance = (np.asarray(value, np.float64) for value in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, np.float64)
    shift = -mean * scale
    return scale, shift + np.asarray(layer.beta, np.float64) if layer.center else shift


def _scaled(layer: keras.layers.Layer, scale: np.ndarray, shift: np.ndarray) -> list[np.ndarray]:
    """Return kernels and bias of a convolution that scales and shifts its channels itself."""
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    kernels = weights[:-1] if layer.use_bias else weights
    bias = weights[-1] if layer.use_bias else np.zeros_like(scale)
    # The last kernel makes the channels; of a depthwise one they are inputs times multiplier.
    is_depthwise = type(layer) is keras.layers.DepthwiseConv2D
    kernels[-1] = kernels[-1] * (scale.reshape(kernels[-1].shape[2:]) if is_depthwise else scale)
    return [value.astype(np.float32) for value in (*kernels, bias * scale + shift)]


def _set_weights(network: keras.Model, result: keras.Model, folded: Weights) -> None:
    copies = {layer.name: layer for layer in result.layers}
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            _set_weights(layer, copies[layer.name], folded)
        elif layer.name in copies:
            copies[layer.name].set_weights(folded.get(layer.name, layer.get_weights()))
            if isinstance(layer, keras.layers.Normalization):
                copies[layer.name].finalize_state()  # it computes with what it made of its weights
