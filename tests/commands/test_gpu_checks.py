"""What the doctor says of GPUs that are not there, half there, or cannot be used."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fake_driver import on_path, write_nvidia_smi
from tests.run_commands import command, environment
from tests.video_files import write_video
from tfdfd.commands import gpu_checks
from tfdfd.commands.check import MISSING, OK, WARNING
from tfdfd.cuda_libraries import LINK, SET_UP_GPU, Finding, LoaderReport
from tfdfd.data.store import FaceStore
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn_weights import mtcnn_settings
from tfdfd.gpus import Card
from tfdfd.serving.versions import ASSETS

TWO = (
    Card(0, "A", compute_capability=(8, 0), driver_version="550.1"),
    Card(1, "B", compute_capability=(8, 6), driver_version="550.1"),
)


def on_a_machine_with(monkeypatch: pytest.MonkeyPatch, *cards: Card, problem: str = "") -> None:
    monkeypatch.setattr(gpu_checks, "driver_cards", lambda: cards)
    monkeypatch.setattr(gpu_checks, "visible_cards", lambda: cards)
    monkeypatch.setattr(gpu_checks, "driver_problem", lambda: problem)


def test_without_a_card_nothing_is_missing(monkeypatch: pytest.MonkeyPatch):
    on_a_machine_with(monkeypatch)
    monkeypatch.setattr(gpu_checks, "version_of", lambda package: "")
    states = [check().state for check in gpu_checks.GPU_CHECKS]
    assert states == [WARNING, WARNING, WARNING, WARNING, OK]


def test_a_driver_that_fails_is_missing(monkeypatch: pytest.MonkeyPatch):
    on_a_machine_with(monkeypatch, problem="Driver/library version mismatch")
    check = gpu_checks.check_driver()
    assert (check.state, "mismatch" in check.detail) == (MISSING, True)


def test_cards_are_listed_with_capability_and_driver(monkeypatch: pytest.MonkeyPatch):
    on_a_machine_with(monkeypatch, *TWO)
    check = gpu_checks.check_driver()
    assert check.state == OK
    assert all(fact in check.detail for fact in ("A (8.0", "B (8.6", "550.1"))
    on_a_machine_with(monkeypatch, TWO[0], Card(1, "C", compute_capability=(12, 0)))
    check = gpu_checks.check_driver()
    assert (check.state, "12.0" in check.detail, "A (8.0" in check.detail) == (MISSING, True, False)


def test_the_loader_s_reason_and_what_helps_are_named(monkeypatch: pytest.MonkeyPatch):
    on_a_machine_with(monkeypatch, *TWO)
    monkeypatch.setattr(gpu_checks, "ask_loader", lambda: LoaderReport((), {"libno-such.so.1": "no such file"}))
    check = gpu_checks.check_cuda_libraries()
    assert (check.state, check.mend) == (MISSING, SET_UP_GPU)
    assert "libno-such.so.1" in check.detail
    assert "no such file" in check.detail
    monkeypatch.setattr(gpu_checks, "ask_loader", lambda: LoaderReport(("libcudart.so.12",)))
    assert gpu_checks.check_cuda_libraries().state == OK


def test_a_gpu_that_tensorflow_does_not_see_is_missing_not_a_warning(monkeypatch: pytest.MonkeyPatch):
    on_a_machine_with(monkeypatch, *TWO)
    monkeypatch.setattr(gpu_checks, "why_unseen", lambda: Finding("it skips small cards", "leave them out"))
    check = gpu_checks.check_gpus()
    assert (check.state, check.mend, "small" in check.detail) == (MISSING, "leave them out", True)
    monkeypatch.setattr(gpu_checks, "why_unseen", lambda: None)
    assert gpu_checks.check_gpus().state == OK


def test_a_driver_without_its_decoder_is_named(monkeypatch: pytest.MonkeyPatch):
    def cannot_load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    on_a_machine_with(monkeypatch, *TWO)
    monkeypatch.setattr(ctypes, "CDLL", cannot_load)
    check = gpu_checks.check_nvdec()
    assert (check.state, "libnvcuvid" in check.detail, "video" in check.mend) == (MISSING, True, True)


@pytest.mark.parametrize(("mebibytes", "state"), [(64, WARNING), (1024, OK)])
def test_a_container_with_little_shared_memory_is_named(monkeypatch: pytest.MonkeyPatch, mebibytes: int, state: str):
    monkeypatch.setattr(gpu_checks.shutil, "disk_usage", lambda path: SimpleNamespace(total=mebibytes << 20))
    on_a_machine_with(monkeypatch, *TWO)
    check = gpu_checks.check_shared_memory()
    assert (check.state, f"{mebibytes} MiB" in check.detail) == (state, True)
    on_a_machine_with(monkeypatch, TWO[0])  # one card has nobody to talk to
    assert gpu_checks.check_shared_memory().state == OK


def test_set_up_fails_with_tensorflow_s_log_where_it_sees_fewer(monkeypatch: pytest.MonkeyPatch, capsys):
    on_a_machine_with(monkeypatch, *TWO)
    monkeypatch.setattr(gpu_checks, "link_missing", lambda: [Path("nvidia/cublas/lib/libcusolver.so.11")])
    monkeypatch.setattr(gpu_checks, "ask_loader", lambda: LoaderReport(("libcudart.so.12",)))
    monkeypatch.setattr(gpu_checks, "tensorflow_gpus", lambda: (1, "a line of TensorFlow"))
    monkeypatch.setattr(gpu_checks, "why_unseen", lambda seen, log: Finding(f"{log} of {seen}", "buy another"))
    assert gpu_checks.link_cuda() == 1
    said = capsys.readouterr()
    assert "libcusolver.so.11" in said.out
    assert "a line of TensorFlow" in said.err
    assert "buy another" in said.err
    monkeypatch.setattr(gpu_checks, "why_unseen", lambda seen, log: None)
    assert gpu_checks.link_cuda() == 0


def test_set_up_names_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys):
    on_a_machine_with(monkeypatch, *TWO)
    monkeypatch.setattr(gpu_checks, "link_missing", list)
    monkeypatch.setattr(gpu_checks, "ask_loader", lambda: LoaderReport((), {"libcudart.so.12": "no such file"}))
    assert gpu_checks.link_cuda() == 1
    assert LINK not in capsys.readouterr().err  # never the command that was just run


def run_with_two_cards(folder: Path, *line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    path = on_path(write_nvidia_smi(folder.parent / "bin", capabilities=("8.0", "8.0")))
    return subprocess.run(
        command(*line),
        cwd=folder,
        env={**environment(), "PATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def no_driver() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return
    pytest.skip("this machine has a driver: cards that are made up would be real ones")


@pytest.mark.parametrize("line", [("run_train.py", "--gpus", "2"), ("run_train.py",)])
def test_training_stops_at_once_where_tensorflow_does_not_see_the_cards(tmp_path: Path, no_driver: None, line):
    done = run_with_two_cards(tmp_path / "here", *line, "--demo")
    assert done.returncode == 1
    assert "lists 2 GPUs" in done.stdout
    assert "TensorFlow sees 0" in done.stdout
    assert ".so." in done.stdout  # a library that the loader does not open
    assert "--cpu" in done.stdout
    assert not list((tmp_path / "here").iterdir())


def test_scoring_stops_at_once_where_tensorflow_does_not_see_the_cards(tmp_path: Path, no_driver: None):
    write_video(tmp_path / "a.mp4", num_frames=12)
    version = tmp_path / "model" / "1"  # is not loaded
    (version / ASSETS).mkdir(parents=True)
    (version / "saved_model.pb").touch()
    config = ExtractionConfig()
    fingerprint = extraction_fingerprint(config, mtcnn_settings(min_face_share=config.min_face_share), {})
    (version / ASSETS / "fingerprint.json").write_text(fingerprint.to_json())
    done = run_with_two_cards(tmp_path / "here", "tfdfd", "score", str(tmp_path / "a.mp4"), "--model", "../model")
    assert done.returncode == 1
    assert "TensorFlow sees 0" in done.stdout
    assert not list((tmp_path / "here").iterdir())


def test_a_cpu_run_is_asked_for_by_flag_or_variable(tmp_path: Path, no_driver: None):
    for number, (flags, variables) in enumerate(((("--cpu",), {}), ((), {"CUDA_VISIBLE_DEVICES": ""}))):
        done = run_with_two_cards(tmp_path / str(number), "run_train.py", "--data", os.devnull, *flags, **variables)
        assert "training on one CPU" in done.stdout
        assert "hidden" in done.stdout


def test_a_worker_that_sees_no_card_of_those_it_was_given_ends_the_run(tmp_path: Path, no_driver: None):
    (tmp_path / "clips" / "part").mkdir(parents=True)
    write_video(tmp_path / "clips" / "part" / "a.mp4", num_frames=12)
    (tmp_path / "clips" / "part" / "metadata.json").write_text('{"a.mp4": {"label": "REAL"}}')
    line = ("tfdfd", "prepare", "--data", str(tmp_path / "clips"), "--store", str(tmp_path / "store"))
    done = run_with_two_cards(tmp_path / "gpus", *line)
    assert done.returncode == 1
    assert "TensorFlow sees 0" in done.stdout
    assert FaceStore.open(tmp_path / "store").record("a") is None  # it is not the clip's fault
    assert run_with_two_cards(tmp_path / "cpu", *line, "--cpu").returncode == 0
    assert FaceStore.open(tmp_path / "store").record("a") is not None
