"""Flag over file over recipe over default, and all of it before any work."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from tests.run_commands import command, environment, run
from tfdfd.clip import TfdfdError
from tfdfd.commands.settings import TABLES, parse_settings, settings_from_flags
from tfdfd.commands.train import DEMO, make_parser
from tfdfd.training.config import TrainConfig
from tfdfd.training.recipes import RECIPES
from tfdfd.training.settings_file import check_settings, settings_text


def settings(*argv: str, defaults: dict | None = None) -> TrainConfig:
    return settings_from_flags(TrainConfig, parse_settings(make_parser(), argv, defaults or {}))


def test_without_any_it_is_the_defaults() -> None:
    assert settings() == settings("--recipe", "plain") == TrainConfig()


def test_a_flag_counts_more_than_a_file_a_recipe_and_a_default(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[training]\nlabel_smoothing = 0.2\nclip_norm = 2.0\n")
    recipe = ("--recipe", "winning")
    file = ("--config", str(path))
    defaults = {"label_smoothing": 0.4, "clip_norm": 4.0, "hidden_size": 64, "seed": 4}
    mixed = settings(*recipe, *file, "--label-smoothing", "0.1", defaults=defaults)
    assert (mixed.label_smoothing, mixed.clip_norm) == (0.1, 2.0)
    assert mixed.ema_momentum == RECIPES["winning"]["training"]["ema_momentum"]
    assert (mixed.hidden_size, mixed.seed) == (64, 4)
    assert settings(*recipe, defaults=defaults).clip_norm == RECIPES["winning"]["training"]["clip_norm"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_made_of_settings_and_fits_together(name: str) -> None:
    values = check_settings(RECIPES[name], TABLES, where=name)
    config = settings("--recipe", name)
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    assert all(getattr(config, key) == value for key, value in values.items() if key in fields)
    assert all(value != fields[key].default for key, value in values.items() if key in fields)
    settings("--recipe", name, defaults={key: value for key, value in DEMO.items() if key in fields})


def test_a_bad_combination_names_the_file_and_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("plateau_patience = 3\n")
    with pytest.raises(TfdfdError, match=r"plateau_patience changes nothing .*settings\.toml and --recipe winning"):
        settings("--config", str(path), "--recipe", "winning")
    with pytest.raises(TfdfdError, match=r"weight_decay 0\.1 is of optimizer adamw alone") as raised:
        settings("--weight-decay", "0.1")
    assert "--recipe" not in str(raised.value)


def test_the_file_that_a_run_writes_gives_the_same_settings_again(tmp_path: Path) -> None:
    config = settings("--recipe", "winning", "--seed", "3", "--mixup", "0.5")
    (tmp_path / "config.toml").write_text(settings_text({"training": config}))
    assert settings("--config", str(tmp_path / "config.toml")) == config


def test_a_misspelt_key_stops_the_command_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[training]\nlerning_rate = 1\n")
    done = run("run_train.py", "--demo", "--config", "settings.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "settings.toml: no setting is called 'lerning_rate' in [training]; closest: learning_rate" in done.stdout
    assert "Traceback" not in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]


def test_the_help_names_the_recipes_and_does_without_tensorflow(tmp_path: Path) -> None:
    line = command("tfdfd", "train", "--help")
    done = subprocess.run(
        [line[0], "-X", "importtime", *line[1:]], env=environment(), capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0
    assert "--recipe {plain,winning}" in done.stdout
    assert "--ema-momentum" in done.stdout
    assert "tensorflow" not in done.stderr
    assert "keras" not in done.stderr
