"""Batches for every replica of a strategy: which rows, which pipeline, on which device."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfdfd.data.face_datasets import FaceDatasets

MakeDataset = Callable[[int, int, int | None], tf.data.Dataset]
"""(shard, num_shards, device_id) -> the batches of that shard, each of the size of one *replica's* batch."""


def replicated(
    strategy: tf.distribute.Strategy, datasets: FaceDatasets, make_dataset: MakeDataset
) -> tf.distribute.DistributedDataset:
    """Give each replica its own part of every global batch.

    With replica r of R and per-replica batch g, replica r gets rows [b*R*g + r*g, b*R*g + (r+1)*g) in step b,
    so that one replica and several see the same global batches. DALI runs one pipeline a replica; tf.data one
    pipeline a worker, whose successive batches go to the worker's replicas in turn.

    Usage:
        batches = iter(replicated(strategy, datasets, lambda shard, num_shards, device_id: datasets.training(
            rows.shard(shard, num_shards, global_batch_size), crop_size=..., batch_size=global_batch_size //
            strategy.num_replicas_in_sync, device_id=device_id, num_threads=...)))
        for _ in range(rows.num_steps(global_batch_size)):
            strategy.run(step, args=(next(batches),))

    Args:
        strategy: the strategy that will run the steps.
        datasets: the source of batches that make_dataset uses.
        make_dataset: called once a pipeline as (shard, num_shards, device_id); must return the dataset of
            `rows.shard(shard, num_shards, global_batch_size)` in batches of global_batch_size /
            num_replicas_in_sync. device_id is the GPU to decode on, None for the CPU.

    Returns:
        An iterable whose elements go straight into `strategy.run(step, args=(element,))`. It may never end.
    """
    options = datasets.input_options
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        options = None  # no other strategy knows a pipeline a replica
    devices = strategy.extended.worker_devices

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        shard = context.input_pipeline_id
        device_id = None
        if options is not None:
            device = tf.DeviceSpec.from_string(devices[shard])
            device_id = device.device_index if device.device_type == "GPU" else None
        return make_dataset(shard, context.num_input_pipelines, device_id)

    return strategy.distribute_datasets_from_function(make, options)
