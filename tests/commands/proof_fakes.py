"""Checks for the tests of `tfdfd doctor --gpu`, each with another fate."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from tfdfd.commands.gpu_proof.context import NONE, Check, Context, Figures, SkippedError, require
from tfdfd.commands.gpu_proof.process import part
from tfdfd.commands.gpu_proof.proof import run_checks


def holds(context: Context) -> Figures:
    """Return figures of each kind, and print what must not be sent."""
    print(f"the log of {platform.node()} in {Path.home()}")
    return {"number": 0.123456, "text": "x" * 100, "list": [1, 2], "folder": str(context.folder)}


def fails(context: Context) -> Figures:
    """Make a claim that does not hold."""
    require(False, "expected 1, got 2")
    return {}


def breaks(context: Context) -> Figures:
    """Have a bug."""
    raise KeyError("a bug of ours")


def crashes(context: Context) -> Figures:
    """End as a library does that aborts."""
    print("last words")
    os.abort()


def hangs(context: Context) -> Figures:
    """Hang, beside a process of its own that hangs too; leaves both ids."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (context.data / "processes.txt").write_text(f"{os.getpid()} {other.pid}")
    time.sleep(600)
    return {}


def skips(context: Context) -> Figures:
    """Find that it cannot be done here."""
    raise SkippedError("there is one card")


def sees(context: Context) -> Figures:
    """Return which cards its process sees, and a part that sees none."""
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"own": own, "part": part(context, "tests.commands.proof_fakes:visible", cards=NONE)}


def visible(context: Context) -> str | None:
    """Return which cards this process sees."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def part_crashes(context: Context) -> Figures:
    """Have a part that aborts."""
    part(context, "tests.commands.proof_fakes:crashes")
    return {}


def fake(name: str, *, limit_seconds: int = 60, **settings: object) -> Check:
    """Return a check that calls a function of this module."""
    function = f"tests.commands.proof_fakes:{name}"
    return Check(f"it {name}", function, limit_seconds, "as it is", **settings)  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    run_checks({"first": fake("holds"), "second": fake("hangs")}, (), Path(sys.argv[1]), Console())
