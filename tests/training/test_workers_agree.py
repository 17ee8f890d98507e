"""Two processes on loopback train as one process does, and go on together when one of them dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.free_ports import free_addresses
from tests.training.test_replicas_agree import largest_difference
from tests.training.toy_training import run_toy, saved_arrays, toy_model

HERE = Path(__file__).parent
DROPOUT = {"dropout": 0.3, "model_dropout": 0.3}
SGD = {"optimizer": "sgd", "learning_rate": 0.05}
Run = tuple[int, str]


def start(script: str, arguments: tuple[str, ...], tf_config: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        env=os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}", "TF_CONFIG": tf_config},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_workers(kind: str, run_folder: Path, **settings: Any) -> list[Run]:
    """Train the toy on two workers; returns exit status and output of each."""
    return run_pair("worker_runs.py", kind, str(run_folder), json.dumps(settings))


def run_pair(script: str, *arguments: str) -> list[Run]:
    """Run a script as two workers; returns exit status and output of each."""
    addresses = free_addresses(2)
    processes = [
        start(script, arguments, json.dumps({"cluster": {"worker": addresses}, "task": task}))
        for task in ({"type": "worker", "index": index} for index in range(2))
    ]
    try:
        return [
            (process.returncode, output) for process in processes for output in [process.communicate(timeout=600)[0]]
        ]
    finally:
        for process in processes:
            process.kill()


def run_one(kind: str, run_folder: Path, **settings: Any) -> str:
    """Run one process without a cluster."""
    process = start("worker_runs.py", (kind, str(run_folder), json.dumps(settings)), "")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def require_success(runs: list[Run]) -> None:
    assert [status for status, _ in runs] == [0] * len(runs), "\n".join(output for _, output in runs)


def killed_and_started_again(
    kind: str, folder: Path, *, worker: int, kill_at: tuple[int, int], **settings: Any
) -> list[Run]:
    """Kill one worker, look at how the other ends, and give the same command to both again."""
    settings |= {"checkpoint_minutes": 0}
    runs = run_workers(kind, folder, kill_worker=worker, kill_at=kill_at, **settings)
    assert runs[worker][0] == -signal.SIGKILL
    status, said = runs[1 - worker]
    assert status == 75, said
    assert "another worker has ended or cannot be reached" in said
    assert "it goes on from the last checkpoint" in said
    assert "Traceback" not in said
    return run_workers(kind, folder, **settings)


def test_two_workers_one_of_which_is_killed_end_as_one_process_and_worker_0_alone_writes(tmp_path: Path) -> None:
    result, _ = run_toy(tmp_path / "one", model_builder=toy_model(dropout=0.0, synchronized=True), **SGD)
    runs = killed_and_started_again("synchronized", tmp_path / "two", worker=1, kill_at=(1, 3), **SGD)
    require_success(runs)
    assert f"going on in {tmp_path / 'two'} after 1 epochs and 3 steps" in runs[0][1]
    one, two = saved_arrays(tmp_path / "one"), saved_arrays(tmp_path / "two")
    assert all(len(array) == 1 for array in two.values())  # the replicas' copies are equal
    assert largest_difference(one, two) < 1e-5
    for index, (_, said) in enumerate(runs):
        assert f"training as worker {index} of 2 on one CPU, 2 replicas in all" in said
    # Both have taken the same decisions, and validation has seen the same scores.
    assert len({said.splitlines()[-1] for _, said in runs}) == 1
    best_epoch, best_value = runs[0][1].splitlines()[-1].removeprefix("best epoch ").split(" at ")
    assert int(best_epoch) == result.best_epoch
    assert abs(float(best_value) - result.best_value) < 1e-5
    assert len((tmp_path / "two/history.csv").read_text().splitlines()) == 3
    assert len(list((tmp_path / "two/tensorboard").glob("train/events*"))) == 2  # before the kill and after it
    assert json.loads((tmp_path / "two/config.json").read_text())["workers"] == 2


@pytest.mark.slow
def test_two_replicas_on_each_of_two_workers_are_four_replicas_statistics_included(tmp_path: Path) -> None:
    settings = SGD | {"epochs": 1, "checkpoint_minutes": 0}
    run_one("per_replica", tmp_path / "four", replicas=4, **settings)
    require_success(run_workers("two_a_worker", tmp_path / "pairs", **settings))
    four, pairs = saved_arrays(tmp_path / "four"), saved_arrays(tmp_path / "pairs")
    assert largest_difference(four, pairs) < 1e-5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Arrays of a run in which nobody is killed, and which saves at the ends of epochs only."""
    folder = tmp_path_factory.mktemp("undisturbed")
    require_success(run_workers("per_replica", folder, **DROPOUT))
    return saved_arrays(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("worker", "kill_at"), [(1, (1, 3)), (0, (0, 2)), (0, (1, 4))])
def test_when_a_worker_is_killed_the_other_ends_and_both_go_on_to_the_same_weights(
    tmp_path: Path, undisturbed: dict[str, np.ndarray], worker: int, kill_at: tuple[int, int]
) -> None:
    runs = killed_and_started_again("per_replica", tmp_path, worker=worker, kill_at=kill_at, **DROPOUT)
    require_success(runs)
    found = saved_arrays(tmp_path)
    assert found.keys() == undisturbed.keys()
    assert all(np.array_equal(found[key], undisturbed[key]) for key in found)


def test_workers_agree_on_what_a_clock_or_a_disk_says_and_see_equal_parts_of_each_batch(tmp_path: Path) -> None:
    runs = run_pair("worker_checks.py", str(tmp_path))
    lines = [[line for line in output.splitlines() if line.startswith("{")] for _, output in runs]
    assert all(map(len, lines)), "\n".join(output for _, output in runs)
    first, second = (json.loads(found[0]) for found in lines)
    assert [first["offset"], second["offset"]] == [0, 2]
    for said in (first, second):
        assert said["everyones"] == [[0, 5.5], [1, 5.5]]
        assert said["chiefs"][0] == 0
        assert np.isnan(said["chiefs"][1])
        assert said["many"]
        assert said["texts"] == ["ä", "ääää"]
        assert said["same"] == ""
        assert "worker 1 has other settings than worker 0:\n  seed: 0 and 1" in said["other"]
        assert said["shared"] == ""
        assert said["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)  # two pipelines here, two there
        assert "does not appear on worker 1. All go on from the state in it" in said["unshared"]
        assert said["save after"] == [16, 32]
        assert said["save never"] == []
        assert said["dali"] == said["tf.data"]
        assert said["dali sums"] == said["tf.data sums"]
    assert first["chief's error"] == "no clip here"
    assert second["chief's error"] == "worker 0 stopped: no clip here"
    # The replicas of worker 0, then those of worker 1, hold the rows of each global batch in order.
    steps = [one + two for one, two in zip(first["dali"], second["dali"], strict=True)]
    assert [row for step in steps for part in step for row in part] == first["rows"]
    # An error of one worker ends it as ever, and the other with the status that means: start all again.
    assert [status for status, _ in runs] == [75, 1]
    assert "another worker has ended" in runs[0][1]
    assert "this worker has an error of its own" in runs[1][1]
