"""Command-line flags made from the fields of configuration dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import re
import sys
import typing
from types import UnionType
from typing import Any, NoReturn, TypeVar

from tfdfd.clip import TfdfdError
from tfdfd.gpus import choose_gpus
from tfdfd.phrases import shown

T = TypeVar("T")
_METAVARS = {int: "N", float: "X", str: "NAME"}


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors show what was given with escapes, and say how a file whose name begins with - is named."""

    _given: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as `argparse` does."""
        self._given = tuple(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with status 2."""
        files = [one for one in self._given if one.startswith("-") and _names_a_file(one)]
        hints = [f"\n{one} begins with a dash, so it is taken for an option: write ./{one}" for one in files]
        super().error(shown("".join([message, *hints]), keep_lines=True))


def _names_a_file(argument: str) -> bool:
    # A name with an ending is meant for a file though it is misspelt; options have none.
    return os.path.lexists(argument) or re.fullmatch(r"-[^=]*\.[A-Za-z]\w{1,4}", argument) is not None


def add_cpu_flag(parser: argparse._ActionsContainer) -> None:
    """Add `--cpu`, which `obey_cpu_flag` reads."""
    parser.add_argument("--cpu", action="store_true", help="use no GPU, also where there are some")


def obey_cpu_flag(arguments: argparse.Namespace) -> None:
    """With --cpu, hide all GPUs from this process and those that it starts; before TensorFlow is imported."""
    if arguments.cpu:
        choose_gpus(0)


def add_config_flags(parser: argparse.ArgumentParser, config: type, *, title: str) -> None:
    """Add one flag a field: name, type and default are the field's, help and choices its metadata's.

    Args:
        parser: gets the flags in a group of their own; those of a base class that has a FLAGS_TITLE in one behind it.
        config: a dataclass; a bool becomes `--name` and `--no-name`, and a field whose metadata has `flag` False none.
        title: heading of the group in `--help`.
    """
    titles = {title: parser.add_argument_group(title)}
    hints = typing.get_type_hints(config)
    for field in _fields_with_flags(config):
        own = next(base for base in config.__mro__ if field.name in inspect.get_annotations(base))
        heading = own.__dict__.get("FLAGS_TITLE", title)
        if heading not in titles:
            titles[heading] = parser.add_argument_group(heading)
        group = titles[heading]
        name = f"--{field.name.replace('_', '-')}"
        hint = hints[field.name]
        help_text = f"{field.metadata['help']}{_default_told(field)}".replace("%", "%%")
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
    values = {field.name: getattr(arguments, field.name) for field in _fields_with_flags(config)}
    try:
        return config(**(values | overrides))
    except ValueError as error:
        raise TfdfdError(str(error)) from error


def _fields_with_flags(config: Any) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(config) if field.metadata.get("flag", True)]


def _default_told(field: dataclasses.Field) -> str:
    if field.default is None:
        says_so = any(words in field.metadata["help"] for words in ("not set", "left out"))
        return "" if says_so else " (default: not set)"
    shown = f"{field.default:.4g}" if isinstance(field.default, float) else str(field.default)
    return f" (default: {shown})"
