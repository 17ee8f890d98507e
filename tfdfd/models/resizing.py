"""Resizing inside a model as two constant matrix products: antialiased, on every device, plain in an export."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


def resizing_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Return the matrix that resizes one axis, bilinear and antialiased.

    Args:
        size_in: pixels before.
        size_out: pixels after.

    Returns:
        float32, shape (size_out, size_in), rows sum to 1: column i is the resized picture of pixel i alone.
    """
    picture = np.eye(size_in, dtype=np.float32)[None, :, :, None]
    resized = tf.image.resize(picture, (size_out, size_in), method="bilinear", antialias=True)
    return resized.numpy()[0, :, :, 0]


@keras.saving.register_keras_serializable(package="tfdfd")
class SquareResizing(keras.layers.Layer):
    """Resize square pictures as `tf.image.resize(..., antialias=True)` does.

    `tf.image.resize` with antialiasing has no GPU kernel; a matrix product for each axis has.

    Args:
        size_in: side before, in pixels.
        size_out: side after, in pixels.
        name: name of the layer.

    Call:
        pictures float32 [batch, size_in, size_in, channels] -> float32 [batch, size_out, size_out, channels].
    """

    def __init__(self, *, size_in: int, size_out: int, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32", trainable=False)
        self.size_in = size_in
        self.size_out = size_out
        with tf.init_scope():  # eager also while a graph is traced
            self._matrix = resizing_matrix(size_in, size_out)

    def call(self, pictures: tf.Tensor) -> tf.Tensor:
        """Resize; see the class."""
        matrix = tf.constant(self._matrix)
        pictures = tf.einsum("oh,bhwc->bowc", matrix, pictures)
        return tf.einsum("pw,bowc->bopc", matrix, pictures)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output for one of the input."""
        return (input_shape[0], self.size_out, self.size_out, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return {"size_in": self.size_in, "size_out": self.size_out, "name": self.name}
