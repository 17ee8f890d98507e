"""A driver that lists GPUs which are not there: an nvidia-smi of ours on the PATH."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path


def write_nvidia_smi(
    folder: Path, *, capabilities: Sequence[str] = ("8.0",), driver: str = "550.54.15", mig: str = "Disabled"
) -> Path:
    """Write an nvidia-smi that lists a card for each compute capability; return its folder."""
    identities = [
        f"{row}, NVIDIA Fake {row}, {uuid_of(row)}, 00000000:{row + 1:02X}:00.0, 24576, 24000, {mig}"
        for row in range(len(capabilities))
    ]
    abilities = [f"{capability}, {driver}" for capability in capabilities]
    answers = {"*compute_cap*": abilities, "*": identities}
    cases = "\n".join(
        f"{pattern}) cat <<'END'\n" + "\n".join(lines) + "\nEND\n;;" for pattern, lines in answers.items()
    )
    return write_program(folder, f'#!/bin/sh\ncase "$1" in\n{cases}\nesac\n')


def write_program(folder: Path, script: str) -> Path:
    """Write a script as nvidia-smi; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def uuid_of(row: int) -> str:
    """Return the UUID of a card of `write_nvidia_smi`."""
    return f"GPU-{row:08d}-0000-0000-0000-000000000000"


def on_path(folder: Path) -> str:
    """Return a PATH that begins with a folder."""
    return os.pathsep.join([str(folder), os.environ["PATH"]])
