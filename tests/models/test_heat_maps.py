"""Heat maps of the network that is trained: its logits, and how they spread over the picture."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.models.head import POOLINGS, build_head
from tfdfd.models.heat_maps import with_heat_maps

HIDDEN_SIZES = (None, 6)


def classifier(pooling: str, hidden_size: int | None) -> keras.Model:
    """Features that are 0 at many places at once, so that largest values tie, and biases that are not 0."""
    keras.utils.set_random_seed(1)
    pictures = keras.Input((9, 9, 3))
    maps = keras.layers.Conv2D(5, 3, activation="relu", bias_initializer=keras.initializers.Constant(-0.3))(pictures)
    model = keras.Model(pictures, build_head(maps, pooling=pooling, hidden_size=hidden_size))
    for name in {"hidden", "logit"} & {layer.name for layer in model.layers}:
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel, np.linspace(0.1, 0.4, bias.size)])
    return model


PICTURES = np.random.default_rng(2).normal(size=(4, 9, 9, 3)).astype(np.float32)


@pytest.mark.parametrize("pooling", sorted(POOLINGS))
@pytest.mark.parametrize("hidden_size", HIDDEN_SIZES)
def test_a_map_is_value_times_gradient_at_each_place(pooling: str, hidden_size: int | None) -> None:
    model = classifier(pooling, hidden_size)
    conv = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    features = conv(PICTURES)
    head = keras.Model(conv.output, model.output)
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = head(features)
    expected = 49 * tf.reduce_sum(features * tape.gradient(logits, features), -1)
    found_logits, maps = with_heat_maps(model)(PICTURES, training=False)
    np.testing.assert_allclose(found_logits, logits, atol=1e-5)
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("pooling", sorted(POOLINGS))
def test_the_mean_of_a_map_is_the_logit_less_its_bias_or_what_active_units_add(pooling: str) -> None:
    for hidden_size in HIDDEN_SIZES:
        model = classifier(pooling, hidden_size)
        logits, maps = with_heat_maps(model)(PICTURES, training=False)
        rest = model.get_layer("logit").bias.numpy()
        if hidden_size:
            hidden = model.get_layer("hidden")
            is_active = keras.Model(model.input, hidden.output)(PICTURES).numpy() > 0
            assert 0 < np.mean(is_active) < 1
            rest = rest + (is_active * hidden.bias.numpy()) @ model.get_layer("logit").kernel.numpy()[:, 0]
        np.testing.assert_allclose(np.mean(maps, axis=(1, 2)) + rest, np.ravel(logits), atol=1e-5)


def test_behind_max_pooling_a_place_that_decides_nothing_is_cold() -> None:
    maps = keras.Input((3, 3, 1))
    model = keras.Model(maps, build_head(maps, pooling="max"))
    model.get_layer("logit").set_weights([np.array([[2.0]]), np.zeros(1)])
    features = np.full((1, 3, 3, 1), 4.0, np.float32)
    features[0, 1, 2] = 5.0
    _, (heat,) = with_heat_maps(model)(features)
    assert heat.numpy().tolist() == [[0, 0, 0], [0, 0, 90], [0, 0, 0]]  # 9 places x 5 x 2
    _, (heat,) = with_heat_maps(model)(np.full((1, 3, 3, 1), 5.0, np.float32))
    np.testing.assert_allclose(heat, 10.0, rtol=1e-6)


def test_the_maps_of_xception_add_up_to_its_logits():
    classifier = build_face_classifier(backbone="xception", crop_size=80, input_size=71, weights="none")
    crops = np.random.default_rng(0).integers(0, 256, (2, 80, 80, 3), dtype=np.uint8)
    logits, maps = with_heat_maps(classifier)(crops, training=False)
    np.testing.assert_allclose(logits, classifier(crops, training=False), atol=1e-5)
    bias = classifier.layers[-1].bias.numpy()
    np.testing.assert_allclose(np.mean(maps, axis=(1, 2)) + bias, np.ravel(logits), atol=1e-5)
    assert maps.shape[1] == maps.shape[2] > 1
