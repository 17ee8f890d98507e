"""A training run that takes a second: made-up faces in memory and a network of three layers."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows, FaceTable, StripRows
from tfdfd.evaluation.calibration import fit_temperature
from tfdfd.training.config import TrainConfig
from tfdfd.training.loop import TrainResult, train
from tfdfd.training.sources import FaceTableSource, StripSource

SIZE = 16
PLACES = 3


def toy_crop(path: str, place: int) -> np.ndarray:
    """Noise, brighter for fakes; the file's name tells which."""
    number, kind = path.split("_")
    noise = np.random.default_rng([int(number), place]).integers(0, 160, (SIZE, SIZE, 3))
    return (noise + (60 if kind == "fake" else 0)).astype(np.uint8)


def _training(
    rows: FaceRows, *, crop_size: int, batch_size: int, device_id: int | None, num_threads: int
) -> tf.data.Dataset:
    crops = np.stack([toy_crop(*face) for face in zip(rows.strip_paths, rows.places.tolist(), strict=True)])
    crops = np.where(rows.mirror[:, None, None, None] == 1, crops[:, :, ::-1], crops)
    elements = (crops, rows.labels, rows.weights, rows.clip_rows)
    return tf.data.Dataset.from_tensor_slices(elements).batch(batch_size, drop_remainder=True)


def _evaluation(
    rows: StripRows,
    *,
    crop_size: int,
    num_places: int,
    batch_size: int,
    device_id: int | None,
    num_threads: int,
) -> tf.data.Dataset:
    crops = np.stack([[toy_crop(path, place) for place in range(PLACES)] for path in rows.strip_paths])
    crops = np.where(rows.is_face[:, :, None, None, None], crops, 0).astype(np.uint8)
    elements = (crops, rows.is_face, rows.strip_rows)
    return tf.data.Dataset.from_tensor_slices(elements).batch(batch_size, drop_remainder=True)


TOY_DATASETS = FaceDatasets("toy", _training, _evaluation, None)


def toy_table(num_tracks: int = 14) -> FaceTable:
    """Every third track is real, the two behind it are its fakes; the second place of every fifth holds no face."""
    numbers = np.arange(num_tracks)
    is_face = np.ones((num_tracks, PLACES), bool)
    is_face[::5, 1] = False
    labels = (numbers % 3 > 0).astype(np.float32)
    return FaceTable(
        strip_paths=[f"{n}_{'fake' if label else 'real'}" for n, label in zip(numbers, labels, strict=True)],
        is_face=is_face,
        labels=labels,
        weights=np.ones(num_tracks, np.float32),
        clip_rows=numbers.astype(np.int32),
        originals=np.where(labels > 0, numbers - numbers % 3, -1).astype(np.int32),
    )


def toy_strips(num_tracks: int = 7) -> tuple[StripRows, np.ndarray]:
    """Validation tracks, and labels in which the last clip has no track at all."""
    labels = np.arange(num_tracks + 1) % 2
    rows = StripRows(
        strip_paths=[f"{n + 100}_{'fake' if labels[n] else 'real'}" for n in range(num_tracks)],
        is_face=np.arange(num_tracks * PLACES).reshape(num_tracks, PLACES) % 4 > 0,
        clip_rows=np.arange(num_tracks, dtype=np.int32),
        track=np.zeros(num_tracks, np.int32),
    )
    return rows, labels


def mean_of_clip(probabilities: np.ndarray, is_face: np.ndarray, clip_rows: np.ndarray, num_clips: int) -> np.ndarray:
    """Score a clip by the mean over its faces, 0.5 without one."""
    scores = np.full(num_clips, 0.5)
    for clip in np.unique(clip_rows):
        scores[clip] = probabilities[clip_rows == clip][is_face[clip_rows == clip]].mean()
    return scores


def toy_model(
    *, dropout: float = 0.3, synchronized: bool = False, nested: bool = False
) -> Callable[[str], keras.Model]:
    """Return a builder of a small network with BatchNorm and dropout; nested: all before dropout in its own network."""

    def build(dtype_policy: str) -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype_policy)
        crops = keras.Input((SIZE, SIZE, 3), dtype="uint8")
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(crops)
        faces = keras.Input(x.shape[1:]) if nested else x
        y = keras.layers.Conv2D(4, 3, strides=2)(faces)
        y = keras.layers.BatchNormalization(momentum=0.8, synchronized=synchronized)(y)
        y = keras.layers.ReLU()(y)
        x = keras.Model(faces, y)(x) if nested else y
        x = keras.layers.Flatten()(x)
        x = keras.layers.Dropout(dropout, seed=5)(x)
        keras.config.set_dtype_policy(before)
        return keras.Model(crops, keras.layers.Dense(1, dtype="float32")(x))

    return build


def toy_config(**changes: Any) -> TrainConfig:
    """Two epochs of five steps."""
    values = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "dropout": 0.0, "weights": "none"}
    return TrainConfig(**(values | changes))


class Killing(FaceTableSource):
    """A source that kills its process, as a power cut would, before it gives out a batch, and may be slow."""

    kill_at: tuple[int, int] = (-1, -1)
    seconds_per_batch: float = 0.0

    def iterator(self, epoch: int, skip_steps: int) -> Iterator[Any]:
        """Count the batches."""
        for step, batch in enumerate(super().iterator(epoch, skip_steps), skip_steps):
            if (epoch, step) == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(self.seconds_per_batch)
            yield batch


def run_toy(
    run_folder: Path,
    *,
    strategy: tf.distribute.Strategy | None = None,
    model_builder: Callable[[str], keras.Model] | None = None,
    kill_at: tuple[int, int] = (-1, -1),
    seconds_per_batch: float = 0.0,
    fingerprint: dict[str, Any] | None = None,
    num_tracks: int = 14,
    **settings: Any,
) -> tuple[TrainResult, str]:
    """Train the toy; returns the result and what was printed."""
    config = toy_config(**settings)
    strategy = strategy or tf.distribute.MirroredStrategy(["CPU:0"])
    strips, labels = toy_strips()
    source = Killing(toy_table(num_tracks), config, TOY_DATASETS, strategy, SIZE)
    object.__setattr__(source, "kill_at", kill_at)
    object.__setattr__(source, "seconds_per_batch", seconds_per_batch)
    output = io.StringIO()
    result = train(
        model_builder=model_builder or toy_model(),
        config=config,
        training=source,
        validation=StripSource(strips, labels, config, TOY_DATASETS, strategy, SIZE),
        strategy=strategy,
        run_folder=run_folder,
        score_clips=mean_of_clip,
        fingerprint=fingerprint or {"margin": 0.3},
        console=Console(file=output, width=400),
        fit_temperature=fit_temperature,
    )
    return result, output.getvalue()


def saved_arrays(run_folder: Path) -> dict[str, np.ndarray]:
    """Return the variables in a run's state."""
    with np.load(run_folder / "state.npz") as file:
        return {key: file[key] for key in file.files if key != "state"}
