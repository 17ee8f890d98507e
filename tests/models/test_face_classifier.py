"""The face classifier: what goes in and out, and that every option changes something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.models.face_classifier import backbone_and_head, build_face_classifier

SIZE = 16


@pytest.fixture(autouse=True)
def tiny(tiny_backbone: str) -> str:
    return tiny_backbone


def build(**options: Any) -> keras.Model:
    return build_face_classifier(**({"backbone": "tiny", "crop_size": SIZE, "weights": "none"} | options))


def crops(number: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, SIZE, SIZE, 3), dtype=np.uint8)


def norm_of(model: keras.Model) -> keras.layers.BatchNormalization:
    return model.get_layer("tiny").get_layer("norm")


def test_uint8_crops_give_one_float32_logit_each() -> None:
    logits = build()(crops())
    assert logits.shape == (4, 1)
    assert logits.dtype == "float32"


def test_pixels_reach_the_network_between_minus_one_and_one() -> None:
    model = build()
    scaled = keras.Model(model.input, model.get_layer("scaling").output)
    black_to_white = np.arange(256, dtype=np.uint8).reshape(1, SIZE, SIZE, 1).repeat(3, -1)
    assert np.allclose(scaled(black_to_white)[0, :, :, 0], np.linspace(-1, 1, 256).reshape(SIZE, SIZE), atol=1e-6)


def test_input_size_changes_what_the_network_sees() -> None:
    model = build(input_size=9)
    assert model.get_layer("tiny").input.shape == (None, 9, 9, 3)
    assert model.input.shape == (None, SIZE, SIZE, 3)
    assert not np.allclose(model(crops()), build()(crops()))


def test_the_seed_decides_the_weights() -> None:
    assert np.array_equal(build(seed=3)(crops()), build(seed=3)(crops()))
    assert not np.array_equal(build(seed=3)(crops()), build(seed=4)(crops()))


def test_dropout_changes_training_only() -> None:
    model = build(dropout=0.9)
    trained = [model(crops(), training=True).numpy() for _ in range(3)]
    assert not np.array_equal(trained[0], trained[1]) or not np.array_equal(trained[1], trained[2])
    assert np.array_equal(build(dropout=0.9)(crops()), build(dropout=0.0)(crops()))


def test_batchnorm_moves_by_its_momentum_and_not_when_frozen() -> None:
    means = {}
    for name, options in {
        "default": {},
        "slow": {"batchnorm_momentum": 0.99},
        "frozen": {"batchnorm": "frozen"},
    }.items():
        model = build(**options)
        model(crops(), training=True)
        means[name] = np.abs(norm_of(model).moving_mean.numpy()).max()
    assert means["frozen"] == 0
    assert np.isclose(means["default"], 10 * means["slow"], rtol=1e-3)  # 0.9 from random weights
    assert len(build(batchnorm="frozen").trainable_variables) == len(build().trainable_variables) - 2


@pytest.mark.parametrize("options", [{"batchnorm": "frozen"}, {"batchnorm_momentum": 0.9}])
def test_batchnorm_of_a_backbone_that_has_none_cannot_be_chosen(options: dict) -> None:
    with pytest.raises(TfdfdError, match="convnext_tiny has no BatchNorm: leave out --batchnorm"):
        build(backbone="convnext_tiny", input_size=32, **options)


def test_backbone_and_head_are_all_layers_with_weights_each_once() -> None:
    model = build(hidden_size=3)
    backbone, head = backbone_and_head(model)
    names = [[layer.name for layer in layers if layer.weights] for layers in (backbone, head)]
    assert names == [["conv", "norm"], ["hidden", "logit"]]
    for layer in backbone:
        layer.trainable = False
    assert len(model.trainable_variables) == 4
    model(crops(), training=True)
    assert not norm_of(model).moving_mean.numpy().any()  # frozen for real


def test_batchnorm_can_be_synchronized() -> None:
    assert norm_of(build(batchnorm="synchronized")).synchronized
    assert not norm_of(build()).synchronized


def test_mixed_precision_keeps_weights_scaling_and_logits_in_float32() -> None:
    model = build(dtype_policy="mixed_float16")
    assert model.get_layer("tiny").get_layer("conv").compute_dtype == "float16"
    assert model.get_layer("scaling").compute_dtype == "float32"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model(crops()).dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_weights_of_a_whole_classifier_and_of_a_backbone_are_both_taken(tmp_path: Path) -> None:
    trained = build(seed=7)
    trained.save_weights(tmp_path / "whole.weights.h5")
    trained.get_layer("tiny").save_weights(tmp_path / "backbone.weights.h5")
    whole = build(weights=str(tmp_path / "whole.weights.h5"))
    assert np.array_equal(whole(crops()), trained(crops()))
    assert norm_of(whole).momentum == 0.99
    backbone = build(weights=str(tmp_path / "backbone.weights.h5"))
    kernels = [model.get_layer("tiny").get_layer("conv").kernel.numpy() for model in (backbone, trained)]
    assert np.array_equal(*kernels)
    assert not np.array_equal(backbone(crops()), trained(crops()))


def test_weights_of_a_classifier_with_another_head_are_refused(tmp_path: Path) -> None:
    build(hidden_size=3).save_weights(tmp_path / "hidden.weights.h5")
    with pytest.raises(TfdfdError, match=r"extra \(dense_1\).*of another shape \(dense\).*--pooling and --hidden-size"):
        build(weights=str(tmp_path / "hidden.weights.h5"))


def test_weights_of_another_network_are_refused_by_layer(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    other = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(3)(inputs)))
    file = tmp_path / "other.weights.h5"
    other.save_weights(file)
    with pytest.raises(TfdfdError, match=r"other\.weights\.h5.*missing \(batch_normal.*extra \(dense"):
        build(weights=str(file))


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "text.weights.h5"
    file.write_bytes(content)
    with pytest.raises(TfdfdError, match=r"text\.weights\.h5 is not a Keras weights file"):
        build(weights=str(file))


def test_a_missing_file_and_a_failed_download_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TfdfdError, match="there is no file"):
        build(weights=str(tmp_path / "none.weights.h5"))
    with pytest.raises(TfdfdError, match=r"could not be downloaded .*tiny_notop\.h5.*--weights FILE"):
        build(weights="imagenet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "exception"}, r"backbone must be one of \['convnext_base', .*'xception'\], got 'exception'"),
        ({"batchnorm": "shared"}, "batchnorm must be one of"),
        ({"input_size": 7}, "at least 8 px, got 7"),
    ],
)
def test_a_wrong_choice_lists_the_choices(options: dict, message: str) -> None:
    with pytest.raises(TfdfdError, match=message):
        build(**options)


def test_the_names_of_the_backbones_do_not_load_tensorflow() -> None:
    code = "import sys, tfdfd.models, tfdfd.training.config; assert not {'tensorflow', 'keras'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.clips
def test_xception_takes_its_imagenet_weights_from_a_file(test_data: Path) -> None:
    file = test_data / "weights" / "xception_imagenet_notop.weights.h5"
    model = build_face_classifier(backbone="xception", crop_size=75, weights=str(file))
    reference = keras.applications.Xception(
        weights=None,  # pyright: ignore[reportArgumentType]
        include_top=False,
        input_shape=(75, 75, 3),
    )
    reference.load_weights(file)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 75, 75, 3), dtype=np.uint8)
    features = keras.Model(model.input, model.get_layer("avg_pooling").input)
    expected = reference(pictures.astype(np.float32) / 127.5 - 1)
    assert np.abs(features(pictures) - expected).max() < 1e-5
