"""Runs the checks, each in a process of its own; prints a line a check and writes a file to send back."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tfdfd.clip import TfdfdError
from tfdfd.commands.check import version_of
from tfdfd.commands.gpu_proof.checks import CHECKS
from tfdfd.commands.gpu_proof.context import Check, Context
from tfdfd.commands.gpu_proof.process import FAILED, OK, SKIPPED, environment, log_end, result_of, started, wait
from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.gpus import Card, choose_gpus, driver_problem, name_for_cuda, visible_cards, why_no_gpu

FORMAT = 1
DEFAULT_FILE = "doctor-gpu.json"
PACKAGES = (
    *("tfdfd", "tensorflow", "keras", "numpy", "av", "nvidia-dali-cuda120", "nvidia-dali-tf-plugin-cuda120", "mtcnn"),
    *("nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12", "nvidia-nccl-cu12"),
)
_COLOURS = {OK: "green", FAILED: "red", SKIPPED: "yellow"}
_TEXT_CHARACTERS = 60
"""How much of a figure that is text a line shows; the file has all of it."""
_REASON_CHARACTERS = 400
"""The same of the reason of a check that failed."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `tfdfd doctor --gpu`."""
    group = parser.add_argument_group("proof of the GPU path")
    group.add_argument(
        "--gpu",
        action="store_true",
        help="check the whole GPU path on this machine with rendered data (minutes); exit status 1 if a check fails",
    )
    group.add_argument("--dry", action="store_true", help="with --gpu: run on the CPU what a CPU can run of it")
    group.add_argument("--json", metavar="FILE", help=f"with --gpu: the file to send back (default: {DEFAULT_FILE})")
    group.add_argument(
        "--only", metavar="NAME", nargs="+", choices=list(CHECKS), help=f"with --gpu: some of {', '.join(CHECKS)}"
    )


def asks_for_proof(arguments: argparse.Namespace) -> bool:
    """Return whether any of the flags is given."""
    return bool(arguments.gpu or arguments.dry or arguments.json or arguments.only)


def prove(arguments: argparse.Namespace, console: Console) -> int:
    """Run what the flags ask for.

    Returns:
        The exit status: 1 if a check failed, or if there is no card and the run is not dry.

    Raises:
        TfdfdError: if a flag changes nothing, or the file cannot be written.
    """
    if not arguments.gpu:
        given = [f"--{name}" for name in ("dry", "json", "only") if getattr(arguments, name)]
        raise TfdfdError(f"{', '.join(given)} changes nothing without --gpu: add it, or leave them out")
    file = Path(arguments.json or DEFAULT_FILE)
    cards = () if arguments.dry else visible_cards()
    if not cards and not arguments.dry:
        reason = driver_problem() or why_no_gpu()
        console.print(f"nothing was checked: {reason}. `tfdfd doctor --gpu --dry` runs on the CPU what a CPU can run")
        return 1
    with suppress(TfdfdError):  # the check of libraries says what is wrong with a card
        choose_gpus(0 if arguments.dry else None)
    checks = {name: CHECKS[name] for name in CHECKS if name in (arguments.only or CHECKS)}
    return run_checks(checks, cards, file, console)


def run_checks(checks: Mapping[str, Check], cards: Sequence[Card], file: Path, console: Console) -> int:
    """Run checks and write what they found, also where the run is interrupted.

    Args:
        checks: name -> check.
        cards: the cards under test; none for a dry run.
        file: gets all figures as JSON, rewritten after each check.
        console: shows a line a check.

    Returns:
        The exit status: 1 if any check failed.
    """
    began = time.monotonic()
    report = _about(cards)
    results: list[dict[str, Any]] = report["checks"]
    what = "a dry run on the CPU" if not cards else ", ".join(card.label for card in cards)
    console.print(f"{len(checks)} checks, {what}")
    width = max(map(len, checks))
    with tempfile.TemporaryDirectory(prefix="tfdfd-proof-", ignore_cleanup_errors=True) as scratch, _ended_by_signals():
        data = Path(scratch) / "data"
        data.mkdir()
        try:
            _write(report, file, Path(scratch))  # a file that cannot be written stops the run before any work
            for name, check in checks.items():
                with console.status(f"{name}: {check.claim}"):
                    results.append(_run(name, check, Path(scratch), data, cards))
                console.print(_line(results[-1], width, is_dry=not cards))
                report["seconds"] = round(time.monotonic() - began, 1)
                _write(report, file, Path(scratch))
            report["is_whole"] = True
        finally:
            report["seconds"] = round(time.monotonic() - began, 1)
            _write(report, file, Path(scratch))
            _print_end(results, report["seconds"], file, console)
    return 1 if any(result["state"] == FAILED for result in results) else 0


