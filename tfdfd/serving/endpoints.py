"""The functions behind the signatures of a SavedModel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.faces.people_graph import PeopleFinder
from tfdfd.models.clip_scorer import ExplainFaces, TrackScorer, logits_of_faces
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.clip_graph import ClipScorer
from tfdfd.serving.request_checks import checked_crops, checked_frames, checked_rows, decode_faces
from tfdfd.serving.signatures import ABOUT, CROPS, EXPLAIN, FRAMES, JPEG_FACES, JPEG_FRAMES

Endpoints = dict[str, tuple[Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]]
"""Of each signature the function, and the inputs that it takes."""


def make_endpoints(
    explain: ExplainFaces,
    rule: ScoringRule,
    about: dict[str, str],
    *,
    crop_size: int,
    extraction: ExtractionConfig | None,
) -> Endpoints:
    """Return what the signatures of `tfdfd.serving.signatures` compute.

    Network and face search are one function each, which all signatures call: the SavedModel holds them once.

    Args:
        explain: from crops to logits.
        rule: how face probabilities become a clip score.
        about: what the model says of itself, by the names of the outputs.
        crop_size: side of a crop in pixels.
        extraction: how clips are cropped; None leaves out the signatures that take frames.
    """
    crops_specs = [
        tf.TensorSpec((None, None, crop_size, crop_size, 3), tf.uint8, name="crops"),
        tf.TensorSpec((None, None), tf.bool, name="is_face"),
    ]
    network = tf.function(explain, input_signature=crops_specs, autograph=False)
    scorer = TrackScorer(network, rule)

    def score(crops: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        return scorer(*checked_crops(crops, is_face, crop_size))

    def explained(crops: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        return network(*checked_crops(crops, is_face, crop_size))

    def score_jpegs(face_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        face_bytes = checked_rows(face_bytes, "face_bytes", "[batch, places]")
        is_face = tf.not_equal(face_bytes, "")
        where = tf.where(is_face)
        logits = logits_of_faces(network, decode_faces(tf.gather_nd(face_bytes, where), crop_size))
        return scorer.score_logits(tf.scatter_nd(where, logits, tf.shape(is_face, tf.int64)), is_face)

    def tell(ask: tf.Tensor) -> dict[str, tf.Tensor]:
        ask = checked_rows(ask, "ask", "[batch]", rank=1)
        return {name: tf.fill(tf.shape(ask), text) for name, text in about.items()}

    endpoints: Endpoints = {
        CROPS: (score, crops_specs),
        JPEG_FACES: (score_jpegs, [tf.TensorSpec((None, None), tf.string, name="face_bytes")]),
        EXPLAIN: (explained, crops_specs),
        ABOUT: (tell, [tf.TensorSpec((None,), tf.string, name="ask")]),
    }
    if extraction is None:
        return endpoints
    # What runs on every server: area resizing is TensorFlow's own, and no CPU is asked for bfloat16.
    detector = MTCNN(min_face_share=extraction.min_face_share, by_matmul=False, screen=False)
    finder = PeopleFinder(detector, crop_size=crop_size, margin=extraction.margin, alignment=extraction.alignment)
    find = tf.function(
        finder.__call__, input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)], autograph=False
    )
    clips = ClipScorer(network, rule, find)

    def score_frames(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        return clips.score_frames(checked_frames(frames))

    def score_jpeg_frames(frame_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return clips.score_jpegs(checked_rows(frame_bytes, "frame_bytes", "[batch, frames]"))

    frame_specs: list[Any] = [tf.TensorSpec((None, None, None, None, 3), tf.uint8, name="frames")]
    return endpoints | {
        FRAMES: (score_frames, frame_specs),
        JPEG_FRAMES: (score_jpeg_frames, [tf.TensorSpec((None, None), tf.string, name="frame_bytes")]),
    }
