"""A small SavedModel with all signatures, and requests whose answers the Python path knows."""

from __future__ import annotations

from pathlib import Path

import keras
import pandas as pd

from tfdfd.data.fingerprint import Fingerprint
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import ModelCard, export_saved_model

SIZE, PLACES = 32, 3
NO_CLIPS = pd.DataFrame(columns=["clip_id", "original", "donor", "folder", "split"], dtype=str)


def export_small(folder: Path, *, has_frames: bool = True) -> Path:
    """Export a network of a few hundred weights, and return the folder of the version.

    Args:
        folder: `saved_models/<name>`.
        has_frames: whether its fingerprint says how faces are cropped, so that it takes frames.
    """
    keras.utils.set_random_seed(1)
    crops = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    features = keras.layers.Conv2D(8, 5, strides=2)(keras.layers.Rescaling(1 / 127.5, -1.0)(crops))
    features = keras.layers.BatchNormalization()(keras.layers.Activation("relu")(features))
    logits = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(features))
    config = ExtractionConfig(places=PLACES, crop_size=SIZE)
    fingerprint = extraction_fingerprint(
        config, MTCNN(min_face_share=config.min_face_share).settings, {"num_places": PLACES}
    )
    return export_saved_model(
        keras.Model(crops, logits),
        ScoringRule(no_evidence_score=0.4, temperature=0.5),
        fingerprint if has_frames else Fingerprint({"crop_size": SIZE}, fingerprint.provenance),
        ModelCard(folder.name, "", "small", SIZE, {}, {}, {}, {}),
        NO_CLIPS,
        crop_size=SIZE,
        folder=folder,
    )
