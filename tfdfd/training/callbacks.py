"""Keras's standard callbacks, driven by our loop, with their counters saved and restored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from tfdfd.data.atomic import TEMPORARY
from tfdfd.training.config import TrainConfig
from tfdfd.training.metrics import MONITOR
from tfdfd.training.optimization import PLATEAU_FACTOR, PLATEAU_PATIENCE
from tfdfd.training.state import TrainState

HISTORY_FILE = "history.csv"
TENSORBOARD_FOLDER = "tensorboard"

_COUNTERS = {
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
}


@dataclass
class CallbackTarget:
    """What the callbacks see as their model.

    Not the model itself: Keras would then save the optimizer, 200 MB for Xception, with the best weights.
    """

    optimizer: keras.optimizers.Optimizer
    stop_training: bool = False


class RunCallbacks:
    """The callbacks of one run.

    Args:
        config: patience and the like.
        run_folder: gets history.csv and the TensorBoard logs.
        optimizer: whose learning rate the plateau reduces.
        writes: whether this process writes the logs; of several workers one does.
    """

    def __init__(
        self, config: TrainConfig, run_folder: Path, optimizer: keras.optimizers.Optimizer, *, writes: bool = True
    ) -> None:
        self._patience = config.applied_patience
        self._writes, self._history_file = writes, run_folder / HISTORY_FILE
        self._target = CallbackTarget(optimizer)
        self._callbacks = [
            *_plateau(config),
            keras.callbacks.EarlyStopping(monitor=MONITOR, mode="min", patience=config.applied_patience),
        ]
        if writes:
            self._callbacks += [
                keras.callbacks.CSVLogger(str(self._history_file), append=True),
                keras.callbacks.TensorBoard(str(run_folder / TENSORBOARD_FOLDER), write_graph=False),
            ]
        self._list = keras.callbacks.CallbackList(self._callbacks, model=self._target)

    def begin(self, state: TrainState) -> None:
        """Start, or go on from a state; rows of history.csv that the state does not know are dropped."""
        if self._writes:
            _keep_lines(self._history_file, 1 + state.epoch if state.epoch else 0)
        self._list.on_train_begin()
        for callback in self._callbacks:
            for name, value in state.callbacks.get(type(callback).__name__, {}).items():
                setattr(callback, name, value)

    def begin_epoch(self, epoch: int) -> None:
        """Tell the callbacks that an epoch, from 1, begins."""
        self._list.on_epoch_begin(epoch)

    def end_epoch(self, epoch: int, figures: dict[str, float]) -> bool:
        """Tell the callbacks the figures of an epoch.

        Args:
            epoch: from 1.
            figures: gets `learning_rate`, the one that the last step of the epoch was trained with.

        Returns:
            Whether training should stop.
        """
        figures["learning_rate"] = float(self._target.optimizer.learning_rate.numpy())  # before it is reduced
        self._list.on_epoch_end(epoch, figures)
        return self._target.stop_training

    def end(self) -> None:
        """Close the files."""
        self._list.on_train_end()

    def counters(self) -> dict[str, dict[str, Any]]:
        """Return what must be saved of the callbacks."""
        return {
            kind.__name__: {name: getattr(callback, name) for name in names}
            for callback in self._callbacks
            for kind, names in _COUNTERS.items()
            if isinstance(callback, kind)
        }


def _plateau(config: TrainConfig) -> list[keras.callbacks.Callback]:
    if config.schedule != "plateau":
        return []
    return [
        keras.callbacks.ReduceLROnPlateau(
            monitor=MONITOR,
            mode="min",
            factor=PLATEAU_FACTOR if config.plateau_factor is None else config.plateau_factor,
            patience=PLATEAU_PATIENCE if config.plateau_patience is None else config.plateau_patience,
            min_delta=0.0,
        )
    ]


def is_out_of_patience(state: TrainState, config: TrainConfig) -> bool:
    """Return whether a saved run was stopped early and the patience has not been raised since."""
    wait = state.callbacks.get(keras.callbacks.EarlyStopping.__name__, {}).get("wait", 0)
    return state.stopped_early and wait >= config.applied_patience


def _keep_lines(path: Path, number: int) -> None:
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    temporary = path.with_name(path.name + TEMPORARY)
    temporary.write_text("".join(lines[:number]))
    os.replace(temporary, path)
