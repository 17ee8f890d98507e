"""Of a sound: its log-mel spectrogram to one vector, by a small convolutional network that honours the mask."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfdfd.models.sequence import masked_mean

_CHANNELS = (16, 32, 64)
_USUAL_MEAN, _USUAL_DEVIATION = -2.0, 2.0
"""Of log-mel values of speech, by which they are brought near 0: silence is -4.6, a loud voice 3."""


@keras.saving.register_keras_serializable(package="tfdfd")
class SoundNetwork(keras.layers.Layer):
    """Three convolutions, each halving time and bands, then mean and largest value over time.

    After every convolution what is not heard becomes 0 again, which is what a convolution takes for the outside: frames
    behind the last heard one change nothing. Normalisation is over channels alone, so that no frame sees another by it.

    Args:
        units: of the output.

    Call:
        log_mel float32 [batch, frames, bands], is_sound bool [batch, frames] -> float32 [batch, units].
    """

    def __init__(self, units: int, **about: Any) -> None:
        super().__init__(**about)
        self.units = units
        layers: Any = keras.layers
        same = {"dtype": self.dtype_policy}
        self.convolutions = [
            layers.Conv2D(channels, 3, padding="same", name=f"conv_{number}", **same)
            for number, channels in enumerate(_CHANNELS)
        ]
        self.norms = [layers.LayerNormalization(name=f"norm_{number}", **same) for number in range(len(_CHANNELS))]
        self.frame = layers.Dense(units, activation="relu", name="frame", **same)
        self.vector = layers.Dense(units, activation="relu", name="vector", **same)

    def build(self, log_mel_shape: tuple[int | None, ...], *_: Any) -> None:
        """Build all layers."""
        bands, channels = log_mel_shape[2], 1
        assert bands is not None
        for convolution, norm, after in zip(self.convolutions, self.norms, _CHANNELS, strict=True):
            convolution.build((None, None, bands, channels))
            norm.build((None, None, bands, after))
            bands, channels = -(-bands // 2), after
        self._num_inputs = bands * channels
        self.frame.build((None, None, self._num_inputs))
        self.vector.build((None, 2 * self.units))

    def call(self, log_mel: tf.Tensor, is_sound: tf.Tensor) -> tf.Tensor:
        """See the class."""
        x = tf.expand_dims((log_mel - _USUAL_MEAN) / _USUAL_DEVIATION, -1)
        x *= _as_weights(is_sound, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = tf.nn.relu(norm(convolution(x))) * _as_weights(is_sound, 2)
            # Nothing is below 0, so what is not heard is never the largest.
            x = tf.nn.max_pool2d(x, 2, 2, "SAME")
            is_sound = tf.nn.max_pool1d(_as_weights(is_sound, 1), 2, 2, "SAME")[:, :, 0] > 0
        shape = tf.shape(x)
        x = self.frame(tf.reshape(x, [shape[0], shape[1], self._num_inputs])) * _as_weights(is_sound, 1)
        return self.vector(tf.concat([masked_mean(x, is_sound), tf.reduce_max(x, axis=1)], axis=-1))

    def compute_output_shape(self, log_mel_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return (log_mel_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return {**super().get_config(), "units": self.units}


def _as_weights(is_sound: tf.Tensor, new_axes: int) -> tf.Tensor:
    """Return 1 and 0, float32, with so many axes more at the end."""
    shape = tf.concat([tf.shape(is_sound), tf.ones([new_axes], tf.int32)], axis=0)
    return tf.reshape(tf.cast(is_sound, tf.float32), shape)
