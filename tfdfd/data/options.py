"""Fields of a configuration dataclass: what a flag says of itself, and checks of values. Does not load TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any


def option(default: Any, help_text: str, choices: Iterable[str] | None = None, metavar: str = "") -> Any:
    """Return a dataclass field from which `commands.flags` makes a flag.

    Args:
        default: value of the field.
        help_text: what `--help` says.
        choices: what it must be one of.
        metavar: what stands for the value in `--help`; left out, by its type.
    """
    metadata: dict[str, Any] = {"help": help_text}
    if choices:
        metadata["choices"] = tuple(choices)
    if metavar:
        metadata["metavar"] = metavar
    return dataclasses.field(default=default, metadata=metadata)


def check_choices(config: Any) -> None:
    """Check the fields that have choices.

    Raises:
        ValueError: if a value is none of them; the message lists them.
    """
    for field in dataclasses.fields(config):
        choices = field.metadata.get("choices")
        value = getattr(config, field.name)
        if choices and value not in choices:
            raise ValueError(f"{field.name} must be one of {sorted(choices)}, got {value!r}")


def check_range(config: Any, name: str, low: float, high: float) -> None:
    """Check that a number lies in [low, high].

    Raises:
        ValueError: if it does not.
    """
    value = getattr(config, name)
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low:g}, {high:g}], got {value}")
