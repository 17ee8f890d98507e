"""The epoch loop, from the first step to the best checkpoint."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import explain_write_errors
from tfdfd.data.frame_source import OneAhead
from tfdfd.training.build import ModelBuilder, build_augmentation, build_mask_loss, build_optimizer
from tfdfd.training.callbacks import TENSORBOARD_FOLDER, RunCallbacks, is_out_of_patience
from tfdfd.training.config import TrainConfig
from tfdfd.training.freezing import Phases
from tfdfd.training.input_clock import InputClock
from tfdfd.training.metrics import MONITOR, TEMPERATURE, FitTemperature, ScoreClips, validation_figures
from tfdfd.training.profiling import StepProfile
from tfdfd.training.progress import EpochProgress
from tfdfd.training.record import write_config
from tfdfd.training.schedule import learning_rate_at
from tfdfd.training.sources import TrainingSource, ValidationSource
from tfdfd.training.state import STATE_FILE, TrainState, load_state, save_state
from tfdfd.training.step import RunningTotals, average_over_replicas, make_score_step, make_train_step, step_seed
from tfdfd.training.strategy import uses_gpus
from tfdfd.training.team import SaveClock, Team, team_of
from tfdfd.training.weight_average import WeightAverage

BEST_WEIGHTS_FILE = "best.weights.h5"
_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class TrainResult:
    """What a run has come to."""

    best_epoch: int
    """From 1."""
    best_value: float
    """Validation clip log loss of the best epoch."""
    best_figures: dict[str, float]
    """The row of history of the best epoch."""
    history: pd.DataFrame = field(repr=False)
    """One row an epoch: epoch (from 1), loss, accuracy, input_wait (see InputClock), learning_rate, seconds and the
    figures of validation."""
    best_weights: Path
    """Weights file of the best epoch."""
    ending: str
    """Why the run ended, for a person."""


def train(
    *,
    model_builder: ModelBuilder,
    config: TrainConfig,
    training: TrainingSource,
    validation: ValidationSource,
    strategy: tf.distribute.Strategy,
    run_folder: Path,
    score_clips: ScoreClips,
    fingerprint: dict[str, Any],
    console: Console,
    fit_temperature: FitTemperature | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train, or go on with the run that the folder holds.

    With several workers all call it alike; worker 0 alone writes, and its clock and figures decide.

    Args:
        model_builder: makes the classifier; `build.classifier_builder`.
        config: the settings.
        training: the faces to train on.
        validation: the tracks to score after each epoch.
        strategy: runs the steps; made before anything else uses TensorFlow.
        run_folder: gets config.json, config.toml, history.csv, tensorboard/, best.weights.h5 and state.npz.
        score_clips: the scoring rule.
        fingerprint: the preprocessing of the crops, JSON-able; a run is only resumed on the same.
        console: shows progress.
        fit_temperature: for a config that asks for it.
        settings: table of config.toml -> settings dataclass; None for the training's alone.

    Returns:
        The best epoch and its weights file.

    Raises:
        ValueError: if the config asks for a temperature and nothing is given that fits it.
        TfdfdError: if the batch does not divide among the replicas, the run in the folder was begun otherwise, the
            loss is not finite, a file cannot be written, or workers have other settings, data or run folders.
    """
    if config.fit_temperature and fit_temperature is None:
        raise ValueError("config.fit_temperature needs fit_temperature, which fits it")
    fit = fit_temperature if config.fit_temperature else None
    try:
        config.per_replica_batch(strategy.num_replicas_in_sync)
    except ValueError as error:
        raise TfdfdError(str(error)) from error
    with explain_write_errors(run_folder):
        run_folder.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    policy = config.dtype_policy(on_gpus=uses_gpus(strategy))
    with strategy.scope():
        model = model_builder(policy)
        optimizer = build_optimizer(config, policy, model)
    average = WeightAverage(model, config.ema_momentum, strategy) if config.ema_momentum else None
    averaged = average.variables if average else []

    identity = {
        "settings": config.fixed_settings(),
        "precision": policy,
        "fingerprint": fingerprint,
        "training": training.identity,
        "validation": validation.identity,
    }
    team = team_of(strategy)
    # Those too that a resumed run may change: workers that end at different epochs wait for each other.
    team.require_same("settings", {**dataclasses.asdict(config), "profile_steps": None})
    team.require_same("settings or data", identity)
    team.require_shared(run_folder)
    state = load_state(run_folder, identity, model, optimizer, strategy, averaged)
    team.require_same(
        "state of the run",
        {"epoch": state.epoch, "step": state.step} if state else {},
        advice=f"It lies in {run_folder}, which must be on a disk that shows all machines the same: start again",
    )
    if state is not None and (ending := _why_finished(state, config)):
        console.print(f"nothing to train in {run_folder}: {ending}", markup=False)
        return _result(state, run_folder, ending, team)
    if state is not None:
        console.print(f"going on in {run_folder} after {state.epoch} epochs and {state.step} steps", markup=False)
    else:
        state = TrainState(identity)
    if team.is_chief:
        write_config(run_folder, config, identity, strategy, settings or {"training": config})

    make_step = partial(
        make_train_step,
        model,
        optimizer,
        strategy,
        config.batch_size,
        label_smoothing=config.label_smoothing,
        clip_norm=config.clip_norm,
        augment=build_augmentation(config),
        average=average,
        mask_loss=build_mask_loss(config),
        xla=config.uses_xla(on_gpus=uses_gpus(strategy)),
        compiles_passes=config.compiles_passes,
        say=partial(console.print, highlight=False),
    )
    phases = Phases(model, optimizer, config.freeze_epochs, make_step)
    set_rate = None if config.schedule == "plateau" else partial(setattr, optimizer, "learning_rate")
    # With averages, those are what counts: they are validated, kept and exported.
    weights_that_count = average.in_place if average else nullcontext
    score_step = make_score_step(model, strategy)
    callbacks = RunCallbacks(config, run_folder, optimizer, writes=team.is_chief)
    callbacks.begin(state)
    profile = StepProfile(config.profiled_steps, run_folder / TENSORBOARD_FOLDER)

    def save() -> None:
        state.callbacks = callbacks.counters()
        save_state(run_folder, state, model, optimizer, strategy, averaged)

    while not (ending := _why_finished(state, config)):
        epoch, began = state.epoch + 1, time.monotonic()
        callbacks.begin_epoch(epoch)
        train_step = phases.step_of(state.epoch, state.step)
        with _drawn_ahead(training.iterator(state.epoch, state.step), strategy) as batches:
            input_wait = _train_epoch(
                state,
                config,
                batches,
                training.num_steps(state.epoch),
                train_step,
                set_rate,
                profile,
                save,
                team,
                console,
            )
        average_over_replicas([*model.non_trainable_variables, *averaged], strategy)
        weighted_loss, weight, faces, right = state.totals
        figures = {"loss": weighted_loss / weight, "accuracy": right / faces, "input_wait": input_wait}
        with weights_that_count():
            figures |= _validate(state, config, validation, score_step, score_clips, fit, console)
        # Another machine's last digit may differ, and with it what is best, or enough.
        figures = dict(zip(figures, team.chiefs(np.array(list(figures.values()))).tolist(), strict=True))
        state.stopped_early = callbacks.end_epoch(epoch, figures)
        figures = {name: float(value) for name, value in figures.items()}
        state.history.append({"epoch": epoch, **figures, "seconds": time.monotonic() - began})
        is_best = state.best_value is None or figures[MONITOR] < state.best_value
        if is_best:
            # Weights before the state: a kill in between repeats the end of this epoch, and this file with it.
            if team.is_chief:
                with weights_that_count():
                    _save_best(model, run_folder)
            state.best_value, state.best_epoch = figures[MONITOR], epoch
        state.epoch, state.step, state.totals = epoch, 0, [0.0] * 4
        save()
        console.print(_epoch_line(state.history[-1], config, is_best), highlight=False)

    profile.close(console)
    callbacks.end()
    console.print(f"{ending}; best: epoch {state.best_epoch}, validation clip log loss {state.best_value:.4f}")
    return _result(state, run_folder, ending, team)


