"""Fields of a configuration dataclass: what a flag says of itself, and the check that a number is in its range."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any


def option(default: Any, help_text: str, choices: Iterable[str] | None = None) -> Any:
    """Return a dataclass field from which `commands.flags` makes a flag.

    Args:
        default: value of the field.
        help_text: what `--help` says.
        choices: what it must be one of.
    """
    metadata: dict[str, Any] = {"help": help_text}
    if choices:
        metadata["choices"] = tuple(choices)
    return dataclasses.field(default=default, metadata=metadata)


def check_range(config: object, name: str, low: float, high: float) -> None:
    """Raise ValueError if a number in a configuration is not in [low, high]."""
    value = getattr(config, name)
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low:g}, {high:g}], got {value}")
