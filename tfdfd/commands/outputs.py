"""The streams that a command prints to, watched: one that cannot be written ends the command in a way of its own.

Else a full disk under `>` or a reader such as `head` that has seen enough would be told as an error of the work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, cast

CLOSED_PIPE = 141
"""What a shell says of a program that ended since nobody read its output any more: 128 + SIGPIPE."""


class _OutputError(BaseException):
    """A stream cannot be written; no Exception, which those who handle such errors of files or clips would take for
    theirs."""

    def __init__(self, stream: TextIO, error: OSError) -> None:
        super().__init__(str(error))
        self.stream, self.error = stream, error


class _Watched:
    """A stream that says that it was the one that could not be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._do(lambda: self._stream.write(text))

    def flush(self) -> None:
        self._do(self._stream.flush)

    def _do(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except OSError as error:
            raise _OutputError(self._stream, error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass
class Outputs:
    """What becomes of a command."""

    status: int = 1
    """Its exit status."""


@contextmanager
def watched_outputs() -> Iterator[Outputs]:
    """Watch the standard streams while a command runs.

    A reader that went away is no error and nothing is said of it, as of a program that SIGPIPE ended; an output that
    cannot be written otherwise is named on stderr. Output that is closed from the start (`>&-`) is refused.

    Yields:
        Where the exit status belongs, which is another where a stream could not be written.
    """
    outputs = Outputs()
    streams = sys.stdout, sys.stderr
    nowhere = open(os.devnull, "w")  # noqa: SIM115, takes the place of a descriptor that is closed
    try:
        stderr = sys.stderr or nowhere  # closed by `2>&-`: nobody wants to hear
        sys.stderr = cast(TextIO, _Watched(stderr))
        try:
            if sys.stdout is None:
                raise _OutputError(nowhere, OSError("it is closed"))
            sys.stdout = cast(TextIO, _Watched(sys.stdout))
            try:
                yield outputs
            finally:
                sys.stdout.flush()
        except _OutputError as failed:
            outputs.status = _status_of(failed, stderr)
            os.dup2(nowhere.fileno(), failed.stream.fileno())  # else Python complains once more when it ends
    finally:
        sys.stdout, sys.stderr = streams
        nowhere.close()


def _status_of(failed: _OutputError, stderr: TextIO) -> int:
    if isinstance(failed.error, BrokenPipeError):
        return CLOSED_PIPE
    if failed.stream is not stderr:
        reason = failed.error.strerror or failed.error
        print(
            f"error: the standard output cannot be written ({reason}): send it to a file that can be, or to /dev/null",
            file=stderr,
        )
    return 1
