"""One of two workers with two replicas each: agreements, input and a loss; prints JSON, then what a person sees.

Usage: worker_checks.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.dataset import DALI_DATASETS
from tests.strip_files import write_strips
from tests.training.worker_runs import two_cpus_a_worker
from tfdfd.clip import TfdfdError
from tfdfd.commands.cluster_training import chiefs_errors
from tfdfd.commands.console import run_command
from tfdfd.data.sampling import epoch_rows
from tfdfd.data.tf_datasets import TF_DATASETS
from tfdfd.training import team as teams
from tfdfd.training.cluster import cluster_from_environment
from tfdfd.training.replicas import input_threads, replicated
from tfdfd.training.strategy import make_cluster_strategy
from tfdfd.training.team import SaveClock, Team, explain_lost_workers, team_of

BATCH = 8


def error_of(call: Any, *arguments: Any) -> str:
    """Return what a call raises for a person."""
    try:
        call(*arguments)
    except TfdfdError as error:
        return str(error)
    return ""


def fail_on_worker_0(team: Team) -> None:
    """Do what only worker 0 does, which goes wrong."""
    with chiefs_errors(team):
        if team.is_chief:
            raise TfdfdError("no clip here")


def main(arguments: Sequence[str] | None) -> int:
    """Make every agreement once; then worker 1 fails and worker 0 waits for it."""
    folder = Path((arguments or sys.argv[1:])[0])
    cluster = cluster_from_environment(os.environ)
    assert cluster is not None
    two_cpus_a_worker()
    strategy, _ = make_cluster_strategy(cluster, None, None, wait_seconds=60, say=print)
    team = team_of(strategy)
    own = folder / f"only{team.index}"
    own.mkdir()
    said: dict[str, Any] = {"offset": team.replica_offset}
    said["everyones"] = team.everyones(np.array([team.index, 5.5])).tolist()
    said["chiefs"] = team.chiefs(np.array([float(team.index), np.nan])).tolist()
    many = np.arange(40_000.0) + 0.5 * team.index
    said["many"] = bool((team.everyones(many) == [many - 0.5 * team.index, many + 0.5 - 0.5 * team.index]).all())
    said["texts"] = team.everyones_text("ä" * (1 + 3 * team.index))
    said["same"] = error_of(team.require_same, "settings", {"batch_size": 8, "seed": 1})
    said["other"] = error_of(team.require_same, "settings", {"batch_size": 8, "seed": team.index})
    said["shared"] = error_of(team.require_shared, folder)
    said["chief's error"] = error_of(fail_on_worker_0, team)
    said["threads"] = input_threads(strategy, strategy.num_replicas_in_sync)
    teams.TOKEN_SECONDS = 0.3
    said["unshared"] = error_of(team.require_shared, own)
    # Only the clock of worker 0 has run down.
    clock = SaveClock(team, 1e-9 if team.is_chief else 1e9)
    said["save after"] = [step for step in range(1, 40) if clock.is_due(step)]
    clock = SaveClock(team, 1e9 if team.is_chief else 1e-9)
    said["save never"] = [step for step in range(1, 40) if clock.is_due(step)]

    strips = folder / f"strips{team.index}"
    strips.mkdir()
    table = write_strips(strips, num_tracks=6, num_places=3, crop_size=16)
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    said["rows"] = rows.clip_rows.tolist()
    for datasets in (TF_DATASETS, DALI_DATASETS):

        def make(shard: int, num_shards: int, device_id: int | None, datasets: Any = datasets) -> Any:
            return datasets.training(
                rows.shard(shard, num_shards, BATCH),
                crop_size=16,
                batch_size=BATCH // num_shards,
                device_id=device_id,
                num_threads=1,
            )

        batches = iter(replicated(strategy, datasets, make))
        seen = []
        for _ in range(rows.num_steps(BATCH)):
            crops, _, _, clip_rows = map(strategy.experimental_local_results, next(batches))
            seen.append([clip_rows[0].numpy().tolist(), clip_rows[1].numpy().tolist()])
            said.setdefault(f"{datasets.name} sums", []).append([int(part.numpy().sum()) for part in crops])
        said[datasets.name] = seen
    print(json.dumps(said), flush=True)
    team.wait()
    if not team.is_chief:
        raise TfdfdError("this worker has an error of its own")
    with explain_lost_workers(team.size):
        team.wait()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
