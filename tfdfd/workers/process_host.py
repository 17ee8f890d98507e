"""The inside of a Ray actor: one worker process on its machine. Knows nothing of Ray."""

from __future__ import annotations

from multiprocessing import connection as connections

from tfdfd.clip import Clip, TfdfdError
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.workers.events import Event, Refused
from tfdfd.workers.job import ExtractionJob
from tfdfd.workers.processes import ProcessWorker

_FAREWELL_SECONDS = 5.0


class ProcessHost:
    """Starts a worker process, hands on clips and events.

    Args:
        job: what the process does.
    """

    def __init__(self, job: ExtractionJob) -> None:
        problem = what_is_not_shared(job)
        self._refusal: list[Event] = [Refused(problem)] if problem else []
        self._worker = None if problem else ProcessWorker(job, {})

    def submit(self, clip: Clip) -> None:
        """Hand over a clip."""
        if self._worker is not None:
            self._worker.submit(clip)

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
    """Return which folder this machine does not see as the one does that handed out the job, or an empty string."""
    advice = "the store and the clips must be on disks that all machines share, under the same paths"
    try:
        found = Fingerprint.from_file(job.store_folder / "store.json")
    except TfdfdError as error:
        return f"the store {job.store_folder} is not here ({error}): {advice}"
    if found != job.fingerprint:
        return f"another store is at {job.store_folder}: {advice}"
    missing = [str(folder) for folder in job.clip_folders.inodes if not folder.is_dir()]
    if missing:
        return f"the clips' folder {missing[0]} is not here: {advice}"
    return ""
