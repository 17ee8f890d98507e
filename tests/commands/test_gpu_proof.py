"""`tfdfd doctor --gpu` survives whatever a check does, says what it found, and its checks can fail."""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pipelines.nvdec_findings import CROPPED, H264, HEVC, ROTATED, Finding
from tests.commands.proof_fakes import fake
from tests.fake_driver import on_path, uuid_of, write_program
from tests.run_commands import command, environment
from tfdfd.clip import TfdfdError
from tfdfd.commands.gpu_proof import faces, proof, runs, steps
from tfdfd.commands.gpu_proof.checks import CHECKS
from tfdfd.commands.gpu_proof.context import ALL, NONE, ONE, Check, Context, NotShownError
from tfdfd.commands.gpu_proof.devices import CardWatch
from tfdfd.commands.gpu_proof.process import FAILED, OK, SKIPPED
from tfdfd.commands.gpu_proof.proof import run_checks
from tfdfd.commands.gpu_proof.video import beside_pyav
from tfdfd.gpus import Card

ROOT = Path(__file__).parents[2]
CARDS = tuple(Card(row, "A", uuid=uuid_of(row), memory_bytes=8 << 30) for row in range(2))


def outcome(tmp_path: Path, checks: dict[str, Check], cards: tuple[Card, ...] = ()) -> tuple[int, dict, dict, str]:
    """Run checks; returns the exit status, the file, its checks by name and what was printed."""
    file, printed = tmp_path / "found.json", io.StringIO()
    status = run_checks(checks, cards, file, Console(file=printed, width=400))
    found = json.loads(file.read_text())
    return status, found, {check["name"]: check for check in found["checks"]}, printed.getvalue()


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_checks_go_on_whatever_becomes_of_one_and_the_file_says_what_did(tmp_path: Path):
    kinds = ("fails", "breaks", "crashes", "part_crashes", "skips", "holds")
    status, found, checks, printed = outcome(tmp_path, {kind: fake(kind) for kind in kinds})
    assert status == 1
    assert found["is_whole"]
    assert {name: check["state"] for name, check in checks.items()} == {
        **dict.fromkeys(kinds[:4], FAILED),
        "skips": SKIPPED,
        "holds": OK,
    }
    assert checks["fails"]["reason"] == "expected 1, got 2"
    assert "a bug of ours" in checks["breaks"]["reason"]
    assert "breaks" in checks["breaks"]["log"]  # the traceback
    for crashed in ("crashes", "part_crashes"):
        assert "SIGABRT" in checks[crashed]["reason"]
        assert "last words" in checks[crashed]["log"]
    assert checks["holds"]["figures"]["list"] == [1, 2]
    lines = printed.splitlines()
    assert all(any(line.startswith((FAILED, SKIPPED, OK)) and f" {kind} " in line for line in lines) for kind in kinds)
    assert "1 ok, 4 failed (fails, breaks, crashes, part_crashes), 1 skipped" in printed


def test_a_check_that_hangs_is_ended_with_all_its_processes_and_its_log_says_where(tmp_path: Path, monkeypatch):
    seen: list[int] = []
    run = proof._run

    def remember(*arguments: Any) -> dict:
        result = run(*arguments)
        seen.extend(map(int, (arguments[3] / "processes.txt").read_text().split()))
        return result

    monkeypatch.setattr(proof, "_run", remember)
    status, _, checks, _ = outcome(tmp_path, {"hangs": fake("hangs", limit_seconds=4)})
    assert status == 1
    assert "more than 4 s" in checks["hangs"]["reason"]
    assert "in hangs" in checks["hangs"]["log"]
    assert len(seen) == 2
    assert not any(map(is_running, seen))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_process_and_the_figures_that_there_are(tmp_path: Path, number: signal.Signals):
    file = tmp_path / "found.json"
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.commands.proof_fakes", str(file)],
        cwd=ROOT,
        env={**environment(), "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (found := list(tmp_path.glob("tfdfd-proof-*/data/processes.txt"))) or not found[0].read_text():
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.05)
    processes = list(map(int, found[0].read_text().split()))
    run.send_signal(number)
    run.wait(30)
    while any(map(is_running, processes)):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.05)
    content = json.loads(file.read_text())
    assert [check["name"] for check in content["checks"]] == ["first"]
    assert not content["is_whole"]
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("tfdfd-proof-*"))