def _draws_ahead(strategy: tf.distribute.Strategy) -> bool:
    # On a GPU DALI's dataset copies a batch in the stream of the steps, and waits for them; CPUs have no core to spare.
    return uses_gpus(strategy)


@contextmanager
def _drawn_ahead(batches: Iterator[Any], strategy: tf.distribute.Strategy) -> Iterator[Iterator[Any]]:
    """Give the batches in their order, on GPUs two of them ahead from a thread."""
    if not _draws_ahead(strategy):
        yield batches
        return
    with closing(OneAhead((batch for batch in batches), ahead=_BATCHES_AHEAD)) as ahead:
        yield ahead


def _train_epoch(
    state: TrainState,
    config: TrainConfig,
    batches: Iterator[Any],
    num_steps: int,
    train_step: Any,
    set_rate: Any,
    profile: StepProfile,
    save: Any,
    team: Team,
    console: Console,
) -> float:
    """Train the rest of an epoch; returns the share of the time that went by in waiting for batches."""
    label = f"epoch {state.epoch + 1}/{config.epochs}"
    totals = RunningTotals(state.totals, team)
    input_clock, save_clock = InputClock(), SaveClock(team, config.checkpoint_minutes)
    with EpochProgress(console, label, num_steps, state.step, config.batch_size, config.unit) as progress:
        for step in range(state.step + 1, num_steps + 1):
            if set_rate is not None:
                set_rate(learning_rate_at(config, epoch=state.epoch, step=step - 1, num_steps=num_steps))
            with profile.step():
                batch = input_clock.next(batches)
                totals.add(train_step(batch, step_seed(config.seed, state.epoch, step - 1)))
            is_save_due = step < num_steps and save_clock.is_due(step)
            # Several workers settle, and stop, at one step; the clocks of their bars differ.
            is_common = is_save_due or step == num_steps
            if is_common or progress.is_due:
                # The one place that waits for the devices.
                sums = totals.settle() if is_common or team.size == 1 else totals.shown()
                progress.show(step, sums[0] / max(sums[1], 1e-9))
                if is_common or team.size == 1:
                    state.step, state.totals = step, sums.tolist()
                    _check_loss(state, config)
            if is_save_due:
                save()
                save_clock.saved()
    return input_clock.share()


