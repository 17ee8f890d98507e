"""A SavedModel of ours, loaded: its scorer, rule, fingerprint and card."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.splits import CALIBRATION, SPLITS, TRAIN
from tfdfd.data.tables import columns, rows_where, values
from tfdfd.extraction import extraction_config_of
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import RECORDED, write_version
from tfdfd.serving.signatures import ABOUT, CROPS, EXPLAIN, SIGNATURES
from tfdfd.serving.versions import ASSETS, newest_version

_log = logging.getLogger(__name__)

Sound = tuple[np.ndarray | tf.Tensor, np.ndarray | tf.Tensor]
"""Waveforms float32 [batch, samples], 16000 a second, and bool of the same shape: which samples are sound."""


class LoadedModel:
    """An exported model, ready to score.

    Args:
        folder: `saved_models/<name>` (its newest version) or `saved_models/<name>/<version>`.

    Raises:
        TfdfdError: if it is not a SavedModel of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = newest_version(folder)
        if set("[]*?") & set(str(self.folder.absolute())):
            raise TfdfdError(f"TensorFlow reads [ ] * ? in a path as a pattern: move the model {self.folder} elsewhere")
        try:
            self._loaded: Any = tf.saved_model.load(str(self.folder))
        except (OSError, ValueError, IndexError, tf.errors.OpError) as error:  # IndexError: its weights are cut off
            raise TfdfdError(_load_problem(self.folder, error)) from error
        signatures = self._loaded.signatures
        if missing := {name for name, signature in SIGNATURES.items() if signature.in_every_export} - set(signatures):
            raise TfdfdError(
                f"{self.folder} has no signature {sorted(missing)} (it has {sorted(signatures)}): it was not exported "
                "by tfdfd, or by an older version; train and export it again"
            )
        self._score, self._explain = signatures[CROPS], signatures[EXPLAIN]
        try:
            about = {
                name: value.numpy()[0].decode() for name, value in signatures[ABOUT](ask=tf.constant([""])).items()
            }
        except TypeError as error:  # it took no input before a server could join requests for it
            raise TfdfdError(f"{self.folder} was exported by an older version of tfdfd: export it again") from error
        try:
            self.rule = ScoringRule.from_json(about["scoring_rule"])
            fingerprint = json.loads(about["fingerprint"])
            self.fingerprint = Fingerprint(fingerprint["preprocessing"], fingerprint["provenance"])
            self.network_digest = about["network_digest"]
            """Tells the network from any other, whatever rule scores by it."""
        except (KeyError, ValueError, TypeError) as error:
            raise TfdfdError(
                f"{self.folder} does not say how its crops were made and scored ({type(error).__name__}: {error}): "
                "export it again"
            ) from error
        try:
            self.extraction = extraction_config_of(self.fingerprint)
            """How clips are cropped for it; None where its crops were ready-made and nobody said how."""
        except TfdfdError:
            self.extraction = None
        taken = self._score.structured_input_signature[1]
        self.hears = "waveform" in taken
        """Whether it takes the sound of the clip beside the crops."""
        shape = taken["crops"].shape
        self.crop_size = int(shape[2])
        # Damage is found before any work.
        self.card()
        self.clips()

    @property
    def name(self) -> str:
        """Name and version, such as `dfdc/3`."""
        folder = self.folder.resolve()
        return f"{folder.parent.name}/{folder.name}"

    def score(
        self, crops: np.ndarray | tf.Tensor, is_face: np.ndarray | tf.Tensor, sound: Sound | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score a batch of tracks.

        Args:
            crops: uint8 RGB, shape (batch, places, crop_size, crop_size, 3).
            is_face: bool, shape (batch, places).
            sound: for a model that hears, the sound of the clip that each row is from; None for no sound.

        Returns:
            Track scores float32 (batch,) and face probabilities float32 (batch, places).
        """
        outputs = self._score(**self._inputs(crops, is_face, sound))
        return outputs["clip_score"].numpy(), outputs["face_probabilities"].numpy()

    def _inputs(self, crops: Any, is_face: Any, sound: Sound | None) -> dict[str, tf.Tensor]:
        inputs = {"crops": tf.convert_to_tensor(crops), "is_face": tf.convert_to_tensor(is_face)}
        if self.hears:
            none = np.zeros((len(is_face), 0))
            waveform, is_sound = (none, none) if sound is None else sound
            inputs |= {"waveform": tf.cast(waveform, tf.float32), "is_sound": tf.cast(is_sound, tf.bool)}
        elif sound is not None:
            raise ValueError(f"{self.name} does not hear: leave sound out")
        return inputs

    def explain(
        self, crops: np.ndarray | tf.Tensor, is_face: np.ndarray | tf.Tensor, sound: Sound | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what the network says of each face, and what of it each place of the picture gives.

        Args:
            crops, is_face, sound: as in `score`.

        Returns:
            Logits float32 (batch, places), before the rule's temperature, and heat maps float32
            (batch, places, height, width), both 0 where there is no face.
        """
        outputs = self._explain(**self._inputs(crops, is_face, sound))
        return outputs["face_logits"].numpy(), outputs["heat_maps"].numpy()

    def explain_faces(self, crops: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        """Show faces to the network; an `ExplainFaces`, to be part of another graph."""
        return self._explain(crops=crops, is_face=is_face)

    def explain_sequences(
        self, crops: tf.Tensor, is_face: tf.Tensor, waveform: tf.Tensor, is_sound: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Show sequences and their sound to the network; an `ExplainSequences`, of a model that hears."""
        return self._explain(crops=crops, is_face=is_face, waveform=waveform, is_sound=is_sound)

    def save_with_rule(
        self,
        rule: ScoringRule,
        reason: dict[str, Any],
        *,
        fitted_on: pd.DataFrame,
        say: Callable[[str], None] = _log.warning,
    ) -> Path:
        """Write a new version beside this one: the same network, scored by another rule.

        Args:
            rule: of the new version.
            reason: how the rule was chosen, JSON-able; goes into the model card as `scoring_rule`.
            fitted_on: rows of a manifest that it was fitted on, maybe none: the new version is not judged by them.
            say: told what a person should know of the export.

        Returns:
            The folder of the new version.

        Raises:
            TfdfdError: if it cannot be written.
        """
        return write_version(
            self.explain_sequences if self.hears else self.explain_faces,
            rule,
            self.fingerprint,
            {**self.card(), "scoring_rule": {**reason, "network_of_version": self.folder.name}},
            self._clips_with(fitted_on),
            network_digest=self.network_digest,
            crop_size=self.crop_size,
            folder=self.folder.parent,
            say=say,
            hears=self.hears,
        )

    def _clips_with(self, fitted_on: pd.DataFrame) -> pd.DataFrame:
        known = self.clips()
        told = fitted_on if "person" in fitted_on else fitted_on.assign(person="")
        added = columns(told, RECORDED[:-1]).assign(split=CALIBRATION)
        names, added_names = values(known, "clip_id"), values(added, "clip_id")
        stays = ~(np.isin(names, added_names) & (values(known, "split") != TRAIN))
        new = ~np.isin(added_names, names[stays])
        return pd.concat([rows_where(known, stays), rows_where(added, new)], ignore_index=True)

    @property
    def shows_masks(self) -> bool:
        """Whether its heat maps tell how likely each place was altered, as of a network trained with masks."""
        return self.card().get("training", {}).get("segmentation", "none") != "none"

    def card(self) -> dict[str, Any]:
        """Return the model card.

        Raises:
            TfdfdError: if it is not there or damaged.
        """
        try:
            card = json.loads(self._asset("model_card.json"))
        except ValueError as error:
            raise self._damaged("model_card.json", error) from error
        if not isinstance(card, dict):
            raise self._damaged("model_card.json", TypeError(f"a {type(card).__name__}"))
        return card

    def clips(self) -> pd.DataFrame:
        """Return the clips of its training run: the columns RECORDED, split one of SPLITS; older models know no person.

        Raises:
            TfdfdError: if they are not there or damaged: what a model was trained on must be known.
        """
        try:
            clips = pd.read_csv(StringIO(self._asset("clips.csv")), dtype=str, keep_default_na=False)
        except ValueError as error:
            raise self._damaged("clips.csv", error) from error
        if list(clips.columns) == [name for name in RECORDED if name != "person"]:
            clips = columns(clips.assign(person=""), RECORDED)
        if list(clips.columns) != list(RECORDED) or not set(clips["split"]) <= set(SPLITS):
            expected = f"it must have the columns {', '.join(RECORDED)}, and split one of {', '.join(SPLITS)}"
            raise self._damaged("clips.csv", ValueError(expected))
        return clips

    def _asset(self, name: str) -> str:
        path = self.folder / ASSETS / name
        try:
            return path.read_text()
        except OSError as error:
            raise TfdfdError(f"{path} cannot be read ({error.strerror}): export the model again") from error

    def _damaged(self, name: str, error: Exception) -> TfdfdError:
        return TfdfdError(f"{self.folder / ASSETS / name} is damaged ({error}): export the model again")


def _load_problem(folder: Path, error: Exception) -> str:
    """Return what is wrong with a folder that does not load."""
    weights = folder / "variables"
    if not (weights / "variables.index").is_file() or not any(weights.glob("variables.data-*")):
        return f"{folder} holds no weights (variables/ is missing or not whole): it was copied in part; copy it anew"
    # What follows is advice on devices, which is not what is wrong.
    said = str(error).partition("You may be trying to load on a different device")[0].strip()
    if isinstance(error, IndexError | tf.errors.OpError):
        return f"{folder}: its weights in variables/ are cut off or damaged; copy it anew ({said})"
    return f"{folder} does not load as a SavedModel, copy or export it anew: {said}"
