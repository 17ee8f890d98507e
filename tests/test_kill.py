"""kill -9 at random moments: the store ends as an undisturbed one, byte for byte, and training goes on to the same
weights."""

import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.run_commands import command, environment, run
from tfdfd.data.demo import render_demo

NUM_KILLS = [pytest.param(2, id="2 kills"), pytest.param(10, id="10 kills", marks=pytest.mark.slow)]
TRAIN = (
    *("--weights", "none", "--crop-size", "72", "--epochs", "2", "--batch-size", "16", "--val-folders", "*_1"),
    *("--checkpoint-minutes", "0"),
)


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "writer.lock"
    }


def kill_when(has_moved, moments, *arguments, cwd):
    """Start a command, let it do a little work, kill it at a random moment.

    Args:
        has_moved: called without arguments; true once the command has got further than before.
        moments: draws the moment.
        arguments: the command.
        cwd: where it runs.

    Returns:
        Whether it was still running. No process that it had started is left.
    """
    process = subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not has_moved():
        time.sleep(0.02)
    time.sleep(moments.uniform(0, 0.2))
    was_running = process.poll() is None
    started = children_of(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(map(is_running, started)):
        assert time.monotonic() < deadline, f"{started} outlived {process.pid}"
        time.sleep(0.02)
    return was_running


def children_of(process_id):
    try:
        return [int(child) for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_running(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return render_demo(tmp_path_factory.mktemp("clips") / "clips", num_clips=24)


@pytest.fixture(scope="module")
def undisturbed(clips, tmp_path_factory):
    """The folder of an undisturbed store."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prepared = run("tfdfd", "prepare", "--data", clips, "--store", "store", "--crop-size", "72", cwd=folder)
    assert prepared.returncode == 0, prepared.stdout
    return folder


@pytest.fixture(scope="module")
def trained(clips, undisturbed):
    """The same with an undisturbed training."""
    done = run("run_train.py", "--data", clips, "--store", "store", *TRAIN, "--output", "models/m", cwd=undisturbed)
    assert done.returncode == 0, done.stdout
    return undisturbed


@pytest.mark.parametrize("num_kills", NUM_KILLS)
def test_prepare_ends_with_the_same_store(clips, undisturbed, tmp_path, num_kills):
    arguments = ("tfdfd", "prepare", "--data", clips, "--store", "store", "--crop-size", "72")
    moments = random.Random(num_kills)

    def num_records():
        return len(list(tmp_path.glob("store/records/*/*.json")))

    for _ in range(num_kills):
        before = num_records()
        assert kill_when(lambda before=before: num_records() > before, moments, *arguments, cwd=tmp_path)
    assert not (tmp_path / "store/clips.parquet").exists()
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert contents(tmp_path / "store") == contents(undisturbed / "store")


@pytest.mark.slow
def test_killing_workers_ends_with_the_same_store(clips, undisturbed, tmp_path):
    arguments = ("tfdfd", "prepare", "--data", clips, "--store", "store", "--crop-size", "72", "--workers", "2")
    process = subprocess.Popen(
        command(*arguments),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    killed = set()
    while process.poll() is None and len(killed) < 2:
        if len(list(tmp_path.glob("store/records/*/*.json"))) > len(killed):
            for worker in set(children_of(process.pid)) - killed:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
        time.sleep(0.02)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert len(killed) >= 2
    assert "tried again when the others are done" in said
    assert not any(map(is_running, killed))
    assert contents(tmp_path / "store") == contents(undisturbed / "store")


@pytest.mark.slow  # tests/training/test_loop.py kills a small network's training in seconds
@pytest.mark.parametrize("num_kills", [2, 10])
def test_training_goes_on_to_the_same_weights(clips, trained, tmp_path, num_kills):
    arguments = ("run_train.py", "--data", clips, "--store", trained / "store", *TRAIN, "--output", "models/m")
    moments = random.Random(num_kills)
    state = tmp_path / "runs/m/state.npz"

    def last_save():
        return state.stat().st_mtime_ns if state.exists() else 0

    for _ in range(num_kills):
        before = last_save()
        assert kill_when(lambda before=before: last_save() > before, moments, *arguments, cwd=tmp_path)
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    with np.load(trained / "runs/m/state.npz") as expected, np.load(state) as found:
        assert expected.files == found.files
        for name in expected.files:
            if name != "state":  # holds the seconds that each epoch took
                np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
