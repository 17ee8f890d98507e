"""A guard around each clip: what nobody foresaw costs that clip, and stops the run where it comes again and again.

`attempt` does something for one clip, in any thread or process. A command counts what came of it by a `FailureGuard`,
whose `FailureLog` keeps the tracebacks. What is no clip's doing passes through: a TfdfdError, Ctrl-C, want of memory, a
full disk.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from tfdfd import __version__
from tfdfd.clip import ClipError, TfdfdError
from tfdfd.phrases import counted, shown

T = TypeVar("T")
MOST_ALIKE = 5
"""Clips that may fail alike with nothing done in between: then it is probably no clip's doing, and all would."""
LOG_FILE = "failures.log"
_MOST_LOG_BYTES = 2**20
"""A longer log begins again; the one before is kept as `failures.old.log`."""
_MOST_TRACEBACK = 8000
"""Characters of a traceback that are kept; the end says what happened."""
_MOST_MESSAGE = 200
_ROOT = Path(__file__).resolve().parent.parent
_OURS = (_ROOT / "tfdfd", _ROOT / "pipelines")


@dataclass(frozen=True)
class Fault:
    """An exception that nobody foresaw, without what it holds in memory."""

    kind: str
    """The exception's name, e.g. `ValueError`."""
    message: str
    """The first line of what it says."""
    place: str
    """Where it was raised, or where our code called what raised it, e.g. `tfdfd/data/video.py:97`."""
    traceback: str = field(repr=False)
    """The end of it."""

    @staticmethod
    def of(error: BaseException) -> Fault:
        """Return what is kept of an exception that was caught."""
        said = str(error).strip()
        return Fault(
            type(error).__name__,
            shown(said.splitlines()[0][:_MOST_MESSAGE]) if said else "",
            _place(error),
            "".join(traceback.format_exception(error))[-_MOST_TRACEBACK:],
        )

    @property
    def reason(self) -> str:
        """Why its clip has failed, in one line."""
        return f"{self.kind}{f': {self.message}' if self.message else ''} (unforeseen, at {self.place})"

    def is_like(self, other: Fault) -> bool:
        """Return whether another is of the same kind and from the same place."""
        return (self.kind, self.place) == (other.kind, other.place)


class UnforeseenError(ClipError):
    """A fault in the place of a clip's frames; see `as_clip_error`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


class RepeatedFaultError(TfdfdError):
    """So many clips failed alike that it is probably not the clips' doing."""


@dataclass(frozen=True)
class Failed:
    """Why there is no result for a clip."""

    reason: str
    """In one line, for a person."""
    fault: Fault | None = None
    """None where it was foreseen, e.g. a file that is cut off."""


def attempt(act: Callable[[], T], *, passes: tuple[type[Exception], ...] = ()) -> T | Failed:
    """Do something for one clip; a ClipError, and any exception that nobody foresaw, costs that clip alone.

    Args:
        act: does it.
        passes: exceptions that are no clip's doing beside those that never are.

    Returns:
        What the act returned, or why it failed.

    Raises:
        TfdfdError, MemoryError, OSError of a full disk: these are no clip's doing.
    """
    try:
        return act()
    except ClipError as error:
        return Failed(str(error), error.fault if isinstance(error, UnforeseenError) else None)
    except Exception as error:
        if _is_no_clips_doing(error) or isinstance(error, passes):
            raise
        fault = Fault.of(error)
        return Failed(fault.reason, fault)


@contextmanager
def as_clip_error() -> Iterator[None]:
    """Turn an exception that `attempt` would catch into an UnforeseenError, for those who hand errors on as values."""
    fault = None
    try:
        yield
    except Exception as error:
        if isinstance(error, ClipError) or _is_no_clips_doing(error):
            raise
        fault = Fault.of(error)
    if fault is not None:  # outside of the handler: what the exception holds in memory is let go
        raise UnforeseenError(fault)


