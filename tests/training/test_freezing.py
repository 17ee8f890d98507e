"""Freeze, then thaw: the pretrained part stays as it is, BatchNorm's statistics too, until its time."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.toy_training import run_toy, saved_arrays, toy_model
from tfdfd.clip import TfdfdError
from tfdfd.training.freezing import Freezing, begin_anew

NESTED = toy_model(nested=True)
IN_BACKBONE = ("conv2d", "batch_normalization")


def weights_after(folder: Path, *, epochs: int, freeze_epochs: int) -> dict[str, np.ndarray]:
    """Return the weights of a run of the nested toy, by kind of layer and name; freeze_epochs must be below epochs."""
    run_toy(folder, model_builder=NESTED, weights="imagenet", epochs=epochs, freeze_epochs=freeze_epochs, patience=99)
    return named([value[0] for key, value in sorted(saved_arrays(folder).items()) if key.startswith("model")])


def named(values: list[np.ndarray]) -> dict[str, np.ndarray]:
    model = NESTED("float32")
    kinds = {id(v): type(layer).__name__ for layer in model._flatten_layers() for v in layer._trainable_variables}
    kinds |= {id(v): type(layer).__name__ for layer in model._flatten_layers() for v in layer._non_trainable_variables}
    return {
        f"{kinds.get(id(variable), 'seed')}.{variable.name}": value
        for variable, value in zip(model.variables, values, strict=True)
    }


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name]) and not name.startswith("seed")}


def test_only_the_head_moves_until_the_thaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    seen = [named([variable.numpy() for variable in NESTED("float32").variables])]
    # What the state holds after each epoch, frozen in the first two of three.
    from tfdfd.training import loop

    save_state = loop.save_state

    def keep(run_folder, state, model, *rest):
        seen.append(named([variable.numpy() for variable in model.variables]))
        save_state(run_folder, state, model, *rest)

    monkeypatch.setattr(loop, "save_state", keep)
    weights_after(tmp_path, epochs=3, freeze_epochs=2)
    head = {"Dense.kernel", "Dense.bias"}
    assert moved(seen[0], seen[1]) == head
    assert moved(seen[1], seen[2]) == head
    assert moved(seen[2], seen[3]) == set(seen[0]) - {name for name in seen[0] if name.startswith("seed")}
    assert {"BatchNormalization.moving_mean", "Conv2D.kernel"} < moved(seen[2], seen[3])


def test_the_frozen_network_scores_as_it_does_when_it_is_served() -> None:
    model = NESTED("float32")
    faces = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3)).astype(np.uint8)
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    features = faces.astype(np.float32) / 127.5 - 1
    served = backbone(features, training=False).numpy()
    freezing = Freezing(model)
    freezing.set(True)
    assert np.array_equal(backbone(features, training=True).numpy(), served)
    freezing.set(False)
    assert not np.allclose(backbone(features, training=True).numpy(), served)


def test_what_was_frozen_from_the_beginning_stays_so() -> None:
    model = NESTED("float32")
    (batchnorm,) = (one for one in model._flatten_layers() if isinstance(one, keras.layers.BatchNormalization))
    batchnorm.trainable = False
    freezing = Freezing(model)
    freezing.set(True)
    assert len(model.trainable_variables) == 2
    freezing.set(False)
    assert not batchnorm.trainable
    assert len(model.trainable_variables) == 4


def test_a_network_without_a_pretrained_part_is_refused() -> None:
    with pytest.raises(TfdfdError, match="freeze_epochs freezes the pretrained network, and there is none"):
        Freezing(toy_model()("float32"))


def test_at_the_thaw_the_optimizer_has_forgotten_all_but_rate_and_scale() -> None:
    weight = keras.Variable([1.0])
    inner = keras.optimizers.Adam(0.25)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0)
    optimizer.build([weight])
    optimizer.apply_gradients([(keras.ops.convert_to_tensor([8.0]), weight)])
    begin_anew(optimizer)
    assert float(inner.learning_rate.numpy()) == 0.25
    assert float(optimizer.dynamic_scale.numpy()) == 4.0
    others = [variable for variable in inner.variables if variable is not inner.learning_rate]
    assert len(others) == 3
    assert not any(np.any(variable.numpy()) for variable in others)
