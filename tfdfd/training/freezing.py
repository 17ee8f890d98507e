"""Freeze, then thaw: at first only the head of a pretrained network is trained."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.models.face_classifier import backbone_and_head


class Freezing:
    """The layers of a network's pretrained part, frozen and thawed.

    A frozen BatchNorm keeps its statistics and normalises with them, as if it were scoring. Layers that were frozen
    from the beginning (`--batchnorm frozen`) stay so. A training step must be traced anew after each change.

    Args:
        model: `backbone_and_head` says which part is pretrained.

    Raises:
        TfdfdError: if it has none.
    """

    def __init__(self, model: keras.Model) -> None:
        try:
            backbone, _ = backbone_and_head(model)
        except ValueError as error:
            raise TfdfdError(f"freeze_epochs freezes the pretrained network, and there is none: {error}") from error
        self._layers = [layer for layer in backbone if layer.trainable]

    def set(self, is_frozen: bool) -> None:
        """Freeze the pretrained part, or thaw it."""
        for layer in self._layers:
            layer.trainable = not is_frozen


class Phases:
    """The training step of each epoch: of the head alone while the pretrained part is frozen, then of all.

    Args:
        model: the classifier.
        optimizer: built with all that is ever trained.
        freeze_epochs: epochs of the head alone; 0 for none.
        make_step: makes the training step of what is trainable at the moment, traced anew.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        freeze_epochs: int,
        make_step: Callable[[], Callable[..., tuple[tf.Tensor, ...]]],
    ) -> None:
        self._optimizer, self._freeze_epochs, self._make_step = optimizer, freeze_epochs, make_step
        self._freezing = Freezing(model) if freeze_epochs else None
        self._is_frozen: bool | None = None

    def step_of(self, epoch: int, step: int) -> Callable[..., tuple[tf.Tensor, ...]]:
        """Return the training step; at the first one after the thaw the optimizer begins anew.

        Args:
            epoch: from 0.
            step: of the epoch, from 0, with which this process begins it.
        """
        is_frozen = epoch < self._freeze_epochs
        if self._freezing and epoch == self._freeze_epochs and step == 0:
            begin_anew(self._optimizer)
        if self._is_frozen != is_frozen:
            if self._freezing:
                self._freezing.set(is_frozen)
            self._is_frozen, self._step = is_frozen, self._make_step()
        return self._step


def begin_anew(optimizer: keras.optimizers.Optimizer) -> None:
    """Forget what an optimizer has gathered, but for its learning rate and loss scale.

    At the thaw Adam has counted steps, but gathered nothing of the weights that were frozen: it would take its means
    of one step for those of many, and make the first steps of a pretrained network three times too large.

    Args:
        optimizer: built; changed in place.
    """
    inner = optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer
    for variable in inner.variables:
        if variable is not inner.learning_rate:
            variable.assign(tf.zeros(variable.shape, variable.dtype))
