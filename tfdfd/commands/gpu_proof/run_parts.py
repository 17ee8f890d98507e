"""Training runs by the project's own loop, each in a process of its own."""

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
from tfdfd.commands.gpu_proof.samples import easy_table, repeated
from tfdfd.commands.gpu_proof.step_parts import SIZE, small_network
from tfdfd.models.scoring import ScoringRule
from tfdfd.training.build import ModelBuilder, classifier_builder
from tfdfd.training.config import TrainConfig
from tfdfd.training.loop import TrainResult, train
from tfdfd.training.sources import FaceTableSource, StripSource
from tfdfd.training.want_of_memory import explain_want_of_memory

EPOCHS, STEPS_PER_EPOCH = 3, 6
SPEED_STEPS, FACE_SIZE, FACES_A_CARD = 60, 200, 64
DRY_SPEED_STEPS, DRY_FACE_SIZE, DRY_FACES = 3, 72, 2
WARM_UP_SHARE = 1 / 6
"""Share of the timed steps that are not counted: queues fill."""
GROWTH_BYTES = 256 << 20
"""How much more memory may be in use at the end of the timed steps than when they began to count."""


def train_small(context: Context, folder: str, kill_at: list[int] | None) -> None:
    """Train a small network on all replicas, or go on; with kill_at kill this process before that epoch and step."""
    tf.config.experimental.enable_op_determinism()  # else a card gives other last digits at every run
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
    memory = watch.memory_bytes(counted[0]) or [0]
    growth = memory[-1] - memory[0]
    require(
        growth <= GROWTH_BYTES, f"memory of the cards must stay flat, it grew by {growth >> 20} MiB in {steps} steps"
    )
    busy = watch.busy_shares(counted[0])
    require(len(busy) == num_replicas, f"nvidia-smi says of {len(busy)} of {num_replicas} cards how busy they are")
    require(min(busy) > 0, f"each card must be busy, shares of the time are {busy}")
    return figures | {
        "cards_busy": [round(share, 2) for share in busy],
        "memory_MiB": memory[-1] >> 20,
        "memory_growth_MiB": growth >> 20,
        "after_the_steps_s": round(ended - counted[-1], 1),
    }


def train_too_much(context: Context, batch: int) -> None:
    """Train on batches of so many faces."""
    strategy = make_replicas(context, context.num_replicas)
    config = TrainConfig(weights="none", epochs=1, steps_per_epoch=1, batch_size=batch)
    builder = classifier_builder(config, FACE_SIZE)
    with explain_want_of_memory(batch, strategy):
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
