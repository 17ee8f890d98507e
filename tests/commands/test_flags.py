"""Flags made from dataclass fields."""

import argparse
from dataclasses import dataclass, field

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
