"""Settings in a TOML file: read with errors that name the place, written so that they are read back alike.

A table is a settings dataclass, a key one of its fields: `[training]` with `learning_rate = 1e-4`. Keys may also stand
above all tables. A setting that is None has no line, since TOML knows no such value. Does not load TensorFlow.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from tfdfd.clip import TfdfdError

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}


def read_settings(path: Path, tables: Mapping[str, type]) -> dict[str, Any]:
    """Read a file of settings.

    Args:
        path: the TOML file.
        tables: table name -> dataclass; no field name may be in two of them.

    Returns:
        Field name -> value, of the field's type.

    Raises:
        TfdfdError: if the file cannot be read or is no TOML, or a key or its type is not that of any field.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TfdfdError(f"--config {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TfdfdError(f"--config {path} is not TOML: {error}") from error
    settings: dict[str, Any] = {}
    for key, value in content.items():
        if not isinstance(value, dict):
            _add(settings, path, None, key, value, tables)
            continue
        if key not in tables:
            raise TfdfdError(f"{path}: a table must be one of {sorted(tables)}, got [{key}]{_closest(key, tables)}")
        for name, inner in value.items():
            _add(settings, path, key, name, inner, tables)
    return settings


def check_settings(
    settings: Mapping[str, Mapping[str, Any]], tables: Mapping[str, type], *, where: str
) -> dict[str, Any]:
    """Return the settings of several tables as one, each checked to be a field of its table and of its type.

    Args:
        settings: table name -> field name -> value.
        tables: table name -> dataclass.
        where: whose settings they are, for the message.

    Raises:
        TfdfdError: as `read_settings`.
    """
    found: dict[str, Any] = {}
    for table, values in settings.items():
        for name, value in values.items():
            _add(found, where, table, name, value, tables)
    return found


def settings_text(tables: Mapping[str, Any]) -> str:
    """Return settings as TOML.

    Args:
        tables: table name -> an instance of a settings dataclass.
    """
    lines = ["# All settings of a run; `--config` reads them back."]
    for table, config in tables.items():
        lines += ["", f"[{table}]"]
        for name, value in dataclasses.asdict(config).items():
            lines.append(f"# {name} is not set" if value is None else f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _add(
    settings: dict[str, Any], where: Path | str, table: str | None, name: str, value: Any, tables: Mapping[str, type]
) -> None:
    homes = {field.name: home for home, config in tables.items() for field in dataclasses.fields(config)}
    inside = "" if table is None else f" in [{table}]"
    if name not in homes:
        raise TfdfdError(f"{where}: no setting is called {name!r}{inside}{_closest(name, homes)}")
    if table not in (None, homes[name]):
        raise TfdfdError(f"{where}: {name} is a setting of [{homes[name]}], got it{inside}")
    if name in settings:
        raise TfdfdError(f"{where}: {name} is set twice, above all tables and in [{homes[name]}]: leave one out")
    kind = _kind(tables[homes[name]], name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise TfdfdError(f"{where}: {name}{inside} must be {_NAMES[kind]}, got {value!r}")
    settings[name] = value


def _kind(config: type, name: str) -> type:
    hint = typing.get_type_hints(config)[name]
    if isinstance(hint, UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _closest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; closest: {', '.join(close)}" if close else f"; it must be one of {', '.join(sorted(known))}"


def _toml(value: bool | int | float | str) -> str:
    if isinstance(value, str):
        # JSON's strings are TOML's, but for this one character.
        return json.dumps(value).replace("\x7f", "\\u007f")
    return json.dumps(value) if isinstance(value, bool) else repr(value)
