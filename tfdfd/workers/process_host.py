"""The inside of a Ray actor: one worker process on its machine. Knows nothing of Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from multiprocessing import connection as connections

from tfdfd.data.patience import Patience
from tfdfd.data.store import LOCK
from tfdfd.workers.events import Event, Handed, Refused
from tfdfd.workers.job import ExtractionJob
from tfdfd.workers.processes import ProcessWorker

_FAREWELL_SECONDS = 5.0


class ProcessHost:
    """Starts a worker process, hands on clips and events.

    Args:
        job: what the process does.
        environment: variables that it has beside or instead of those of the actor.
    """

    def __init__(self, job: ExtractionJob, environment: Mapping[str, str]) -> None:
        patience = Patience(job.patience_seconds)
        problem = patience.keep_trying(lambda: what_is_not_shared(job), what="the store", folder=job.store_folder)
        self._refusal: list[Event] = [Refused(problem)] if problem else []
        self._worker = None if problem else ProcessWorker(job, environment)

    def submit(self, handed: Handed) -> None:
        """Hand over a clip."""
        if self._worker is not None:
            self._worker.submit(handed)

    def events(self, seconds: float) -> list[Event]:
        """Return what was said since the last call; wait for it at most so long."""
        if self._worker is None:
            return self._refusal
        connections.wait(self._worker.sources, seconds)
        return self._worker.events()

    def close(self) -> None:
        """End the process; if it writes a clip it may finish the file, for a moment."""
        if self._worker is not None:
            self._worker.hang_up()
            self._worker.kill(after_seconds=_FAREWELL_SECONDS)


def what_is_not_shared(job: ExtractionJob) -> str:
    """Return which folder this machine does not see as the one does that handed out the job, or an empty string.

    Raises:
        OSError: if a disk cannot be read.
    """
    advice = "the store and the clips must be on disks that all machines share, under the same paths"
    try:
        token = (job.store_folder / LOCK).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return f"the store {job.store_folder} is not here: {advice}"
    # The settings of two stores are alike where both were made by the same command, or one is a copy.
    if token != job.run_token:
        return f"another store is at {job.store_folder}: {advice}"
    for folder in job.clip_folders.inodes:
        try:
            os.stat(folder)
        except (FileNotFoundError, NotADirectoryError):
            return f"the clips' folder {folder} is not here: {advice}"
    return ""
