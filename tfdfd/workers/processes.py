"""Workers as processes on this machine."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection as connections
from multiprocessing.connection import Connection

from tfdfd.workers.events import CRASHED, KILLED, Ended, Event, Handed
from tfdfd.workers.job import ExtractionJob

# The child finds its modules where this process finds them; only then can it import ours. It is a fresh
# interpreter, not a fork: TensorFlow's threads and locks do not survive one.
_BOOTSTRAP = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
from tfdfd.workers.child import main
main(connection, int(sys.argv[2]))
"""
_LAST_WORDS = 16_000
"""Bytes kept of what a worker prints."""
_NOISE = (
    "Extension modules:",
    "<frozen importlib.",
    "All log messages before absl::",
    "oneDNN custom operations are on",
)
"""Of what a crashed process prints: lists of all modules and of Python's own import frames, TensorFlow's greetings."""
_FAREWELL_SECONDS = 5.0
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "GRPC_VERBOSITY": "ERROR",
    "PYTHONUNBUFFERED": "1",  # what was printed before a crash is in its message
}


class ProcessCrew:
    """Starts worker processes, and ends them.

    Args:
        job: what they do; its share of the machine is each worker's.
        environments: of each process that may run at a time, the variables that it has beside or instead of those of
            this process: which GPU it sees.
    """

    def __init__(self, job: ExtractionJob, environments: Sequence[Mapping[str, str]]) -> None:
        self._job = job
        self._environments = environments
        self._living: list[ProcessWorker] = []

    @property
    def num_workers(self) -> int:
        """Processes that may run at a time."""
        return len(self._environments)

    def start(self, slot: int) -> ProcessWorker:
        """Start a process; it imports and warms up in its own time."""
        self._living = [worker for worker in self._living if worker.is_alive]
        self._living.append(ProcessWorker(self._job, self._environments[slot]))
        return self._living[-1]

    def wait(self, seconds: float) -> None:
        """Wait until a worker says something, prints something or ends."""
        connections.wait([source for worker in self._living for source in worker.sources], seconds)

    def close(self) -> None:
        """End all processes; one that writes a clip may finish the file, for a moment."""
        for worker in self._living:
            worker.hang_up()
        for worker in self._living:
            worker.kill(after_seconds=_FAREWELL_SECONDS)
        self._living = []


class ProcessWorker:
    """A process that does clips; what it prints is kept back from the terminal, the end of it for error messages.

    Args:
        job: what it does.
        environment: variables that it has beside or instead of those of this process.
    """

    def __init__(self, job: ExtractionJob, environment: Mapping[str, str]) -> None:
        ours, theirs = connections.Pipe()
        reading, printing = os.pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=printing,
                stderr=printing,
                pass_fds=[theirs.fileno()],
                env={**_ENVIRONMENT, **os.environ, **environment},
            )
        os.close(printing)
        os.set_blocking(reading, False)
        self._connection: Connection | None = ours
        self._printed: int | None = reading
        self._words = b""
        self._is_condemned = self._has_ended = False
        self._send(sys.path)
        self._send(job)

    @property
    def process_id(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self._has_ended

    @property
    def sources(self) -> list[Connection | int]:
        """What becomes readable when there is something to hear."""
        return [source for source in (self._connection, self._printed) if source is not None]

    def submit(self, handed: Handed) -> None:
        """Hand over a clip."""
        self._send(handed)

    def events(self) -> list[Event]:
        """Return what was said since the last call; the last event is Ended."""
        if self._has_ended:
            return []
        heard: list[Event] = []
        self._listen_to_prints()
        try:
            while self._connection is not None and self._connection.poll():
                heard.append(self._connection.recv())
        except (EOFError, OSError, pickle.UnpicklingError):
            self.hang_up()
        if self._is_condemned:
            self.hang_up()  # it has said its last, even where it hangs in the kernel and cannot end yet
        if self._connection is None:
            self.kill(after_seconds=_FAREWELL_SECONDS)
            heard.append(self._ended())
        return heard

    def hang_up(self) -> None:
        """Close the pipe: the process ends by itself when it notices."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def kill(self, *, after_seconds: float = 0.0) -> None:
        """End the process by force, if it has not ended by then."""
        try:
            self._process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._is_condemned = True
            # One that hangs in the kernel, e.g. on a lost network disk, ends when that lets go: it runs no more code.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_FAREWELL_SECONDS)

    def _send(self, value: object) -> None:
        if self._connection is not None:
            with suppress(OSError):  # it has ended, as events() will say
                self._connection.send(value)

    def _listen_to_prints(self) -> None:
        while self._printed is not None:
            try:
                printed = os.read(self._printed, 1 << 16)
            except BlockingIOError:
                return
            self._words = (self._words + printed)[-_LAST_WORDS:]
            if not printed:
                os.close(self._printed)
                self._printed = None

    def _ended(self) -> Ended:
        self._has_ended = True
        self._listen_to_prints()
        if self._printed is not None:
            os.close(self._printed)
            self._printed = None
        code = self._process.returncode
        printed = self._words.decode(errors="replace").splitlines()
        words = "\n".join(line for line in printed if line and not any(noise in line for noise in _NOISE))
        if code is None or code == -signal.SIGKILL:
            return Ended(KILLED, "SIGKILL", words)
        if code < 0:
            name = signal.Signals(-code).name
            return Ended(CRASHED, f"{name} ({signal.strsignal(-code)})", words)
        return Ended(CRASHED, f"exit status {code}", words)
