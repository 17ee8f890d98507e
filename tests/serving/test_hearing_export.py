"""An audio-visual network as a SavedModel: it takes crops, mask and waveform, and says what the network says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tests.training.told_apart import EDGES
from tfdfd.clip import TfdfdError
from tfdfd.data.audio import SAMPLE_RATE
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.spectrograms import log_mel
from tfdfd.models import BACKBONES
from tfdfd.models.audio_visual import (
    FACES,
    IS_FACE,
    IS_SOUND,
    LOG_MELS,
    build_feature_network,
    build_sequence_network,
)
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.ensemble import write_ensemble
from tfdfd.serving.export import ModelCard
from tfdfd.serving.hearing_export import export_hearing_model
from tfdfd.serving.saved_model import LoadedModel
from tfdfd.serving.signatures import ABOUT, CROPS, EXPLAIN, HEARING, JPEG_FACES, SIGNATURES, signatures_of

SIZE, PLACES = 32, 4
RULE = ScoringRule(over_tracks="main", temperature=2.0, no_evidence_score=0.25)
CARD = ModelCard("toy", "a toy", "audio_visual (edges)", SIZE, {}, {}, {}, {})
FINGERPRINT = Fingerprint(
    {"detector": {"min_face_share": 0.1}, "margin": 0.3, "crop_size": SIZE, "alignment": "none"}, {"num_places": PLACES}
)
CLIPS = pd.DataFrame(
    [{"clip_id": "a", "original": "", "donor": "", "person": "p1;p2", "folder": "f", "split": "train"}]
)


@pytest.fixture(scope="module")
def networks() -> tuple[keras.Model, keras.Model]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "edges", EDGES)
        features = build_feature_network(backbone="edges", crop_size=SIZE, weights="none")
    sequence = build_sequence_network(16, 64)
    for layer in ("seen", "heard"):
        sequence.get_layer(layer).absent.assign(np.linspace(-1, 1, 128))
    return features, sequence


@pytest.fixture(scope="module")
def exported(networks: tuple[keras.Model, keras.Model], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "toy"
    said: list[str] = []
    version = export_hearing_model(
        *networks, RULE, FINGERPRINT, CARD, CLIPS, crop_size=SIZE, folder=folder, say=said.append
    )
    assert said == ["the signatures that take frames are left out: frames alone have no sound, and this network hears"]
    return version


@pytest.fixture(scope="module")
def model(exported: Path) -> LoadedModel:
    return LoadedModel(exported)


def request(rows: int = 3, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The second person has no face, the third clip no sound; sounds end at different times."""
    rng = np.random.default_rng(seed)
    is_face = rng.random((rows, PLACES)) < 0.7
    is_face[:, 0], is_face[1] = True, False
    crops = rng.integers(0, 256, (rows, PLACES, SIZE, SIZE, 3), np.uint8)
    waveform = rng.normal(0, 0.1, (rows, SAMPLE_RATE // 2)).astype(np.float32)
    is_sound = np.arange(SAMPLE_RATE // 2)[None] < np.array([8000, 6000, 0])[:rows, None]
    return crops, is_face, (waveform, is_sound)


def by_keras(networks: tuple[keras.Model, keras.Model], crops: Any, is_face: Any, sound: Any) -> np.ndarray:
    features, sequence = networks
    seen = features(crops.reshape(-1, SIZE, SIZE, 3)).numpy().reshape(*is_face.shape, -1)
    logs, heard = (value.numpy() for value in log_mel(*map(tf.constant, sound)))
    return sequence({FACES: seen, IS_FACE: is_face, LOG_MELS: logs, IS_SOUND: heard}).numpy()[:, 0]


def test_it_says_what_the_network_says(model: LoadedModel, networks: Any) -> None:
    crops, is_face, sound = request()
    expected = by_keras(networks, crops, is_face, sound)
    assert np.ptp(expected) > 1e-3
    assert model.hears
    logits, heat = model.explain(crops, is_face, sound)
    np.testing.assert_allclose(logits, np.where(is_face, expected[:, None], 0), atol=1e-5)
    assert heat.shape[:2] == is_face.shape
    assert not heat[~is_face].any()
    scores, probabilities = model.score(crops, is_face, sound)
    by_rule = 1 / (1 + np.exp(-expected / 2))
    np.testing.assert_allclose(scores, np.where(is_face.any(axis=1), by_rule, 0.25), atol=1e-5)
    np.testing.assert_allclose(probabilities, np.where(is_face, by_rule[:, None], 0), atol=1e-5)


def test_it_records_who_was_seen_in_training_as_every_model_does(model: LoadedModel) -> None:
    assert model.clips().to_dict("records") == CLIPS.to_dict("records")


def test_padding_of_places_and_sound_and_other_rows_change_nothing(model: LoadedModel) -> None:
    crops, is_face, (waveform, is_sound) = request()
    expected = model.score(crops, is_face, (waveform, is_sound))[0]
    more_crops = np.concatenate([crops, np.full_like(crops[:, :2], 255)], axis=1)
    more_faces = np.pad(is_face, ((0, 0), (0, 2)))
    more_sound = (np.pad(waveform, ((0, 0), (0, 999)), constant_values=9), np.pad(is_sound, ((0, 0), (0, 999))))
    np.testing.assert_allclose(model.score(more_crops, more_faces, more_sound)[0], expected, atol=1e-5)
    one = model.score(crops[:1], is_face[:1], (waveform[:1], is_sound[:1]))[0]
    np.testing.assert_allclose(one, expected[:1], atol=1e-5)
    deaf = model.score(crops, is_face)[0]
    assert abs(deaf[0] - expected[0]) > 1e-4
    np.testing.assert_allclose(deaf[2], expected[2], atol=1e-6)


def test_a_heat_map_is_what_a_small_change_of_a_face_does_to_the_logit(model: LoadedModel, networks: Any) -> None:
    crops, is_face, sound = request()
    features, sequence = networks
    seen = features(crops.reshape(-1, SIZE, SIZE, 3)).numpy().reshape(*is_face.shape, -1)
    logs, heard = (value.numpy() for value in log_mel(*map(tf.constant, sound)))
    step, rows = 1e-2, {}
    for sign in (1, -1):
        moved = seen.copy()
        moved[0, 0] *= 1 + sign * step
        rows[sign] = sequence({FACES: moved, IS_FACE: is_face, LOG_MELS: logs, IS_SOUND: heard}).numpy()[0, 0]
    # The mean of the map is the gradient along the features themselves.
    heat = model.explain(crops, is_face, sound)[1]
    assert abs(heat[0, 0].mean() - (rows[1] - rows[-1]) / (2 * step)) < 1e-3


def test_jpegs_are_scored_as_crops(model: LoadedModel) -> None:
    crops, is_face, (waveform, is_sound) = request()
    flat = np.repeat(crops[:, :, :1, :1], SIZE, 2).repeat(SIZE, 3)  # one colour, which JPEG keeps but for a level
    jpegs = np.array([[tf.io.encode_jpeg(crop, quality=100).numpy() for crop in row] for row in flat], object)
    answer = model._loaded.signatures[JPEG_FACES](
        face_bytes=tf.constant(np.where(is_face, jpegs, b"")), waveform=tf.constant(waveform), is_sound=is_sound
    )
    expected = model.score(flat, is_face, (waveform, is_sound))[0]
    np.testing.assert_allclose(answer["clip_score"], expected, atol=5e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"waveform": np.zeros((2, 9), np.float32), "is_sound": np.ones((2, 9), bool)}, "a row for each row of faces"),
        ({"is_sound": np.ones((3, 100), bool)}, "is_sound must be as large as waveform"),
    ],
)  # fmt: skip
def test_wrong_sound_is_refused_in_the_graph(model: LoadedModel, change: dict, message: str) -> None:
    crops, is_face, (waveform, is_sound) = request()
    inputs = {"crops": crops, "is_face": is_face, "waveform": waveform, "is_sound": is_sound} | change
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model._loaded.signatures[CROPS](**{name: tf.constant(value) for name, value in inputs.items()})


