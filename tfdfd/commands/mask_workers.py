"""Who makes the masks of which fake: this process, or several at once."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import import_tensorflow
from tfdfd.guard import Failed, attempt

if TYPE_CHECKING:
    from tfdfd.data.mask_store import ClipMasks
    from tfdfd.data.masks import CropGeometry


@dataclass(frozen=True)
class Pair:
    """A fake whose masks are to be made."""

    clip_id: str
    fake: Path
    original: Path | None
    """None where it is not known, or not among the clips."""
    no_original: str
    """Why there is none; empty where there is."""
    fake_bytes: int
    """Size of the fake's file when its faces were found."""
    original_bytes: int


Task = tuple[Path, Pair, "CropGeometry"]
"""Folder of the store, the fake, and how the store's crops lie in their frames."""


def made_in_turn(
    store_folder: Path, pairs: Sequence[Pair], geometry: CropGeometry, workers: int
) -> Generator[tuple[Pair, ClipMasks | Failed | None], None, None]:
    """Yield each pair with its masks or why it has none, in their order; None where the store has lost its record.

    Raises:
        TfdfdError: if a worker process died.
    """
    tasks = [(store_folder, pair, geometry) for pair in pairs]
    if workers == 1:
        yield from ((pair, masks_of(task)) for pair, task in zip(pairs, tasks, strict=True))
        return
    with _pool(min(workers, len(pairs))) as pool:
        with _no_ctrl_c():  # for the processes, which start now
            made = pool.map(masks_of, tasks)
        try:
            yield from zip(pairs, made, strict=True)
        except BrokenProcessPool as error:
            raise TfdfdError(
                "a process that makes masks died, as for want of memory: the same command goes on from there; give "
                "fewer --workers if it happens again"
            ) from error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Hold processes that end at once where the work ends early: they write nothing that could be lost."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C, here for a moment and in the processes that are started for good.

    It reaches all processes of a terminal; the first one decides what it means.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def masks_of(task: Task) -> ClipMasks | Failed | None:
    """Make the masks of a fake; None where the store has lost its record."""
    import_tensorflow(gpus=0)
    return attempt(lambda: _masks_of(task))


def _masks_of(task: Task) -> ClipMasks | None:
    from tfdfd.data.mask_store import NO_ORIGINAL, ClipMasks
    from tfdfd.data.masks import masks_of_fake
    from tfdfd.data.store import FaceStore

    folder, pair, geometry = task
    if pair.original is None:
        return ClipMasks(pair.clip_id, NO_ORIGINAL, pair.no_original)
    record = FaceStore.open(folder).record(pair.clip_id)
    return None if record is None else masks_of_fake(record, pair.fake, pair.original, geometry)
