"""Flags made from dataclass fields."""

import argparse
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from tfdfd.clip import TfdfdError
from tfdfd.commands.flags import add_config_flags, config_from_flags


@dataclass(frozen=True)
class Oven:
    minutes: int = field(default=10, metadata={"help": "how long"})
    top_heat: bool = field(default=True, metadata={"help": "from above"})
    rack: str = field(default="middle", metadata={"help": "which", "choices": ("top", "middle")})
    degrees: float | None = field(default=None, metadata={"help": "how hot"})

    def __post_init__(self):
        if self.minutes < 1:
            raise ValueError(f"--minutes must be at least 1, got {self.minutes}")


def parse(*argv):
    parser = argparse.ArgumentParser()
    add_config_flags(parser, Oven, title="oven")
    return config_from_flags(Oven, parser.parse_args(argv))


@dataclass(frozen=True)
class Heat:
    FLAGS_TITLE: ClassVar[str] = "heat"
    watts: int = field(default=800, metadata={"help": "how much"})
    fan: int | None = field(default=None, metadata={"help": "turns a minute; not set: off"})


@dataclass(frozen=True)
class FanOven(Heat):
    trays: int = field(default=2, metadata={"help": "how many"})


def test_flags_of_a_base_class_stand_behind_the_others_under_their_own_heading():
    parser = argparse.ArgumentParser()
    add_config_flags(parser, FanOven, title="oven")
    shown = parser.format_help().partition("options:")[2]
    assert shown.index("oven:") < shown.index("--trays") < shown.index("heat:") < shown.index("--watts")
    assert shown.rstrip().endswith("not set: off")
    assert config_from_flags(FanOven, parser.parse_args(["--watts", "5", "--trays", "1"])) == FanOven(5, None, 1)


def test_without_flags_it_is_the_default():
    assert parse() == Oven()


def test_each_flag_sets_its_field():
    assert parse("--minutes", "3", "--no-top-heat", "--rack", "top", "--degrees", "180") == Oven(3, False, "top", 180.0)


def test_a_misspelt_flag_and_an_unknown_choice_stop_the_run(capsys):
    with pytest.raises(SystemExit):
        parse("--minute-hand", "3")
    with pytest.raises(SystemExit):
        parse("--rack", "bottom")
    assert "'top'" in capsys.readouterr().err


def test_a_value_that_the_dataclass_refuses_is_an_error_for_the_person():
    with pytest.raises(TfdfdError, match="--minutes must be at least 1, got 0"):
        parse("--minutes", "0")
