"""The main job as two workers on one machine: one extracts and exports, both train; and what several cannot honour."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.run_commands import command, environment, run
from tests.training.free_ports import free_addresses
from tfdfd.clip import TfdfdError
from tfdfd.commands.train import main
from tfdfd.data.demo import render_demo

TINY = (
    *("--data", "clips", "--store", "store", "--output", "saved_models/tiny", "--val-folders", "dfdc_train_part_1"),
    *("--weights", "none", "--crop-size", "72", "--epochs", "1", "--batch-size", "8"),
)


def run_both(folder: Path, *arguments: object, of_second: tuple[object, ...] = ()) -> list[tuple[int, str]]:
    """Run run_train.py as worker 0 and worker 1; returns exit status and output of each."""
    addresses = free_addresses(2)
    processes = [
        subprocess.Popen(
            command("run_train.py", *arguments, *(of_second if index else ())),
            cwd=folder,
            env=environment()
            | {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=900)[0] for process in processes]
        return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_worker_0_extracts_and_exports_and_both_train(tmp_path: Path) -> None:
    render_demo(tmp_path / "clips", num_clips=8)
    (first, said), (second, others) = run_both(tmp_path, *TINY)
    assert (first, second) == (0, 0), f"{said}\n{others}"
    assert "training as worker 0 of 2 on one CPU, 2 replicas in all" in said
    assert "8 clips: 8 ok" in said
    assert "exported saved_models/tiny/1" in said
    assert "training as worker 1 of 2" in others
    assert "waiting for worker 0, which sees to the face store" in others
    assert "worker 0 exports epoch 1" in others
    assert len(others.splitlines()) <= 4
    graph = (tmp_path / "saved_models/tiny/1/saved_model.pb").read_bytes()
    assert b"/job:worker" not in graph  # it runs on machines of no cluster
    assert [path.name for path in (tmp_path / "saved_models/tiny").iterdir() if path.name.isdigit()] == ["1"]

    again = run_both(tmp_path, *TINY)
    assert [status for status, _ in again] == [0, 0]
    assert "nothing to train" in again[0][1]
    assert "is already the best epoch" in again[0][1]

    # The run of two workers goes on on one machine with two replicas, and is then another run only in its settings.
    alone = run("run_train.py", *TINY, "--epochs", "2", "--logical-cpus", "2", cwd=tmp_path)
    assert alone.returncode == 0, alone.stdout
    assert re.search(r"going on in runs/tiny after 1 epochs", alone.stdout)

    refused = run_both(tmp_path, *TINY, of_second=("--learning-rate", "0.5"))
    for status, text in refused:
        assert status == 1, text
        assert "worker 1 has other settings than worker 0:\n  learning_rate: 0.0001 and 0.5" in text


@pytest.mark.parametrize(
    ("tf_config", "arguments", "message"),
    [
        ("{", (), "TF_CONFIG must be JSON"),
        ("ps", (), "`task.type` must be one of"),
        ("worker", ("--demo",), "--demo runs on one machine, and TF_CONFIG names 2: unset TF_CONFIG"),
        ("worker", ("--stream",), "--stream runs on one machine, and TF_CONFIG names 2"),
        ("worker", ("--cluster-wait", "0"), "--cluster-wait must be above 0 minutes, got 0"),
        ("", ("--cluster-wait", "5"), "--cluster-wait is for several machines"),
        ("worker", ("--logical-cpus", "2"), "a worker without GPUs is one CPU replica"),
        ("worker", ("--cluster-wait", "0.01"), r"worker 1 \(127.0.0.1:\d+\) did not come in 0.01 minutes"),
    ],
)
def test_what_several_machines_cannot_honour_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tf_config: str, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if tf_config in ("worker", "ps"):
        task = {"type": tf_config, "index": 0}
        tf_config = json.dumps({"cluster": {"worker": free_addresses(2)}, "task": task})
    monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(TfdfdError, match=message):
        main(arguments)
    assert list(tmp_path.iterdir()) == []
