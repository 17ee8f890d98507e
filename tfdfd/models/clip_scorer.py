"""From the crops of a track to its score: the network and the scoring rule as one graph."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfdfd.models.scoring import ScoringRule


class ClipScorer:
    """Scores tracks of crops; what the SavedModel holds.

    Args:
        classifier: a Keras model, uint8 crops [n, size, size, 3] -> float32 logits [n, 1] (fake is positive).
        rule: how face probabilities become a score.
    """

    def __init__(self, classifier: keras.Model, rule: ScoringRule) -> None:
        self.classifier = classifier
        self.rule = rule

    def __call__(self, crops: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        """Score a batch of tracks.

        Args:
            crops: uint8 RGB, shape [batch, places, size, size, 3].
            is_face: bool, shape [batch, places]; places without a face are never shown to the network.

        Returns:
            `clip_score` float32 [batch] and `face_probabilities` float32 [batch, places], 0 where there is no face.
        """
        where = tf.where(is_face)
        faces = tf.gather_nd(crops, where)
        num_faces = tf.shape(faces)[0]
        # TensorFlow's graph optimiser breaks batch normalisation on a batch of 0: it gets one black crop instead.
        missing = tf.cast(num_faces == 0, tf.int32)
        padded = tf.pad(faces, tf.stack([[0, missing], [0, 0], [0, 0], [0, 0]]))
        logits = self.classifier(padded, training=False)[:num_faces]
        probabilities = tf.scatter_nd(
            where, self.rule.face_probabilities(logits)[:, 0], tf.shape(is_face, out_type=tf.int64)
        )
        return {
            "clip_score": self.rule.track_scores(probabilities, is_face),
            "face_probabilities": probabilities,
        }
