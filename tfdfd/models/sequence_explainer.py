"""From crops and sound of a person to the logit of their sequence, and to what in each face it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfdfd.models.audio_visual import FACES, IS_FACE, IS_SOUND, LOG_MELS
from tfdfd.models.batchnorm_folding import fold_batchnorm
from tfdfd.models.clip_scorer import FACES_AT_ONCE

ExplainSequences = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]
"""(crops uint8 RGB [batch, places, size, size, 3], is_face bool [batch, places], waveform float32 [batch, samples],
is_sound bool [batch, samples]) -> `face_logits` float32 [batch, places] and `heat_maps` float32 [batch, places, height,
width], both 0 where there is no face. A sequence has one logit, which stands at each of its faces."""

Spectrograms = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""(waveform, is_sound) -> (log-mel spectrograms float32 [batch, frames, bands], which frames are heard bool)."""


class SequenceExplainer:
    """Shows sequences of faces and their sound to the network; an `ExplainSequences`.

    A heat map is at each place the sum over the features of their value times the gradient of the logit by them, times
    the number of places, as in `heat_maps`: here the gradient comes through the whole sequence.

    Args:
        features: as `build_feature_network` makes it.
        sequence: as `build_sequence_network` makes it.
        spectrograms: from sound to what the sequence network takes.
    """

    def __init__(self, features: keras.Model, sequence: keras.Model, spectrograms: Spectrograms) -> None:
        pooling: Any = features.get_layer("avg_pooling")
        self.maps = fold_batchnorm(keras.Model(features.inputs[0], pooling.input))
        self.sequence, self._spectrograms = sequence, spectrograms

    def __call__(
        self, crops: tf.Tensor, is_face: tf.Tensor, waveform: tf.Tensor, is_sound: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """See `ExplainSequences`; places without a face are never shown to the network."""
        where = tf.where(is_face)
        maps = self._maps_of(tf.gather_nd(crops, where))
        shape = tf.shape(is_face, tf.int64)
        pooled = tf.reduce_mean(maps, axis=[1, 2])
        features = tf.scatter_nd(where, pooled, tf.concat([shape, tf.shape(pooled, tf.int64)[1:]], 0))
        features = tf.ensure_shape(features, [None, None, maps.shape[-1]])
        logs, heard = self._spectrograms(waveform, is_sound)
        with tf.GradientTape() as tape:
            tape.watch(features)
            inputs = {FACES: features, IS_FACE: is_face, LOG_MELS: logs, IS_SOUND: heard}
            logits = self.sequence(inputs, training=False)[:, 0]
        gradients: Any = tape.gradient(logits, features)
        heat = tf.einsum("nhwd,nd->nhw", maps, tf.gather_nd(gradients, where))
        map_shape = tf.concat([shape, tf.constant([int(side or 0) for side in maps.shape[1:3]], tf.int64)], 0)
        return {
            "face_logits": tf.where(is_face, logits[:, tf.newaxis], 0.0),
            "heat_maps": tf.scatter_nd(where, heat, map_shape),
        }

    def _maps_of(self, faces: tf.Tensor) -> tf.Tensor:
        """Return the feature maps of faces [n, height, width, d], a few at a time."""
        num_faces = tf.shape(faces)[0]
        sides = self.maps.output_shape[1:]

        def show_some(start: tf.Tensor, maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = tf.cast(self.maps(faces[start : start + FACES_AT_ONCE], training=False), tf.float32)
            return start + FACES_AT_ONCE, tf.concat([maps, found], 0)

        _, maps = tf.while_loop(
            lambda start, _: start < num_faces,
            show_some,
            (tf.constant(0), tf.zeros([0, *sides])),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, *sides])),
            parallel_iterations=1,
        )
        return maps
