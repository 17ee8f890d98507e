"""From the frames of clips to their scores as one graph: people, crops, the network and the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfdfd.faces.tracking_graph import Tracks
from tfdfd.models.clip_scorer import ExplainFaces, logits_of_faces
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.request_checks import decode_frames

FindPeople = Callable[[tf.Tensor], tuple[Tracks, tf.Tensor]]
"""uint8 frames of a clip [n, height, width, 3] -> its tracks, and the crops of all their faces, track by track."""


class _People(NamedTuple):
    """The people of the clips that are done, one row each."""

    clip_rows: tf.Tensor
    """int32 [people]: the clip of each, ascending; a clip's main person first."""
    ranks: tf.Tensor
    """int32 [people]: 0 for the main person of a clip."""
    is_face: tf.Tensor
    """bool [people, frames]."""
    boxes: tf.Tensor
    """float32 [people, frames, 4]."""
    confidences: tf.Tensor
    """float32 [people, frames]."""
    logits: tf.Tensor
    """float32 [people, frames]: what the network says, 0 where there is no face."""


class ClipScorer:
    """Scores whole clips; what `frames` and `jpeg_frames` answer with.

    Clip by clip, so that a batch needs the memory of one clip and its clips may differ in size.

    Args:
        explain: from crops to logits.
        rule: how face probabilities become a clip score.
        find_people: from frames to people.
    """

    def __init__(self, explain: ExplainFaces, rule: ScoringRule, find_people: FindPeople) -> None:
        self._explain = explain
        self._rule = rule
        self._find_people = find_people

    def score_frames(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """Score clips by their frames.

        Args:
            frames: uint8 RGB [batch, frames, height, width, 3].

        Returns:
            The outputs of `signatures.FRAMES`.
        """
        shape = tf.shape(frames)
        return self._score(shape[0], shape[1], lambda clip: (frames[clip], tf.range(shape[1])))

    def score_jpegs(self, frame_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Score clips by the JPEGs of their frames.

        Args:
            frame_bytes: string [batch, frames], empty where a clip has no such frame.

        Returns:
            The outputs of `signatures.JPEG_FRAMES`.
        """

        def frames_of(clip: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            jpegs = frame_bytes[clip]
            positions = tf.where(tf.not_equal(jpegs, ""))[:, 0]
            return decode_frames(tf.gather(jpegs, positions)), tf.cast(positions, tf.int32)

        shape = tf.shape(frame_bytes)
        return self._score(shape[0], shape[1], frames_of)

    def _score(
        self,
        num_clips: tf.Tensor,
        num_frames: tf.Tensor,
        frames_of: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    ) -> dict[str, tf.Tensor]:
        """Score clips.

        Args:
            num_clips: int32 scalar.
            num_frames: int32 scalar: places that every clip has for frames.
            frames_of: the frames of a clip, uint8 [n, height, width, 3], and the place of each, int32 [n].
        """

        def add_clip(clip: tf.Tensor, people: _People) -> tuple[tf.Tensor, _People]:
            frames, positions = frames_of(clip)
            tracks, crops = self._find_people(frames)
            shown = logits_of_faces(self._explain, crops)
            logits = tf.scatter_nd(tf.where(tracks.is_face), shown, tf.shape(tracks.is_face, out_type=tf.int64))
            # Frame 0 of what is spread out is empty: places without a frame take it.
            row_of_place = tf.scatter_nd(positions[:, None], tf.range(1, tf.size(positions) + 1), [num_frames])

            def spread(values: tf.Tensor) -> tf.Tensor:
                empty = tf.zeros(tf.concat([tf.shape(values)[:1], [1], tf.shape(values)[2:]], 0), values.dtype)
                return tf.gather(tf.concat([empty, values], 1), row_of_place, axis=1)

            num_people = tf.shape(logits)[0]
            found = _People(
                tf.fill([num_people], clip),
                tf.range(num_people),
                *(spread(values) for values in (tracks.is_face, tracks.boxes, tracks.confidences, logits)),
            )
            return clip + 1, _People(*(tf.concat(pair, 0) for pair in zip(people, found, strict=True)))

        nobody = _People(
            tf.zeros([0], tf.int32),
            tf.zeros([0], tf.int32),
            tf.zeros([0, num_frames], tf.bool),
            tf.zeros([0, num_frames, 4]),
            tf.zeros([0, num_frames]),
            tf.zeros([0, num_frames]),
        )
        any_number = ([None], [None], [None, None], [None, None, 4], [None, None], [None, None])
        _, people = tf.while_loop(
            lambda clip, _: clip < num_clips,
            add_clip,
            (tf.constant(0), nobody),
            shape_invariants=(tf.TensorShape([]), _People(*map(tf.TensorShape, any_number))),  # pyright: ignore[reportArgumentType]
            parallel_iterations=1,
        )
        return self._answer(people, num_clips)

    def _answer(self, people: _People, num_clips: tf.Tensor) -> dict[str, tf.Tensor]:
        """Pad people to a table [batch, people, ...], and score clips by the rule."""
        probabilities = tf.where(people.is_face, self._rule.face_probabilities(people.logits), 0.0)
        scores = self._rule.track_scores(probabilities, people.is_face)
        has_face = tf.reduce_any(people.is_face, -1)
        num_people = tf.math.unsorted_segment_sum(tf.ones_like(people.clip_rows), people.clip_rows, num_clips)
        where = tf.stack([people.clip_rows, people.ranks], 1)
        # At least one, so that an answer without people has the same dimensions.
        table = tf.stack([num_clips, tf.reduce_max(tf.concat([num_people, [1]], 0))])

        def padded(values: tf.Tensor) -> tf.Tensor:
            return tf.scatter_nd(where, values, tf.concat([table, tf.shape(values)[1:]], 0))

        is_face = padded(tf.cast(people.is_face, tf.int32))
        return {
            "clip_score": self._rule.over_tracks_of(scores, has_face, people.clip_rows, num_clips),
            "num_faces": tf.reduce_sum(is_face, [1, 2]),
            "num_people": num_people,
            "track_scores": padded(scores),
            "face_probabilities": padded(probabilities),
            "is_face": is_face > 0,
            "boxes": padded(people.boxes),
            "confidences": padded(people.confidences),
        }
