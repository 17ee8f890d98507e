"""A trained audio-visual network to a SavedModel that takes crops, mask and waveform."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from tfdfd.data.audio import AUDIO_SETTINGS
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.spectrograms import LOG_MEL, log_mel
from tfdfd.models.scoring import ScoringRule
from tfdfd.models.sequence_explainer import SequenceExplainer
from tfdfd.serving.export import ModelCard, digest_of_networks, write_version

_log = logging.getLogger(__name__)

SOUND = "sound"
"""In the provenance of a fingerprint: how the sound is made that a model hears; of others there is none."""


def export_hearing_model(
    features: keras.Model,
    sequence: keras.Model,
    rule: ScoringRule,
    fingerprint: Fingerprint,
    card: ModelCard,
    clips: pd.DataFrame,
    *,
    crop_size: int,
    folder: Path,
    say: Callable[[str], None] = _log.warning,
) -> Path:
    """Write `<folder>/<version>/`, as `export_saved_model` does.

    Args:
        features: as `build_feature_network` makes it.
        sequence: as `build_sequence_network` makes it.
        rule, fingerprint, card, clips, crop_size, folder, say, Returns, Raises: as in `export_saved_model`.
    """
    sound: dict[str, Any] = {"audio": AUDIO_SETTINGS, "log_mel": LOG_MEL.settings}
    return write_version(
        SequenceExplainer(features, sequence, log_mel),
        rule,
        Fingerprint(fingerprint.preprocessing, {**fingerprint.provenance, SOUND: sound}),
        dataclasses.asdict(card),
        clips,
        network_digest=digest_of_networks(features, sequence),
        crop_size=crop_size,
        folder=folder,
        say=say,
        hears=True,
    )
