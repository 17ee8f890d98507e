"""The edge that commands share: outputs that cannot be written, errors, tables and progress."""

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from tests.run_commands import environment
from tfdfd.commands.console import WorkProgress, make_console, print_reasons, print_table, run_command
from tfdfd.commands.main import GO_ON, SUBCOMMANDS
from tfdfd.commands.outputs import CLOSED_PIPE

PRINTING = """
import sys
from tfdfd.commands.console import make_console, run_command

def main(argv):
    for _ in range(2000):
        {line}
    return 0

sys.exit(run_command(main, []))
"""
LINES = ("print('x' * 100)", "print('x' * 100, flush=True)", "make_console().print('x' * 100)")


def printing(line, shell_end):
    """Run a program that prints much under `sh`, its output going where `shell_end` says, and return its end."""
    program = [sys.executable, "-c", PRINTING.format(line=line)]
    script = f'"$@" {shell_end}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *program], env=environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("line", LINES)
def test_a_reader_that_went_away_is_no_error(line):
    done = printing(line, "| head -1; exit ${PIPESTATUS[0]}")
    assert done.returncode == CLOSED_PIPE
    assert done.stdout == "x" * 100 + "\n"
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("line", LINES)
def test_an_output_that_cannot_be_written_is_named(line):
    done = printing(line, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        "error: the standard output cannot be written (No space left on device): send it to a file that can "
        "be, or to /dev/null\n"
    )


def test_closed_streams_are_no_traceback():
    done = printing(LINES[0], ">&-")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the standard output cannot be written (it is closed)")
    done = printing(LINES[0], "2>&-")
    assert (done.returncode, len(done.stdout)) == (0, 2000 * 101)


@pytest.mark.parametrize("goes_on", [True, False])
def test_only_commands_that_go_on_say_so(goes_on, capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    def failing(argv):
        raise OSError(5, "Input/output error", "a.bin")

    assert run_command(interrupted, [], goes_on=goes_on) == 130
    assert ("goes on from there" in capsys.readouterr().err) == goes_on
    assert run_command(failing, [], goes_on=goes_on) == 1
    said = capsys.readouterr().err
    assert "a.bin: Input/output error" in said
    assert ("goes on from there" in said) == goes_on


def test_what_goes_on_is_a_command():
    assert set(GO_ON) < set(SUBCOMMANDS)


def test_a_table_cuts_nothing(capsys, monkeypatch):
    long = "/".join(["folder"] * 60)
    print_table(make_console(), "Title", ["clip", "score"], [[long, 0.5]])
    assert long in capsys.readouterr().out
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    print_table(make_console(), "Title", ["clip", "score"], [[long, 0.5]])
    cells = [line.split("│")[1].strip() for line in terminal.getvalue().splitlines() if line.startswith("│")]
    assert "".join(cells) == long


def test_a_quiet_console_prints_no_table(capsys):
    print_table(Console(quiet=True), "title", ["column"], [["cell"]])
    assert capsys.readouterr() == ("", "")


def test_ten_reasons_are_printed_and_the_number_of_the_others(capsys):
    reasons = [f"clip {number}: damaged [sic]" for number in range(12)]
    shown = [f"  {reason}" for reason in reasons[:10]]
    print_reasons(make_console(), reasons[:10], rest_in=", in FILE")
    assert capsys.readouterr().out.splitlines() == shown
    print_reasons(make_console(), reasons, rest_in=", in FILE")
    assert capsys.readouterr().out.splitlines() == [*shown, "  and 2 more, in FILE"]


def test_progress_says_nothing_of_the_time_left_before_anything_is_done(capsys):
    with WorkProgress(make_console(), "scoring", "clips", 3):
        pass
    out = capsys.readouterr().out
    assert "0/3 clips" in out
    assert "left" not in out
