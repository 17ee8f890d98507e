"""The three networks of MTCNN, with the weights that the `mtcnn` package ships.

The weights become constants of whatever graph calls the networks, so nothing has to be tracked, initialised or
copied to a device.

Source: Zhang et al., Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks,
arXiv:1604.02878; weights of https://github.com/ipazc/mtcnn (MIT licence).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from tfdfd.faces.mtcnn_weights import read_weights


class MtcnnNetworks:
    """PNet, RNet and ONet as functions from scaled pictures to what MTCNN reads from them.

    Inputs are float32 RGB scaled to [-1, 1] by `(pixel - 127.5) / 128`. "Face logit" is the log odds that a
    picture shows a face; its sigmoid is the probability that the original softmax gives.
    """

    def __init__(self) -> None:
        """Read the weights.

        Raises:
            TfdfdError: if the `mtcnn` package or one of its weight files is missing or another.
        """
        pnet, rnet, onet = read_weights()
        self._pnet = _negative_slopes_last(pnet, [0])
        self._rnet = _negative_slopes_last(rnet, [0, 1])
        self._onet = _negative_slopes_last(onet, [0, 1, 2])

    def propose(self, pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Run PNet over every 12-pixel window, two pixels apart.

        Args:
            pictures: float32 [n, h, w, 3], h and w at least 12.

        Returns:
            Corner offsets in shares of the window [n, rows, columns, 4] and face logits [n, rows, columns].
        """
        w = self._pnet
        x = _conv_prelu_pool(pictures, w[0:3], 2, "SAME")
        x = _prelu(_conv(x, w[3], w[4]), w[5])
        x = _prelu(_conv(x, w[6], w[7]), w[8])
        # One convolution for both heads; of the two classes only the difference counts.
        kernel = np.concatenate([w[9], w[11][..., 1:] - w[11][..., :1]], axis=-1)
        bias = np.concatenate([w[10], w[12][1:] - w[12][:1]])
        offsets, logits = tf.split(_conv(x, kernel, bias), [4, 1], axis=-1)
        return offsets, tf.squeeze(logits, axis=-1)

    def refine(self, pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Run RNet on cut-out candidates.

        Args:
            pictures: float32 [k, 24, 24, 3].

        Returns:
            Corner offsets in shares of the box [k, 4] and face logits [k].
        """
        w = self._rnet
        x = _conv_prelu_pool(pictures, w[0:3], 3, "SAME")
        x = _conv_prelu_pool(x, w[3:6], 3, "VALID")
        x = _prelu(_conv(x, w[6], w[7]), w[8])
        x = _prelu(_dense(_flatten_by_columns(x), w[9], w[10]), w[11])
        return _dense(x, w[12], w[13]), _face_logits(x, w[14], w[15])

    def finish(self, pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Run ONet on cut-out candidates.

        Args:
            pictures: float32 [k, 48, 48, 3].

        Returns:
            Corner offsets [k, 4], five landmarks (x, y) in shares of the box [k, 5, 2], face logits [k].
        """
        w = self._onet
        x = _conv_prelu_pool(pictures, w[0:3], 3, "SAME")
        x = _conv_prelu_pool(x, w[3:6], 3, "VALID")
        x = _conv_prelu_pool(x, w[6:9], 2, "SAME")
        x = _prelu(_conv(x, w[9], w[10]), w[11])
        x = _prelu(_dense(_flatten_by_columns(x), w[12], w[13]), w[14])
        landmarks = _dense(x, w[17], w[18])
        landmarks = tf.stack([landmarks[:, :5], landmarks[:, 5:]], axis=-1)
        return _dense(x, w[15], w[16]), landmarks, _face_logits(x, w[19], w[20])


def _conv(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides=1, padding="VALID"), tf.constant(bias))


def _dense(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
    return tf.nn.bias_add(tf.matmul(x, kernel), tf.constant(bias))


def _prelu(x: tf.Tensor, slope: np.ndarray) -> tf.Tensor:
    if slope.max() <= 1:
        return tf.maximum(x, x * slope)  # the same, in two passes over memory instead of four
    return tf.nn.relu(x) + slope * tf.minimum(x, 0.0)


def _conv_prelu_pool(
    x: tf.Tensor, layer: Sequence[np.ndarray], pool_side: int, padding: Literal["SAME", "VALID"]
) -> tf.Tensor:
    """Convolve, apply PReLU and pool, exactly, but with the PReLU after the pooling, on a quarter of the values.

    A slope of 0 or more keeps the order of values, so pooling first changes nothing. Under a negative slope the
    greatest value comes from the greatest or from the least input, and the least is the greatest of the
    negated channel. Channels of negative slope come last (see `_negative_slopes_last`).
    """
    kernel, bias, slope = layer
    channels, rising = kernel.shape[-1], int((slope >= 0).sum())
    kernel = np.concatenate([kernel, -kernel[..., rising:]], axis=-1)
    bias = np.concatenate([bias, -bias[rising:]])
    pooled = tf.nn.max_pool2d(_conv(x, kernel, bias), pool_side, 2, padding)
    pooled_rising, pooled_falling, negated = tf.split(pooled, [rising, channels - rising, channels - rising], -1)
    falling = tf.maximum(pooled_falling, -slope[..., rising:] * negated)
    return tf.concat([_prelu(pooled_rising, slope[..., :rising]), falling], axis=-1)


def _negative_slopes_last(arrays: Sequence[np.ndarray], layers: Sequence[int]) -> list[np.ndarray]:
    """Reorder the channels of some convolutions, and the inputs of the layers that follow, accordingly."""
    arrays = list(arrays)
    for layer in layers:
        kernel, bias, slope = arrays[3 * layer : 3 * layer + 3]
        order = np.argsort(slope.ravel() < 0, kind="stable")
        arrays[3 * layer : 3 * layer + 3] = kernel[..., order], bias[order], slope[..., order]
        arrays[3 * layer + 3] = arrays[3 * layer + 3][:, :, order]
    return arrays


def _flatten_by_columns(x: tf.Tensor) -> tf.Tensor:
    # The dense kernels were trained in a framework that stores pictures column by column.
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, x.shape[1:].num_elements()])


def _face_logits(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
    return tf.squeeze(_dense(x, kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]), axis=1)
