"""Whole training runs: three epochs, a run that is killed and goes on, the speed of the real network, a batch too large."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from pipelines.dataset import DALI_DATASETS
from tfdfd.commands.gpu_proof.context import Context, Figures, require
from tfdfd.commands.gpu_proof.devices import CardWatch, make_replicas
from tfdfd.commands.gpu_proof.process import environment, log_end, part, started, wait
from tfdfd.commands.gpu_proof.samples import easy_table, repeated
from tfdfd.commands.gpu_proof.training import SIZE, small_network
from tfdfd.models.scoring import ScoringRule
from tfdfd.training.build import ModelBuilder, classifier_builder
from tfdfd.training.config import TrainConfig
from tfdfd.training.loop import TrainResult, train
from tfdfd.training.sources import FaceTableSource, StripSource
from tfdfd.training.state import STATE_FILE

EPOCHS, STEPS_PER_EPOCH = 3, 6
KILLED_AT = (1, 3)
"""Epoch and step, both from 0, before which a run is killed."""
SPEED_STEPS, FACE_SIZE, FACES_A_CARD = 60, 200, 64
DRY_SPEED_STEPS, DRY_FACE_SIZE, DRY_FACES = 3, 72, 2
WARM_UP_SHARE = 1 / 6
"""Share of the timed steps that are not counted: queues fill."""
GROWTH_BYTES = 256 << 20
"""How much more memory may be in use at the end of the timed steps than when they began to count."""
BYTES_A_FACE = 16 << 20
"""What a face of FACE_SIZE pixels takes at the least while Xception learns from it in float16."""


def three_epochs(context: Context) -> Figures:
    """Train three epochs, each with new pipelines, validated, the best of them kept."""
    found = json.loads((undisturbed_run(context) / "result.json").read_text())
    losses, validated = found["losses"], found["validated"]
    require(len(losses) == EPOCHS, f"there must be {EPOCHS} epochs, got {len(losses)}")
    require(bool(np.isfinite(losses + validated).all()), f"a loss is not finite: {losses}, validated {validated}")
    require(losses[-1] < losses[0], f"the loss must fall over the epochs, got {losses}")
    best = int(np.argmin(validated)) + 1
    require(found["best_epoch"] == best, f"the best epoch is {best} by {validated}, kept was {found['best_epoch']}")
    return {
        "replicas": context.num_replicas,
        "losses": losses,
        "validated": validated,
        "best_epoch": best,
        "input_wait": found["input_wait"],
    }


def killed_and_resumed(context: Context) -> Figures:
    """Kill a run with SIGKILL in its second epoch; the same run goes on to the state of an undisturbed one."""
    undisturbed = undisturbed_run(context)
    folder, log = context.folder / "killed", context.folder / "killed.log"
    with started("runs:train_small", context, log, str(folder), list(KILLED_AT), env=environment(context)) as process:
        in_time = wait(process, 150)
    print(log_end(log))
    require(in_time, "the run that is to be killed took longer than 150 s")
    require(
        process.returncode == -signal.SIGKILL, f"the run must end by SIGKILL, it ended with status {process.returncode}"
    )
    require((folder / STATE_FILE).is_file(), f"a killed run must leave {STATE_FILE}")
    part(context, "runs:train_small", str(folder), None, limit_seconds=150)
    largest = 0.0
    with np.load(undisturbed / STATE_FILE) as expected, np.load(folder / STATE_FILE) as found:
        require(expected.files == found.files, "the resumed run's state holds other variables")
        for name in expected.files:
            if name != "state":  # holds how many seconds each epoch took
                difference = np.abs(expected[name].astype(np.float64) - found[name])
                largest = max(largest, float(difference.max(initial=0.0)))
    require(largest == 0, f"a resumed run must come to the same state, it differs by up to {largest:g}")
    return {"replicas": context.num_replicas, "largest_difference": largest}


def undisturbed_run(context: Context) -> Path:
    """Return the folder of a run of three epochs, made at the first call."""
    folder = context.data / "undisturbed"
    if not (folder / "result.json").is_file():
        part(context, "runs:train_small", str(folder), None, limit_seconds=150)
    return folder


def train_small(context: Context, folder: str, kill_at: list[int] | None) -> None:
    """Train a small network on all replicas, or go on; with kill_at kill this process before that epoch and step."""
    strategy = make_replicas(context, context.num_replicas)
    batch = 8 * context.num_replicas
    config = TrainConfig(
        weights="none",
        epochs=EPOCHS,
        steps_per_epoch=STEPS_PER_EPOCH,
        batch_size=batch,
        learning_rate=0.005,
        checkpoint_minutes=0.0,
    )
    result = _train(context, Path(folder), config, strategy, SIZE, small_network, kill_at=kill_at)
    history = result.history
    content = {
        "losses": [round(loss, 5) for loss in history["loss"]],
        "validated": [round(loss, 5) for loss in history["val_clip_log_loss"]],
        "input_wait": [round(share, 3) for share in history["input_wait"]],
        "best_epoch": result.best_epoch,
    }
    (Path(folder) / "result.json").write_text(json.dumps(content))


def speed(context: Context) -> Figures:
    """Train Xception as `run_train.py` does, on one card and on all: steps a second, cards busy, input, memory."""
    figures: Figures = {}
    for count in context.replica_counts:
        found = part(context.with_cards(count), "runs:timed_steps", count, limit_seconds=300)
        figures |= {f"{name}_on_{count}": value for name, value in found.items()}
    return figures


def timed_steps(context: Context, num_replicas: int) -> Figures:
    """Train two epochs and measure the second, whose network is compiled."""
    strategy = make_replicas(context, num_replicas)
    size, faces, steps = (
        (DRY_FACE_SIZE, DRY_FACES, DRY_SPEED_STEPS) if context.is_dry else (FACE_SIZE, FACES_A_CARD, SPEED_STEPS)
    )
    batch = faces * num_replicas
    config = TrainConfig(weights="none", epochs=2, steps_per_epoch=steps, batch_size=batch)
    handed_out: list[float] = []
    with CardWatch(context) as watch:
        result = _train(
            context,
            context.folder / f"speed-{num_replicas}",
            config,
            strategy,
            size,
            classifier_builder(config, size),
            on_batch=lambda: handed_out.append(time.monotonic()),
        )
        ended = time.monotonic()
    second = handed_out[-steps:]
    counted = second[int(steps * WARM_UP_SHARE) :]
    steps_a_second = (len(counted) - 1) / (counted[-1] - counted[0])
    figures = {
        "steps_a_second": round(steps_a_second, 3),
        "faces_a_second": round(steps_a_second * batch, 1),
        "input_wait": round(float(result.history["input_wait"].iloc[-1]), 3),
        "seconds_to_first_epoch": round(float(result.history["seconds"].iloc[0]), 1),
    }
    if context.is_dry:
        return figures
    memory = [used for used in watch.memory_bytes(counted[0])] or [0]
    growth = memory[-1] - memory[0]
    require(growth <= GROWTH_BYTES, f"memory of the cards must stay flat, it grew by {growth >> 20} MiB in {steps} steps")
    busy = watch.busy_shares(counted[0])
    require(len(busy) == num_replicas, f"nvidia-smi says of {len(busy)} of {num_replicas} cards how busy they are")
    require(min(busy) > 0, f"each card must be busy, shares of the time are {busy}")
    return figures | {
        "cards_busy": [round(share, 2) for share in busy],
        "memory_MiB": memory[-1] >> 20,
        "memory_growth_MiB": growth >> 20,
        "after_the_steps_s": round(ended - counted[-1], 1),
    }


def too_large_batch(context: Context) -> Figures:
    """Train with a batch that no card holds: the run ends by itself, with an error that names the batch size."""
    batch = 8 * context.num_replicas * -(-context.card_bytes // (BYTES_A_FACE * 8))
    log = context.folder / "too-large.log"
    began = time.monotonic()
    with started("runs:train_too_much", context, log, batch, env=environment(context)) as process:
        in_time = wait(process, 150)
    said = log_end(log)
    print(said)
    require(in_time, f"a batch of {batch} faces, which no card holds, must be an error, but the run hangs")
    require(process.returncode != 0 or "was refused" in said, f"a batch of {batch} faces must not fit, but it was trained")
    require(str(batch) in said, f"the error of a batch that is too large must name its size, {batch}; see the log")
    return {"batch_size": batch, "seconds_to_the_error": round(time.monotonic() - began, 1)}


def train_too_much(context: Context, batch: int) -> None:
    """Train on batches of so many faces."""
    strategy = make_replicas(context, context.num_replicas)
    config = TrainConfig(weights="none", epochs=1, steps_per_epoch=1, batch_size=batch)
    builder = classifier_builder(config, FACE_SIZE)
    _train(context, context.folder / "too-large", config, strategy, FACE_SIZE, builder)


class _Watched(FaceTableSource):
    """A source that kills its process before a batch, as a power cut would, or says when it gives one out."""

    kill_at: tuple[int, int] | None = None
    on_batch: Callable[[], None] | None = None

    def iterator(self, epoch: int, skip_steps: int) -> Iterator[Any]:
        """Count the batches."""
        for step, batch in enumerate(super().iterator(epoch, skip_steps), skip_steps):
            if (epoch, step) == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.on_batch is not None:
                self.on_batch()
            yield batch


def _train(
    context: Context,
    folder: Path,
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    size: int,
    builder: ModelBuilder,
    *,
    kill_at: list[int] | None = None,
    on_batch: Callable[[], None] | None = None,
) -> TrainResult:
    table, strips = easy_table(context.data / f"easy-{size}", num_tracks=16, size=size)
    faces_needed = (config.steps_per_epoch or 1) * config.batch_size
    # Of a batch that is far too large the rows repeat faces in any case.
    table = repeated(table, min(-(-faces_needed // table.num_faces), 1000))
    labels = (np.arange(len(strips)) % 2).astype(np.int64)
    training = _Watched(table, config, DALI_DATASETS, strategy, size)
    object.__setattr__(training, "kill_at", tuple(kill_at) if kill_at else None)
    object.__setattr__(training, "on_batch", on_batch)
    printed = io.StringIO()
    try:
        return train(
            model_builder=builder,
            config=config,
            training=training,
            validation=StripSource(strips, labels, config, DALI_DATASETS, strategy, size),
            strategy=strategy,
            run_folder=folder,
            score_clips=ScoringRule().clip_scores,
            fingerprint={"rendered": size},
            console=Console(file=printed, width=160),
        )
    finally:
        print(printed.getvalue())
