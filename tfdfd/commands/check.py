"""What a check of the doctor is, and how it asks the machine without falling over."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from dataclasses import dataclass
from functools import cache

OK, WARNING, MISSING = "ok", "warning", "missing"
STATES = (OK, WARNING, MISSING)

SET_UP = "bash setup.sh --no-demo"

# Importing TensorFlow takes 5 s on an idle machine, minutes on one that is short of memory or cores.
_PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table."""

    name: str
    state: str
    """One of STATES: `warning` costs speed or convenience, `missing` stops something from working."""
    detail: str
    """What was found, or why it was not."""
    mend: str = ""
    """The command that mends it; empty when the state is ok."""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state must be one of {list(STATES)}, got {self.state!r}")
        if (self.state == OK) == bool(self.mend):
            raise ValueError(f"{self.name}: a command that mends belongs to every state but ok, got {self.mend!r}")


@dataclass(frozen=True)
class Answer:
    """What a command had to say."""

    text: str
    """Standard output of a command that succeeded; empty if it did not."""
    error: str
    """Why it did not; empty if it did."""


@cache
def ask(*command: str) -> Answer:
    """Run a command once; a crash in it, even of native code, is an answer."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    except subprocess.TimeoutExpired:
        return Answer("", f"no answer within {_PATIENCE_SECONDS} s; is the machine busy?")
    except OSError as error:
        return Answer("", str(error))
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = f"{lines[-1].strip()} " if lines else ""
        return Answer("", f"{said}(status {done.returncode})")
    return Answer(done.stdout.strip(), "")


def version_of(package: str) -> str:
    """Return the installed version of a package, or an empty string."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
