"""What the commands share at their edge: a console, clear errors, progress."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from tfdfd.clip import TfdfdError
from tfdfd.commands.outputs import watched_outputs
from tfdfd.cuda_libraries import unseen_message, why_unseen
from tfdfd.gpus import choose_gpus, first_use_note, fix_arithmetic
from tfdfd.guard import FailureGuard, FailureLog
from tfdfd.phrases import counted, shown

_LINE_SECONDS = 30.0
_is_set_up = False
"""Whether `import_tensorflow` has done its work in this process; that TensorFlow is imported does not say so."""


class SafeConsole(Console):
    """A console to which text may hold what others wrote: it prints no control characters but ends of lines."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as Rich's console does, text as `phrases.shown` shows it."""
        super().print(*(shown(one, keep_lines=True) if isinstance(one, str) else one for one in objects), **options)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console for the terminal; in a log file or a pipe lines are not folded.

    It reads no markup: file names hold [brackets].
    """
    stream = sys.stderr if stderr else sys.stdout
    is_terminal = stream.isatty()
    return SafeConsole(
        file=stream,
        width=None if is_terminal else 160,
        soft_wrap=not is_terminal,
        highlight=False,
        markup=False,
    )


_STARTUP_NOTICES = (
    "absl::InitializeLog",
    "port.cc",  # oneDNN is on
    "cudart_stub.cc",  # no CUDA: the run says itself what it trains on
    "cuda_platform.cc",
    "cpu_feature_guard.cc",
    "To enable the following instructions",
)
"""What TensorFlow prints at every start on a machine without a GPU, whatever its log level."""


def import_tensorflow(*, gpus: int | None = None, trains: bool = False, hide_notices: bool = True) -> None:
    """Import TensorFlow without its start-up notices, on the GPUs that this process is to use.

    What else it prints while starting still appears. Of a GPU's memory it takes what it needs.

    Args:
        gpus: see `gpus.choose_gpus`: None for all that are visible, 0 where none is needed or wanted.
        trains: whether networks are trained. What only finds and scores faces computes without TF32, so that the
            faces are those of a CPU, and does not look for the fastest algorithm at every new number of faces.
        hide_notices: keep the notices back until it is imported, and so what it prints where it crashes.

    Raises:
        TfdfdError: if TensorFlow cannot use a GPU that the driver lists, with TensorFlow's reason.
    """
    global _is_set_up
    if _is_set_up:
        return
    was_imported = "tensorflow" in sys.modules
    cards = choose_gpus(gpus)
    if not trains:
        fix_arithmetic()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    with _without_notices() if hide_notices else nullcontext():
        import tensorflow as tf

        seen = tf.config.list_physical_devices("GPU")  # looks for CUDA, and says so
        for gpu in seen:
            # Else TensorFlow takes it all, and DALI and worker processes starve. One that computes already stays as it
            # is, which only tests have.
            with suppress(RuntimeError) if was_imported else nullcontext():
                tf.config.experimental.set_memory_growth(gpu, True)
        if not trains:
            tf.config.experimental.enable_tensor_float_32_execution(False)
    _is_set_up = True
    if finding := why_unseen(len(seen)):
        raise TfdfdError(unseen_message(len(seen), finding))
    if note := first_use_note(cards):
        print(note, file=sys.stderr)


@contextmanager
def _without_notices() -> Iterator[None]:
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            notices.seek(0)
            for line in notices.read().decode(errors="replace").splitlines():
                if not any(notice in line for notice in _STARTUP_NOTICES):
                    print(line, file=sys.stderr)


GOES_ON = "what is done is kept, the same command goes on from there"


def run_command(
    main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None, *, goes_on: bool = False
) -> int:
    """Run a command; an error meant for the person at the keyboard is printed without a traceback.

    Args:
        main: the command.
        argv: its command line; None for that of the process.
        goes_on: whether the command, given again after an interruption, goes on where it was.

    Returns:
        The exit status: 0, 1 for an error, 75 where another worker of a training was lost, 130 if interrupted,
        `outputs.CLOSED_PIPE` if its output is no longer read.
    """
    with watched_outputs() as outputs:
        outputs.status = _run(main, argv, goes_on=goes_on)
    return outputs.status


def _run(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None, *, goes_on: bool) -> int:
    try:
        return main(argv)
    except TfdfdError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print("error:", style="bold red", end=" ")
        print_error(error)
        return error.exit_status
    except OSError as error:
        named = f"{shown(error.filename)}: " if error.filename else ""
        print_error(f"error: {named}{error.strerror or error}{f'; {GOES_ON}' if goes_on else ''}")
        return 1
    except MemoryError as error:
        said = f" ({error})" if str(error) else ""
        print_error(f"error: memory has run out{said}: free some{f'; {GOES_ON}' if goes_on else ''}")
        return 1
    except KeyboardInterrupt:
        print(f"\ninterrupted{f': {GOES_ON}' if goes_on else ''}", file=sys.stderr)
        return 130


def print_error(text: object) -> None:
    """Print to stderr what a person should know, names in it as `phrases.shown` shows them."""
    print(shown(text, keep_lines=True), file=sys.stderr)


@contextmanager
def guarding(console: Console, *folders: Path, items: str = "clips") -> Iterator[FailureGuard]:
    """Yield a guard of clips, and print in the end, however it comes, what nobody foresaw and where its log is.

    Args:
        console: for the note.
        folders: where the log lies, as of `FailureLog`.
        items: what is guarded, in the plural.
    """
    guard = FailureGuard(FailureLog(*folders), items=items)
    try:
        yield guard
        guard.done()
    finally:
        if note := guard.log.note():
            console.print(note, style="yellow")


class RateColumn(ProgressColumn):
    """Work a second, e.g. `3.1 clips/s`."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate of a task."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self.unit}/s" if speed else f"- {self.unit}/s")


