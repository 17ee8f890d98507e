"""One training run on a number of replicas, in a process of its own; prints nothing, writes the run's state.

Usage: replica_runs.py KIND NUM_REPLICAS RUN_FOLDER [WEIGHTS]
A second MirroredStrategy of several replicas in one process fails, hence a process a run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.training.toy_training import SIZE, run_toy, toy_model
from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.training.step import make_train_step
from tfdfd.training.strategy import make_strategy


def xception_run(strategy: tf.distribute.Strategy, run_folder: Path, weights: str) -> None:
    """Ten batches of eight pictures of 71 px, BatchNorm fixed, plain SGD, no dropout.

    Sums in another order differ by 1e-8 after one step. Training amplifies that: at a rate of 0.01 with momentum,
    on labels that cannot be learned, to 1e-2 after ten. So the rate is small and the label is in the picture.
    """
    size, batch = 71, 8
    with strategy.scope():
        model = build_face_classifier(
            backbone="xception", crop_size=size, weights=weights, dropout=0.0, batchnorm="frozen"
        )
        optimizer = keras.optimizers.SGD(1e-3)
        optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, strategy, batch)
    part = batch // strategy.num_replicas_in_sync
    before = [variable.numpy() for variable in model.variables]
    for number in range(10):
        rng = np.random.default_rng(number)
        labels = (np.arange(batch) % 2).astype(np.float32)
        crops = (rng.integers(0, 160, (batch, size, size, 3)) + 90 * labels[:, None, None, None]).astype(np.uint8)
        arrays = (crops, labels, np.linspace(0.5, 1.5, batch, dtype=np.float32), np.arange(batch, dtype=np.int32))

        def share(context: tf.distribute.ReplicaContext, array: np.ndarray) -> tf.Tensor:
            first = context.replica_id_in_sync_group * part
            return tf.constant(array[first : first + part])

        step(
            tuple(
                strategy.experimental_distribute_values_from_function(lambda c, a=array: share(c, a))
                for array in arrays
            )
        )
    after = {f"{number:05d}": variable.numpy() for number, variable in enumerate(model.variables)}
    after["moved"] = np.array(max(np.abs(b - a).max() for b, a in zip(before, after.values(), strict=True)))
    np.savez(run_folder / "state.npz", **after)  # pyright: ignore[reportArgumentType]


def overflow_run(strategy: tf.distribute.Strategy, run_folder: Path) -> None:
    """Mixed precision where only the last replica's gradients overflow: every replica must skip the step."""
    with strategy.scope():
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs))
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=4.0)
        optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, strategy, 4)
    last = strategy.num_replicas_in_sync - 1

    def values(number: float) -> tf.distribute.DistributedValues:
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.fill((2, 4), number if context.replica_id_in_sync_group == last else 1.0)
        )

    labels = strategy.experimental_distribute_values_from_function(lambda _: tf.zeros(2))
    weights = strategy.experimental_distribute_values_from_function(lambda _: tf.ones(2))
    start = model.variables[0].numpy()
    step((values(np.inf), labels, weights, labels))
    skipped, scale = model.variables[0].numpy(), optimizer.dynamic_scale.numpy()
    step((values(1.0), labels, weights, labels))
    moved = model.variables[0].numpy()
    np.savez(run_folder / "state.npz", start=start, skipped=skipped, moved=moved, scale=scale)


def main() -> None:
    """Run the kind that the first argument names."""
    kind, num_replicas, run_folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    strategy, message = make_strategy(None, num_replicas)
    assert message == f"training on {num_replicas} logical CPU replicas"
    assert strategy.num_replicas_in_sync == num_replicas
    if kind == "xception":
        xception_run(strategy, run_folder, sys.argv[4])
    elif kind == "overflow":
        overflow_run(strategy, run_folder)
    elif kind == "synchronized":
        builder = toy_model(dropout=0.0, synchronized=True)
        run_toy(run_folder, strategy=strategy, model_builder=builder, optimizer="sgd", learning_rate=0.05)
    elif kind == "per_replica":
        builder = toy_model(dropout=0.0)
        run_toy(run_folder, strategy=strategy, model_builder=builder, optimizer="sgd", learning_rate=0.05)
    elif kind == "clipped_and_averaged":
        builder = toy_model(dropout=0.0, synchronized=True)
        settings: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.05, "clip_norm": 0.1, "ema_momentum": 0.9}
        run_toy(run_folder, strategy=strategy, model_builder=builder, **settings)
    elif kind == "compiled_and_augmented":
        settings = {"xla": "on", "mixup": 0.5, "cutmix": 0.5, "gridmask": 0.5, "rand_augment": 0.5, "freeze_epochs": 1}
        settings |= {"ema_momentum": 0.9}
        run_toy(run_folder, strategy=strategy, model_builder=toy_model(nested=True), weights="imagenet", **settings)
    else:
        raise ValueError(f"no such kind: {kind}, crops of {SIZE} px")


if __name__ == "__main__":
    main()
