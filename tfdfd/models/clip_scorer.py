"""From the crops of a person to a score: the network and the scoring rule as one graph."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfdfd.models.heat_maps import with_heat_maps
from tfdfd.models.scoring import ScoringRule

ExplainFaces = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]
"""(crops uint8 RGB [batch, places, size, size, 3], is_face bool [batch, places]) -> `face_logits` float32
[batch, places] and `heat_maps` float32 [batch, places, height, width], both 0 where there is no face."""

FACES_AT_ONCE = 64
"""Faces that the network sees together: a request of many clips takes no more memory than one of a few."""


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
        map_sides = self.network.outputs[1].shape[1:]

        def show_some(start: tf.Tensor, logits: tf.Tensor, maps: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found, found_maps = self.network(faces[start : start + FACES_AT_ONCE], training=False)
            found = tf.cast(found, tf.float32)[:, 0]
            return start + FACES_AT_ONCE, tf.concat([logits, found], 0), tf.concat([maps, found_maps], 0)

        _, logits, maps = tf.while_loop(
            lambda start, *_: start < num_faces,
            show_some,
            (tf.constant(0), tf.zeros([0]), tf.zeros([0, *map_sides])),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None, *map_sides])),
            parallel_iterations=1,
        )
        shape = tf.shape(is_face, out_type=tf.int64)
        return {
            "face_logits": tf.scatter_nd(where, logits, shape),
            "heat_maps": tf.scatter_nd(where, maps, tf.concat([shape, tf.constant(map_sides, tf.int64)], 0)),
        }


def logits_of_faces(explain: ExplainFaces, faces: tf.Tensor) -> tf.Tensor:
    """Return what the network says of faces that stand in no track, uint8 [n, size, size, 3]: float32 [n]."""
    return explain(faces[None], tf.ones([1, tf.shape(faces)[0]], tf.bool))["face_logits"][0]


class TrackScorer:
    """Scores people by their crops, one a row; what `serving_default` answers with.

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
            crops: uint8 RGB [batch, places, size, size, 3].
            is_face: bool [batch, places].

        Returns:
            `clip_score` float32 [batch], `face_probabilities` float32 [batch, places], 0 where there is no face, and
            `num_faces` int32 [batch].
        """
        return self.score_logits(self.explain(crops, is_face)["face_logits"], is_face)

    def score_logits(self, logits: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        """Score tracks by what the network says of their faces, float32 [batch, places]; returns as `__call__`."""
        probabilities = tf.where(is_face, self.rule.face_probabilities(logits), 0.0)
        return {
            "clip_score": self.rule.track_scores(probabilities, is_face),
            "face_probabilities": probabilities,
            "num_faces": tf.reduce_sum(tf.cast(is_face, tf.int32), -1),
        }
