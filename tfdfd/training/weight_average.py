"""The exponential moving average of a network's weights, which is what is validated, kept and exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

RAMP = 10
"""After step t at most (1 + t) / (RAMP + t) of the average is kept: else it would be the first weights for long."""


class WeightAverage:
    """An average of all weights of a network, BatchNorm's moving statistics among them.

    The averaged weights see other activations than the raw ones, so they need statistics of their own. Those of the
    raw network, averaged alike, belong to about the same weights; the alternative is a pass over the training faces.

    Every replica keeps its own copy and updates it from its own copy of the weights, without a word to the others.

    Args:
        model: built; the average begins with its weights.
        momentum: share of the average that a step keeps, in (0, 1).
        strategy: whose scope the model was made in.

    Source: arXiv:1803.05407 averages weights; the ramp is that of tf.train.ExponentialMovingAverage; timm's ModelEma
    averages the statistics too.
    """

    def __init__(self, model: keras.Model, momentum: float, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self._momentum = momentum
        self._weights = [weight for weight in model.variables if tf.as_dtype(weight.dtype).is_floating]
        with strategy.scope():
            self._steps = _like(tf.zeros((), tf.int64), "steps")
            # The initial value must be a tensor of the moment, else TensorFlow would draw random weights anew.
            self._averages = [
                _like(tf.convert_to_tensor(weight.numpy()), f"average_{number:05d}")
                for number, weight in enumerate(self._weights)
            ]

    @property
    def variables(self) -> list[keras.Variable]:
        """All that must be saved: the number of steps, and the average of each floating-point weight."""
        return [self._steps, *self._averages]

    def update(self) -> None:
        """Take the weights in as they are now; called on each replica after a step."""
        steps = tf.cast(self._steps.value, tf.float32) + 1
        kept = tf.minimum(self._momentum, (1 + steps) / (RAMP + steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            old, new = tf.convert_to_tensor(average.value), tf.convert_to_tensor(weight.value)
            average.value.assign(new + tf.cast(kept, new.dtype) * (old - new))
        self._steps.value.assign_add(1)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averaged weights into the network for a while; afterwards it has its own again, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for average, weight in zip(self._averages, self._weights, strict=True):
            copies = zip(
                self._strategy.experimental_local_results(average.value),
                self._strategy.experimental_local_results(weight.value),
                strict=True,
            )
            for one, other in copies:
                # Copied on its device: a variable that is read may share its memory with what was read.
                aside = tf.identity(one.read_value())
                one.assign(other.read_value())
                other.assign(aside)


def _like(value: tf.Tensor, name: str) -> keras.Variable:
    return keras.Variable(value, trainable=False, dtype=value.dtype.name, name=name)
