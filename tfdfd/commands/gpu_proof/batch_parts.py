"""Epochs of numbered faces, read by one replica or several."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.dataset import DALI_DATASETS
from tfdfd.commands.gpu_proof.context import Context, require
from tfdfd.commands.gpu_proof.devices import make_replicas
from tfdfd.commands.gpu_proof.samples import NUMBER_SIZE, numbered_table, read_numbers
from tfdfd.data.sampling import epoch_rows
from tfdfd.training.replicas import replicated

EPOCHS, TRACKS, PLACES = 2, 64, 3


def read_epochs(context: Context, num_replicas: int, global_batch: int) -> list[list[int]]:
    """Read epochs on so many replicas; return the numbers that the crops show, in their order."""
    strategy = make_replicas(context, num_replicas)
    table = numbered_table(context.folder / f"numbers-{num_replicas}", num_tracks=TRACKS, num_places=PLACES)
    seen = []
    for epoch in range(EPOCHS):
        rows = epoch_rows(table, seed=5, epoch=epoch, global_batch_size=global_batch, mirror=True)

        def make_dataset(shard: int, num_shards: int, device_id: int | None, rows: Any = rows) -> tf.data.Dataset:
            return DALI_DATASETS.training(
                rows.shard(shard, num_shards, global_batch),
                crop_size=NUMBER_SIZE,
                batch_size=global_batch // num_replicas,
                device_id=device_id,
                num_threads=2,
            )

        batches = iter(replicated(strategy, DALI_DATASETS, make_dataset))
        parts = [_parts(strategy, next(batches)) for _ in range(rows.num_steps(global_batch))]
        crops, labels, weights, clip_rows = (np.concatenate(column) for column in zip(*parts, strict=True))
        numbers = read_numbers(crops)
        # As the rows say, so also in their order, which puts each face onto its replica.
        expected = rows.clip_rows * PLACES + rows.places
        wrong = int((numbers != expected).sum())
        require(not wrong, f"{wrong} of {len(numbers)} faces of epoch {epoch} are not those that the rows name")
        for name, found, told in (("label", labels, rows.labels), ("weight", weights, rows.weights)):
            require(np.array_equal(found, told), f"a face of epoch {epoch} comes with another face's {name}")
        require(np.array_equal(clip_rows, rows.clip_rows), f"a face of epoch {epoch} comes with another clip's row")
        counted = np.bincount(numbers[weights > 0], minlength=TRACKS * PLACES)
        require(np.array_equal(counted, table.is_face.ravel()), f"epoch {epoch} does not have every face once")
        seen.append(numbers.tolist())
    return seen


def _parts(strategy: tf.distribute.Strategy, batch: Any) -> list[np.ndarray]:
    """Return the columns of a global batch, replica after replica; each part's crops must lie on its device."""
    columns = [strategy.experimental_local_results(column) for column in batch]
    for crops, device in zip(columns[0], strategy.extended.worker_devices, strict=True):
        wanted = tf.DeviceSpec.from_string(device).to_string().rpartition("device:")[2]
        require(crops.device.endswith(wanted), f"crops of the replica on {wanted} lie on {crops.device}")
    return [np.concatenate([tensor.numpy() for tensor in column]) for column in columns]