def test_each_process_sees_the_cards_that_its_check_names(tmp_path: Path):
    checks = {cards: fake("sees", cards=cards) for cards in (ALL, ONE, NONE)}
    _, found, checks, _ = outcome(tmp_path, checks, CARDS)
    seen = {name: check["figures"]["own"] for name, check in checks.items()}
    assert seen == {ALL: f"{uuid_of(0)},{uuid_of(1)}", ONE: uuid_of(0), NONE: "-1"}
    assert {check["figures"]["part"] for check in checks.values()} == {"-1"}
    assert uuid_of(0) not in json.dumps(found["cards"])


def test_a_dry_run_sees_no_card_and_says_why_it_leaves_a_check_out(tmp_path: Path):
    checks = {"sees": fake("sees"), "needs": fake("holds", needs_card=True)}
    status, found, checks, printed = outcome(tmp_path, checks)
    assert (status, found["is_dry"]) == (0, True)
    assert checks["sees"]["figures"]["own"] == "-1"
    assert (checks["needs"]["state"], checks["needs"]["reason"]) == (SKIPPED, "as it is")
    assert "as it is" in printed


def test_the_file_names_neither_the_machine_nor_folders(tmp_path: Path):
    outcome(tmp_path, {"holds": fake("holds")})
    text = (tmp_path / "found.json").read_text()
    for secret in (str(Path.home()), platform.node(), str(Path.cwd()), "tfdfd-proof-"):
        assert secret not in text


def test_flags_that_change_nothing_are_refused(tmp_path: Path):
    parser = argparse.ArgumentParser()
    proof.add_flags(parser)
    for flags in (["--dry"], ["--json", "x"], ["--only", "jpeg"]):
        with pytest.raises(TfdfdError, match=flags[0]):
            proof.prove(parser.parse_args(flags), Console())


def test_without_a_card_only_a_dry_run_does_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(proof, "visible_cards", lambda: ())
    parser = argparse.ArgumentParser()
    proof.add_flags(parser)
    printed = io.StringIO()
    arguments = parser.parse_args(["--gpu", "--json", str(tmp_path / "x.json")])
    assert proof.prove(arguments, Console(file=printed, width=400)) == 1
    assert "--dry" in printed.getvalue()
    assert not (tmp_path / "x.json").exists()


