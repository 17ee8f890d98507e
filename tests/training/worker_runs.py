"""One worker of a training on several, in a process of its own, as its TF_CONFIG says; prints what a person sees.

Usage: worker_runs.py KIND RUN_FOLDER [JSON of the settings]
KIND is synchronized, per_replica or two_a_worker. Without TF_CONFIG it is the same run in one process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.training.toy_training import run_toy, toy_model
from tfdfd.commands.console import run_command
from tfdfd.training.cluster import cluster_from_environment
from tfdfd.training.strategy import make_cluster_strategy, make_strategy
from tfdfd.training.team import explain_lost_workers, team_of


def two_cpus_a_worker() -> None:
    """Let a worker have two replicas, as a machine with two GPUs has; TensorFlow makes one CPU replica a worker."""
    from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    def local_devices(_: Any, __: Any, worker_device: str) -> tuple[tuple[str, ...], str]:
        return tuple(f"{worker_device}/device:CPU:{index}" for index in range(2)), "CPU"

    CollectiveAllReduceExtended._initialize_local_devices = local_devices


def main(arguments: Sequence[str] | None) -> int:
    """Train the toy."""
    kind, run_folder, *more = arguments or sys.argv[1:]
    settings = json.loads(more[0]) if more else {}
    cluster = cluster_from_environment(os.environ)
    if kind == "two_a_worker" and cluster is not None:
        two_cpus_a_worker()
    if cluster is None:
        strategy, line = make_strategy(None, settings.pop("replicas", 1))
    else:
        settings.pop("replicas", None)
        strategy, line = make_cluster_strategy(cluster, None, None, wait_seconds=60, say=print)
    print(line, flush=True)
    is_killed = settings.pop("kill_worker", None) == (0 if cluster is None else cluster.index)
    kill_at = tuple(settings.pop("kill_at", (-1, -1)))
    synchronized = kind == "synchronized"
    with explain_lost_workers(team_of(strategy).size):
        result, output = run_toy(
            Path(run_folder),
            strategy=strategy,
            model_builder=toy_model(dropout=settings.pop("model_dropout", 0.0), synchronized=synchronized),
            kill_at=kill_at if is_killed else (-1, -1),
            **settings,
        )
        print(output)
        print(f"best epoch {result.best_epoch} at {result.best_value!r}", flush=True)
        team_of(strategy).wait()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