def test_its_signatures_and_what_stands_beside_it_name_the_sound(exported: Path, model: LoadedModel) -> None:
    expected = signatures_of(has_frames=False, hears=True)
    assert set(expected) == {CROPS, JPEG_FACES, EXPLAIN, ABOUT} == set(model._loaded.signatures)
    for name, contract in expected.items():
        assert set(model._loaded.signatures[name].structured_input_signature[1]) == set(contract.inputs)
        assert ("waveform" in contract.inputs) == (name in HEARING)
        assert set(contract.outputs) == set(SIGNATURES[name].outputs)
    listed = json.loads((exported / "assets.extra" / "signatures.json").read_text())["signatures"]
    assert set(listed[CROPS]["inputs"]) == {"crops", "is_face", "waveform", "is_sound"}
    told = json.loads((exported / "assets.extra" / "fingerprint.json").read_text())["provenance"]["sound"]
    assert told["audio"]["sample_rate"] == SAMPLE_RATE
    assert "This model hears" in (exported.parent / "serving" / "README.md").read_text()
    example = json.loads((exported.parent / "serving" / "example-rest.json").read_text())["inputs"]
    assert len(example["waveform"][0]) == len(example["is_sound"][0])


def test_another_rule_keeps_the_network_and_an_ensemble_refuses_it(
    model: LoadedModel, networks: Any, tmp_path: Path
) -> None:
    saved = LoadedModel(model.save_with_rule(ScoringRule(over_tracks="main"), {}, fitted_on=CLIPS))
    crops, is_face, sound = request()
    np.testing.assert_allclose(
        saved.explain(crops, is_face, sound)[0], model.explain(crops, is_face, sound)[0], atol=1e-6
    )
    with pytest.raises(TfdfdError, match="toy/1 hears, and an ensemble shows its members single faces"):
        write_ensemble([model, saved], [1, 1], "arithmetic", RULE, folder=tmp_path)
