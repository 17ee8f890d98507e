"""The functions behind the signatures of a SavedModel that hears: crops, and the sound of the clip they are from."""

from __future__ import annotations

import tensorflow as tf

from tfdfd.models.clip_scorer import TrackScorer
from tfdfd.models.scoring import ScoringRule
from tfdfd.models.sequence_explainer import ExplainSequences
from tfdfd.serving.endpoints import Endpoints
from tfdfd.serving.request_checks import checked_crops, checked_rows, checked_sound, decode_faces
from tfdfd.serving.signatures import ABOUT, CROPS, EXPLAIN, JPEG_FACES


def make_hearing_endpoints(
    explain: ExplainSequences, rule: ScoringRule, about: dict[str, str], *, crop_size: int
) -> Endpoints:
    """Return what the signatures of a network over sequences compute; see `make_endpoints`.

    Args:
        explain: from crops and sound to logits.
        rule: how the logits of a track become its score.
        about: what the model says of itself, by the names of the outputs.
        crop_size: side of a crop in pixels.
    """
    sound_specs = [
        tf.TensorSpec((None, None), tf.float32, name="waveform"),
        tf.TensorSpec((None, None), tf.bool, name="is_sound"),
    ]
    specs = [
        tf.TensorSpec((None, None, crop_size, crop_size, 3), tf.uint8, name="crops"),
        tf.TensorSpec((None, None), tf.bool, name="is_face"),
        *sound_specs,
    ]
    network = tf.function(explain, input_signature=specs, autograph=False)
    scorer = TrackScorer(lambda crops, is_face: {}, rule)

    def explained(
        crops: tf.Tensor, is_face: tf.Tensor, waveform: tf.Tensor, is_sound: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        crops, is_face = checked_crops(crops, is_face, crop_size)
        return network(crops, is_face, *checked_sound(waveform, is_sound, is_face))

    def score(crops: tf.Tensor, is_face: tf.Tensor, waveform: tf.Tensor, is_sound: tf.Tensor) -> dict[str, tf.Tensor]:
        return scorer.score_logits(explained(crops, is_face, waveform, is_sound)["face_logits"], is_face)

    def score_jpegs(face_bytes: tf.Tensor, waveform: tf.Tensor, is_sound: tf.Tensor) -> dict[str, tf.Tensor]:
        face_bytes = checked_rows(face_bytes, "face_bytes", "[batch, places]")
        is_face = tf.not_equal(face_bytes, "")
        where = tf.where(is_face)
        faces = decode_faces(tf.gather_nd(face_bytes, where), crop_size)
        shape = tf.concat([tf.shape(is_face, tf.int64), tf.constant([crop_size, crop_size, 3], tf.int64)], 0)
        # In float32: there is no kernel on GPUs that scatters bytes.
        crops = tf.cast(tf.scatter_nd(where, tf.cast(faces, tf.float32), shape), tf.uint8)
        logits = network(crops, is_face, *checked_sound(waveform, is_sound, is_face))["face_logits"]
        return scorer.score_logits(logits, is_face)

    def tell(ask: tf.Tensor) -> dict[str, tf.Tensor]:
        ask = checked_rows(ask, "ask", "[batch]", rank=1)
        return {name: tf.fill(tf.shape(ask), text) for name, text in about.items()}

    return {
        CROPS: (score, specs),
        JPEG_FACES: (score_jpegs, [tf.TensorSpec((None, None), tf.string, name="face_bytes"), *sound_specs]),
        EXPLAIN: (explained, specs),
        ABOUT: (tell, [tf.TensorSpec((None,), tf.string, name="ask")]),
    }
