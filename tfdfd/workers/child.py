"""The inside of a worker process: it takes clips from a pipe, and never outlives its parent."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread

from tfdfd.workers.events import Event, Handed
from tfdfd.workers.job import ExtractionJob, WantOfMemoryError, do_clips

_PR_SET_PDEATHSIG = 1


def main(connection: Connection, parent: int) -> None:
    """Work until the pipe is closed.

    Args:
        connection: gives the job, then clips; takes events.
        parent: process id of whoever started this one.
    """
    _die_with(parent)
    # Ctrl-C reaches all processes of a terminal; the parent decides what it means, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    writing, saying = Lock(), Lock()
    inbox: SimpleQueue[Handed] = SimpleQueue()
    job: ExtractionJob = connection.recv()

    def listen() -> None:
        try:
            while True:
                inbox.put(connection.recv())
        except (EOFError, OSError):
            # At once, but not in the middle of a file; without Python's and TensorFlow's long farewells.
            with writing:
                os._exit(0)

    def say(event: Event) -> None:
        try:
            with saying:
                connection.send(event)
        except OSError:
            os._exit(0)  # nobody listens any more

    def clips() -> Iterator[Handed]:
        while True:
            yield inbox.get()

    Thread(target=listen, name="listen", daemon=True).start()
    try:
        do_clips(job, clips(), say, writing=writing)
    except WantOfMemoryError as error:
        # As the system would do it: then the clips are tried again, alone.
        print(error, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)  # it was refused; the thread that waits for clips would keep the process


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens.

    The end of the pipe would do as well, but is noticed by a thread, which waits while other code holds the GIL;
    the store's lock is free as soon as the parent is gone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
