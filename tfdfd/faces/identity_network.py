"""dlib's face recognition network as a TensorFlow graph: 29 convolutions, a face to 128 numbers.

Source: King, dlib's `dnn_face_recognition_ex.cpp` (Boost licence), a ResNet-34 (arXiv:1512.03385) with fewer layers and
half the filters, trained with a metric loss on about three million faces; 99.38 % on Labeled Faces in the Wild.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfdfd.faces.identity_weights import Convolution, read_identity_weights

INPUT_SIZE = 150
_MEAN_RGB = (122.782, 117.001, 104.298)
"""The pixel that the network was trained to see as 0."""
_BLOCKS = (*(False,) * 3, True, *(False,) * 3, True, *(False,) * 2, True, *(False,) * 2, True)
"""Of each residual block, whether it halves the picture."""


class IdentityNetwork:
    """The network with its weights as constants of the graph."""

    def __init__(self) -> None:
        """Read the weights.

        Raises:
            TfdfdError: if the package that carries them is missing or another.
        """
        self._weights = read_identity_weights()
        self._graph = tf.function(
            self._embed, input_signature=[tf.TensorSpec([None, INPUT_SIZE, INPUT_SIZE, 3], tf.uint8)], autograph=False
        )

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """Return what the network makes of faces.

        Args:
            faces: uint8 RGB, shape (n, 150, 150, 3), aligned.

        Returns:
            float32, shape (n, 128), of length about 1.3, as dlib's own code gives.
        """
        return self._graph(tf.constant(faces)).numpy()

    def _embed(self, faces: tf.Tensor) -> tf.Tensor:
        convolutions = iter(self._weights.convolutions)
        x = (tf.cast(faces, tf.float32) - tf.constant(_MEAN_RGB)) / 256.0
        x = tf.nn.relu(_convolved(x, next(convolutions), stride=2))
        x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        for halves in _BLOCKS:
            x = _residual_block(x, convolutions, halves=halves)
        return tf.matmul(tf.reduce_mean(x, axis=[1, 2]), self._weights.projection)


def _residual_block(x: tf.Tensor, convolutions: Iterator[Convolution], *, halves: bool) -> tf.Tensor:
    inner = tf.nn.relu(_convolved(x, next(convolutions), stride=2 if halves else 1))
    inner = _convolved(inner, next(convolutions), stride=1)
    if halves:
        x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
    # dlib adds what differs in size as if the smaller went on with zeros.
    sides = [max(pair) for pair in zip(_sides(x), _sides(inner), strict=True)]
    return tf.nn.relu(_grown(x, sides) + _grown(inner, sides))


def _grown(x: tf.Tensor, sides: list[int]) -> tf.Tensor:
    return tf.pad(x, [(0, 0), *((0, side - held) for side, held in zip(sides, _sides(x), strict=True))])


def _sides(x: tf.Tensor) -> list[int]:
    return [side for side in x.shape[1:].as_list() if side is not None]


def _convolved(x: tf.Tensor, convolution: Convolution, *, stride: int) -> tf.Tensor:
    # Convolutions that halve the picture have no padding.
    padding = "SAME" if stride == 1 else "VALID"
    return tf.nn.conv2d(x, convolution.kernel, stride, padding) + convolution.bias