def dry_run(tmp_path: Path, *names: str) -> dict[str, dict]:
    """Run `tfdfd doctor --gpu --dry` as a person does; returns the checks by name."""
    only = ("--only", *names) if names else ()
    done = subprocess.run(
        command("tfdfd", "doctor", "--gpu", "--dry", "--json", "found.json", *only),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return {check["name"]: check for check in json.loads((tmp_path / "found.json").read_text())["checks"]}


def test_the_cheap_checks_of_a_dry_run_hold(tmp_path: Path):
    checks = dry_run(tmp_path, "no_nvcuvid", "libraries")
    assert list(checks) == ["libraries", "no_nvcuvid"]
    assert {check["state"] for check in checks.values()} == {OK}


@pytest.mark.slow
def test_every_check_of_a_dry_run_holds_or_says_why_it_needs_a_card(tmp_path: Path):
    checks = dry_run(tmp_path)
    assert list(checks) == list(CHECKS)
    for name, check in checks.items():
        assert check["state"] == (SKIPPED if CHECKS[name].needs_card else OK), (name, check["reason"])
        assert check["figures"] or "card" in check["reason"], name


NVIDIA_SMI = """#!/bin/sh
case "$*" in
*--id=one,two*memory.used,utilization.gpu*) ;;
*--query-gpu=memory.used,utilization.gpu*--id=one,two*) ;;
*) exit 1 ;;
esac
echo "100, 50"
echo "200, {busy}"
"""


def test_memory_and_use_of_the_cards_are_read_from_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", on_path(write_program(tmp_path / "bin", NVIDIA_SMI.format(busy=100))))
    began = time.monotonic()
    with CardWatch(Context(tmp_path, tmp_path, ("one", "two")), every_seconds=0.05) as watch:
        while len(watch.memory_bytes(began)) < 3:
            assert time.monotonic() < began + 30
            time.sleep(0.05)
        assert watch.memory_now() == 300 << 20
    assert set(watch.memory_bytes(began)) == {300 << 20}
    assert watch.busy_shares(began) == [0.5, 1.0]


def test_a_driver_that_does_not_tell_is_an_error_not_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", on_path(write_program(tmp_path / "bin", NVIDIA_SMI.format(busy="[N/A]"))))
    with pytest.raises(NotShownError, match="N/A"), CardWatch(Context(tmp_path, tmp_path, ("one", "two"))):
        pass


def test_steps_whose_loss_does_not_fall_or_falls_otherwise_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    falling = np.linspace(1, 0.1, 30)
    scales = {"scale_before": 2.0, "scale_after": 1.0}

    def compare(of_one: np.ndarray, of_two: np.ndarray) -> dict:
        def part(context: Context, function: str, count: int, batch: int) -> dict:
            return {"losses": list(of_one if count == 1 else of_two), **scales}

        monkeypatch.setattr(steps, "part", part)
        return steps.compared_steps(Context(tmp_path, tmp_path))

    assert compare(falling, falling * 1.01)["apart"] == pytest.approx(0.01)
    with pytest.raises(NotShownError, match="within 2%"):
        compare(falling, falling * 1.03)
    with pytest.raises(NotShownError, match="2 replicas"):
        compare(falling, np.ones(30))


@pytest.mark.parametrize(
    ("change", "fact"),
    [({"boxes": 2.0}, "2.00 pixels"), ({"crops": 3}, "3.00 levels"), ({"is_face": False}, "other places")],
)
def test_faces_that_a_card_finds_otherwise_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change, fact):
    found = {
        "is_face": np.ones((1, 5), np.bool_),
        "boxes": np.zeros((1, 5, 4), np.float32),
        "crops": np.zeros((1, 5, 8, 8, 3), np.uint8),
    }

    def part(context: Context, function: str, clips: list, file: str, kind: str, cards: str) -> None:
        other = {name: np.full_like(found[name], value) for name, value in change.items()}
        np.savez(file, **{**found, **(other if kind == "card" else {})})

    monkeypatch.setattr(faces, "part", part)
    monkeypatch.setattr(faces, "demo_clips", lambda data: [])
    monkeypatch.setattr(faces, "full_hd_clips", lambda data: [tmp_path / "clip.mp4"])
    with pytest.raises(NotShownError, match=fact):
        faces.against_the_cpu(Context(tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("finding", "fact"),
    [
        (Finding(ROTATED, mean_difference=0.3), None),
        (Finding(H264, "slower than PyAV", mean_difference=0.3, nvdec_seconds=2.0, pyav_seconds=1.0), None),
        (Finding(ROTATED, "pixels differ by 3.0 levels", mean_difference=3.0), "differ"),
        (Finding(HEVC, "no encoder", is_checked=False), "no encoder"),
        (Finding(CROPPED, "too much", nvdec_seconds=1.0, pyav_seconds=2.0, growth_bytes=2 * 10**9), "too much"),
    ],
)
def test_nvdec_that_is_right_and_bounded_holds_though_it_is_slow(tmp_path: Path, monkeypatch, finding, fact):
    monkeypatch.setattr("pipelines.nvdec_trial.try_nvdec", lambda *_, **__: (finding,))
    context = Context(tmp_path, tmp_path)
    if fact is None:
        assert beside_pyav(context)[f"{finding.kind.replace(' ', '_')}_mean"] == 0.3
    else:
        with pytest.raises(NotShownError, match=fact):
            beside_pyav(context)


@pytest.mark.parametrize(("changes", "holds"), [({}, True), ({"best_epoch": 1}, False), ({"losses": [1, 2, 3]}, False)])
def test_epochs_that_learn_nothing_or_keep_a_worse_one_are_seen(tmp_path: Path, changes: dict, holds: bool):
    found = {"losses": [3, 2, 1], "validated": [3, 1, 2], "best_epoch": 2, "input_wait": [0, 0, 0], **changes}
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(found))
    context = Context(tmp_path, tmp_path)
    if holds:
        assert runs.three_epochs(context)["best_epoch"] == 2
    else:
        with pytest.raises(NotShownError):
            runs.three_epochs(context)


def test_importing_the_command_loads_no_tensorflow():
    code = "import sys, tfdfd.commands.doctor; print('tensorflow' in sys.modules, 'nvidia.dali' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.stdout.split() == [b"False", b"False"]
