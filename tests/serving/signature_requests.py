"""A small model with all signatures, clips that it is asked about, and what the Python path answers."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from PIL import Image
from skimage import data

from tfdfd.clip import ClipFrames, VideoInfo
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.extraction import extraction_fingerprint, faces_of_frames
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import ModelCard, export_saved_model

CROP_SIZE = 48
NUM_FRAMES = 5
HEIGHT, WIDTH = 150, 240
CONFIG = ExtractionConfig(places=NUM_FRAMES, crop_size=CROP_SIZE, margin=0.2, min_face_share=0.2)
RULE = ScoringRule(over_tracks="max", no_evidence_score=0.4, temperature=0.5)
# A real clip whose first person was trained on and whose fake was validated on.
CLIPS = pd.DataFrame(
    {"clip_id": ["a", "b"], "original": ["", "a"], "donor": "", "folder": "f", "split": ["train", "val"]}
)


def small_classifier(seed: int = 0) -> keras.Model:
    """Make a network of a few weights whose probabilities differ from face to face."""
    keras.utils.set_random_seed(seed)
    crops = keras.Input((CROP_SIZE, CROP_SIZE, 3), dtype="uint8")
    features = keras.layers.Conv2D(8, 5, strides=2, activation="relu")(keras.layers.Rescaling(1 / 127.5, -1.0)(crops))
    features = keras.layers.BatchNormalization()(features)
    features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(crops, keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(0, 3))(features))


def export_small(folder: Path, *, has_frames: bool = True) -> Path:
    """Export such a network and return the folder of the version.

    Args:
        folder: `saved_models/<name>`.
        has_frames: whether its fingerprint says how faces are cropped, so that it takes frames.
    """
    settings = MTCNN(min_face_share=CONFIG.min_face_share).settings
    fingerprint = extraction_fingerprint(CONFIG, settings, {"num_places": CONFIG.places})
    if not has_frames:
        fingerprint = Fingerprint({"crop_size": CROP_SIZE}, fingerprint.provenance)
    card = ModelCard(folder.name, "a small network", "small", CROP_SIZE, {}, {}, {"log_loss": 0.1}, {})
    return export_saved_model(small_classifier(), RULE, fingerprint, card, CLIPS, crop_size=CROP_SIZE, folder=folder)


def make_clip(seed: int, *, people: int) -> np.ndarray:
    """Draw a clip, uint8 [NUM_FRAMES, HEIGHT, WIDTH, 3], of so many people: portraits that drift and change in light.

    Of two people the second is missing from one frame.
    """
    rng = np.random.default_rng(seed)
    portrait = Image.fromarray(data.astronaut()[30:210, 135:315]).resize((100, 100), Image.Resampling.BICUBIC)
    frames = np.full((NUM_FRAMES, HEIGHT, WIDTH, 3), 127, np.uint8)
    for person in range(people):
        gains = rng.uniform(0.75, 1.15, 3)
        x, y = 8 + 120 * person + rng.integers(0, 8), rng.integers(10, 30)
        for number, frame in enumerate(frames):
            if person == 1 and number == 2:
                continue
            lit = np.clip(np.asarray(portrait) * gains * (1 + 0.05 * number), 0, 255)
            left, top = x + 2 * number, y + number
            frame[top : top + 100, left : left + 100] = lit
    return frames


def jpeg(picture: np.ndarray) -> bytes:
    """Encode a picture as the stores do: 4:4:4 at quality 95."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class PythonAnswer:
    """What the Python path makes of one clip."""

    crops: np.ndarray
    """uint8 [people, NUM_FRAMES, CROP_SIZE, CROP_SIZE, 3]; no people where there is no face."""
    is_face: np.ndarray
    boxes: np.ndarray
    face_probabilities: np.ndarray
    clip_score: float


def answer_in_python(
    frames: np.ndarray,
    network: keras.Model,
    detector: MTCNN,
) -> PythonAnswer:
    """Score a clip by extraction, the Keras network and the rule, without any SavedModel."""
    n = len(frames)
    info = VideoInfo(
        "h264", "", "yuv420p", frames.shape[2], frames.shape[1], n, np.arange(n), 0.04, 25.0, 0, False, False
    )
    clip = ClipFrames(frames, np.arange(n), np.arange(n), info, "pyav", "a test")
    config = dataclasses.replace(CONFIG, places=n)
    faces = faces_of_frames("clip", clip, detector, config)
    if not faces.tracks:
        nothing = np.zeros((0, n), np.float32)
        crops = np.zeros((0, n, config.crop_size, config.crop_size, 3), np.uint8)
        return PythonAnswer(crops, nothing > 0, np.zeros((0, n, 4), np.float32), nothing, RULE.no_evidence_score)
    crops, is_face = np.stack(faces.crops), np.stack([track.is_face for track in faces.tracks])
    logits = np.zeros(is_face.shape, np.float32)
    logits[is_face] = network(crops[is_face], training=False).numpy()[:, 0]
    probabilities = np.where(is_face, RULE.face_probabilities(logits).numpy(), 0)
    boxes = np.stack([track.boxes_xyxy for track in faces.tracks])
    score = RULE.score_logits(logits, is_face, np.zeros(len(is_face), np.int32), 1)[0]
    return PythonAnswer(crops, is_face, boxes, probabilities, float(score))
