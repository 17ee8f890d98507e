"""A model written and read, as `run_train.py` and `tfdfd score` do; TensorFlow is loaded as they load it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import import_tensorflow
from tfdfd.commands.gpu_proof.context import Context, require
from tfdfd.commands.gpu_proof.samples import smooth_crops
from tfdfd.commands.inputs import choose_frame_source, has_gpu, num_cores
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn_weights import mtcnn_settings

PLACES, CROP_SIZE = 5, 72


def export(context: Context, folder: str) -> int:
    """Export Xception with random weights; return how many signatures it has."""
    import_tensorflow()
    import keras

    from tfdfd.models.face_classifier import build_face_classifier
    from tfdfd.models.scoring import ScoringRule
    from tfdfd.serving.export import RECORDED, ModelCard, export_saved_model
    from tfdfd.serving.signatures import SIGNATURES

    config = ExtractionConfig(places=PLACES, crop_size=CROP_SIZE)
    fingerprint = extraction_fingerprint(config, mtcnn_settings(min_face_share=config.min_face_share), {})
    fingerprint.provenance["num_places"] = PLACES
    classifier = build_face_classifier(backbone="xception", crop_size=CROP_SIZE, weights="none", dropout=0.0)
    # Random weights give every crop nearly the same logit, which would hide a difference.
    logit = classifier.layers[-1]
    assert isinstance(logit, keras.layers.Dense)
    kernel, bias = logit.get_weights()
    logits = np.asarray(classifier(_crops(), training=False))
    logit.set_weights([kernel / logits.std(), bias - logits.mean() / logits.std()])
    card = ModelCard("proof", "random weights, to compare devices", "xception", CROP_SIZE, {}, {}, {}, {})
    export_saved_model(
        classifier,
        ScoringRule(),
        fingerprint,
        card,
        pd.DataFrame(columns=list(RECORDED)),
        crop_size=CROP_SIZE,
        folder=Path(folder),
        say=print,
    )
    return len(SIGNATURES)


def score(context: Context, folder: str, clips: list[str]) -> dict[str, Any]:
    """Score the same crops, and clips, by a model on what this process sees."""
    import_tensorflow()
    from tfdfd.faces.mtcnn import MTCNN
    from tfdfd.serving.local_scorer import LocalScorer
    from tfdfd.serving.saved_model import LoadedModel

    model = LoadedModel(Path(folder))
    crops = _crops().reshape(4, PLACES, CROP_SIZE, CROP_SIZE, 3)
    _, probabilities = model.score(crops, np.ones((4, PLACES), np.bool_))
    if model.extraction is None:
        raise TfdfdError("the exported model does not say how clips are cropped for it")
    source: Any = choose_frame_source(gpu=has_gpu(), num_threads=num_cores())[0]
    scorer = LocalScorer(model, source, MTCNN(min_face_share=model.extraction.min_face_share), model.extraction)
    scorer.score(Path(clips[0]))
    began = time.monotonic()
    scored = list(scorer.score_all(map(Path, clips)))
    seconds = time.monotonic() - began
    unscored = [clip.path for clip in scored if clip.clip_score is None]
    require(not unscored, f"clips have no score: {unscored}")
    return {
        "face_probabilities": probabilities.tolist(),
        "clip_scores": [clip.clip_score for clip in scored],
        "seconds_a_clip": round(seconds / len(clips), 2),
    }


def _crops() -> np.ndarray:
    """Return crops uint8 (4 * PLACES, CROP_SIZE, CROP_SIZE, 3) from dark to bright."""
    brightness = np.linspace(0.05, 1, 4 * PLACES)[:, None, None, None]
    return (smooth_crops(np.random.default_rng(0), 4 * PLACES, CROP_SIZE) * brightness).astype(np.uint8)
