"""A field of a settings dataclass, with what its flag needs. Does not load TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any


def option(default: Any, help_text: str, choices: Iterable[str] | None = None) -> Any:
    """Return a dataclass field with a help text and, where they are given, its choices."""
    metadata: dict[str, Any] = {"help": help_text}
    if choices:
        metadata["choices"] = tuple(choices)
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
