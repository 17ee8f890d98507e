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
from tests.training.toy_training import saved_arrays

HERE = Path(__file__).parent
SGD = {"optimizer": "sgd", "learning_rate": 0.05}
Run = tuple[int, str]


def start(kind: str, run_folder: Path, settings: dict[str, Any], tf_config: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "worker_runs.py"), kind, str(run_folder), json.dumps(settings)],
        env=os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}", "TF_CONFIG": tf_config},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_workers(kind: str, run_folder: Path, number: int = 2, **settings: Any) -> list[Run]:
    """Run one process a worker; returns exit status and output of each."""
    addresses = free_addresses(number)
    processes = [
        start(kind, run_folder, settings, json.dumps({"cluster": {"worker": addresses}, "task": task}))
        for task in ({"type": "worker", "index": index} for index in range(number))
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
    process = start(kind, run_folder, settings, "")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def require_success(runs: list[Run]) -> None:
    assert [status for status, _ in runs] == [0] * len(runs), "\n".join(output for _, output in runs)


def test_two_workers_end_as_one_process_with_the_global_batch_and_worker_0_alone_writes(tmp_path: Path) -> None:
    output = run_one("synchronized", tmp_path / "one", **SGD)
    runs = run_workers("synchronized", tmp_path / "two", **SGD)
    require_success(runs)
    one, two = saved_arrays(tmp_path / "one"), saved_arrays(tmp_path / "two")
    assert all(len(array) == 1 for array in two.values())  # the replicas' copies are equal
    assert largest_difference(one, two) < 1e-5
    for index, (_, said) in enumerate(runs):
        assert f"training as worker {index} of 2 on one CPU, 2 replicas in all" in said
    # Both have taken the same decisions, and validation has seen the same scores.
    assert len({said.splitlines()[-1] for _, said in runs}) == 1
    assert output.splitlines()[-1].split(" at ")[0] == runs[0][1].splitlines()[-1].split(" at ")[0]
    assert len((tmp_path / "two/history.csv").read_text().splitlines()) == 3
    assert len(list((tmp_path / "two/tensorboard").glob("*/events*"))) == 1
    assert json.loads((tmp_path / "two/config.json").read_text())["workers"] == 2
