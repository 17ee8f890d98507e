"""What replicas tell each other: sums and gathered tensors of each type, by NCCL on cards."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from tfdfd.commands.gpu_proof.context import Context, Figures, SkippedError, require
from tfdfd.commands.gpu_proof.devices import make_replicas

TYPES = (tf.int32, tf.int64, tf.float16, tf.float32)
LARGE = 1 << 22
"""Numbers of the tensor whose sum is timed: as float32 16 MiB, about a fifth of Xception's gradients."""


def reduce_and_gather(context: Context) -> Figures:
    """Sum and gather small tensors of each type, then time the sum of a large one."""
    count = context.num_replicas
    if count < 2:
        raise SkippedError("there is one card: nothing to reduce over")
    strategy = make_replicas(context, count)
    for dtype in TYPES:
        summed, gathered = _exchange(strategy, dtype)
        expected = np.arange(6).reshape(3, 2) * count + sum(range(count))
        rows = np.concatenate([np.arange(6).reshape(3, 2) + replica for replica in range(count)])
        require(
            all(np.array_equal(one, expected) for one in summed), f"{dtype.name}: replicas have other sums: {summed}"
        )
        require(np.array_equal(gathered, rows), f"{dtype.name}: gathered {gathered.tolist()}, not {rows.tolist()}")
    seconds = _seconds_of_large_sum(strategy)
    return {"replicas": count, "types": [dtype.name for dtype in TYPES], "sum_of_16_MiB_ms": round(1000 * seconds, 2)}


def _exchange(strategy: tf.distribute.Strategy, dtype: tf.DType) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the sum as each replica has it, and the gathered parts; replica r gives 0 to 5, plus r."""

    def on_replica() -> tuple[tf.Tensor, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        own = tf.reshape(tf.range(6), [3, 2]) + tf.cast(context.replica_id_in_sync_group, tf.int32)
        own = tf.cast(own, dtype)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own), own

    @tf.function
    def exchange() -> tuple[tf.Tensor, tf.Tensor]:
        summed, own = strategy.run(on_replica)
        return summed, strategy.gather(own, axis=0)

    summed, gathered = exchange()
    return [one.numpy() for one in strategy.experimental_local_results(summed)], gathered.numpy()


def _seconds_of_large_sum(strategy: tf.distribute.Strategy, times: int = 5) -> float:
    @tf.function
    def large_sum() -> tf.Tensor:
        def on_replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            summed = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.ones([LARGE]))
            return tf.reduce_max(summed)

        return strategy.run(on_replica)

    def run() -> None:
        maxima = [one.numpy() for one in strategy.experimental_local_results(large_sum())]
        require(set(maxima) == {strategy.num_replicas_in_sync}, f"the sum of ones is {maxima}")

    run()
    began = time.monotonic()
    for _ in range(times):
        run()
    return (time.monotonic() - began) / times
