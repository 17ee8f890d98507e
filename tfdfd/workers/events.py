"""What a worker says of its work: small picklable values, the same from a process and from another machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tfdfd.clip import Clip
from tfdfd.guard import Fault

READING, WAITING, DETECTING = "reading", "waiting", "finding faces"
"""Stages of a clip in a worker. While it waits for its turn no time limit runs."""

CRASHED, KILLED, LOST = "crashed", "killed", "lost"
"""How a worker ended: by its own fault or a clip's; killed from outside, mostly for want of memory; or gone with its
machine, which is no clip's fault."""


@dataclass(frozen=True)
class Handed:
    """A clip as a worker gets it."""

    clip: Clip
    is_second_try: bool = False
    """Whether a worker ended on it before: it is then read without what may have ended that worker, NVDEC."""


@dataclass(frozen=True)
class Ready:
    """The worker has imported and warmed up what it needs and takes clips."""

    notes: tuple[str, ...] = ()
    """What a person should know of how it works, e.g. without DALI; the same of every worker."""


@dataclass(frozen=True)
class Began:
    """A clip enters a stage."""

    clip_id: str
    stage: str
    """READING, WAITING or DETECTING."""


@dataclass(frozen=True)
class Note:
    """Something that a person should know at once, e.g. that a disk is away."""

    text: str


@dataclass(frozen=True)
class Done:
    """A clip is in the store."""

    clip_id: str
    status: str
    """As `ClipFaces.status`."""
    reason: str = ""
    """Why the status is not ok."""
    warnings: tuple[str, ...] = ()
    """What a person should know of a clip that was read all the same."""


@dataclass(frozen=True)
class Bug:
    """An error on one clip that nobody foresaw; the worker goes on."""

    clip_id: str
    fault: Fault


@dataclass(frozen=True)
class Refused:
    """The worker cannot go on, nor could another: no space, no permission, a missing package."""

    message: str
    """For the person at the command line: what to do."""


@dataclass(frozen=True)
class Ended:
    """The worker is gone; always its last event."""

    how: str
    """CRASHED, KILLED or LOST."""
    reason: str
    """E.g. `SIGSEGV (segmentation fault)` or `exit status 1`."""
    last_words: str = ""
    """The end of what it printed."""


Event = Ready | Began | Note | Done | Bug | Refused | Ended


class Worker(Protocol):
    """Takes clips and tells what becomes of them; see `tfdfd.workers.processes`."""

    def submit(self, handed: Handed) -> None:
        """Hand over a clip; a worker that is gone takes it too, and its Ended tells."""
        ...

    def events(self) -> list[Event]:
        """Return what was said since the last call, without waiting; nothing follows an Ended."""
        ...

    def kill(self) -> None:
        """End the worker at once, whatever it is doing; an Ended follows."""
        ...


class Crew(Protocol):
    """Starts workers of one kind."""

    @property
    def num_workers(self) -> int:
        """Workers that may run at a time now; as machines come and go it changes.

        Raises:
            TfdfdError: if none may, and none is to be expected.
        """
        ...

    def start(self, slot: int) -> Worker:
        """Start a worker.

        Args:
            slot: its number, which no other living worker has.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Wait until a worker says something, at most so long."""
        ...

    def close(self) -> None:
        """End all workers: gently where they follow, by force where they do not."""
        ...
