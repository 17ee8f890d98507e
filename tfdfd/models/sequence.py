"""Over time: the features of one face in many frames to one vector, by an LSTM or a small Transformer.

Places without a face are masked: whatever stands there, and however many there are behind the last face or before the
first, changes no output.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_HEADS, _BLOCKS = 4, 2
_FAR = 10_000.0


@keras.saving.register_keras_serializable(package="tfdfd")
class OrAbsent(keras.layers.Layer):
    """Replaces the vectors of rows in which nothing is there by one that is learned, and stands for that.

    Call:
        vectors float32 [batch, n], is_there bool [batch, steps] -> float32 [batch, n].
    """

    def build(self, vectors_shape: tuple[int | None, ...], *_: Any) -> None:
        """Make the vector."""
        self.absent = self.add_weight(shape=(vectors_shape[-1],), initializer="zeros", name="absent")

    def call(self, vectors: tf.Tensor, is_there: tf.Tensor) -> tf.Tensor:
        """See the class."""
        return tf.where(tf.reduce_any(is_there, axis=1, keepdims=True), vectors, self.absent[None])

    def compute_output_shape(self, vectors_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return vectors_shape


@keras.saving.register_keras_serializable(package="tfdfd")
class Standardized(keras.layers.Layer):
    """Brings each feature to mean 0 and deviation 1 over the faces of the training clips, once and for all.

    Features behind a ReLU differ in mean far more than one face does from another. Without this every face looks
    nearly alike to what follows; a LayerNormalization keeps that, for it treats all features of a face as one lot, and
    takes away how strong they are together, which may be what changes over time.

    Call:
        features float32 [..., n] -> float32 [..., n].
    """

    def build(self, features_shape: tuple[int | None, ...]) -> None:
        """Make mean and deviation, which change nothing until they are set; they are saved with the weights."""
        shape = (features_shape[-1],)
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=shape, initializer="ones", trainable=False, name="deviation")

    def set_moments(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Set mean and deviation of each feature, float32 (n,), the latter above 0."""
        self.mean.assign(mean)
        self.deviation.assign(deviation)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """See the class."""
        return (features - self.mean) / self.deviation

    def compute_output_shape(self, features_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return features_shape


def places_since_first(is_face: tf.Tensor) -> tf.Tensor:
    """Return how many places each lies behind the first face of its row, float32, same shape; not above 0 before it."""
    places = tf.range(tf.shape(is_face)[1], dtype=tf.int32)[None]
    first = tf.argmax(tf.cast(is_face, tf.int32), axis=1, output_type=tf.int32)
    return tf.cast(places - first[:, None], tf.float32)


def encode_positions(positions: tf.Tensor, units: int) -> tf.Tensor:
    """Return sines and cosines of positions, float32 [batch, steps] -> [batch, steps, units]; units must be even.

    Source: Vaswani et al., Attention Is All You Need, arXiv:1706.03762.
    """
    rates = tf.constant(_FAR ** (-np.arange(units // 2) / (units // 2)), tf.float32)
    turns = tf.expand_dims(positions, -1) * rates
    return tf.concat([tf.sin(turns), tf.cos(turns)], axis=-1)


def masked_mean(values: tf.Tensor, is_there: tf.Tensor) -> tf.Tensor:
    """Return the mean over the steps that are there, float32 [batch, steps, n] -> [batch, n]; 0 where none is."""
    weights = tf.expand_dims(tf.cast(is_there, values.dtype), -1)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights, axis=1), tf.reduce_sum(weights, axis=1))


@keras.saving.register_keras_serializable(package="tfdfd")
class LSTMOverTime(keras.layers.Layer):
    """An LSTM that reads the faces forwards and one that reads them backwards, each told of its last face.

    Args:
        units: of the output, even.

    Call:
        features float32 [batch, places, n], is_face bool [batch, places] -> float32 [batch, units].

    Source: Hochreiter and Schmidhuber, 1997; both directions: Schuster and Paliwal, 1997.
    """

    def __init__(self, units: int, **about: Any) -> None:
        super().__init__(**about)
        self.units = units
        # cuDNN's takes no gaps within a sequence, which a lost face leaves.
        layers: Any = keras.layers
        one = layers.LSTM(units // 2, use_cudnn=False, dtype=self.dtype_policy, name="lstm")
        self.both = keras.layers.Bidirectional(one, dtype=self.dtype_policy, name="both")

    def build(self, features_shape: tuple[int | None, ...], *_: Any) -> None:
        """Build the two."""
        self.both.build(features_shape)

    def call(self, features: tf.Tensor, is_face: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the class."""
        # Its loop reads what is masked, and throws it away: it must be a number.
        features = tf.where(tf.expand_dims(is_face, -1), features, 0.0)
        return self.both(features, mask=is_face, training=training)

    def compute_output_shape(self, features_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return (features_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tfdfd")
class TransformerOverTime(keras.layers.Layer):
    """Two blocks of attention over the faces, each told its place, and their mean.

    Args:
        units: of the output, a multiple of 8.
        dropout: share of what each block adds that training drops.
        seed: of dropout.

    Call:
        features float32 [batch, places, n], is_face bool [batch, places] -> float32 [batch, units].

    Source: arXiv:1706.03762, normalised before each part as in arXiv:2002.04745.
    """

    def __init__(self, units: int, *, dropout: float = 0.0, seed: int = 0, **about: Any) -> None:
        super().__init__(**about)
        self.units, self.dropout, self.seed = units, dropout, seed
        layers: Any = keras.layers
        same = {"dtype": self.dtype_policy}
        self.project = layers.Dense(units, name="project", **same)
        self.blocks = []
        for number in range(_BLOCKS):
            block = [
                layers.LayerNormalization(name=f"before_attention_{number}", **same),
                layers.MultiHeadAttention(_HEADS, units // _HEADS, name=f"attention_{number}", **same),
                layers.Dropout(dropout, seed=seed + 2 * number, name=f"attention_dropout_{number}", **same),
                layers.LayerNormalization(name=f"before_dense_{number}", **same),
                layers.Dense(2 * units, activation="gelu", name=f"wide_{number}", **same),
                layers.Dense(units, name=f"narrow_{number}", **same),
                layers.Dropout(dropout, seed=seed + 2 * number + 1, name=f"dense_dropout_{number}", **same),
            ]
            self.blocks.append(block)
        self.last = layers.LayerNormalization(name="last", **same)

    def build(self, features_shape: tuple[int | None, ...], *_: Any) -> None:
        """Build all layers."""
        self.project.build(features_shape)
        shape = (*features_shape[:2], self.units)
        for before, attention, _, before_dense, wide, narrow, _ in self.blocks:
            before.build(shape)
            attention.build(shape, shape)
            before_dense.build(shape)
            wide.build(shape)
            narrow.build((*shape[:2], 2 * self.units))
        self.last.build(shape)

    def call(self, features: tf.Tensor, is_face: tf.Tensor, training: bool = False) -> tf.Tensor:
        """See the class."""
        x = self.project(tf.where(tf.expand_dims(is_face, -1), features, 0.0))
        x += encode_positions(places_since_first(is_face), self.units)
        for before, attention, drop, before_dense, wide, narrow, drop_dense in self.blocks:
            y = before(x)
            y = attention(y, y, attention_mask=is_face[:, None, :], training=training)
            x += drop(y, training=training)
            x += drop_dense(narrow(wide(before_dense(x))), training=training)
        return masked_mean(self.last(x), is_face)

    def compute_output_shape(self, features_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return (features_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return {**super().get_config(), "units": self.units, "dropout": self.dropout, "seed": self.seed}
