"""Running the commands as a person does, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(script: str, *arguments: object, cwd: Path, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script of the project to its end and return what it printed, both streams together."""
    return subprocess.run(
        command(script, *arguments),
        cwd=cwd,
        env=environment(data),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )


def command(script: str, *arguments: object) -> list[str]:
    """Return the command line of `run_train.py`, `run_eval.py` or `tfdfd`."""
    start = ["-m", "tfdfd.commands.main"] if script == "tfdfd" else [str(ROOT / script)]
    return [sys.executable, *start, *map(str, arguments)]


def environment(data: Path | None = None) -> dict[str, str]:
    """Return the environment of a command: without $TFDFD_DATA, or with it set to `data`."""
    kept = {name: value for name, value in os.environ.items() if name != "TFDFD_DATA"}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    kept |= {"PYTHONPATH": os.pathsep.join(paths)}
    return kept | ({"TFDFD_DATA": str(data)} if data else {})