def _validate(
    state: TrainState,
    config: TrainConfig,
    validation: ValidationSource,
    score_step: Any,
    score_clips: ScoreClips,
    fit_temperature: FitTemperature | None,
    console: Console,
) -> dict[str, float]:
    clip_rows = validation.clip_rows
    logits = is_face = None
    seen = np.zeros(len(clip_rows), bool)
    batches = validation.iterator()
    with EpochProgress(console, "validating", validation.num_steps, 0, config.batch_size, config.unit) as progress:
        for step in range(1, validation.num_steps + 1):
            outputs, faces, rows = (value.numpy() for value in score_step(next(batches)))
            if logits is None or is_face is None:
                logits = np.zeros((len(clip_rows), outputs.shape[1]), np.float32)
                is_face = np.zeros(logits.shape, bool)
            is_track = rows >= 0
            logits[rows[is_track]] = outputs[is_track]
            is_face[rows[is_track]] = faces[is_track]
            seen[rows[is_track]] = True
            if progress.is_due:
                progress.show(step, None)
    if logits is None or is_face is None or not seen.all():
        raise TfdfdError(f"validation gave scores for {int(seen.sum())} of {len(seen)} tracks")
    if not np.isfinite(logits[is_face]).all():
        raise TfdfdError(
            f"the network gives scores that are not finite after epoch {state.epoch + 1}: "
            f"lower --learning-rate (now {config.learning_rate:g}) and start in a new run folder"
        )
    return validation_figures(logits, is_face, clip_rows, validation.clip_labels, score_clips, fit_temperature)


def _check_loss(state: TrainState, config: TrainConfig) -> None:
    if not math.isfinite(state.totals[0]):
        raise TfdfdError(
            f"the loss is {state.totals[0]} in epoch {state.epoch + 1} at or shortly before step {state.step}: "
            f"lower --learning-rate (now {config.learning_rate:g}), or try --mixed-precision off"
        )


def _why_finished(state: TrainState, config: TrainConfig) -> str:
    if state.epoch >= config.epochs:
        return f"all {state.epoch} epochs are done"
    if is_out_of_patience(state, config):
        return f"stopped after epoch {state.epoch}: no better in {config.applied_patience} epochs"
    return ""


def _save_best(model: keras.Model, run_folder: Path) -> None:
    temporary = run_folder / f"new-{BEST_WEIGHTS_FILE}"  # Keras insists on the ending
    with explain_write_errors(run_folder):
        model.save_weights(temporary)
        os.replace(temporary, run_folder / BEST_WEIGHTS_FILE)


def _result(state: TrainState, run_folder: Path, ending: str, team: Team) -> TrainResult:
    best_weights = run_folder / BEST_WEIGHTS_FILE
    # Only worker 0 reads the file, which a network disk may show to the others late.
    if state.best_value is None or (team.is_chief and not best_weights.is_file()):
        raise TfdfdError(f"{run_folder} holds {STATE_FILE} but no {BEST_WEIGHTS_FILE}: train in another run folder")
    return TrainResult(
        best_epoch=state.best_epoch,
        best_value=state.best_value,
        best_figures=state.history[state.best_epoch - 1],
        history=pd.DataFrame(state.history),
        best_weights=best_weights,
        ending=ending,
    )


def _epoch_line(row: dict[str, float], config: TrainConfig, is_best: bool) -> str:
    waited = "" if math.isnan(row["input_wait"]) else f", {row['input_wait']:.0%} of training waiting for input"
    fitted = f"at temperature {row[TEMPERATURE]:.2f}, " if TEMPERATURE in row else ""
    faces = f", face log loss {row['val_face_log_loss']:.4f}, AUC {row['val_face_auc']:.4f}"
    if config.sees_sequences:
        faces = ""  # a clip has one logit
    return (
        f"epoch {row['epoch']:.0f}/{config.epochs}  loss {row['loss']:.4f}  "
        f"validation: {fitted}clip log loss {row[MONITOR]:.4f}, AUC {row['val_clip_auc']:.4f}{faces}  "
        f"{row['seconds']:.0f} s{waited}{'  best so far' if is_best else ''}"
    )
