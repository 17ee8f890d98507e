"""A compiled step takes the weights where an uncompiled one takes them, and leaves next to nothing outside of XLA."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.step_graph import kernels_outside
from tests.training.toy_training import toy_model
from tfdfd.training.step import make_train_step
from tfdfd.training.weight_average import WeightAverage

BATCH = 4


@pytest.fixture(scope="module")
def strategy() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0"])


def faces(seed: int = 0) -> tuple[tf.Tensor, ...]:
    crops = np.random.default_rng(seed).integers(0, 255, (BATCH, 16, 16, 3)).astype(np.uint8)
    return tf.constant(crops), tf.constant([0.0, 1.0, 0.0, 1.0]), tf.ones(BATCH), tf.zeros(BATCH, tf.int32)


def optimizer_of(kind: str, model: keras.Model) -> Any:
    if kind == "adamw":
        optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
        optimizer.exclude_from_weight_decay(
            var_list=[each for each in model.trainable_variables if len(each.shape) < 2]
        )
        return optimizer
    return keras.optimizers.Adam(1e-3) if kind == "adam" else keras.optimizers.SGD(0.05, momentum=0.9)


def trained(strategy: tf.distribute.Strategy, kind: str, *, xla: bool, steps: int = 3, **settings: Any):
    """Return the model, its optimizer, average and step after some steps."""
    keras.utils.set_random_seed(0)
    policy = settings.pop("policy", "float32")
    with strategy.scope():
        model = toy_model(dropout=0.0)(policy)
        optimizer = optimizer_of(kind, model)
        if policy != "float32":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, dynamic_growth_steps=2)
        optimizer.build(model.trainable_variables)
    average = WeightAverage(model, 0.9, strategy)
    step = make_train_step(model, optimizer, strategy, BATCH, average=average, xla=xla, **settings)
    for number in range(steps):
        step(faces(number))
    return model, optimizer, average, step


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("compiles_passes", [True, False])
def test_every_optimizer_ends_where_keras_takes_it(
    strategy: tf.distribute.Strategy, kind: str, compiles_passes: bool
) -> None:
    ends = []
    for xla in (False, True):
        model, optimizer, average, _ = trained(
            strategy, kind, xla=xla, clip_norm=0.5, compiles_passes=compiles_passes, label_smoothing=0.1
        )
        ends.append([each.numpy() for each in (*model.variables, *optimizer.variables, *average.variables)])
    assert all(np.allclose(one, other, atol=2e-5) for one, other in zip(*ends, strict=True))


def test_the_loss_scale_grows_and_the_step_is_counted_as_keras_does_it(strategy: tf.distribute.Strategy) -> None:
    scales = []
    for xla in (False, True):
        _, optimizer, _, _ = trained(strategy, "adam", xla=xla, policy="mixed_float16", steps=5)
        scales.append(
            (
                float(optimizer.dynamic_scale.numpy()),
                int(optimizer.step_counter.numpy()),
                int(optimizer.iterations.numpy()),
            )
        )
    assert scales[0] == scales[1] == (2.0**17, 1, 5)


def test_an_overflow_skips_the_update_and_halves_the_scale(strategy: tf.distribute.Strategy) -> None:
    model, optimizer, _, step = trained(strategy, "adam", xla=True, policy="mixed_float16", steps=0)
    optimizer.dynamic_scale.assign(3e38)  # times any gradient it is infinite
    before = [each.numpy() for each in model.trainable_variables]
    step(faces())
    assert all(np.array_equal(one, each.numpy()) for one, each in zip(before, model.trainable_variables, strict=True))
    assert float(optimizer.dynamic_scale.numpy()) == pytest.approx(1.5e38)
    assert int(optimizer.iterations.numpy()) == 0


def test_a_learning_rate_that_is_set_between_steps_counts(strategy: tf.distribute.Strategy) -> None:
    model, optimizer, _, step = trained(strategy, "sgd", xla=True)
    optimizer.learning_rate = 0.0
    optimizer.momentum = 0.0
    frozen = [each.numpy() for each in model.trainable_variables]
    for variable in optimizer.variables[2:]:
        variable.assign(tf.zeros_like(variable))  # what momentum has gathered
    step(faces(9))
    assert all(np.array_equal(one, each.numpy()) for one, each in zip(frozen, model.trainable_variables, strict=True))


@pytest.mark.parametrize(("compiles_passes", "most"), [(True, 2), (False, 200)])
def test_next_to_nothing_is_left_outside_of_compiled_functions(
    strategy: tf.distribute.Strategy, compiles_passes: bool, most: int
) -> None:
    settings = {"policy": "mixed_float16", "clip_norm": 1.0, "steps": 0, "compiles_passes": compiles_passes}
    counts = []
    for xla in (True, False):
        *_, step = trained(strategy, "adam", xla=xla, **settings)
        counts.append(kernels_outside(step.graph(faces())))
    assert counts[0] <= most < counts[1]


def test_the_first_compilation_is_announced_once(strategy: tf.distribute.Strategy) -> None:
    said: list[str] = []
    trained(strategy, "sgd", xla=True, say=said.append)
    assert len(said) == 2
    assert "minutes" in said[0]
    trained(strategy, "sgd", xla=False, say=said.append)
    assert len(said) == 2


def test_an_optimizer_that_does_more_than_update_is_refused(strategy: tf.distribute.Strategy) -> None:
    with strategy.scope():
        model = toy_model(dropout=0.0)("float32")
        optimizer = keras.optimizers.SGD(0.1, clipnorm=1.0)
        optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="clipnorm"):
        make_train_step(model, optimizer, strategy, BATCH, xla=True)
