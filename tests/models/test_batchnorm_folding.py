"""A network without its batch normalisation says what it said with it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdfd.models.batchnorm_folding import fold_batchnorm
from tfdfd.models.face_classifier import build_face_classifier

layers = keras.layers


def network(*, shared: bool = False, active: bool = False) -> keras.Model:
    """Make a network with a normalisation behind each kind of convolution, one behind none, and an adapted scaling."""
    keras.utils.set_random_seed(1)
    pictures = keras.Input((12, 12, 3))
    x = layers.BatchNormalization(name="first")(layers.Normalization(name="adapted")(pictures))
    x = layers.Conv2D(6, 3, activation="relu" if active else None, name="conv")(x)
    normal = layers.BatchNormalization(scale=False)(x)
    x = layers.Add()([normal, x]) if shared else normal
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(layers.ReLU()(x))
    x = layers.BatchNormalization(center=False)(x)
    x = layers.SeparableConv2D(5, 3, use_bias=False, name="separable")(x)
    x = layers.BatchNormalization()(x)
    inner_in = keras.Input(x.shape[1:])
    inner = keras.Model(
        inner_in, layers.BatchNormalization()(layers.Conv2D(4, 1, name="inner")(inner_in)), name="inside"
    )
    model = keras.Model(pictures, layers.Dense(1)(layers.GlobalAveragePooling2D()(inner(x))))
    rng = np.random.default_rng(2)
    # Statistics and scales that are not those of a fresh network.
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    model.get_layer("adapted").finalize_state()
    return model


def normalisations(model: keras.Model) -> list[str]:
    return [layer.name for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]


PICTURES = np.random.default_rng(3).normal(size=(4, 12, 12, 3)).astype(np.float32)


def test_the_answers_are_the_same_without_what_follows_a_convolution():
    model = network()
    folded = fold_batchnorm(model)
    expected = model(PICTURES, training=False).numpy()
    np.testing.assert_allclose(folded(PICTURES, training=False), expected, rtol=1e-5)
    assert normalisations(folded) == ["first"]
    assert len(normalisations(model)) == 5


@pytest.mark.parametrize("change", ["shared", "active"])
def test_a_convolution_that_others_read_or_that_bends_its_answer_keeps_its_normalisation(change):
    model = network(**{change: True})
    folded = fold_batchnorm(model)
    np.testing.assert_allclose(folded(PICTURES, training=False), model(PICTURES, training=False), rtol=1e-5)
    assert len(normalisations(folded)) == 2


def test_xception_has_none_left_and_says_the_same():
    classifier = build_face_classifier(backbone="xception", crop_size=72, weights="none")
    rng = np.random.default_rng(4)
    for layer in classifier._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            gamma, *_ = layer.get_weights()
            ranges = ((0.8, 1.2), (-0.2, 0.2), (-0.1, 0.1), (0.05, 0.2))  # gamma, beta, mean, variance
            layer.set_weights([rng.uniform(low, high, gamma.shape) for low, high in ranges])
    folded = fold_batchnorm(classifier)
    crops = np.tile(rng.integers(0, 256, (3, 1, 72, 3), dtype=np.uint8), (1, 72, 1, 1))
    expected = classifier(crops, training=False).numpy()
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(folded(crops, training=False), expected, atol=1e-4 * np.abs(expected).max())
    assert not normalisations(folded)


def test_tensorflow_optimises_the_graph_of_a_network_of_sums_without_complaint(capfd):
    pictures = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, activation="relu")(pictures)
    for _ in range(3):  # as the middle of Xception: each sum is read by an activation and by the next sum
        y = layers.Conv2D(8, 3, padding="same", use_bias=False)(layers.Activation("relu")(x))
        x = layers.add([layers.BatchNormalization()(y), x])
    model = keras.Model(pictures, layers.GlobalAveragePooling2D()(x))
    folded = fold_batchnorm(model)
    assert not normalisations(folded)
    graph = tf.function(lambda values: folded(values, training=False))
    np.testing.assert_allclose(graph(PICTURES), model(PICTURES, training=False), rtol=1e-4)
    assert "remapper failed" not in capfd.readouterr().err
