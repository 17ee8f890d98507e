"""One step on every replica: training and scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdfd.training.replica_copies import replica_copies

TOTALS = ("weighted loss", "weight", "faces", "right")
"""What a training step adds up, float64, shape (4,); a face of weight 0 is padding and counts nowhere."""


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    global_batch_size: int,
) -> Callable[[Any], tf.Tensor]:
    """Make the function that trains on one global batch.

    The loss is the sum over the global batch of weight times binary cross-entropy, divided by its size, so that
    the summed gradients do not depend on the number of replicas.

    Args:
        model: uint8 crops -> float32 logits [n, 1], made in the strategy's scope.
        optimizer: built, in the strategy's scope.
        strategy: runs the step.
        global_batch_size: faces a step over all replicas.

    Returns:
        Distributed batch -> TOTALS of the batch.
    """
    must_agree = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and strategy.num_replicas_in_sync > 1

    def replica_step(crops: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(crops, training=True)[:, 0]
            losses = weights * tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            scaled_loss = optimizer.scale_loss(tf.reduce_sum(losses) / global_batch_size)
        gradients = tape.gradient(scaled_loss, model.trainable_variables)
        if must_agree:
            gradients = _agree_on_overflow(gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        is_face = tf.cast(weights > 0, tf.float64)
        is_right = tf.cast(tf.equal(logits >= 0, labels >= 0.5), tf.float64)
        totals = (tf.cast(losses, tf.float64), tf.cast(weights, tf.float64), is_face, is_face * is_right)
        return tf.stack([tf.reduce_sum(total) for total in totals])

    @tf.function
    def train_step(batch: Any) -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(replica_step, args=batch), axis=None)

    return train_step


def _agree_on_overflow(gradients: Sequence[Any]) -> list[tf.Tensor]:
    # Keras's LossScaleOptimizer skips a step when the first replica's gradients overflow, and applies it when only
    # another's do. So each replica adds 0, or NaN where any replica has overflowed, before it looks.
    overflow = tf.add_n([tf.reduce_sum(tf.cast(gradient, tf.float32) * 0) for gradient in gradients])
    context = tf.distribute.get_replica_context()
    overflow = context.all_reduce(tf.distribute.ReduceOp.SUM, overflow)
    return [gradient + tf.cast(overflow, gradient.dtype) for gradient in gradients]


def make_score_step(
    model: keras.Model, strategy: tf.distribute.Strategy
) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Make the function that scores one global batch of tracks.

    Args:
        model: uint8 crops -> float32 logits [n, 1].
        strategy: runs the step.

    Returns:
        Distributed batch -> (probabilities float32 [n, places], is_face bool [n, places], strip_row int32 [n]) of
        all replicas.
    """

    def replica_step(
        crops: tf.Tensor, is_face: tf.Tensor, strip_rows: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits = model(tf.reshape(crops, tf.concat([[-1], tf.shape(crops)[2:]], 0)), training=False)
        probabilities = tf.sigmoid(tf.reshape(logits, tf.shape(is_face)))
        # Collectives know neither bool nor, on GPUs, int32.
        return probabilities, tf.cast(is_face, tf.int64), tf.cast(strip_rows, tf.int64)

    @tf.function
    def score_step(batch: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        probabilities, is_face, strip_rows = strategy.run(replica_step, args=batch)
        gathered = [strategy.gather(value, axis=0) for value in (probabilities, is_face, strip_rows)]
        return gathered[0], tf.cast(gathered[1], tf.bool), tf.cast(gathered[2], tf.int32)

    return score_step


def average_over_replicas(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Give all replicas the mean of BatchNorm's moving statistics, which each has gathered from its own faces.

    Else the score of a face depends on the replica that computes it, and a checkpoint holds the first one's alone.
    All workers must call it together.

    Args:
        model: changed in place.
        strategy: whose replicas hold the copies.
    """
    variables = model.non_trainable_variables
    for variable, copies in zip(variables, replica_copies(strategy, variables), strict=True):
        if np.issubdtype(copies.dtype, np.floating) and len(copies) > 1:
            variable.assign(np.mean(copies, axis=0))
