"""A training step whose arithmetic is compiled by XLA: the optimizer, clipping, loss scale and averages too.

Uncompiled, an update of Xception is some 4,000 kernels, each started by the host, while the passes through the network
are a few hundred. With one replica the whole step is one compiled function. With several, gradients are summed between
two of them, as one vector: TensorFlow has no collectives inside XLA that do not leak threads (TensorFlow issue 56423),
and `jit_compile` around LossScaleOptimizer fails under MirroredStrategy (Keras issue 21366).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfdfd.training.weight_average import WeightAverage

Passes = Callable[..., tuple[Sequence[tf.Tensor], tf.Tensor]]
"""What a replica's batch holds -> (gradient of each variable, times the loss scale; TOTALS of the batch)."""


def compile_step(
    passes: Passes,
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    *,
    clip_norm: float | None,
    average: WeightAverage | None,
    compiles_passes: bool = True,
) -> Callable[..., tf.Tensor]:
    """Return the function that each replica runs in a step.

    Args:
        passes: forward and backward.
        variables: what is trained, in the order of the gradients.
        optimizer: built with these variables, or more.
        strategy: whose scope they were made in.
        clip_norm: largest norm of the summed gradient; None for any.
        average: takes the weights in after the update; None for no average.
        compiles_passes: whether the passes can be compiled, which must not wait for other replicas.

    Returns:
        What a replica's batch holds -> TOTALS of its batch. Call it in `strategy.run`.
    """
    update = _Update(variables, optimizer, clip_norm, average)
    if strategy.num_replicas_in_sync == 1 and compiles_passes:

        def whole(*batch: tf.Tensor) -> tf.Tensor:
            gradients, totals = passes(*batch)
            update(gradients)
            return totals

        on_the_only_replica = _on_each_replica(whole, variables[0], strategy)
        return lambda *batch: on_the_only_replica(*batch)[0]

    def passes_in_one_vector(*batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        gradients, totals = passes(*batch)
        return tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0), totals

    def update_by_vector(vector: tf.Tensor) -> tf.Tensor:
        sizes = [int(tf.TensorShape(variable.shape).num_elements() or 0) for variable in variables]
        parts = tf.split(vector, sizes)
        update([tf.reshape(part, variable.shape) for part, variable in zip(parts, variables, strict=True)])
        return tf.zeros([])

    first = tf.function(passes_in_one_vector, jit_compile=compiles_passes)
    second = _on_each_replica(update_by_vector, variables[0], strategy)

    def replica_step(*batch: tf.Tensor) -> tf.Tensor:
        vector, totals = first(*batch)
        second(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, vector))
        return totals

    return replica_step


def _on_each_replica(
    function: Callable[..., tf.Tensor], anchor: keras.Variable, strategy: tf.distribute.Strategy
) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Return what calls a function, compiled for each replica, with the replica's own copies of all variables.

    `strategy.extended.update` calls on each device what would update one variable there; meanwhile every other
    variable is read and written there too. So one call is enough for all of them.

    Args:
        function: reads and writes variables of the strategy; compiled once a replica.
        anchor: any of these variables.
        strategy: whose scope they were made in.

    Returns:
        To be called by each replica in `strategy.run`; returns the results of all replicas of this process.
    """
    copies = strategy.experimental_local_results(anchor.value)
    compiled = [tf.function(function, jit_compile=True) for _ in copies]

    def on_this_device(copy: tf.Variable, *arguments: Any) -> tf.Tensor:
        number = next(number for number, other in enumerate(copies) if other is copy)
        return compiled[number](*arguments)

    def across_replicas(distribution: tf.distribute.Strategy, *arguments: Any) -> Any:
        return distribution.extended.update(anchor.value, on_this_device, args=arguments, group=False)

    return lambda *arguments: tf.distribute.get_replica_context().merge_call(across_replicas, args=arguments)


class _Update:
    """What becomes of the summed gradients on one replica: as Keras's optimizers do it, without a word to others.

    Keras's own `apply` spreads each variable's update over all replicas, which cannot be compiled. This calls the same
    `update_step` with the replica's copies. All replicas have the same gradients, so they stay alike; also where a
    gradient has overflowed on one of them, for then the sum has.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        optimizer: keras.optimizers.Optimizer,
        clip_norm: float | None,
        average: WeightAverage | None,
    ) -> None:
        self._variables, self._average, self._clip_norm = variables, average, clip_norm
        self._scaling = optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else None
        self._optimizer = self._scaling.inner_optimizer if self._scaling else optimizer
        for name in ("clipnorm", "clipvalue", "global_clipnorm", "use_ema", "gradient_accumulation_steps"):
            if getattr(self._optimizer, name):
                raise ValueError(f"{type(self._optimizer).__name__} with {name} cannot be compiled: leave it out")

    def __call__(self, gradients: Sequence[tf.Tensor]) -> None:
        scaling = self._scaling
        if scaling is None:
            self._apply(gradients)
        else:
            is_finite = tf.reduce_all(tf.stack([tf.reduce_all(tf.math.is_finite(each)) for each in gradients]))
            scale = tf.convert_to_tensor(scaling.dynamic_scale.value)

            def take() -> tf.Tensor:
                self._apply([gradient / scale for gradient in gradients])
                steps = tf.convert_to_tensor(scaling.step_counter.value)
                is_to_grow = tf.equal(steps, scaling.dynamic_growth_steps - 1)
                scaling.step_counter.value.assign(tf.where(is_to_grow, tf.zeros_like(steps), steps + 1))
                scaling.dynamic_scale.value.assign(tf.where(is_to_grow, scale * 2, scale))
                return tf.zeros([])

            def skip() -> tf.Tensor:
                scaling.step_counter.value.assign(0)
                scaling.dynamic_scale.value.assign(scale / 2)
                return tf.zeros([])

            tf.cond(is_finite, take, skip)
        if self._average is not None:
            self._average.update()

    def _apply(self, gradients: Sequence[tf.Tensor]) -> None:
        optimizer = self._optimizer
        if self._clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(list(gradients), self._clip_norm)
        for variable in self._variables:
            if optimizer.weight_decay is not None and optimizer._use_weight_decay(variable):
                rate = tf.cast(optimizer.learning_rate, variable.dtype)
                variable.value.assign_sub(variable.value * tf.cast(optimizer.weight_decay, variable.dtype) * rate)
        for gradient, variable in zip(gradients, self._variables, strict=True):
            optimizer.update_step(gradient, variable, optimizer.learning_rate)
        optimizer.iterations.assign_add(1)  # pyright: ignore[reportAttributeAccessIssue]  a Variable
