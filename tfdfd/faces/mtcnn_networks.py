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

_MID_GREY = 127.5
"""The pixel that the networks were trained to see as 0."""


class MtcnnNetworks:
    """PNet, RNet and ONet as functions from scaled pictures to what MTCNN reads from them.

    Inputs are float32 RGB in 0 to 255; the scaling that the networks were trained with, `(pixel - 127.5) / 128`, is
    a part of their first convolutions. "Face logit" is the log odds that a picture shows a face; its sigmoid is the
    probability that the original softmax gives.
    """

    def __init__(self) -> None:
        """Read the weights.

        Raises:
            TfdfdError: if the `mtcnn` package or one of its weight files is missing or another.
        """
        pnet, rnet, onet = read_weights()
        self._pnet = _negative_slopes_last(_scaling_inside(pnet), [0])
        self._rnet = _negative_slopes_last(_scaling_inside(rnet), [0, 1])
        self._onet = _negative_slopes_last(_scaling_inside(onet), [0, 1, 2])

    def propose(self, pictures: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Run PNet over every 12-pixel window, two pixels apart.

        Args:
            pictures: float32 [n, h, w, 3], h and w at least 12.

        Returns:
            Corner offsets in shares of the window [n, rows, columns, 4] and face logits [n, rows, columns].
        """
        outputs = self._pnet_heads(_conv_prelu_pool(pictures, self._pnet[0:3], 2, "SAME"))
        offsets, logits = tf.split(outputs, [4, 1], axis=-1)
        return offsets, tf.squeeze(logits, axis=-1)

    def screen(self, pictures: tf.Tensor) -> tf.Tensor:
        """Run PNet as `propose` does, in bfloat16, which takes two thirds of the time on a CPU that has it.

        Args:
            pictures: float32 [n, h, w, 3], h and w at least 12.

        Returns:
            Face logits float32 [n, rows, columns], near those of `propose`.
        """
        x = _conv_prelu_pool_by_pairs(tf.cast(pictures, tf.bfloat16), self._pnet[0:3])
        return tf.cast(tf.squeeze(self._pnet_heads(x, only_logits=True), axis=-1), tf.float32)

    def propose_at(self, pictures: tf.Tensor, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Run PNet over some windows only.

        Args:
            pictures: float32 [n, h, w, 3], h and w at least 12.
            windows: int32 [k, 3], k >= 1: picture, row and column as in what `propose` returns.

        Returns:
            Corner offsets [k, 4] and face logits [k], as `propose` returns them there.
        """
        shape = tf.shape(pictures)
        span = tf.range(12)
        corner = 2 * windows[:, 1:]
        rows = tf.minimum(corner[:, :1] + span, shape[1] - 1)
        columns = tf.minimum(corner[:, 1:] + span, shape[2] - 1)
        pixels = ((windows[:, :1] * shape[1] + rows) * shape[2])[:, :, None] + columns[:, None, :]
        cut = tf.gather(tf.reshape(pictures, [-1, 3]), pixels)
        # The last window of an odd number of rows or columns has half a pooling cell outside the picture.
        is_outside = corner[:, None, :] + tf.range(10)[None, :, None] >= shape[1:3] - 2
        is_outside = is_outside[:, :, None, :1] | is_outside[:, None, :, 1:]
        x = _conv_prelu_pool(cut, self._pnet[0:3], 2, "SAME", is_outside)
        outputs = tf.reshape(self._pnet_heads(x), [-1, 5])
        return outputs[:, :4], outputs[:, 4]

    def _pnet_heads(self, x: tf.Tensor, *, only_logits: bool = False) -> tf.Tensor:
        """Return corner offsets and face logits [n, rows, columns, 5] of PNet's pooled first layer, or logits alone."""
        w = self._pnet
        x = _prelu(_conv(x, w[3], w[4]), w[5])
        x = _prelu(_conv(x, w[6], w[7]), w[8])
        # One convolution for both heads; of the two classes only the difference counts.
        kernel = np.concatenate([w[9], w[11][..., 1:] - w[11][..., :1]], axis=-1)
        bias = np.concatenate([w[10], w[12][1:] - w[12][:1]])
        return _conv(x, kernel[..., 4:], bias[4:]) if only_logits else _conv(x, kernel, bias)

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
    x = tf.nn.conv2d(x, tf.constant(kernel, x.dtype), strides=1, padding="VALID")
    return tf.nn.bias_add(x, tf.constant(bias, x.dtype))


def _dense(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
    return tf.nn.bias_add(tf.matmul(x, kernel), tf.constant(bias))


def _prelu(x: tf.Tensor, slope: np.ndarray) -> tf.Tensor:
    slopes = tf.constant(slope.ravel(), x.dtype)
    if slope.max() > 1:
        return tf.nn.relu(x) + slopes * tf.minimum(x, 0.0)
    # The same, in two passes over memory instead of four; along rows of pictures, since it is long rows that TensorFlow
    # multiplies fast.
    shape = tf.shape(x)
    rows = x
    if len(x.shape) == 4:
        rows = tf.reshape(x, [shape[0] * shape[1], shape[2] * shape[3]])
        slopes = tf.tile(slopes, shape[2:3])
    return tf.reshape(tf.maximum(rows, rows * slopes), shape)


def _conv_prelu_pool(
    x: tf.Tensor,
    layer: Sequence[np.ndarray],
    pool_side: int,
    padding: Literal["SAME", "VALID"],
    is_outside: tf.Tensor | None = None,
) -> tf.Tensor:
    """Convolve, apply PReLU and pool, exactly, but with the PReLU after the pooling, on a quarter of the values.

    A slope of 0 or more keeps the order of values, so pooling first changes nothing. Under a negative slope the
    greatest value comes from the greatest or from the least input, and the least is the greatest of the
    negated channel. Channels of negative slope come last (see `_negative_slopes_last`). Where something is outside,
    bool [n, h', w', 1], the convolution's value there counts for nothing.
    """
    kernel, bias, slope = layer
    channels, rising = kernel.shape[-1], int((slope >= 0).sum())
    kernel = np.concatenate([kernel, -kernel[..., rising:]], axis=-1)
    bias = np.concatenate([bias, -bias[rising:]])
    x = _conv(x, kernel, bias)
    if is_outside is not None:
        x = tf.where(is_outside, x.dtype.min, x)
    pooled = tf.nn.max_pool2d(x, pool_side, 2, padding)
    pooled_rising, pooled_falling, negated = tf.split(pooled, [rising, channels - rising, channels - rising], -1)
    falling = tf.maximum(pooled_falling, tf.constant(-slope[..., rising:], x.dtype) * negated)
    return tf.concat([_prelu(pooled_rising, slope[..., :rising]), falling], axis=-1)


def _conv_prelu_pool_by_pairs(x: tf.Tensor, layer: Sequence[np.ndarray]) -> tf.Tensor:
    """Do the same as `_conv_prelu_pool` with a side of 2, by convolutions and pooling alone.

    PReLU is the greater of a value and the value times its slope, where that is at most 1: two channels of one
    convolution, of which pooling takes the greater. In bfloat16 this is faster than arithmetic between convolutions.
    """
    kernel, bias, slope = layer
    # A slope of 1.01 counts as 1.
    slope = np.minimum(slope.ravel(), 1)
    x = _conv(x, np.concatenate([kernel, kernel * slope], axis=-1), np.concatenate([bias, bias * slope]))
    shape = tf.shape(x := tf.nn.max_pool2d(x, 2, 2, "SAME"))
    x = tf.reshape(x, [shape[0], shape[1], shape[2] * 2, len(slope)])
    return tf.nn.max_pool2d(x, [1, 2], [1, 2], "VALID")


def _scaling_inside(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Let the first convolution take pixels in 0 to 255 in place of scaled ones."""
    kernel, bias, *others = arrays
    kernel = kernel / 128
    return [kernel, bias - _MID_GREY * kernel.sum(axis=(0, 1, 2)), *others]


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
