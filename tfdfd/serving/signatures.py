"""The signatures of an exported SavedModel: what each takes and returns, by name. Loads no TensorFlow.

A model that hears takes SOUND_INPUTS beside the others in each signature of HEARING.

Every input and output has the batch as its first dimension, so that a server may join requests. One row of
`serving_default` and `jpeg_faces` is one person of a clip; one row of `frames` and `jpeg_frames` is one clip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tensor:
    """One input or output of a signature."""

    dtype: str
    """TensorFlow's name, e.g. `uint8`."""
    shape: tuple[str, ...]
    """A word a dimension; the same word means the same number within a request."""
    meaning: str


@dataclass(frozen=True)
class Signature:
    """What a signature is for."""

    purpose: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    in_every_export: bool = True
    """False where the export must know how faces are cropped."""


CROPS, JPEG_FACES, FRAMES, JPEG_FRAMES = "serving_default", "jpeg_faces", "frames", "jpeg_frames"
EXPLAIN, ABOUT = "explain", "about"
SIGNATURE_RULES = "signature_rules"
"""In the provenance of a model's fingerprint: by which of `tfdfd.faces.config.ALL_TRACK_RULES` its signatures that take
frames link faces; models that were exported before do so by the first."""

_CROPS = Tensor("uint8", ("batch", "places", "size", "size", "rgb"), "crops of one person a row, cut as the model's")
_IS_FACE = Tensor("bool", ("batch", "places"), "which places hold a face; the others are never looked at")
_CLIP_SCORE = Tensor(
    "float32", ("batch",), "probability of fake by the scoring rule; its no-evidence score without a face"
)
_NUM_FACES = Tensor("int32", ("batch",), "faces that were scored; 0 where there is no evidence")
_OF_TRACK = {
    "clip_score": _CLIP_SCORE,
    "face_probabilities": Tensor(
        "float32", ("batch", "places"), "probability of fake of each face, 0 where there is none"
    ),
    "num_faces": _NUM_FACES,
}
_OF_CLIP = {
    "clip_score": _CLIP_SCORE,
    "num_faces": _NUM_FACES,
    "num_people": Tensor("int32", ("batch",), "people in the clip: the other rows of a person each are padding"),
    "track_scores": Tensor("float32", ("batch", "people"), "score of each person, the main one first; 0 for padding"),
    "face_probabilities": Tensor(
        "float32", ("batch", "people", "frames"), "probability of fake of each face, 0 where there is none"
    ),
    "is_face": Tensor("bool", ("batch", "people", "frames"), "in which frames each person was found"),
    "boxes": Tensor(
        "float32", ("batch", "people", "frames", "xyxy"), "x1, y1, x2, y2 in pixels, 0 where there is no face"
    ),
    "confidences": Tensor("float32", ("batch", "people", "frames"), "the detector's, 0 where there is no face"),
}

SIGNATURES = {
    CROPS: Signature(
        "score people by their crops",
        {"crops": _CROPS, "is_face": _IS_FACE},
        _OF_TRACK,
    ),
    JPEG_FACES: Signature(
        "the same with each crop as a JPEG, which REST sends as base64",
        {
            "face_bytes": Tensor(
                "string", ("batch", "places"), "a JPEG of one crop; an empty string where there is no face"
            )
        },
        _OF_TRACK,
    ),
    FRAMES: Signature(
        "score clips by their frames: the faces are found, linked and cropped in the graph, as the frames lie",
        {
            "frames": Tensor(
                "uint8", ("batch", "frames", "height", "width", "rgb"), "upright frames in playing order, of any size"
            )
        },
        _OF_CLIP,
        in_every_export=False,
    ),
    JPEG_FRAMES: Signature(
        "the same with each frame as a JPEG; clips of a request may differ in frame size",
        {
            "frame_bytes": Tensor(
                "string", ("batch", "frames"), "a JPEG of one frame; an empty string where a clip has fewer"
            )
        },
        _OF_CLIP,
        in_every_export=False,
    ),
    EXPLAIN: Signature(
        "what the network says of each face, and of what in it",
        {"crops": _CROPS, "is_face": _IS_FACE},
        {
            "face_logits": Tensor("float32", ("batch", "places"), "before any rule, 0 where there is no face"),
            "heat_maps": Tensor(
                "float32",
                ("batch", "places", "map height", "map width"),
                "above 0 speaks for fake, below for real; of a model trained with masks, how likely each place "
                "was altered",
            ),
        },
    ),
    ABOUT: Signature(
        "what the model says of itself, the same in each row",
        {"ask": Tensor("string", ("batch",), "anything, such as an empty string: one answer a row")},
        {
            "scoring_rule": Tensor("string", ("batch",), "the scoring rule as JSON"),
            "fingerprint": Tensor("string", ("batch",), "how the crops were made that it was trained on, as JSON"),
            "network_digest": Tensor(
                "string", ("batch",), "tells the network from any other, whatever rule scores by it"
            ),
        },
    ),
}
"""All of them, by name."""

HEARING = (CROPS, JPEG_FACES, EXPLAIN)
"""Those that take sound where the model hears."""

SOUND_INPUTS = {
    "waveform": Tensor(
        "float32",
        ("batch", "samples"),
        "sound of the clip that each row is from, one channel, 16000 samples a second, from the clip's first frame on",
    ),
    "is_sound": Tensor("bool", ("batch", "samples"), "which samples are sound; a clip without any is none of silence"),
}


def signatures_of(*, has_frames: bool, hears: bool) -> dict[str, Signature]:
    """Return the signatures of an export.

    Args:
        has_frames: whether the export knows how faces are cropped, and takes frames.
        hears: whether its network takes sound.
    """
    found = {name: one for name, one in SIGNATURES.items() if one.in_every_export or has_frames}
    if not hears:
        return found
    return {
        name: replace(one, inputs=one.inputs | SOUND_INPUTS) if name in HEARING else one for name, one in found.items()
    }