class FailureLog:
    """The tracebacks of faults, in a file that appears with the first and never grows beyond a few MiB.

    Args:
        folders: where it lies: the first that can be written to, e.g. the run's output; where none can, in the user's
            folder for such things.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = (*folders, state_folder())
        self._faults: list[Fault] = []
        self.num_faults = 0
        self.path: Path | None = None
        """The file, None before the first fault and where none can be written."""

    def add(self, item: str, fault: Fault) -> None:
        """Keep a fault; of those that are alike the traceback stands in the log once a run.

        Args:
            item: the clip.
            fault: what it ran into.
        """
        is_new = not any(fault.is_like(other) for other in self._faults)
        if is_new:
            self._faults.append(fault)
        self.num_faults += 1
        when = datetime.now(UTC).isoformat(timespec="seconds")
        head = f"{when} tfdfd {__version__}, {shown(item)}: {fault.reason}"
        entry = f"{head}\n{fault.traceback.rstrip()}\n\n" if is_new else f"{head}, as above\n"
        for folder in self._folders if self.path is None else (self.path.parent,):
            try:
                _append(folder / LOG_FILE, entry)
            except OSError:  # the run's own output is written elsewhere, and says so
                continue
            self.path = folder / LOG_FILE
            return

    def note(self) -> str:
        """Return what to tell a person in the end, empty where there was no fault."""
        if not self._faults:
            return ""
        faults = counted(self.num_faults, "fault")
        kinds = "; ".join(fault.reason for fault in self._faults[:3])
        more = f" and {len(self._faults) - 3} more" if len(self._faults) > 3 else ""
        # Where no file could be written it is said here, once.
        where = (
            f"tracebacks in {shown(self.path)}"
            if self.path
            else f"no log can be written, the first:\n{self._faults[0].traceback}"
        )
        return f"{faults} that nobody foresaw, each of which cost its clip: {kinds}{more}; {where}. Please report it"


class FailureGuard:
    """Counts the faults of a run, keeps their tracebacks, and stops the run where clips fail alike.

    Args:
        log: where the tracebacks go.
        items: what is counted, in the plural.
    """

    def __init__(self, log: FailureLog, *, items: str = "clips") -> None:
        self.log, self._items = log, items
        self._alike: list[tuple[str, Fault]] = []
        self._to_record: list[Callable[[], None]] = []

    def run(self, item: str, act: Callable[[], T]) -> T | Failed:
        """Do something for one clip and count what comes of it.

        Args:
            item: the clip, for the log and messages.
            act: as of `attempt`, which says too what it raises.

        Raises:
            RepeatedFaultError: as `failed`.
        """
        result = attempt(act)
        if not isinstance(result, Failed):
            self.done()
        elif result.fault is not None:
            self.failed(item, result.fault)
        return result

    def done(self) -> None:
        """Take in that something was done, or that all was tried: faults before it were their clips' own."""
        self._alike = []
        for record in self._to_record:
            record()
        self._to_record = []

    def failed(self, item: str, fault: Fault, *, record: Callable[[], None] = lambda: None) -> None:
        """Take in that a clip failed by a fault.

        Args:
            item: the clip.
            fault: what it ran into.
            record: writes down that it failed; called by `done`, and so not where the run stops: the same command then
                tries it again.

        Raises:
            RepeatedFaultError: if it is the last of MOST_ALIKE that failed alike with nothing done in between.
        """
        self.log.add(item, fault)
        self._alike.append((item, fault))
        alike = [name for name, other in self._alike if fault.is_like(other)]
        if len(alike) >= MOST_ALIKE:
            where = f"; traceback in {shown(self.log.path)}" if self.log.path else f"\n{fault.traceback}"
            raise RepeatedFaultError(
                f"{len(alike)} {self._items} failed alike with nothing done in between, so it is probably not their "
                f"doing: {', '.join(map(shown, alike))}: {fault.reason}{where}. What is done is kept. `tfdfd doctor` "
                f"looks at this machine; if it is these {self._items} after all, leave them out. Please report it"
            )


def state_folder() -> Path:
    """Return the user's folder for logs: `$XDG_STATE_HOME/tfdfd`, else `~/.local/state/tfdfd`."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    folder = given if given.is_absolute() else Path(os.path.expanduser("~/.local/state"))
    # Without a home there is none, and no file can be made there.
    return (folder if folder.is_absolute() else Path(os.devnull)) / "tfdfd"


def _is_no_clips_doing(error: Exception) -> bool:
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return is_full or isinstance(error, TfdfdError | MemoryError)


def _place(error: BaseException) -> str:
    frames = list(traceback.walk_tb(error.__traceback__))
    places = [(Path(frame.f_code.co_filename), line) for frame, line in frames]
    ours = [(file, line) for file, line in places if any(file.is_relative_to(room) for room in _OURS)]
    others = [(file, line) for file, line in ours if file != Path(__file__)]
    if not (chosen := others or places):
        return "an unknown place"
    file, line = chosen[-1]
    return f"{file.relative_to(_ROOT).as_posix() if file.is_relative_to(_ROOT) else file.name}:{line}"


def _append(path: Path, entry: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = entry.encode(errors="backslashreplace")
    if path.exists() and path.stat().st_size + len(content) > _MOST_LOG_BYTES:
        os.replace(path, path.with_suffix(".old.log"))
    # For the user alone: it names clips. A link is not followed.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
