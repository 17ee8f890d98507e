"""The one rule by which face probabilities become a clip score."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.models.aggregation import AGGREGATIONS, TRACK_RULES


@dataclass(frozen=True)
class ScoringRule:
    """How face probabilities become a clip score; written into every SavedModel and read back by all who score."""

    aggregation: str = "mean"
    """Over the places of a track, one of AGGREGATIONS."""
    over_tracks: str = "mean"
    """Over the tracks of a clip, one of TRACK_RULES."""
    no_evidence_score: float = 0.5
    """The score of a clip without one usable face, in [0, 1]; such clips are always counted aloud."""
    temperature: float = 1.0
    """Logits are divided by it before the sigmoid; above 1 draws the probabilities to 0.5."""
    threshold: float = 0.5
    """A clip score at or above it is called fake, in [0, 1]."""

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("aggregation", self.aggregation, AGGREGATIONS),
            ("over_tracks", self.over_tracks, TRACK_RULES),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {sorted(choices)}, got {value!r}")
        for name, value in (
            ("no_evidence_score", self.no_evidence_score),
            ("threshold", self.threshold),
        ):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be above 0 and finite, got {self.temperature}")

    def face_probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """Return the probability of fake for each logit, same shape, float32."""
        return tf.sigmoid(tf.cast(logits, tf.float32) / self.temperature)

    def score_logits(
        self, logits: np.ndarray, is_face: np.ndarray, clip_rows: np.ndarray, num_clips: int
    ) -> np.ndarray:
        """Score clips by the logits of their faces.

        Args:
            logits: float32, shape (n, places): what the network says of each face, one row a track.
            is_face, clip_rows, num_clips, Returns: as in `clip_scores`.
        """
        probabilities = self.face_probabilities(tf.constant(logits, tf.float32)).numpy()
        return self.clip_scores(probabilities, is_face, clip_rows, num_clips)

    def track_scores(self, probabilities: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
        """Combine the face probabilities of each track; runs eagerly and inside a graph.

        Args:
            probabilities: float32, shape [n, places], in [0, 1]; what stands at places without a face is ignored.
            is_face: bool, shape [n, places].

        Returns:
            float32, shape [n]: the score of each track, no_evidence_score where it has no face.
        """
        scores = AGGREGATIONS[self.aggregation](probabilities, is_face)
        return tf.where(tf.reduce_any(is_face, -1), scores, self.no_evidence_score)

    def clip_scores(
        self, probabilities: np.ndarray, is_face: np.ndarray, clip_rows: np.ndarray, num_clips: int
    ) -> np.ndarray:
        """Combine the tracks of each clip.

        Args:
            probabilities: float32, shape (n, places): face probabilities, one row a track.
            is_face: bool, shape (n, places).
            clip_rows: int, shape (n,), each in [0, num_clips): the clip of each track; a clip's main track comes
                first among its rows.
            num_clips: clips in all.

        Returns:
            float32, shape (num_clips,): no_evidence_score for a clip without a track that has a face.
        """
        masks = tf.constant(is_face)
        tracks = self.track_scores(tf.constant(probabilities, tf.float32), masks)
        return self.over_tracks_of(
            tracks, tf.reduce_any(masks, -1), tf.constant(clip_rows, tf.int32), num_clips
        ).numpy()

    def over_tracks_of(
        self, scores: tf.Tensor, has_face: tf.Tensor, clip_rows: tf.Tensor, num_clips: tf.Tensor | int
    ) -> tf.Tensor:
        """Combine the tracks of each clip; runs eagerly and inside a graph.

        Args:
            scores: float32 [n]: of tracks, as `track_scores` gives them.
            has_face: bool [n]; a track without one counts for nothing.
            clip_rows: int32 [n], each in [0, num_clips); a clip's main track comes first among its rows.
            num_clips: clips in all.

        Returns:
            float32 [num_clips]: no_evidence_score for a clip without a track that has a face.
        """
        rows = tf.boolean_mask(clip_rows, has_face)
        combined = TRACK_RULES[self.over_tracks](tf.boolean_mask(scores, has_face), rows, num_clips)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, num_clips)
        return tf.where(counts > 0, combined, self.no_evidence_score)

    def is_fake(self, scores: np.ndarray) -> np.ndarray:
        """Return which clip scores are called fake, bool, same shape; in float32, which scores are."""
        return np.asarray(scores, np.float32) >= np.float32(self.threshold)

    def to_json(self) -> str:
        """Return the rule as one line of JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ScoringRule:
        """Read what `to_json` wrote.

        Raises:
            ValueError: for an unknown field or a value out of its range.
        """
        values: dict[str, Any] = json.loads(text)
        known = {field.name for field in dataclasses.fields(ScoringRule)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"a scoring rule has the fields {sorted(known)}, got also {unknown}")
        return ScoringRule(**values)
