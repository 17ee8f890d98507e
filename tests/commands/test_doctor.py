"""The doctor names what is there, mends what is not, and never crashes."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tfdfd.commands import doctor
from tfdfd.commands.check import MISSING, OK, SET_UP, WARNING, Answer, Check, ask


def ask_nothing(*command: str) -> Answer:
    return Answer("", f"{Path(command[0]).name}: not found")


def asker(plugin_error: str = ""):
    """Return a stand-in for `ask` on a machine with these answers."""

    def answer(*command: str) -> Answer:
        if "nvidia.dali" in command[-1]:
            return Answer("", plugin_error)
        return Answer('a line of noise\n{"tensorflow": "2.21.0", "keras": "3.15.1"}', "")

    return answer


def test_a_check_that_is_not_ok_says_how_to_mend_it():
    with pytest.raises(ValueError, match="mends"):
        Check("x", MISSING, "gone")
    with pytest.raises(ValueError, match="state must be one of"):
        Check("x", "fine", "gone")


def test_every_check_has_a_name_of_its_own_and_a_mend_when_nothing_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "ask", ask_nothing)
    checks = doctor.run_checks()
    assert len({check.name for check in checks}) == len(doctor.CHECKS)
    assert all(check.mend for check in checks if check.state != OK)
    assert {check.name: check.state for check in checks}["TensorFlow"] == MISSING


def test_the_table_is_printed_and_something_missing_is_the_exit_status(monkeypatch: pytest.MonkeyPatch):
    console = Console(record=True, width=160)
    monkeypatch.setattr(doctor, "run_checks", lambda: [Check("DALI", MISSING, "no [brackets] lost", SET_UP)])
    assert doctor.run(console) == 1
    text = console.export_text()
    assert "no [brackets] lost" in text
    assert SET_UP in text
    monkeypatch.setattr(doctor, "run_checks", lambda: [Check("GPUs", WARNING, "none", "buy one")])
    assert doctor.run(console) == 0


def test_a_plugin_that_does_not_import_shows_its_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_is_dali_platform", lambda: True)
    monkeypatch.setattr(doctor, "ask", asker(plugin_error="undefined symbol: _ZN"))
    check = doctor.check_dali()
    assert (check.state, check.mend) == (MISSING, SET_UP)
    assert "undefined symbol" in check.detail
    monkeypatch.setattr(doctor, "_is_dali_platform", lambda: False)
    assert doctor.check_dali().state == WARNING


def test_missing_packages_are_reported(monkeypatch: pytest.MonkeyPatch):
    def absent(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert doctor.check_keras_cv().state == MISSING
    assert doctor.check_gradio().state == WARNING
    monkeypatch.setitem(sys.modules, "av", None)
    assert doctor.check_pyav().state == MISSING
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    assert doctor.check_mtcnn().state == MISSING


def test_a_missing_program_and_a_failing_one_are_answers():
    assert ask("no-such-program-of-ours").error
    assert "boom" in ask(sys.executable, "-c", "raise SystemExit('boom')").error
    assert ask(sys.executable, "-c", "import os; os.abort()").error
    assert ask(sys.executable, "-c", "print(7)").text == "7"


def test_a_shadowed_pipelines_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert doctor.check_pipelines().state == OK
    (tmp_path / "pipelines.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "pipelines"]:
        monkeypatch.delitem(sys.modules, name)
    check = doctor.check_pipelines()
    assert check.state == MISSING
    assert str(tmp_path) in check.detail


def test_the_data_folder_is_the_variable_then_the_folder_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    assert doctor.check_data_folder().state == WARNING
    (tmp_path / "data").mkdir()
    assert doctor.check_data_folder().state == OK
    monkeypatch.setenv("TFDFD_DATA", str(tmp_path / "gone"))
    assert "gone" in doctor.check_data_folder().detail


def test_weights_in_the_keras_folder_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert doctor.check_imagenet_weights().state == WARNING
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "xception_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"x")
    assert doctor.check_imagenet_weights().state == OK
