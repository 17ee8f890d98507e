"""Batches for every replica of a strategy: which rows, which pipeline, on which device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.training.team import team_of

MakeDataset = Callable[[int, int, int | None], tf.data.Dataset]
"""(shard, num_shards, device_id) -> the batches of that shard, each of the size of one *replica's* batch."""


def replicated(strategy: tf.distribute.Strategy, datasets: FaceDatasets, make_dataset: MakeDataset) -> Iterable[Any]:
    """Give each replica its own part of every global batch.

    With replica r of R and per-replica batch g, replica r gets rows [b*R*g + r*g, b*R*g + (r+1)*g) in step b,
    so that one replica and several see the same global batches. Replicas are numbered through all workers, those of
    worker 0 first. DALI runs one pipeline a replica; tf.data one pipeline a process, whose successive batches go to
    its replicas in turn. With several workers either runs one pipeline a replica, made by hand: TensorFlow knows
    PER_REPLICA input for MirroredStrategy alone.

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
    devices = strategy.extended.worker_devices
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return _OnePipelineAReplica(strategy, make_dataset, on_device=options is not None)
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        options = None  # no other strategy knows a pipeline a replica

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        shard = context.input_pipeline_id
        device_id = _gpu_number(devices[shard]) if options is not None else None
        return make_dataset(shard, context.num_input_pipelines, device_id)

    return strategy.distribute_datasets_from_function(make, options)


def input_threads(strategy: tf.distribute.Strategy, num_shards: int) -> int:
    """Return the threads of one pipeline: the cores of this machine, shared by the pipelines that run on it.

    Args:
        strategy: that of the run.
        num_shards: pipelines of all workers together, as `MakeDataset` is told.
    """
    return max(1, len(os.sched_getaffinity(0)) // max(1, num_shards // team_of(strategy).size))


class _OnePipelineAReplica:
    """The batches of this worker's replicas.

    Args:
        strategy: of several workers.
        make_dataset: see `replicated`.
        on_device: whether a pipeline belongs on its replica's device.
    """

    def __init__(self, strategy: tf.distribute.Strategy, make_dataset: MakeDataset, *, on_device: bool) -> None:
        self._strategy, self._first = strategy, team_of(strategy).replica_offset
        self._datasets = []
        for number, device in enumerate(strategy.extended.worker_devices, self._first):
            with tf.device(device if on_device else None):
                dataset = make_dataset(
                    number, strategy.num_replicas_in_sync, _gpu_number(device) if on_device else None
                )
            self._datasets.append((device if on_device else None, dataset))

    def __iter__(self) -> Iterator[Any]:
        iterators = []
        for device, dataset in self._datasets:
            with tf.device(device):
                iterators.append(iter(dataset))
        while True:
            batches = []
            for iterator in iterators:
                try:
                    batches.append(next(iterator))
                except StopIteration:
                    return
            yield tf.nest.map_structure(lambda *parts: self._joined(parts), *batches)

    def _joined(self, parts: tuple[tf.Tensor, ...]) -> tf.distribute.DistributedValues:
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group - self._first]
        )


def _gpu_number(device: str) -> int | None:
    found = tf.DeviceSpec.from_string(device)
    return found.device_index if found.device_type == "GPU" else None
