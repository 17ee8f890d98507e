"""The TrainState: all that a run needs to go on as if it had not been stopped, in one file written whole."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import TEMPORARY, explain_write_errors
from tfdfd.data.fingerprint import preprocessing_differences
from tfdfd.training.replica_copies import replica_copies
from tfdfd.training.team import team_of

STATE_FILE = "state.npz"
FORMAT = 1


@dataclass
class TrainState:
    """Where a run stands; the arrays of the network and the optimizer lie beside it in the same file."""

    identity: dict[str, Any]
    """What must not change between a run and its resume: settings, fingerprint, data; JSON-able."""
    epoch: int = 0
    """Epochs that are finished, validation included."""
    step: int = 0
    """Steps that are done in the epoch under way."""
    totals: list[float] = field(default_factory=lambda: [0.0] * 4)
    """What those steps added up (see step.TOTALS)."""
    best_value: float | None = None
    """The smallest validation clip log loss; None before the first."""
    best_epoch: int = 0
    """The epoch of the best value, from 1."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row an epoch."""
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Counters of the Keras callbacks, by class name."""
    stopped_early: bool = False
    """Whether early stopping has ended the run."""


def save_state(
    run_folder: Path,
    state: TrainState,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    average: Sequence[keras.Variable] = (),
) -> None:
    """Write the state, and the variables of network (random states too), optimizer and average, whole or not at all.

    Where the replicas' copies of a variable differ (BatchNorm statistics per replica), all copies are written. All
    workers must call it together; worker 0 writes.

    Raises:
        TfdfdError: if a variable is not finite, which would make the file useless, or it cannot be written.
    """
    variables = dict(_variables(model, optimizer, average))
    arrays = dict(zip(variables, replica_copies(strategy, list(variables.values())), strict=True))
    for key, variable in variables.items():
        if np.issubdtype(arrays[key].dtype, np.floating) and not np.isfinite(arrays[key]).all():
            raise TfdfdError(
                f"{variable.path} is not finite after epoch {state.epoch}, step {state.step}: training has diverged. "
                "Lower --learning-rate and start again in a new run folder; the last good state stays in "
                f"{run_folder / STATE_FILE}"
            )
    if not team_of(strategy).is_chief:
        return
    content = json.dumps({"format": FORMAT, "state": asdict(state)})
    arrays["state"] = np.frombuffer(content.encode(), np.uint8)
    temporary = run_folder / (STATE_FILE + TEMPORARY)
    with explain_write_errors(run_folder):
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, run_folder / STATE_FILE)


def load_state(
    run_folder: Path,
    identity: dict[str, Any],
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    average: Sequence[keras.Variable] = (),
) -> TrainState | None:
    """Read the state of a run folder back into the network and the optimizer.

    Args:
        run_folder: where `save_state` wrote.
        identity: what the run is now; must equal what it was.
        model: gets its variables.
        optimizer: built; gets its variables.
        strategy: of the run now. With another number of replicas than before, copies that differ are averaged.
        average: the variables of the average of weights, if there is one; get their values.

    Returns:
        The state, or None where the folder holds none.

    Raises:
        TfdfdError: if the file cannot be read or the identity differs; the message lists both values.
    """
    path = run_folder / STATE_FILE
    if not path.exists():
        return None
    try:
        with np.load(path) as file:
            content = json.loads(bytes(file["state"]))
            arrays = {key: file[key] for key in file.files if key != "state"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TfdfdError(f"{path} is not a training state ({error}): choose another run folder") from error
    if content.get("format") != FORMAT:
        raise TfdfdError(f"{path} has format {content.get('format')}, this version reads {FORMAT}")
    state = TrainState(**content["state"])
    identity = json.loads(json.dumps(identity))  # as it was saved: tuples become lists
    if differences := preprocessing_differences(state.identity, identity):
        listed = "\n".join(f"  {name}: was {was!r}, is now {now!r}" for name, was, now in differences)
        raise TfdfdError(
            f"the run in {run_folder} was begun otherwise and cannot be resumed:\n{listed}\n"
            "Give the same settings and data, or another run folder"
        )
    _assign(path, arrays, dict(_variables(model, optimizer, average)), strategy)
    return state


def _assign(
    path: Path,
    arrays: dict[str, np.ndarray],
    variables: dict[str, keras.Variable],
    strategy: tf.distribute.Strategy,
) -> None:
    shapes = {key: tuple(variable.shape) for key, variable in variables.items()}
    found = {key: array.shape[1:] for key, array in arrays.items()}
    if shapes != found:
        wrong = sorted(key for key in shapes.keys() | found.keys() if shapes.get(key) != found.get(key))
        named = ", ".join(variables[key].path if key in variables else key for key in wrong[:5])
        raise TfdfdError(f"{path} holds another network: {len(wrong)} variables do not fit, first {named}")
    for key, variable in variables.items():
        copies = strategy.experimental_local_results(variable.value)
        array = arrays[key]
        if len(array) == strategy.num_replicas_in_sync:
            first = team_of(strategy).replica_offset
            for copy, value in zip(copies, array[first : first + len(copies)], strict=True):
                copy.assign(value)
        else:
            variable.assign(array[0] if len(array) == 1 else array.mean(axis=0))


def _variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, average: Sequence[keras.Variable]
) -> Iterator[tuple[str, keras.Variable]]:
    # By number, not by name: Keras numbers unnamed layers anew in every process.
    for name, variables in (("model", model.variables), ("optimizer", optimizer.variables), ("average", average)):
        for number, variable in enumerate(variables):
            yield f"{name}{number:05d}", variable
