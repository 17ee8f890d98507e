"""DALI graphs as tf.data datasets, one pipeline a replica."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import cast

import nvidia.dali.plugin.tf as dali_tf
import tensorflow as tf
from nvidia.dali.backend import PreallocateDeviceMemory  # pyright: ignore[reportAttributeAccessIssue]  compiled
from nvidia.dali.pipeline import Pipeline

from pipelines import faces
from tfdfd.data.alterations import used_columns
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows, StripRows

ALTERED_TOGETHER = 128
"""At least so many faces go through a CPU graph together if it alters some: of few faces an operator would get two or
three, and the other threads wait for the one that has one more."""
_BATCHES_HELD = 12
"""Batches in float32 that a graph of all alterations may hold on a GPU: one a step, and two that are ready. An
estimate; it was not measured on a GPU."""
_DECODER_BYTES = 256 * 2**20
"""For nvJPEG; an estimate too."""


def training_dataset(
    rows: FaceRows, *, crop_size: int, batch_size: int, device_id: int | None = None, num_threads: int = 2
) -> tf.data.Dataset:
    """Read faces in the order of the rows, endlessly: the caller counts `rows.num_steps`.

    Args and Returns: as `TrainingDataset`.

    Raises:
        ValueError: if the rows do not fill whole batches.
    """
    rows.num_steps(batch_size)
    is_altered = bool(used_columns(rows.alterations))
    together = max(batch_size, ALTERED_TOGETHER) if is_altered and device_id is None else batch_size
    specs = (
        tf.TensorSpec([together, crop_size, crop_size, 3], tf.uint8),
        tf.TensorSpec([together], tf.float32),
        tf.TensorSpec([together], tf.float32),
        tf.TensorSpec([together], tf.int32),
    )
    if rows.has_masks:
        specs += (
            tf.TensorSpec([together, crop_size, crop_size, 1], tf.uint8),
            tf.TensorSpec([together], tf.float32),
        )
    dataset = _dataset(
        lambda folder: faces.training_pipeline(
            rows,
            folder,
            crop_size=crop_size,
            batch_size=together,
            device_id=device_id,
            num_threads=num_threads,
        ),
        specs,
        batch_size=together,
        device_id=device_id,
        num_threads=num_threads,
    )
    # The reader begins anew behind the last row, so the order of the faces is the same however many come together.
    return dataset if together == batch_size else dataset.rebatch(batch_size, drop_remainder=True)


def evaluation_dataset(
    rows: StripRows,
    *,
    crop_size: int,
    num_places: int,
    batch_size: int,
    device_id: int | None = None,
    num_threads: int = 2,
) -> tf.data.Dataset:
    """Read whole strips in the order of the rows, endlessly: the caller counts `rows.num_steps`.

    Args and Returns: as `EvaluationDataset`.

    Raises:
        ValueError: if the rows do not fill whole batches, or have another number of places.
    """
    rows.num_steps(batch_size)
    specs = (
        tf.TensorSpec([batch_size, num_places, crop_size, crop_size, 3], tf.uint8),
        tf.TensorSpec([batch_size, num_places], tf.bool),
        tf.TensorSpec([batch_size], tf.int32),
    )
    return _dataset(
        lambda folder: faces.evaluation_pipeline(
            rows,
            folder,
            crop_size=crop_size,
            num_places=num_places,
            batch_size=batch_size,
            device_id=device_id,
            num_threads=num_threads,
        ),
        specs,
        batch_size=batch_size,
        device_id=device_id,
        num_threads=num_threads,
    )


def _dataset(
    make_pipeline: Callable[[Path], Pipeline],
    specs: tuple[tf.TensorSpec, ...],
    *,
    batch_size: int,
    device_id: int | None,
    num_threads: int,
) -> tf.data.Dataset:
    if device_id is not None:
        _keep_headroom(device_id, sum(int(spec.shape.num_elements() or 0) for spec in specs))
    folder = tempfile.TemporaryDirectory(prefix="tfdfd-rows-")
    pipeline = make_pipeline(Path(folder.name))
    with tf.device(_device(device_id)):
        dataset = dali_tf.DALIDataset(
            pipeline=pipeline,
            batch_size=batch_size,
            num_threads=num_threads,
            device_id=device_id,  # pyright: ignore[reportArgumentType]  None means the CPU
            output_shapes=tuple(spec.shape for spec in specs),
            output_dtypes=tuple(spec.dtype for spec in specs),
            fail_on_device_mismatch=True,
        )
    # The readers open their files while an iterator runs, so these live as long as the dataset.
    weakref.finalize(dataset, folder.cleanup)
    return cast(tf.data.Dataset, dataset)


@cache
def _keep_headroom(device_id: int, batch_elements: int) -> None:
    """Have DALI take its memory of a GPU before TensorFlow's pool, which only grows, has it all.

    Where DALI cannot allocate later, its plugin aborts the process.

    Args:
        device_id: the GPU.
        batch_elements: numbers in a batch that leaves the graph.
    """
    PreallocateDeviceMemory(_DECODER_BYTES + _BATCHES_HELD * 4 * batch_elements, device_id)


def _device(device_id: int | None) -> str:
    if device_id is not None:
        return f"/GPU:{device_id}"
    # Inside a replica's device scope (one of several logical CPUs) the dataset belongs there.
    here = tf.zeros([]).device
    return here if "CPU" in here else "/CPU:0"


DALI_DATASETS = FaceDatasets(
    name="dali",
    training=training_dataset,
    evaluation=evaluation_dataset,
    # A pipeline can be neither split nor moved between devices, so each replica makes and keeps its own.
    input_options=tf.distribute.InputOptions(
        experimental_fetch_to_device=False,
        experimental_place_dataset_on_device=True,
        experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
    ),
)
