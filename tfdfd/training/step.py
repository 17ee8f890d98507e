"""One step on every replica: training and scoring."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdfd.models.segmentation import face_logits
from tfdfd.training.compiled_step import compile_step
from tfdfd.training.gradients import agree_on_overflow, clip_global_batch
from tfdfd.training.mask_loss import MaskLoss
from tfdfd.training.replica_copies import replica_copies
from tfdfd.training.team import Team
from tfdfd.training.weight_average import WeightAverage

TOTALS = ("weighted loss", "weight", "faces", "right")
"""What a training step adds up, float64, shape (4,); a face of weight 0 is padding and counts nowhere."""

AugmentBatch = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]
"""(crops, labels, weights, seed int32 [2]) of a replica -> crops, labels, weights; `BatchAugmentation`."""


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    global_batch_size: int,
    *,
    label_smoothing: float = 0.0,
    clip_norm: float | None = None,
    augment: AugmentBatch | None = None,
    average: WeightAverage | None = None,
    mask_loss: MaskLoss | None = None,
    xla: bool = False,
    compiles_passes: bool = True,
    say: Callable[[str], None] | None = None,
) -> TrainStep:
    """Make the function that trains on one global batch, of the layers that are trainable now.

    The loss is the sum over the global batch of weight times binary cross-entropy, divided by its size, so that
    the summed gradients do not depend on the number of replicas. Labels may be anything from 0 to 1.

    Args:
        model: what a batch gives first (uint8 crops, or a dict of what it knows of clips) -> float32 logits [n, 1],
            with a mask_loss also those of masks [n, side, side]; made in the strategy's scope.
        optimizer: built, in the strategy's scope.
        strategy: runs the step.
        global_batch_size: faces a step over all replicas.
        label_smoothing: share of each label that is 0.5 instead, in [0, 1).
        clip_norm: largest norm of the gradient of the global batch; None for any.
        augment: alters each replica's batch; None for nothing.
        mask_loss: of a model that gives masks; batches then carry them too. A face whose mask is not known adds the
            loss of its own logit alone.
        average: takes the weights in after each step; None for no average.
        xla: compile the step (`compile_step`). What alters batches and what replicas tell each other is not.
        compiles_passes: with xla, whether the passes through the network can be compiled too.
        say: told that the first step with xla takes long, and how long it took.
    """
    variables = model.trainable_variables
    must_agree = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and strategy.num_replicas_in_sync > 1

    def passes(inputs: Any, labels: tf.Tensor, weights: tf.Tensor, *of_masks: tf.Tensor) -> tuple[Any, tf.Tensor]:
        labels = labels + label_smoothing * (0.5 - labels)
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            logits = face_logits(outputs)[:, 0]
            losses = weights * tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            if mask_loss is not None:
                masks, is_known = of_masks
                of_mask = mask_loss.mask_weight * weights * is_known * mask_loss.of_masks(outputs[1], masks)
                losses = mask_loss.face_weight * losses + of_mask
            scaled_loss = optimizer.scale_loss(tf.reduce_sum(losses) / global_batch_size)
        return tape.gradient(scaled_loss, variables), _totals(losses, weights, labels, logits)

    def uncompiled_step(*batch: Any) -> tf.Tensor:
        gradients, totals = passes(*batch)
        if must_agree:
            gradients = agree_on_overflow(gradients)
        if clip_norm is not None:
            gradients = clip_global_batch(gradients, optimizer, clip_norm)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if average is not None:
            average.update()
        return totals

    learn = uncompiled_step
    if xla:
        learn = compile_step(
            passes,
            variables,
            optimizer,
            strategy,
            clip_norm=clip_norm,
            average=average,
            compiles_passes=compiles_passes,
        )

    def replica_step(
        inputs: Any, labels: tf.Tensor, weights: tf.Tensor, _: tf.Tensor, *of_masks_and_seed: tf.Tensor
    ) -> tf.Tensor:
        *of_masks, seed = of_masks_and_seed
        if augment is not None:
            replica: Any = tf.distribute.get_replica_context().replica_id_in_sync_group
            replica_seed: Any = tf.random.fold_in(seed, replica)
            inputs, labels, weights = augment(inputs, labels, weights, replica_seed)
        return learn(inputs, labels, weights, *of_masks)

    @tf.function
    def train_step(batch: Any, seed: tf.Tensor) -> tf.distribute.DistributedValues:
        return strategy.run(replica_step, args=(*batch, seed))

    return TrainStep(train_step, strategy, say if xla else None)


class TrainStep:
    """Trains on one global batch when called; see `make_train_step`."""

    def __init__(
        self, train_step: Callable[..., Any], strategy: tf.distribute.Strategy, say: Callable[[str], None] | None
    ) -> None:
        self._train_step, self._strategy, self._say = train_step, strategy, say

    def __call__(self, batch: Any, seed: np.ndarray | tuple[int, int] = (0, 0)) -> tuple[tf.Tensor, ...]:
        """Train on a distributed batch.

        Args:
            batch: what `TrainingSource.iterator` gives.
            seed: int32, shape (2,): of what is random in `augment`.

        Returns:
            TOTALS of the batch of each replica of this worker; they stay on its device, and nothing waits for them.
        """
        say, self._say = self._say, None
        began = time.monotonic()
        if say is not None:
            say("compiling the training step with XLA: this takes minutes on a GPU, once for each start and phase")
        totals = self._strategy.experimental_local_results(self._train_step(batch, tf.constant(seed, tf.int32)))
        if say is not None:
            _ = [total.numpy() for total in totals]  # only now is it done
            say(f"compiled, and the first step done, in {time.monotonic() - began:.0f} s")
        return totals

    def graph(self, batch: Any) -> tf.Graph:
        """Trace the step for a batch, without running it."""
        return self._train_step.get_concrete_function(batch, tf.constant((0, 0), tf.int32)).graph


class RunningTotals:
    """What the steps of an epoch add up to, fetched from the devices only when it is asked for.

    Args:
        totals: of the steps before, shape (4,), see TOTALS.
        team: the workers of the run.
    """

    def __init__(self, totals: Sequence[float], team: Team) -> None:
        self._settled, self._team = np.array(totals, np.float64), team
        self._fetched: list[list[np.ndarray]] = []
        self._on_devices: list[tuple[tf.Tensor, ...]] = []

    def add(self, totals: tuple[tf.Tensor, ...]) -> None:
        """Take in what `TrainStep` returned, without waiting for it."""
        self._on_devices.append(totals)

    def shown(self) -> np.ndarray:
        """Return the totals until now; of several workers the steps since `settle` are of this one's replicas alone."""
        self._fetch()
        return self._sum_of(self._fetched)

    def settle(self) -> np.ndarray:
        """Return the totals until now, of all replicas; all workers must call it together."""
        self._fetch()
        if self._team.size > 1 and self._fetched:
            own = [np.concatenate(steps) for steps in zip(*self._fetched, strict=True)]
            every = self._team.every_replicas(own).reshape(-1, len(self._fetched), len(TOTALS))
            self._fetched = [list(every[:, step]) for step in range(every.shape[1])]
        self._settled, self._fetched = self._sum_of(self._fetched), []
        return self._settled

    def _fetch(self) -> None:
        self._fetched += [[total.numpy() for total in totals] for totals in self._on_devices]
        self._on_devices = []

    def _sum_of(self, steps: list[list[np.ndarray]]) -> np.ndarray:
        # Replica by replica and step by step: whenever it is fetched, the last bit is the same.
        return functools.reduce(lambda total, step: total + functools.reduce(np.add, step), steps, self._settled)


