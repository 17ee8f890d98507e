"""Steps of mixed precision under XLA on a number of replicas, and what they do with an overflow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.dataset import DALI_DATASETS
from tfdfd.commands.gpu_proof.context import Context, require
from tfdfd.commands.gpu_proof.devices import make_replicas
from tfdfd.commands.gpu_proof.samples import easy_table, repeated
from tfdfd.training.build import build_optimizer
from tfdfd.training.config import TrainConfig
from tfdfd.training.replica_copies import replica_copies
from tfdfd.training.sources import FaceTableSource
from tfdfd.training.step import make_train_step

SIZE, STEPS = 32, 30


def run_steps(context: Context, num_replicas: int, global_batch: int) -> dict[str, Any]:
    """Train on so many replicas, then make the last one's gradients overflow.

    Returns:
        The loss of each step, and the loss scale before and after the overflow.
    """
    strategy = make_replicas(context, num_replicas)
    config = TrainConfig(
        weights="none",
        batch_size=global_batch,
        learning_rate=0.001,
        mixed_precision="on",
        xla="on",
        steps_per_epoch=STEPS,
        epochs=1,
    )
    table, _ = easy_table(context.folder / f"easy-{num_replicas}", num_tracks=16)
    faces = FaceTableSource(
        repeated(table, -(-STEPS * global_batch // table.num_faces)), config, DALI_DATASETS, strategy, SIZE
    )
    policy = config.dtype_policy(on_gpus=not context.is_dry)
    with strategy.scope():
        model = small_network(policy)
        optimizer = build_optimizer(config, policy, model)
    step = make_train_step(model, optimizer, strategy, global_batch, xla=True)
    batches = faces.iterator(0, 0)
    losses = []
    for _ in range(STEPS):
        weighted_loss, weight, *_ = np.sum([total.numpy() for total in step(next(batches))], axis=0)
        losses.append(float(weighted_loss / weight))
    require(bool(np.isfinite(losses).all()), f"a loss is not finite: {losses}")
    _require_equal(strategy, model, optimizer, "30 steps")

    scale_before = float(optimizer.dynamic_scale.numpy())
    before = [variable.numpy() for variable in model.trainable_variables]
    step(_overflowing(strategy, next(batches)))
    after = [variable.numpy() for variable in model.trainable_variables]
    _require_equal(strategy, model, optimizer, "an overflow on the last of them")
    require(
        all(np.array_equal(one, other) for one, other in zip(before, after, strict=True)),
        "a step whose gradients overflow on one replica must be skipped by all, but weights have moved",
    )
    scale_after = float(optimizer.dynamic_scale.numpy())
    require(scale_after == scale_before / 2, f"an overflow must halve the loss scale {scale_before}, got {scale_after}")
    step(next(batches))
    moved = max(np.abs(a - v.numpy()).max() for a, v in zip(after, model.trainable_variables, strict=True))
    require(moved > 0, "the step after an overflow must train again, but no weight has moved")
    return {"losses": losses, "scale_before": scale_before, "scale_after": scale_after}


def small_network(policy: str) -> keras.Model:
    """Return a classifier of two convolutions, uint8 [n, SIZE, SIZE, 3] -> float32 logits [n, 1].

    It has no BatchNorm, whose statistics are each replica's own, so that one replica and several can be compared.
    """
    keras.utils.set_random_seed(0)
    crops = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    maps = keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(crops)
    for filters in (16, 32):
        maps = keras.layers.Conv2D(filters, 3, strides=2, activation="relu", dtype=policy)(maps)
    features = keras.layers.GlobalAveragePooling2D(dtype=policy)(maps)
    return keras.Model(crops, keras.layers.Dense(1, dtype="float32")(features))


def _overflowing(strategy: tf.distribute.Strategy, batch: Any) -> Any:
    """Return a batch in which the last replica's faces have infinite weight."""
    crops, labels, weights, clip_rows, *others = batch
    parts = strategy.experimental_local_results(weights)

    def weight_of(replica: tf.distribute.ReplicaContext) -> tf.Tensor:
        number: Any = replica.replica_id_in_sync_group
        return parts[number] + (np.inf if number == len(parts) - 1 else 0.0)

    weights = strategy.experimental_distribute_values_from_function(weight_of)
    return (crops, labels, weights, clip_rows, *others)


def _require_equal(
    strategy: tf.distribute.Strategy, model: keras.Model, optimizer: keras.optimizers.Optimizer, when: str
) -> None:
    variables = [*model.variables, *optimizer.variables]
    differ = [
        variable.path
        for variable, copies in zip(variables, replica_copies(strategy, variables), strict=True)
        if len(copies) > 1
    ]
    require(not differ, f"after {when} replicas hold different copies of {differ[:5]}")
