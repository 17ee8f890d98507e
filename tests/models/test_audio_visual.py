"""The audio-visual network: masks are honoured, and it learns sound, order and faces, each where it alone tells."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tiny_backbone import TINY
from tfdfd.clip import TfdfdError
from tfdfd.models import BACKBONES
from tfdfd.models.audio_visual import (
    FACES,
    IS_FACE,
    IS_SOUND,
    LOG_MELS,
    OVER_TIME,
    build_feature_network,
    build_sequence_network,
    join_networks,
)

Inputs = dict[str, np.ndarray]
D = 12


def sequences(number: int = 3, *, places: int = 5, frames: int = 37, seed: int = 0) -> Inputs:
    """Noise, with gaps in the faces and in the sound; the second clip has no face, the third no sound."""
    rng = np.random.default_rng(seed)
    is_face, is_sound = rng.random((number, places)) < 0.7, rng.random((number, frames)) < 0.9
    is_face[:, 0] = is_sound[:, 0] = True
    is_face[1], is_sound[2] = False, False
    faces = np.where(is_face[..., None], rng.normal(size=(number, places, D)), 0).astype(np.float32)
    log_mel = np.where(is_sound[..., None], rng.normal(-2, 2, (number, frames, 64)), 0).astype(np.float32)
    return {FACES: faces, IS_FACE: is_face, LOG_MELS: log_mel, IS_SOUND: is_sound}


def padded(inputs: Inputs, names: tuple[str, ...], *, before: int = 0, behind: int = 0) -> Inputs:
    """Put places or frames of rubbish, masked, before and behind."""

    def pad(values: np.ndarray) -> np.ndarray:
        rubbish = False if values.dtype == np.bool_ else 99
        widths = [(0, 0), (before, behind)] + [(0, 0)] * (values.ndim - 2)
        return np.pad(values, widths, constant_values=rubbish)

    return {name: pad(values) if name in names else values for name, values in inputs.items()}


MOMENTS = np.linspace(-1, 2, D, dtype=np.float32), np.linspace(0.2, 3, D, dtype=np.float32)


@pytest.fixture(scope="module", params=[(kind, are_frozen) for kind in OVER_TIME for are_frozen in (False, True)])
def network(request: pytest.FixtureRequest) -> keras.Model:
    kind, are_frozen = request.param
    moments = MOMENTS if are_frozen else None
    network = build_sequence_network(D, 64, over_time=kind, are_frozen=are_frozen, moments=moments)
    for layer in ("seen", "heard"):
        network.get_layer(layer).absent.assign(np.linspace(-1, 1, 128))
    return network


@pytest.mark.parametrize("behind", [1, 2, 3, 8])
def test_padding_behind_changes_nothing(network: keras.Model, behind: int) -> None:
    inputs = sequences()
    expected = network(inputs).numpy()
    assert np.ptp(expected) > 1e-3
    for names in ((FACES, IS_FACE), (LOG_MELS, IS_SOUND)):
        np.testing.assert_allclose(network(padded(inputs, names, behind=behind)), expected, atol=1e-6)


def test_padding_before_the_first_face_changes_nothing(network: keras.Model) -> None:
    inputs = sequences()
    found = network(padded(inputs, (FACES, IS_FACE), before=4))
    np.testing.assert_allclose(found, network(inputs), atol=1e-6)


def test_what_stands_at_masked_places_and_frames_changes_nothing(network: keras.Model) -> None:
    inputs = sequences()
    rubbish = dict(inputs)
    for name, mask in ((FACES, IS_FACE), (LOG_MELS, IS_SOUND)):
        rubbish[name] = np.where(inputs[mask][..., None], inputs[name], 1e6).astype(np.float32)
    np.testing.assert_array_equal(network(rubbish), network(inputs))


def test_a_clip_without_sound_is_not_one_of_silence(network: keras.Model) -> None:
    inputs = sequences()
    silent = dict(inputs)
    silent[LOG_MELS] = np.full_like(inputs[LOG_MELS], np.log(0.01))
    silent[IS_SOUND] = np.ones_like(inputs[IS_SOUND])
    assert abs(float(network(silent)[2, 0] - network(inputs)[2, 0])) > 1e-3
    # No sound at all is the same whether masked or of no length that could hold any.
    none = {name: value[:, :1] if name in (LOG_MELS, IS_SOUND) else value for name, value in inputs.items()}
    np.testing.assert_allclose(network(none)[2], network(inputs)[2], atol=1e-6)


def test_the_absent_vectors_are_learned_from_clips_that_lack_something(network: keras.Model) -> None:
    inputs = sequences()
    variables = [network.get_layer(name).absent for name in ("seen", "heard")]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(inputs, training=True))
    assert all(np.abs(gradient).max() > 0 for gradient in tape.gradient(loss, variables))


def test_frames_in_another_order_are_another_clip(network: keras.Model) -> None:
    inputs = sequences()
    back = {name: value[:, ::-1] if name in (FACES, IS_FACE) else value for name, value in inputs.items()}
    assert abs(float(network(back)[0, 0] - network(inputs)[0, 0])) > 1e-4


def test_its_weights_come_back_from_a_file(network: keras.Model, tmp_path: Path) -> None:
    network.save_weights(tmp_path / "best.weights.h5")
    kind = "lstm" if type(network.get_layer("over_time")).__name__ == "LSTMOverTime" else "transformer"
    are_frozen = type(network.get_layer("face_norm")).__name__ == "Standardized"
    again = build_sequence_network(D, 64, over_time=kind, are_frozen=are_frozen, seed=9)
    inputs = sequences()
    assert np.abs(again(inputs) - network(inputs)).max() > 1e-3
    again.load_weights(tmp_path / "best.weights.h5")
    np.testing.assert_array_equal(again(inputs), network(inputs))


def test_frozen_features_count_by_how_far_they_are_from_the_usual_and_how_strong_they_are() -> None:
    mean, deviation = MOMENTS
    inputs = sequences()
    plain = build_sequence_network(D, 64, are_frozen=True)
    expected = plain(inputs).numpy()
    moved = {**inputs, FACES: inputs[FACES] * deviation + mean}
    assert np.abs(plain(moved) - expected).max() > 1e-3
    scaled = build_sequence_network(D, 64, are_frozen=True, moments=MOMENTS)
    np.testing.assert_allclose(scaled(moved), expected, atol=1e-5)
    # What a LayerNormalization takes away: a face whose features are all twice as strong.
    stronger = {**inputs, FACES: 2 * inputs[FACES]}
    assert np.abs(plain(stronger) - expected)[0, 0] > 1e-3


def test_training_leaves_the_moments_alone() -> None:
    network = build_sequence_network(D, 64, are_frozen=True, moments=MOMENTS)
    norm = network.get_layer("face_norm")
    assert not norm.trainable_weights
    assert len(norm.weights) == 2
    network(sequences(), training=True)
    for weight, expected in zip(norm.weights, MOMENTS, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_unknown_way_over_time_is_named() -> None:
    with pytest.raises(TfdfdError, match=r"over_time must be one of \['lstm', 'transformer'\], got 'gru'"):
        build_sequence_network(D, 64, over_time="gru")


def test_trained_as_a_whole_only_faces_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "tiny", TINY)
    features = build_feature_network(backbone="tiny", crop_size=16, weights="none")
    network = join_networks(features, build_sequence_network(4, 64))
    inputs = sequences()
    crops = np.random.default_rng(1).integers(0, 256, (3, 5, 16, 16, 3), np.uint8)
    inputs[FACES] = crops
    expected = network(inputs).numpy()
    flat = features(crops.reshape(-1, 16, 16, 3)).numpy().reshape(3, 5, 4)
    sequence = network.get_layer("sequence_network")
    np.testing.assert_allclose(sequence({**inputs, FACES: flat}), expected, atol=1e-6)
    # BatchNorm gathers the statistics of the faces, whatever the other places hold.
    norm = next(layer for layer in network._flatten_layers() if layer.name == "norm")
    means = []
    for rubbish in (0, 255):
        inputs[FACES] = np.where(inputs[IS_FACE][..., None, None, None], crops, np.uint8(rubbish))
        norm.moving_mean.assign(np.zeros(4))
        network(inputs, training=True)
        means.append(norm.moving_mean.numpy())
    np.testing.assert_array_equal(*means)
    assert np.abs(means[0]).max() > 0
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(inputs, training=True))
    assert all(gradient is not None for gradient in tape.gradient(loss, network.trainable_variables))
