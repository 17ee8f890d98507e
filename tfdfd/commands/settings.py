"""Settings from flags, a file, a recipe and defaults, in that order of precedence."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tfdfd.clip import TfdfdError
from tfdfd.commands.flags import config_from_flags
from tfdfd.data.degradation import Degradation
from tfdfd.faces.config import ExtractionConfig
from tfdfd.training.config import TrainConfig
from tfdfd.training.recipes import RECIPES
from tfdfd.training.settings_file import check_settings, read_settings

T = TypeVar("T")

TABLES: dict[str, type] = {"training": TrainConfig, "degradation": Degradation, "crops": ExtractionConfig}
"""The tables of a settings file and of a recipe, and the dataclasses whose fields are their keys."""


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--recipe` and `--config`."""
    group = parser.add_argument_group("settings, all at once")
    group.add_argument(
        "--recipe",
        choices=sorted(RECIPES),
        default="plain",
        help="settings that go together; a file and flags given beside it still count. plain: the defaults; winning: "
        "originals beside their fakes, MixUp, degraded faces, AdamW along a cosine, averaged weights: docs/recipes.md "
        "has the list, and what it brings (default: plain)",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file of settings, e.g. a run's config.toml: tables "
        f"{', '.join(f'[{table}]' for table in TABLES)}, keys as the flags with underscores; flags still count",
    )


def parse_settings(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, defaults: Mapping[str, Any]
) -> argparse.Namespace:
    """Parse flags over a file over a recipe over defaults.

    Args:
        parser: has the flags of `add_settings_flags` and those of all TABLES.
        argv: the command line; None for that of the process.
        defaults: of flags, over those of the parser.

    Raises:
        TfdfdError: if the file cannot be read or names what is no setting.
    """
    given = parser.parse_args(argv)
    recipe = check_settings(RECIPES[given.recipe], TABLES, where=f"recipe {given.recipe}")
    file = read_settings(Path(given.config), TABLES) if given.config else {}
    parser.set_defaults(**{**defaults, **recipe, **file})
    return parser.parse_args(argv)


def settings_from_flags(config: type[T], arguments: argparse.Namespace) -> T:
    """Build a settings dataclass from what `parse_settings` returned.

    Raises:
        TfdfdError: if a value or a combination is not allowed; it names the file and the recipe that had a say.
    """
    try:
        return config_from_flags(config, arguments)
    except TfdfdError as error:
        sources = [f"--config {arguments.config}"] if arguments.config else []
        sources += [f"--recipe {arguments.recipe}"] if RECIPES[arguments.recipe] else []
        if not sources:
            raise
        raise TfdfdError(f"{error} (settings of {' and '.join(sources)} count where no flag is given)") from error
