"""Every backbone: what goes in and out, that it learns, and that neither folding nor files change what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.saving import legacy_h5_format

from tfdfd.clip import TfdfdError
from tfdfd.models import BACKBONES
from tfdfd.models.batchnorm_folding import fold_batchnorm
from tfdfd.models.face_classifier import backbone_and_head, build_face_classifier

LARGE = {"efficientnet_b4", "efficientnet_b7", "convnext_base", "inception_resnet_v2"}
"""Their small sisters, and Xception, guard the same."""
SLOW_TO_LEARN = {*LARGE, "efficientnet_b1"}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in BACKBONES]


def build(name: str, **options: Any) -> keras.Model:
    size = BACKBONES[name].min_input_size
    return build_face_classifier(**({"backbone": name, "crop_size": size, "weights": "none", "dropout": 0.0} | options))


def patches(name: str, number: int = 4) -> np.ndarray:
    """Crops of four by four colours, so unlike each other that no statistic of many is near 0."""
    size = BACKBONES[name].min_input_size
    side = -(-size // 4)
    colours = np.random.default_rng(0).integers(0, 256, (number, 4, 4, 3), dtype=np.uint8)
    return colours.repeat(side, 1).repeat(side, 2)[:, :size, :size]


def drop_nothing(model: keras.Model) -> None:
    """EfficientNet leaves out whole blocks at random, of four crops as of many."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def unsettle(model: keras.Model, pictures: np.ndarray) -> None:
    """Give it scales, biases and statistics that a trained network could have, rather than 1, 0 or 1e-6 all over."""
    rng = np.random.default_rng(1)
    ranges = {"gamma": (0.1, 0.3), "beta": (-0.2, 0.2), "bias": (-0.1, 0.1)}
    for layer in model._flatten_layers(include_self=False):
        for variable in layer.weights if not isinstance(layer, keras.Model) else ():
            low, high = ranges.get("gamma" if type(layer).__name__ == "LayerScale" else variable.name, (0, 0))
            if low < high:
                variable.assign(rng.uniform(low, high, variable.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    drop_nothing(model)
    # The statistics become those of these pictures: no value explodes on its way, nor do the last bits of float32.
    model(pictures, training=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_gives_feature_maps_and_its_classifier_a_logit_a_crop(name: str) -> None:
    model = build(name)
    network = model.get_layer(name)
    size = BACKBONES[name].min_input_size
    assert network.input.shape == (None, size, size, 3)
    assert len(network.output.shape) == 4
    logits = model(patches(name))
    assert (logits.shape, logits.dtype) == ((4, 1), "float32")
    has_batchnorm = any(isinstance(layer, keras.layers.BatchNormalization) for layer in backbone_and_head(model)[0])
    assert has_batchnorm == BACKBONES[name].has_batchnorm
    assert BACKBONES[name].source.startswith("arXiv:")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW_TO_LEARN else []) for name in BACKBONES]
)
def test_it_learns_one_batch(name: str) -> None:
    model, crops = build(name), patches(name)
    drop_nothing(model)
    labels = tf.constant([[0.0], [1.0], [0.0], [1.0]])
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(crops, training=True)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return loss

    losses = [float(step()) for _ in range(10)]
    # It jumps, as four crops at one place are all that a normalisation sees; without gradients it would stand still.
    assert min(losses[-5:]) < 0.1 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_folding_changes_no_logit(name: str) -> None:
    model = build(name, hidden_size=8, pooling="avg_max")
    crops = patches(name, 16)
    unsettle(model, crops)
    folded = fold_batchnorm(model)
    expected = model(crops, training=False).numpy()
    assert np.ptp(expected) > 1e-3
    # Of 244 convolutions the last bits add up.
    atol = 1e-4 if name == "inception_resnet_v2" else 1e-5
    np.testing.assert_allclose(folded(crops, training=False), expected, atol=atol)
    left = [layer.name for layer in folded._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    assert left == []


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_scales_pixels_and_gives_logits_in_float32(name: str) -> None:
    model = build(name, dtype_policy="mixed_float16")
    assert model.get_layer("scaling").compute_dtype == "float32"
    kernels = [layer for layer in backbone_and_head(model)[0] if isinstance(layer, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in kernels} == {"float16"}
    logits = model(patches(name))
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


def save_as_keras_3(network: keras.Model, folder: Path) -> Path:
    network.save_weights(folder / "notop.weights.h5")
    return folder / "notop.weights.h5"


def save_as_published(network: keras.Model, folder: Path) -> Path:
    with h5py.File(folder / "notop.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return folder / "notop.h5"


KERAS = {
    "xception": keras.applications.Xception,
    "efficientnet_b1": keras.applications.EfficientNetB1,
    "convnext_tiny": keras.applications.ConvNeXtTiny,
    "inception_resnet_v2": keras.applications.InceptionResNetV2,
}
SCALED = {"xception", "inception_resnet_v2"}


@pytest.mark.parametrize("save", [save_as_keras_3, pytest.param(save_as_published, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in KERAS]
)
def test_with_the_weights_of_a_file_it_sees_in_pixels_what_keras_sees(
    name: str, save: Callable[[keras.Model, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = BACKBONES[name].min_input_size
    options: Any = {"include_top": False, "input_shape": (size, size, 3)}
    trained = KERAS[name](weights=None, **options)
    for layer in trained.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            # As in the published files: the deviations where the variances belong.
            layer.set_weights([np.array(values) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0)])
            layer.finalize_state()
    published = str(save_as_published(trained, tmp_path))
    # Keras itself, which finds the published file in its cache.
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: published)
    reference = KERAS[name](weights="imagenet", **options)
    pixels = patches(name, 16).astype(np.float32)
    seen = pixels / 127.5 - 1 if name in SCALED else pixels
    unsettle(reference, seen)
    save_as_published(reference, tmp_path)
    expected = reference(seen, training=False).numpy()
    assert np.ptp(expected) > 0.1
    for weights in (str(save(reference, tmp_path)), "imagenet"):
        model = build(name, weights=weights)
        maps = keras.Model(model.input, model.get_layer("avg_pooling").input)
        np.testing.assert_allclose(maps(patches(name, 16)), expected, atol=1e-4)


@pytest.mark.parametrize("name", [pytest.param("efficientnet_b1", marks=pytest.mark.slow), "convnext_tiny"])
def test_a_classifier_is_loaded_from_its_file_and_others_are_refused(name: str, tmp_path: Path) -> None:
    trained = build(name, seed=3, hidden_size=4)
    file = str(tmp_path / "best.weights.h5")
    trained.save_weights(file)
    np.testing.assert_array_equal(build(name, weights=file, hidden_size=4)(patches(name)), trained(patches(name)))
    with pytest.raises(TfdfdError, match=f"the weights of a {name} face classifier .*extra .dense_1"):
        build(name, weights=file)
    with pytest.raises(TfdfdError, match="the weights of a xception face classifier"):
        build("xception", weights=file)
