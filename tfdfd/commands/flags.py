"""Command-line flags made from the fields of configuration dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from types import UnionType
from typing import Any, TypeVar

from tfdfd.clip import TfdfdError

T = TypeVar("T")
_METAVARS = {int: "N", float: "X", str: "NAME"}


def add_config_flags(parser: argparse.ArgumentParser, config: type, *, title: str) -> None:
    """Add one flag a field: name, type and default are the field's, help and choices its metadata's.

    Args:
        parser: gets the flags in a group of their own.
        config: a dataclass; a bool becomes `--name` and `--no-name`.
        title: heading of the group in `--help`.
    """
    group = parser.add_argument_group(title)
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        name = f"--{field.name.replace('_', '-')}"
        hint = hints[field.name]
        help_text = f"{field.metadata['help']} (default: {_shown(field.default)})".replace("%", "%%")
        if hint is bool:
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=field.default, help=help_text)
            continue
        if isinstance(hint, UnionType):
            (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
        choices = field.metadata.get("choices")
        group.add_argument(
            name,
            type=hint,
            default=field.default,
            choices=sorted(choices) if choices else None,
            metavar=None if choices else field.metadata.get("metavar", _METAVARS[hint]),
            help=help_text,
        )


def config_from_flags(config: type[T], arguments: argparse.Namespace, **overrides: Any) -> T:
    """Build the dataclass from parsed flags.

    Args:
        config: the dataclass that the flags were made from.
        arguments: what argparse returned.
        overrides: fields that are set otherwise than by their flags.

    Raises:
        TfdfdError: if a value is not allowed.
    """
    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    try:
        return config(**(values | overrides))
    except ValueError as error:
        raise TfdfdError(str(error)) from error


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