def _totals(losses: tf.Tensor, weights: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    is_face = tf.cast(weights > 0, tf.float64)
    is_right = tf.cast(tf.equal(logits >= 0, labels >= 0.5), tf.float64)
    totals = (tf.cast(losses, tf.float64), tf.cast(weights, tf.float64), is_face, is_face * is_right)
    return tf.stack([tf.reduce_sum(total) for total in totals])


def step_seed(seed: int, epoch: int, step: int) -> np.ndarray:
    """Return the seed of what is random in one step, from where it stands alone: a resumed run draws the same.

    Args:
        seed: of the run.
        epoch: from 0.
        step: of the epoch, from 0.

    Returns:
        int32, shape (2,).
    """
    return np.random.SeedSequence([seed, epoch, step]).generate_state(2).view(np.int32)


def make_score_step(
    model: keras.Model, strategy: tf.distribute.Strategy
) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Make the function that scores one global batch of tracks, or of clips.

    Args:
        model: as in `make_train_step`. Crops of tracks, [batch, places, size, size, 3], are each a face to it; a dict
            gives one logit a row.
        strategy: runs the step.

    Returns:
        Distributed batch -> (logits float32 [n, places], is_face bool [n, places], strip_row int32 [n]) of
        all replicas.
    """

    def replica_step(inputs: Any, is_face: tf.Tensor, strip_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if not isinstance(inputs, dict):
            inputs = tf.reshape(inputs, tf.concat([[-1], tf.shape(inputs)[2:]], 0))
        logits = face_logits(model(inputs, training=False))
        # Collectives know neither bool nor, on GPUs, int32.
        return tf.reshape(logits, tf.shape(is_face)), tf.cast(is_face, tf.int64), tf.cast(strip_rows, tf.int64)

    @tf.function
    def score_step(batch: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits, is_face, strip_rows = strategy.run(replica_step, args=batch)
        gathered = [strategy.gather(value, axis=0) for value in (logits, is_face, strip_rows)]
        return gathered[0], tf.cast(gathered[1], tf.bool), tf.cast(gathered[2], tf.int32)

    return score_step


def average_over_replicas(variables: Iterable[keras.Variable], strategy: tf.distribute.Strategy) -> None:
    """Give all replicas the mean of BatchNorm's moving statistics, which each has gathered from its own faces.

    Else the score of a face depends on the replica that computes it, and a checkpoint holds the first one's alone.
    All workers must call it together.

    Args:
        variables: those that no optimizer keeps alike, and averages of any; changed in place.
        strategy: whose replicas hold the copies.
    """
    variables = list(variables)
    for variable, copies in zip(variables, replica_copies(strategy, variables), strict=True):
        if np.issubdtype(copies.dtype, np.floating) and len(copies) > 1:
            variable.assign(np.mean(copies, axis=0))
