"""From the crops of a track to its score: the network and the scoring rule as one graph."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfdfd.models.heat_maps import with_heat_maps
from tfdfd.models.scoring import ScoringRule

ExplainFaces = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]
"""(crops uint8 RGB [batch, places, size, size, 3], is_face bool [batch, places]) -> `face_logits` float32
[batch, places] and `heat_maps` float32 [batch, places, height, width], both 0 where there is no face."""


class FaceExplainer:
    """Shows the faces of tracks to the network; an `ExplainFaces`.

    Args:
        classifier: a Keras model as `with_heat_maps` takes it, on uint8 crops.
    """

    def __init__(self, classifier: keras.Model) -> None:
        self.network = with_heat_maps(classifier)

    def __call__(self, crops: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `ExplainFaces`; places without a face are never shown to the network."""
        where = tf.where(is_face)
        faces = tf.gather_nd(crops, where)
        num_faces = tf.shape(faces)[0]
        # TensorFlow's graph optimiser breaks batch normalisation on a batch of 0: it gets one black crop instead.
        missing = tf.cast(num_faces == 0, tf.int32)
        padded = tf.pad(faces, tf.stack([[0, missing], [0, 0], [0, 0], [0, 0]]))
        logits, maps = self.network(padded, training=False)
        shape = tf.shape(is_face, out_type=tf.int64)
        map_shape = tf.shape(maps, out_type=tf.int64)[1:]
        return {
            "face_logits": tf.scatter_nd(where, tf.cast(logits, tf.float32)[:num_faces, 0], shape),
            "heat_maps": tf.scatter_nd(where, maps[:num_faces], tf.concat([shape, map_shape], 0)),
        }


class ClipScorer:
    """Scores tracks of crops; what the SavedModel answers with.

    Args:
        explain: from crops to logits.
        rule: how face probabilities become a score.
    """

    def __init__(self, explain: ExplainFaces, rule: ScoringRule) -> None:
        self.explain = explain
        self.rule = rule

    def __call__(self, crops: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        """Score a batch of tracks.

        Args:
            crops: uint8 RGB, shape [batch, places, size, size, 3].
            is_face: bool, shape [batch, places].

        Returns:
            `clip_score` float32 [batch] and `face_probabilities` float32 [batch, places], 0 where there is no face.
        """
        logits = self.explain(crops, is_face)["face_logits"]
        probabilities = tf.where(is_face, self.rule.face_probabilities(logits), 0.0)
        return {
            "clip_score": self.rule.track_scores(probabilities, is_face),
            "face_probabilities": probabilities,
        }
