"""kill -9 at random moments: the store ends as an undisturbed one, byte for byte, and training goes on to the same
weights."""

import hashlib
import random
import subprocess
import time

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


def kill_after(seconds, *arguments, cwd):
    """Start a command and kill it; return whether it was still running."""
    process = subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return render_demo(tmp_path_factory.mktemp("clips") / "clips", num_clips=12)


@pytest.fixture(scope="module")
def undisturbed(clips, tmp_path_factory):
    """An undisturbed store and run, with how long each took in seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    prepared = run("tfdfd", "prepare", "--data", clips, "--store", "store", "--crop-size", "72", cwd=folder)
    assert prepared.returncode == 0, prepared.stdout
    middle = time.monotonic()
    trained = run("run_train.py", "--data", clips, "--store", "store", *TRAIN, "--output", "models/m", cwd=folder)
    assert trained.returncode == 0, trained.stdout
    return folder, middle - began, time.monotonic() - middle


@pytest.mark.parametrize("num_kills", NUM_KILLS)
def test_prepare_ends_with_the_same_store(clips, undisturbed, tmp_path, num_kills):
    folder, seconds, _ = undisturbed
    arguments = ("tfdfd", "prepare", "--data", clips, "--store", "store", "--crop-size", "72")
    moments = random.Random(num_kills)
    killed = sum(kill_after(seconds * moments.uniform(0.4, 0.95), *arguments, cwd=tmp_path) for _ in range(num_kills))
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert contents(tmp_path / "store") == contents(folder / "store")
    assert killed, "every run ended before it was killed"


@pytest.mark.parametrize("num_kills", NUM_KILLS)
def test_training_goes_on_to_the_same_weights(clips, undisturbed, tmp_path, num_kills):
    folder, _, seconds = undisturbed
    arguments = ("run_train.py", "--data", clips, "--store", folder / "store", *TRAIN, "--output", "models/m")
    moments = random.Random(num_kills)
    killed = sum(kill_after(seconds * moments.uniform(0.3, 0.9), *arguments, cwd=tmp_path) for _ in range(num_kills))
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert killed, "every run ended before it was killed"
    with np.load(folder / "runs/m/state.npz") as expected, np.load(tmp_path / "runs/m/state.npz") as found:
        assert expected.files == found.files
        for name in expected.files:
            if name != "state":  # holds the seconds that each epoch took
                np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)
