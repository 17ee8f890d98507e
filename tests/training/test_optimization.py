"""Each setting of the optimisation does what it says, on networks small enough to compute by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy_training import run_toy, saved_arrays, toy_config, toy_model
from tfdfd.training import loop
from tfdfd.training.build import build_optimizer
from tfdfd.training.config import TrainConfig
from tfdfd.training.metrics import MONITOR
from tfdfd.training.schedule import learning_rate_at
from tfdfd.training.step import make_train_step, step_seed
from tfdfd.training.weight_average import RAMP, WeightAverage


def rates(config: TrainConfig, num_steps: int) -> np.ndarray:
    """Return the learning rate of every step of a run."""
    return np.array(
        [
            [learning_rate_at(config, epoch=epoch, step=step, num_steps=num_steps) for step in range(num_steps)]
            for epoch in range(config.epochs)
        ]
    )


def linear(strategy: tf.distribute.Strategy, *, start: float = 0.0) -> keras.Model:
    """Return a network of two weights without a bias: the logit is w0 x0 + w1 x1."""
    with strategy.scope():
        inputs = keras.Input((2,))
        dense = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(start))
        return keras.Model(inputs, dense(inputs))


def batch(crops: Any, labels: Any, weights: Any = None) -> tuple[tf.Tensor, ...]:
    crops, labels = tf.constant(crops, tf.float32), tf.constant(labels, tf.float32)
    weights = tf.ones_like(labels) if weights is None else tf.constant(weights, tf.float32)
    return crops, labels, weights, tf.zeros(len(labels), tf.int32)


@pytest.fixture(scope="module")
def strategy() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0"])


def test_the_cosine_has_its_rate_at_known_steps() -> None:
    found = rates(toy_config(schedule="cosine", epochs=4, learning_rate=0.1, cosine_floor=0.2), num_steps=10)
    assert found[0, 0] == pytest.approx(0.1)
    assert found[2, 0] == pytest.approx(0.06)  # half-way, in the middle of 0.1 and 0.02
    assert found[3, 9] == pytest.approx(0.02, abs=1e-3)
    assert (np.diff(found.ravel()) < 0).all()


def test_warm_up_rises_in_a_line_and_the_cosine_begins_after_it() -> None:
    found = rates(toy_config(schedule="cosine", epochs=3, learning_rate=1.0, warmup_epochs=0.5), num_steps=4)
    assert found[0] == pytest.approx([0.5, 1.0, 1.0, found[0, 3]])
    assert found[0, 3] < 1.0
    constant = rates(toy_config(schedule="constant", epochs=2, learning_rate=1.0, warmup_epochs=1.0), num_steps=4)
    assert constant.ravel() == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


def test_warm_up_waits_for_the_thaw() -> None:
    config = toy_config(
        schedule="constant", epochs=4, learning_rate=1.0, warmup_epochs=1.0, freeze_epochs=2, weights="imagenet"
    )
    assert rates(config, num_steps=2).ravel() == pytest.approx([1, 1, 1, 1, 0.5, 1, 1, 1])


def test_the_loop_trains_with_the_scheduled_rates(tmp_path: Path) -> None:
    settings = {"schedule": "cosine", "epochs": 2, "warmup_epochs": 0.4}
    result, _ = run_toy(tmp_path, **settings)
    assert result.history["learning_rate"].tolist() == pytest.approx(rates(toy_config(**settings), 5)[:, -1].tolist())


def test_a_plateau_changes_nothing_with_another_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = iter(np.linspace(0.5, 0.9, 10))
    figures = loop.validation_figures
    monkeypatch.setattr(loop, "validation_figures", lambda *args: figures(*args) | {MONITOR: next(worse)})
    result, _ = run_toy(tmp_path, epochs=4, schedule="constant", patience=9)
    assert result.history["learning_rate"].tolist() == pytest.approx([0.01] * 4)


def test_with_a_cosine_a_resume_may_not_have_other_epochs(tmp_path: Path) -> None:
    run_toy(tmp_path, schedule="cosine", epochs=1)
    with pytest.raises(loop.TfdfdError, match=r"settings\.epochs: was 1, is now 2"):
        run_toy(tmp_path, schedule="cosine", epochs=2)


@pytest.mark.parametrize("decay", [0.5, 0.0])
def test_weight_decay_shrinks_kernels_alone(strategy: tf.distribute.Strategy, decay: float) -> None:
    with strategy.scope():
        model = toy_model(dropout=0.0)("float32")
        optimizer = build_optimizer(
            toy_config(optimizer="adamw", weight_decay=decay, learning_rate=0.1), "float32", model
        )
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable.value))
    # With weight 0 there is no gradient: what moves is the decay.
    faces = (tf.zeros((2, 16, 16, 3), tf.uint8), tf.zeros(2), tf.zeros(2), tf.zeros(2, tf.int32))
    make_train_step(model, optimizer, strategy, 2)(faces)
    for variable in model.trainable_variables:
        expected = 1 - 0.1 * decay if len(variable.shape) > 1 else 1.0
        assert np.allclose(variable.numpy(), expected), variable.path
    assert {len(variable.shape) for variable in model.trainable_variables} == {1, 2, 4}


def test_adamw_without_a_decay_has_the_paper_s() -> None:
    assert toy_config(optimizer="adamw").applied_weight_decay == 0.01
    assert toy_config().applied_weight_decay == 0.0


@pytest.mark.parametrize(("clip_norm", "expected"), [(0.5, 0.5), (100.0, 5.0)])
def test_the_global_norm_of_the_gradient_is_clipped(
    strategy: tf.distribute.Strategy, clip_norm: float, expected: float
) -> None:
    model = linear(strategy)
    with strategy.scope():
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(model.trainable_variables)
    # At weights 0 the gradient is (0.5 - label) x: (3, 4), of norm 5.
    make_train_step(model, optimizer, strategy, 1, clip_norm=clip_norm)(batch([[6.0, 8.0]], [0.0]))
    moved = model.trainable_variables[0].numpy().ravel()
    assert np.linalg.norm(moved) == pytest.approx(expected)
    assert moved[1] / moved[0] == pytest.approx(4 / 3)


def test_clipping_knows_the_loss_scale(strategy: tf.distribute.Strategy) -> None:
    model = linear(strategy)
    with strategy.scope():
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=1024.0)
        optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, strategy, 1, clip_norm=0.5)
    step(batch([[6.0, 8.0]], [0.0]))
    assert np.linalg.norm(model.trainable_variables[0].numpy()) == pytest.approx(0.5)
    before = model.trainable_variables[0].numpy()
    step(batch([[np.inf, 8.0]], [0.0]))  # skipped, not scaled down to nothing
    assert np.array_equal(model.trainable_variables[0].numpy(), before)
    assert optimizer.dynamic_scale.numpy() == 512.0


def test_smoothed_labels_and_soft_labels_give_the_stated_loss(strategy: tf.distribute.Strategy) -> None:
    model = linear(strategy, start=1.0)
    with strategy.scope():
        optimizer = keras.optimizers.SGD(1e-9)
        optimizer.build(model.trainable_variables)
    faces = batch([[1.0, 1.0], [1.0, 0.0]], [1.0, 0.25], [2.0, 1.0])
    probabilities = 1 / (1 + np.exp(-np.array([2.0, 1.0])))
    for smoothing, labels in ((0.0, [1.0, 0.25]), (0.2, [0.9, 0.3])):
        step = make_train_step(model, optimizer, strategy, 2, label_smoothing=smoothing)
        labels = np.array(labels)
        cross_entropy = -labels * np.log(probabilities) - (1 - labels) * np.log(1 - probabilities)
        assert step(faces)[0].numpy()[0] == pytest.approx(np.dot([2.0, 1.0], cross_entropy), abs=1e-5)


def test_the_average_is_the_one_computed_by_hand(strategy: tf.distribute.Strategy) -> None:
    with strategy.scope():
        model = toy_model()("float32")
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)
    average = WeightAverage(model, 0.5, strategy)
    step = make_train_step(model, optimizer, strategy, 4, average=average)
    weights = [variable for variable in model.variables if "float" in variable.dtype]
    assert any("moving_variance" in variable.path for variable in weights)
    expected = [variable.numpy() for variable in weights]
    for number in range(1, 13):
        crops = np.random.default_rng(number).integers(0, 255, (4, 16, 16, 3)).astype(np.uint8)
        step((tf.constant(crops), tf.constant([0.0, 1.0, 0.0, 1.0]), tf.ones(4), tf.zeros(4, tf.int32)))
        kept = min(0.5, (1 + number) / (RAMP + number))
        expected = [kept * old + (1 - kept) * new.numpy() for old, new in zip(expected, weights, strict=True)]
    raw = [variable.numpy() for variable in weights]
    assert average.variables[0].numpy() == 12
    for variable, value in zip(average.variables[1:], expected, strict=True):
        assert np.allclose(variable.numpy(), value, atol=1e-5)
    with average.in_place():
        for variable, value in zip(weights, expected, strict=True):
            assert np.allclose(variable.numpy(), value, atol=1e-5)
    for variable, value in zip(weights, raw, strict=True):
        assert np.array_equal(variable.numpy(), value)


def test_the_averaged_weights_are_kept_and_the_raw_ones_go_on(tmp_path: Path) -> None:
    plain, _ = run_toy(tmp_path / "plain", epochs=1)
    result, _ = run_toy(tmp_path / "averaged", epochs=1, ema_momentum=0.5)
    arrays = saved_arrays(tmp_path / "averaged")
    for key, value in saved_arrays(tmp_path / "plain").items():
        assert np.array_equal(arrays[key], value)
    assert plain.best_value != result.best_value
    kept = toy_model()("float32")
    kept.load_weights(result.best_weights)
    floats = [variable.numpy() for variable in kept.variables if "float" in variable.dtype]
    averages = [arrays[key][0] for key in sorted(arrays) if key.startswith("average")][1:]
    assert all(np.array_equal(one, other) for one, other in zip(floats, averages, strict=True))


def test_xla_computes_the_same(strategy: tf.distribute.Strategy) -> None:
    crops = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3)).astype(np.uint8)
    faces = (tf.constant(crops), tf.constant([0.0, 1.0, 0.0, 1.0]), tf.ones(4), tf.zeros(4, tf.int32))
    ends = []
    for xla in (False, True):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = toy_model(dropout=0.0)("float32")
            optimizer = keras.optimizers.SGD(0.1)
            optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, strategy, 4, clip_norm=1.0, xla=xla)
        for _ in range(3):
            step(faces)
        ends.append([variable.numpy() for variable in model.variables])
    assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(*ends, strict=True))
    assert not all(np.array_equal(one, other) for one, other in zip(*ends, strict=True))  # it did compile


def test_xla_is_automatic_on_gpus() -> None:
    assert [TrainConfig().uses_xla(on_gpus=gpus) for gpus in (True, False)] == [True, False]
    assert not TrainConfig(xla="off").uses_xla(on_gpus=True)
    assert [TrainConfig(batchnorm=each).compiles_passes for each in ("per_replica", "synchronized")] == [True, False]


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 2e-4), ("adamw", 2e-4), ("sgd", 4e-4)])
def test_four_times_the_batch_takes_the_rate_that_goes_with_it(optimizer: str, rate: float) -> None:
    config = TrainConfig(optimizer=optimizer, learning_rate=1e-4)
    assert config.rate_for(4 * config.batch_size, now=config.batch_size) == pytest.approx(rate)


def test_gpus_that_a_batch_leaves_idle_are_said_with_the_flags_that_fill_them() -> None:
    hint = TrainConfig(batch_size=32, learning_rate=1e-4).batch_hint(4)
    assert "8 faces a GPU" in hint
    assert "--batch-size 256 --learning-rate 0.00028" in hint
    assert TrainConfig(batch_size=32).batch_hint(1) == ""
    assert TrainConfig(batch_size=256).batch_hint(4) == ""


def test_the_seed_of_a_step_depends_on_each_of_its_parts() -> None:
    seeds = {tuple(step_seed(*place)) for place in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]}
    assert len(seeds) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_decay": 0.1}, "weight_decay 0.1 is of optimizer adamw alone, got adam"),
        ({"schedule": "cosine", "plateau_patience": 3}, "plateau_patience changes nothing with schedule cosine"),
        ({"schedule": "constant", "plateau_factor": 0.3}, "plateau_factor changes nothing with schedule constant"),
        ({"cosine_floor": 0.1}, "cosine_floor changes nothing with schedule plateau"),
        ({"warmup_epochs": 1.0}, "warmup_epochs 1 needs schedule cosine or constant, got plateau"),
        ({"schedule": "cosine", "warmup_epochs": 10.0}, "epochs must be more than freeze_epochs 0 and warmup_epochs"),
        ({"freeze_epochs": 10}, "epochs must be more than freeze_epochs 10"),
        ({"freeze_epochs": 1, "weights": "none"}, "got weights none"),
        ({"xla": "on", "batchnorm": "synchronized"}, "xla on cannot compile batchnorm synchronized"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0, got 0.0"),
        ({"ema_momentum": 1.0}, "ema_momentum must be at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0"),
        ({"schedule": "cosine", "cosine_floor": 1.0}, "cosine_floor must be at least 0 and below 1"),
        ({"optimizer": "adamw", "weight_decay": -1.0}, "weight_decay must be at least 0"),
    ],
)
def test_a_combination_that_cannot_be_honoured_is_an_error(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)
