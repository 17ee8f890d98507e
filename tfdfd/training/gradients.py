"""What becomes of gradients between a replica's backward pass and the optimizer, where all replicas must do alike."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


def clip_global_batch(
    gradients: Sequence[tf.Tensor], optimizer: keras.optimizers.Optimizer, clip_norm: float
) -> list[tf.Tensor]:
    """Scale a replica's gradients down so that their sum over the replicas has at most a norm.

    Keras's `global_clipnorm` clips each replica's gradients before it sums them: with more replicas, whose gradients
    are noisier, it would clip otherwise. So the sum is made here first, for its norm. The optimizer then sums the
    scaled gradients again, which costs the same traffic a second time.

    Args:
        gradients: of one replica, times the loss scale of the optimizer if it has one.
        optimizer: sums and applies them afterwards.
        clip_norm: largest norm, over all weights, of the sum without the loss scale.

    Returns:
        The replica's gradients times the same factor, at most 1, on all replicas. NaN where the norm is not finite, so
        that an optimizer with loss scaling skips the step.

    Source: clipping by the global norm, arXiv:1211.5063.
    """
    context = tf.distribute.get_replica_context()
    summed = list(gradients)
    if context.num_replicas_in_sync > 1:
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, summed)
    scaled_clip_norm = optimizer.scale_loss(tf.constant(clip_norm, tf.float32))
    clipped, _ = tf.clip_by_global_norm(list(gradients), scaled_clip_norm, use_norm=tf.linalg.global_norm(summed))
    return clipped


def agree_on_overflow(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Make the gradients of all replicas NaN where those of any are not finite.

    Keras's LossScaleOptimizer skips a step when the first replica's gradients overflow, and applies it when only
    another's do. So each replica adds 0, or NaN where any replica has overflowed, before it looks.
    """
    overflow = tf.add_n([tf.reduce_sum(tf.cast(gradient, tf.float32) * 0) for gradient in gradients])
    context = tf.distribute.get_replica_context()
    overflow = context.all_reduce(tf.distribute.ReduceOp.SUM, overflow)
    return [gradient + tf.cast(overflow, gradient.dtype) for gradient in gradients]
