"""What a worker does with its clips: reads one while it finds the faces of another, and writes them to the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread

from tfdfd.clip import FAILED, Clip, ClipError, ClipFaces, ClipFrames, TfdfdError
from tfdfd.data.clip_folders import ClipFolders
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.frame_source import AUTO
from tfdfd.data.patience import PATIENCE_SECONDS, Patience
from tfdfd.data.store import FaceStore
from tfdfd.extraction import Detector, FrameSource, faces_of_read, read_clip
from tfdfd.faces.config import ExtractionConfig
from tfdfd.guard import Failed, Fault, attempt
from tfdfd.workers.events import DETECTING, READING, WAITING, Began, Bug, Done, Event, Handed, Note, Ready, Refused


@dataclass(frozen=True)
class Share:
    """A worker's share of the machine."""

    num_threads: int
    """CPU threads for decoding and for TensorFlow, at least 1."""
    decoder: str = AUTO
    """What decodes where there is a GPU: AUTO, NVDEC or PYAV."""


@dataclass(frozen=True)
class Parts:
    """What a worker works with."""

    frame_source: FrameSource
    detector: Detector
    notes: tuple[str, ...] = ()
    """As `Ready.notes`."""
    memory_errors: tuple[type[Exception], ...] = (MemoryError,)
    """What is raised where memory, of the machine or of a GPU, runs out."""
    second_source: FrameSource | None = None
    """What reads a clip on which a worker ended before; None for the frame source."""


class WantOfMemoryError(Exception):
    """A worker has no memory for its clips; its message is the traceback."""


MakeParts = Callable[[ExtractionConfig, Share], Parts]
"""Makes a worker's parts, warmed up; a function at the top of a module, since its name travels to the worker."""


@dataclass(frozen=True)
class ExtractionJob:
    """All that a worker needs to know, picklable."""

    store_folder: Path
    fingerprint: Fingerprint
    """The store's."""
    config: ExtractionConfig
    make_parts: MakeParts
    share: Share
    clip_folders: ClipFolders
    shard: str = ""
    """The part of the store that is written to; empty for its main tree."""
    run_token: str = ""
    """What the run has written to its store (`FaceStore.writing`): a machine that reads it there has the same disk."""
    patience_seconds: float = PATIENCE_SECONDS
    """How long a disk may be away, of the store or of the clips."""


def do_clips(job: ExtractionJob, clips: Iterable[Handed], say: Callable[[Event], None], *, writing: Lock) -> None:
    """Do clips until there are no more, and say what becomes of them.

    Args:
        job: how.
        clips: the clips as they come; asked for the next one in a thread of its own, ahead of detection. Who hands
            them out bounds the memory: each clip that is not done yet may have its frames here.
        say: receives events, from two threads.
        writing: held while something is written to the store.

    Raises:
        WantOfMemoryError: if memory ran out; what was going on is not done, and this process should end.
    """
    try:
        parts = job.make_parts(job.config, job.share)
    except TfdfdError as error:
        say(Refused(str(error)))
        return
    say(Ready(parts.notes))
    for clip, frames in _read_ahead(clips, parts, job, say):
        say(Began(clip.clip_id, DETECTING))
        try:
            event = _do(clip, frames, parts, job, say, writing)
        except parts.memory_errors as error:
            raise WantOfMemoryError(Fault.of(error).traceback) from error
        except (TfdfdError, OSError) as error:  # the store's disk
            say(Refused(str(error)))
            return
        say(event)


def _do(
    clip: Clip,
    frames: Future[ClipFrames | ClipError],
    parts: Parts,
    job: ExtractionJob,
    say: Callable[[Event], None],
    writing: Lock,
) -> Done | Bug:
    """Find the faces of a clip that is read and write them; its frames are let go in the end."""

    def write(faces: ClipFaces) -> Done:
        patience = _patience(job, clip, DETECTING, say)
        store = FaceStore(job.store_folder, job.fingerprint, patience)
        with writing:
            size = job.clip_folders.size_of(clip.path, patience)
            (store.shard(job.shard) if job.shard else store).write(faces, source_bytes=size)
        return _done(faces)

    def find_and_write() -> Done:
        return write(faces_of_read(clip, frames.result(), parts.detector, job.config))

    done = attempt(find_and_write, passes=parts.memory_errors)
    if not isinstance(done, Failed):
        return done
    return write(ClipFaces(clip.clip_id, FAILED, done.reason)) if done.fault is None else Bug(clip.clip_id, done.fault)


def _read_ahead(
    clips: Iterable[Handed], parts: Parts, job: ExtractionJob, say: Callable[[Event], None]
) -> Iterator[tuple[Clip, Future[ClipFrames | ClipError]]]:
    """Yield each clip when it is read; the next ones are read meanwhile, in order."""

    def read(handed: Handed) -> ClipFrames | ClipError:
        clip, second = handed.clip, parts.second_source
        frame_source = second if handed.is_second_try and second is not None else parts.frame_source
        say(Began(clip.clip_id, READING))
        try:
            patience = _patience(job, clip, READING, say)
            return job.clip_folders.read(lambda: read_clip(clip, frame_source, job.config), clip.path, patience)
        finally:
            say(Began(clip.clip_id, WAITING))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames") as reader:
        waiting: SimpleQueue[tuple[Clip, Future[ClipFrames | ClipError]] | None] = SimpleQueue()

        def submit_all() -> None:
            for handed in clips:
                waiting.put((handed.clip, reader.submit(read, handed)))
            waiting.put(None)

        Thread(target=submit_all, name="inbox", daemon=True).start()
        while (entry := waiting.get()) is not None:
            clip, frames = entry
            frames.exception()  # waits; what it is comes out where the frames are used
            yield clip, frames
            del entry, frames


def _patience(job: ExtractionJob, clip: Clip, stage: str, say: Callable[[Event], None]) -> Patience:
    """Return a wait for a disk that does not count against the clip."""
    return Patience(
        job.patience_seconds,
        say=lambda text: say(Note(text)),
        on_wait=lambda begins: say(Began(clip.clip_id, WAITING if begins else stage)),
    )


def _done(faces: ClipFaces) -> Done:
    return Done(faces.clip_id, faces.status, faces.reason, faces.warnings)