def _run(name: str, check: Check, scratch: Path, data: Path, cards: Sequence[Card]) -> dict[str, Any]:
    """Run one check; whatever becomes of its process, there is a result."""
    about = {"name": name, "claim": check.claim, "figures": {}, "reason": "", "seconds": 0.0, "log": ""}
    if not cards:
        about["in_place_of_cards"] = check.dry
        if check.needs_card:
            return about | {"state": SKIPPED, "reason": check.dry}
    folder, log = scratch / name, scratch / f"{name}.log"
    folder.mkdir()
    smallest = min((card.memory_bytes for card in cards), default=0)
    context = Context(folder, data, tuple(map(name_for_cuda, cards)), smallest)
    began = time.monotonic()
    env = environment(context, check.cards)
    with started(check.function, context, log, env=env, is_first=True) as process:
        in_time = wait(process, check.limit_seconds, is_group=True)
    state, value = result_of(process, log) if in_time else (FAILED, f"took more than {check.limit_seconds} s")
    shutil.rmtree(folder, ignore_errors=True)
    about |= {"state": state, "seconds": round(time.monotonic() - began, 1), "log": log_end(log)}
    return about | ({"figures": value} if state == OK else {"reason": value})


def _line(result: dict[str, Any], width: int, *, is_dry: bool) -> Text:
    line = Text(f"{result['state']:8}", style=_COLOURS[result["state"]])
    line.append(f"{result['name']:{width}}  {result['seconds']:6.1f} s  ", style="default")
    told = result["reason"][:_REASON_CHARACTERS] or ", ".join(
        f"{name} {_shown(value)}" for name, value in result["figures"].items()
    )
    if is_dry and result["state"] == OK:
        told = f"({result['in_place_of_cards']}) {told}"
    return line.append(told, style="default")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "/".join(f"{name} {_shown(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    text = str(value)
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[: _TEXT_CHARACTERS - 3]}..."


def _print_end(results: Sequence[dict[str, Any]], seconds: float, file: Path, console: Console) -> None:
    counts = {state: [result["name"] for result in results if result["state"] == state] for state in _COLOURS}
    failed = f" ({', '.join(counts[FAILED])})" if counts[FAILED] else ""
    console.print(
        f"{len(counts[OK])} ok, {len(counts[FAILED])} failed{failed}, {len(counts[SKIPPED])} skipped in "
        f"{seconds / 60:.1f} min; all figures and logs are in {file}"
    )


def _about(cards: Sequence[Card]) -> dict[str, Any]:
    """Return what the file says besides the checks; nothing of it names the machine or its user."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "format": FORMAT,
        "is_dry": not cards,
        "is_whole": False,
        "seconds": 0.0,
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_GB": round(memory / 1e9),
        },
        "versions": {package: version_of(package) for package in PACKAGES},
        "cards": [
            {key: value for key, value in asdict(card).items() if key not in ("uuid", "free_bytes")} for card in cards
        ],
        "checks": [],
    }


def _write(report: dict[str, Any], file: Path, scratch: Path) -> None:
    """Write the report without what names the machine, its user or their folders."""
    text = json.dumps(report, indent=1)
    replaced = {str(scratch): "SCRATCH", sys.prefix: "VENV", str(Path.cwd()): "HERE", str(Path.home()): "~"}
    for folder, word in replaced.items():
        if len(folder) > 1:
            text = text.replace(folder, word)
    host = platform.node()
    if host:
        text = re.sub(rf"\b{re.escape(host)}\b", "HOST", text)
    with explain_write_errors(file):
        write_atomically(file, text.encode())


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End by SIGTERM and SIGHUP as by Ctrl-C: what is running is ended, and what was found is written."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
