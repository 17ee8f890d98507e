"""The head: each option changes what it computes, and the one without options is the network there always was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.models.head import POOLINGS, build_head, find_head
from tfdfd.training import config

layers = keras.layers
MAPS = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(np.float32)


def head(**options: Any) -> keras.Model:
    maps = keras.Input((2, 4, 5))
    keras.utils.set_random_seed(0)
    return keras.Model(maps, build_head(maps, **options))


@pytest.mark.parametrize("pooling", sorted(POOLINGS))
@pytest.mark.parametrize("hidden_size", [None, 6])
def test_logits_are_those_of_pooling_relu_and_one_unit(pooling: str, hidden_size: int | None) -> None:
    pooled = {"avg": MAPS.mean((1, 2)), "max": MAPS.max((1, 2))}
    x = np.concatenate([pooled[kind] for kind in pooling.split("_")], -1)
    model = head(pooling=pooling, hidden_size=hidden_size)
    if hidden_size:
        hidden = model.get_layer("hidden")
        x = np.maximum(x @ hidden.kernel + hidden.bias, 0)
        assert 0 < (x > 0).mean() < 1
    expected = x @ model.get_layer("logit").kernel.numpy()
    np.testing.assert_allclose(model(MAPS), expected, atol=1e-5)


def test_dropout_is_before_and_behind_the_hidden_layer_and_only_in_training() -> None:
    model = head(dropout=0.5, hidden_size=6)
    assert [layer.name for layer in model.layers if isinstance(layer, layers.Dropout)] == ["dropout", "hidden_dropout"]
    np.testing.assert_array_equal(model(MAPS), head(dropout=0.0, hidden_size=6)(MAPS))
    several = np.stack([model(MAPS, training=True) for _ in range(8)])
    assert np.ptp(several, axis=0).max() > 0


def test_all_of_it_is_float32_under_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = head(pooling="avg_max", hidden_size=6)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}
    # Forty times 60000 is no float16, and their mean is.
    large = np.full((1, 2, 4, 5), 60000, np.float16)
    assert np.isfinite(model(large)).all()


def test_weights_saved_when_the_backbone_pooled_itself_are_taken(tmp_path: Path, tiny_backbone: str) -> None:
    from tfdfd.models.face_classifier import build_face_classifier

    crops = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    now = build_face_classifier(backbone=tiny_backbone, crop_size=16, weights="none", seed=1)
    network = now.get_layer(tiny_backbone)
    pictures = keras.Input((16, 16, 3), dtype="uint8")
    pooled = keras.Model(network.input, layers.GlobalAveragePooling2D()(network.output))
    features = layers.Dropout(0.3, seed=1)(pooled(layers.Rescaling(1 / 127.5, -1.0)(pictures)))
    before = keras.Model(pictures, layers.Dense(1)(features))
    before.save_weights(tmp_path / "best.weights.h5")
    assert [v.shape for v in before.variables] == [v.shape for v in now.variables]
    loaded = build_face_classifier(
        backbone=tiny_backbone, crop_size=16, weights=str(tmp_path / "best.weights.h5"), seed=2
    )
    np.testing.assert_allclose(loaded(crops), before(crops), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "sum"}, r"pooling must be one of \['avg', 'avg_max', 'max'\], got 'sum'"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
    ],
)
def test_a_head_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TfdfdError, match=message):
        head(**options)


def test_the_choices_of_the_flag_are_those_of_the_head() -> None:
    assert sorted(config.POOLINGS) == sorted(POOLINGS)


def test_a_head_is_found_again_and_another_is_refused() -> None:
    model = head(pooling="avg_max", hidden_size=6)
    found = find_head(model)
    assert [layer.name for layer in found.poolings] == ["avg_pooling", "max_pooling"]
    assert (found.hidden, found.logit) == (model.get_layer("hidden"), model.get_layer("logit"))
    maps = keras.Input((2, 4, 5))
    pooled = layers.GlobalAveragePooling2D()(maps)
    for tensor, message in (
        (layers.Dense(2)(pooled), "Dense layer of one unit"),
        (layers.Dense(1, activation="sigmoid")(pooled), "one unit, got Dense of 1 units with sigmoid"),
        (layers.Dense(1)(layers.Dense(3, activation="tanh")(pooled)), "must have ReLU, got Dense of 3 units with tanh"),
        (layers.Dense(1)(layers.Flatten()(maps)), "global pooling.*got Flatten"),
    ):
        with pytest.raises(ValueError, match=message):
            find_head(keras.Model(maps, tensor))
