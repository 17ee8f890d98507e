"""What keeps the devices busy changes no value: batches drawn ahead, totals left on devices. What is said of memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy_training import run_toy, saved_arrays
from tfdfd.clip import TfdfdError
from tfdfd.data.frame_source import OneAhead
from tfdfd.training import loop, want_of_memory
from tfdfd.training.step import RunningTotals
from tfdfd.training.team import team_of
from tfdfd.training.want_of_memory import explain_want_of_memory

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def strategy() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0"])


def ahead_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_batches_drawn_ahead_give_the_same_weights_and_leave_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_toy(tmp_path / "plain")
    monkeypatch.setattr(loop, "_draws_ahead", lambda strategy: True)
    result, _ = run_toy(tmp_path / "ahead")
    one, other = saved_arrays(tmp_path / "plain"), saved_arrays(tmp_path / "ahead")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert ((result.history["input_wait"] >= 0) & (result.history["input_wait"] <= 1)).all()
    assert ahead_threads() == []


KILLED = """
import sys
from pathlib import Path
from tests.training.toy_training import run_toy
from tfdfd.training import loop
loop._draws_ahead = lambda strategy: True
run_toy(Path(sys.argv[1]), checkpoint_minutes=0, kill_at=(1, 2))
"""


def test_a_run_that_is_killed_with_batches_drawn_ahead_ends_where_an_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    monkeypatch.setattr(loop, "_draws_ahead", lambda strategy: True)
    run_toy(tmp_path, checkpoint_minutes=0)
    run_toy(tmp_path / "whole", checkpoint_minutes=0)
    one, other = saved_arrays(tmp_path / "whole"), saved_arrays(tmp_path)
    assert all(np.array_equal(one[key], other[key]) for key in one)


def test_no_more_than_two_are_drawn_before_they_are_asked_for() -> None:
    drawn: list[int] = []

    def numbers():
        for number in range(9):
            drawn.append(number)
            yield number

    ahead = OneAhead(numbers(), ahead=2)
    assert next(ahead) == 0
    ahead._ahead[-1].result()
    assert drawn == [0, 1, 2]
    assert list(ahead) == list(range(1, 9))
    ahead.close()


def test_an_error_arrives_where_the_batch_is_asked_for() -> None:
    def broken():
        yield 1
        raise TfdfdError("the disk is away")

    ahead = OneAhead(broken(), ahead=2)
    assert next(ahead) == 1
    with pytest.raises(TfdfdError, match="disk is away"):
        next(ahead)
    ahead.close()


def test_totals_have_the_same_last_bit_however_often_they_are_fetched(strategy: tf.distribute.Strategy) -> None:
    rng = np.random.default_rng(0)
    steps = [tuple(tf.constant(rng.random(4)) for _ in range(2)) for _ in range(20)]
    often, once = (RunningTotals([0.1, 0.2, 0.3, 0.4], team_of(strategy)) for _ in range(2))
    for step in steps:
        often.add(step)
        often.settle()
        once.add(step)
    expected = np.array([0.1, 0.2, 0.3, 0.4])
    for one, other in steps:
        expected = expected + (one.numpy() + other.numpy())
    assert np.array_equal(once.shown(), expected)
    assert np.array_equal(often.settle(), expected)
    assert np.array_equal(once.settle(), expected)


def test_a_step_without_memory_names_the_batch_size(strategy: tf.distribute.Strategy) -> None:
    with (
        pytest.raises(TfdfdError, match=r"--batch-size 256 .*smaller --batch-size"),
        explain_want_of_memory(256, strategy),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def test_gpus_alone_are_watched(strategy: tf.distribute.Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[str] = []
    monkeypatch.setattr(want_of_memory, "told_of_abrupt_end", watched.append)
    with explain_want_of_memory(256, strategy):
        pass
    assert watched == []


WATCHED = """
import os, sys
from tfdfd.training.want_of_memory import told_of_abrupt_end
with told_of_abrupt_end("give a smaller --batch-size than 256"):
    print(os.getpid(), flush=True)
    {ending}
"""


@pytest.mark.parametrize(
    ("ending", "is_told"),
    [("os.abort()", True), ("os.kill(os.getpid(), 9)", True), ("pass", False), ("raise SystemExit(3)", False)],
)
def test_a_process_that_is_aborted_leaves_a_message_and_one_that_ends_leaves_none(ending: str, is_told: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(ending=ending)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,  # waits until the watcher has closed its end too
        text=True,
        timeout=120,
    )
    assert ("--batch-size than 256" in done.stderr) == is_told
    if is_told:
        assert done.returncode in (-signal.SIGABRT, -signal.SIGKILL)


DETERMINISTIC = """
import sys
from pathlib import Path
import tensorflow as tf
from tensorflow.python.framework import config
from tests.training.toy_training import run_toy
run_toy(Path(sys.argv[1]), deterministic=sys.argv[2] == "on")
print("determinism", config.is_op_determinism_enabled())
"""


@pytest.mark.slow
def test_deterministic_is_applied_and_changes_nothing_on_a_cpu(tmp_path: Path) -> None:
    for value in ("on", "off"):
        done = subprocess.run(
            [sys.executable, "-c", DETERMINISTIC, str(tmp_path / value), value],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        assert f"determinism {value == 'on'}" in done.stdout
    one, other = saved_arrays(tmp_path / "on"), saved_arrays(tmp_path / "off")
    assert all(np.array_equal(one[key], other[key]) for key in one)
