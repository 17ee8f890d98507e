"""A trained classifier to a SavedModel that plain TensorFlow loads."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import explain_write_errors
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.tables import columns
from tfdfd.extraction import extraction_config_of
from tfdfd.faces.config import TRACK_RULES
from tfdfd.models.batchnorm_folding import fold_batchnorm
from tfdfd.models.clip_scorer import ExplainFaces, FaceExplainer
from tfdfd.models.scoring import ScoringRule
from tfdfd.models.sequence_explainer import ExplainSequences
from tfdfd.serving.bundle import write_assets, write_bundle
from tfdfd.serving.endpoints import make_endpoints
from tfdfd.serving.hearing_endpoints import make_hearing_endpoints
from tfdfd.serving.signatures import SIGNATURE_RULES
from tfdfd.serving.versions import ASSETS, versions

RECORDED = ("clip_id", "original", "donor", "person", "folder", "split")
"""What a model records of each clip that it was made with."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelCard:
    """What a person should know of a model before using it; all fields JSON-able."""

    name: str
    description: str
    backbone: str
    input_size: int
    data: dict[str, Any]
    """Folder, layout and counts of the training and validation sides."""
    split: dict[str, Any]
    """How validation was chosen: the option and its value, or `--val-fraction` and the seed."""
    figures: dict[str, float]
    """Validation figures of the exported checkpoint."""
    training: dict[str, Any]
    """The training configuration."""
    degradation: dict[str, Any] = field(default_factory=dict)
    """What was done to its faces."""


def export_saved_model(
    classifier: keras.Model,
    rule: ScoringRule,
    fingerprint: Fingerprint,
    card: ModelCard,
    clips: pd.DataFrame,
    *,
    crop_size: int,
    folder: Path,
    say: Callable[[str], None] = _log.warning,
) -> Path:
    """Write `<folder>/<version>/`, one version above those there; a watching server never sees half of it.

    Its signatures are those of `tfdfd.serving.signatures`; `frames` and `jpeg_frames` only where the fingerprint says
    how faces are cropped. They take any number of places, of which 17 is what training used by default.

    Args:
        classifier: uint8 crops [n, size, size, 3] -> float32 logits [n, 1].
        rule: written into the graph.
        fingerprint: how the crops were made that it was trained on.
        card: the model card.
        clips: table of the clips with `clip_id`, `original`, `donor`, `folder`, `split` and perhaps `person`, by which
            evaluation knows what the model was trained on.
        crop_size: side of a crop in pixels.
        folder: `saved_models/<name>`; its `serving/` gets what a server is started with.
        say: told what a person should know, e.g. of a file of `serving/` that somebody has changed.

    Returns:
        The folder of the new version.

    Raises:
        TfdfdError: if it cannot be written.
    """
    return write_version(
        FaceExplainer(fold_batchnorm(classifier)),
        rule,
        fingerprint,
        dataclasses.asdict(card),
        clips,
        network_digest=digest_of_networks(classifier),
        crop_size=crop_size,
        folder=folder,
        say=say,
    )


def digest_of_networks(*networks: keras.Model) -> str:
    """Return what tells networks, their make-up and their weights, from any others."""
    digest = hashlib.sha256()
    for network in networks:
        digest.update(network.to_json().encode())
        for value in network.get_weights():
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def write_version(
    explain: ExplainFaces | ExplainSequences,
    rule: ScoringRule,
    fingerprint: Fingerprint,
    card: dict[str, Any],
    clips: pd.DataFrame,
    *,
    network_digest: str,
    crop_size: int,
    folder: Path,
    say: Callable[[str], None] = _log.warning,
    hears: bool = False,
) -> Path:
    """Write a version of a model from what shows faces to its network.

    Args:
        explain: from crops, and sound where it hears, to logits.
        rule, fingerprint, clips, crop_size, folder, say, Returns, Raises: as in `export_saved_model`.
        card: the model card, JSON-able; gets `signatures_left_out`, why, where frames cannot be cropped.
        network_digest: tells the network from any other, whatever rule scores by it.
        hears: whether `explain` takes sound; then no signature takes frames, which come without any.
    """
    try:
        extraction, left_out = extraction_config_of(fingerprint), ""
    except TfdfdError as error:
        extraction, left_out = None, str(error)
        say(f"the signatures that take frames are left out: {left_out}")
    if hears and extraction is not None:
        left_out = "frames alone have no sound, and this network hears"
        say(f"the signatures that take frames are left out: {left_out}")
    served: Any = {
        "model_name": folder.resolve().name,
        "crop_size": crop_size,
        "places": extraction.places if extraction else int(fingerprint.provenance.get("num_places", 1)),
        "has_frames": extraction is not None and not hears,
        "hears": hears,
    }
    if served["has_frames"]:
        provenance = {**fingerprint.provenance, SIGNATURE_RULES: TRACK_RULES}
        fingerprint = Fingerprint(fingerprint.preprocessing, provenance)
    about = {
        "scoring_rule": rule.to_json(),
        "fingerprint": fingerprint.to_json(),
        "network_digest": network_digest,
    }
    explain_any: Any = explain
    if hears:
        endpoints = make_hearing_endpoints(explain_any, rule, about, crop_size=crop_size)
    else:
        endpoints = make_endpoints(explain_any, rule, about, crop_size=crop_size, extraction=extraction)
    # Traced once: Keras's archive hands over functions that TensorFlow then traces again, which takes as long.
    functions = {
        name: tf.function(endpoint, input_signature=specs, autograph=False).get_concrete_function()
        for name, (endpoint, specs) in endpoints.items()
    }
    holder: Any = tf.Module(name="tfdfd")
    holder.held = list({id(variable): variable for one in functions.values() for variable in one.variables}.values())
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        version = max(versions(folder), default=0) + 1
        unfinished = folder / f"unfinished-{version}"  # TensorFlow Serving looks at whole numbers only
        shutil.rmtree(unfinished, ignore_errors=True)
        tf.saved_model.save(holder, str(unfinished), signatures=functions)
        assets = unfinished / ASSETS
        assets.mkdir()
        (assets / "fingerprint.json").write_text(about["fingerprint"])
        (assets / "scoring_rule.json").write_text(about["scoring_rule"] + "\n")
        card = {**card, "signatures_left_out": left_out}
        (assets / "model_card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")
        recorded = columns(clips if "person" in clips else clips.assign(person=""), RECORDED)
        recorded.to_csv(assets / "clips.csv", index=False)
        write_assets(assets, **served)
        # The bundle first: who watches for a version finds what it is served with.
        for note in write_bundle(folder, **served):
            say(note)
        os.replace(unfinished, folder / str(version))
    return folder / str(version)