class WorkProgress:
    """A bar with a rate and the time left on a terminal; a line every half minute where the output is a file.

    Args:
        console: where it is drawn.
        label: what is being done.
        unit: of the work, in the plural, e.g. `clips`.
        total: how much there is.
    """

    def __init__(self, console: Console, label: str, unit: str, total: int) -> None:
        self._console, self._label, self._unit, self._total = console, label, unit, total
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),  # names hold [brackets]
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=total, start=False)
        self._done, self._part, self._within = 0, 0.0, ""
        self._began = self._line = time.monotonic()

    def __enter__(self) -> WorkProgress:
        self._began = self._line = time.monotonic()
        self._bar.start_task(self._task)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if not self._console.is_terminal:
            self._print_line()

    def advance(self, count: int = 1) -> None:
        """Show that more work is done."""
        self._done += count
        self._part, self._within = 0.0, ""
        self._show()

    def show_part(self, unit: str, number: int, count: int) -> None:
        """Show how far the work is within one that takes long, until the next `advance`; one part alone is not shown.

        Args:
            unit: of the parts, e.g. `window`.
            number: how many are done.
            count: how many there are.
        """
        if count > 1:
            self._part, self._within = number / count, f"{unit} {number} of {count}"
            self._show()

    def _show(self) -> None:
        label = f"{self._label} ({self._within})" if self._within else self._label
        self._bar.update(self._task, completed=self._done + self._part, description=label)
        if not self._console.is_terminal and time.monotonic() - self._line >= _LINE_SECONDS:
            self._print_line()

    def _print_line(self) -> None:
        self._line = time.monotonic()
        seconds = self._line - self._began
        done = self._done + self._part
        rate = done / max(seconds, 1e-6)
        line = f"{self._label}: {self._done}/{counted(self._total, self._unit.removesuffix('s'))}"
        if self._within:
            line += f", {self._within}"
        line += f", {rate:.1f}/s, {seconds / 60:.1f} min"
        if done:
            line += f", {(self._total - done) / max(rate, 1e-6) / 60:.1f} min left"
        self._console.print(line)


_WIDEST = 100_000
"""Columns of a file: as many as a row may need."""


def print_table(console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table; numbers to the right.

    Nothing is cut: on a terminal long cells are folded, in a file or a pipe each row is one line.
    """
    console.print(shown(title), style="italic")  # a table's own title is folded to the table's width
    table = Table()
    for column, name in enumerate(header):
        numeric = all(isinstance(row[column], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # As Text: file names hold [brackets], which are no markup.
        table.add_row(*(Text(f"{cell:.4f}" if isinstance(cell, float) else shown(cell)) for cell in row))
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDEST, highlight=False, markup=False, quiet=console.quiet)
    console.print(table)


def print_reasons(console: Console, reasons: Sequence[str], *, rest_in: str = "") -> None:
    """Print the first ten reasons, a line each, how many more there are, and where they are to be found."""
    for reason in reasons[:10]:
        console.print(f"  {shown(reason)}")
    if len(reasons) > 10:
        console.print(f"  and {len(reasons) - 10} more{rest_in}")
