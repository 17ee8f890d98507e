"""Which tests see cards, and what becomes of those that need one: by sessions with a driver that is made up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_driver import on_path, write_nvidia_smi
from tfdfd.gpus import driver_cards

ROOT = Path(__file__).parent.parent
TESTS = """
import os
import pytest

def test_plain():
    print("plain sees", repr(os.environ.get("CUDA_VISIBLE_DEVICES")))

@pytest.mark.gpu
def test_on_a_card():
    print("card sees", repr(os.environ.get("CUDA_VISIBLE_DEVICES")), os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH"))

@pytest.mark.gpu
@pytest.mark.slow
def test_slow_on_a_card():
    pass

@pytest.mark.slow
def test_slow():
    pass
"""
TENSORFLOW = """
class config:
    @staticmethod
    def list_physical_devices(kind):
        return [kind] * {count}
"""
PASSED, FAILED, REFUSED = 0, 1, 4


@pytest.fixture
def session(tmp_path: Path):
    """Run a session of its own with our conftest; returns its exit status and what it printed."""

    def run(*arguments: str, driver_lists: int, tensorflow_sees: int = 0) -> tuple[int, str]:
        shutil.copyfile(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
        (tmp_path / "test_some.py").write_text(TESTS)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    gpu: a\n    slow: b\n")
        (tmp_path / "tensorflow.py").write_text(TENSORFLOW.format(count=tensorflow_sees))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "TF_", "PYTEST_"))}
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])
        if driver_lists:
            env["PATH"] = on_path(write_nvidia_smi(tmp_path / "bin", capabilities=("8.0",) * driver_lists))
        command = [sys.executable, "-m", "pytest", "-rsA", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_session_of_all_tests_hides_the_cards_and_says_how_to_run_the_others(session):
    status, printed = session(driver_lists=2, tensorflow_sees=2)
    assert status == PASSED
    assert "plain sees ''" in printed
    assert "2 passed, 2 skipped" in printed
    assert "pytest -m gpu" in printed


@pytest.mark.parametrize("marker", ["not slow", "not gpu", "not (gpu or slow)"])
def test_to_leave_tests_out_is_not_to_ask_for_cards(session, marker):
    status, printed = session("-m", marker, driver_lists=1, tensorflow_sees=1)
    assert status == PASSED
    assert "plain sees ''" in printed


@pytest.mark.parametrize("arguments", [("gpu",), ("gpu and not slow",), ("gpu", "-n", "2")], ids=" ".join)
def test_a_session_of_gpu_tests_sees_the_cards_with_memory_that_grows(session, arguments):
    status, printed = session("-m", *arguments, driver_lists=2, tensorflow_sees=2)
    assert status == PASSED
    assert "card sees None true" in printed
    assert "skipped" not in printed


def test_gpu_tests_fail_where_the_driver_lists_cards_and_tensorflow_sees_none(session):
    status, printed = session("-m", "gpu", driver_lists=2, tensorflow_sees=0)
    assert status == FAILED
    assert "the driver lists 2 GPUs" in printed
    assert "TensorFlow sees 0" in printed
    assert "2 errors" in printed
    assert "skipped" not in printed


def test_a_session_of_both_kinds_is_refused(session):
    for arguments in ((), ("-n", "2")):
        status, printed = session("-m", "gpu or slow", *arguments, driver_lists=1, tensorflow_sees=1)
        assert status == REFUSED
        assert "pytest -m gpu" in printed


@pytest.mark.parametrize("arguments", [(), ("-m", "gpu"), ("-m", "gpu or slow")])
def test_without_a_driver_gpu_tests_are_skipped_with_the_reason_and_nothing_is_hidden(session, arguments):
    if driver_cards():
        pytest.skip("this machine has a GPU")
    status, printed = session(*arguments, driver_lists=0)
    assert status == PASSED
    assert printed.count("there is no GPU") >= 1
    assert "2 skipped" in printed
    assert ("plain sees None" in printed) == (not arguments)
