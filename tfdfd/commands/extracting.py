"""How a command has worker processes extract clips: its flags, shares of the machine, what a worker is made of."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.clip import FAILED, Clip, ClipFaces, TfdfdError
from tfdfd.commands.console import guarding, import_tensorflow
from tfdfd.commands.inputs import add_decoder_flag, choose_frame_source, num_cores, settle_decoder
from tfdfd.data.clip_folders import ClipFolders
from tfdfd.data.frame_source import AUTO, NVDEC, PyAvFrameSource
from tfdfd.data.patience import Patience
from tfdfd.data.store import FaceStore
from tfdfd.faces.config import ExtractionConfig
from tfdfd.gpus import choose_gpus, environment_of
from tfdfd.workers.events import Done
from tfdfd.workers.job import ExtractionJob, Parts, Share
from tfdfd.workers.places import GPU_MEMORY_PER_WORKER, places_of_memory, worker_places
from tfdfd.workers.pool import run_clips
from tfdfd.workers.processes import ProcessCrew

if TYPE_CHECKING:
    from tfdfd.workers.ray_cluster import RayCrew


@dataclass(frozen=True)
class WorkerConfig:
    """How many workers, and what they may take."""

    workers: int | None = None
    """Processes at a time; None for as many as the machine feeds."""
    clip_timeout: float = 600.0
    """Seconds for reading a clip, and as many for finding its faces; 0 for no limit."""
    ray: str = ""
    """Address of the Ray cluster whose machines extract; empty for this machine alone."""
    decoder: str = AUTO
    """What decodes where there is a GPU, one of `inputs.DECODERS`."""
    cpu: bool = False
    """Whether GPUs are left alone, those of other machines too."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise TfdfdError(f"--workers must be at least 1, got {self.workers}")
        if not self.clip_timeout >= 0:
            raise TfdfdError(f"--clip-timeout must be 0 (no limit) or more seconds, got {self.clip_timeout}")
        if self.ray and importlib.util.find_spec("ray") is None:
            raise TfdfdError("--ray needs the package ray, of one version on all machines: pip install -e '.[ray]'")


def add_worker_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `WorkerConfig` is made from."""
    group = parser.add_argument_group("extraction")
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that extract clips, sharing cores and GPUs (default: one for every two cores if there are 2 "
        "GiB of free memory for each; of them as many on the GPUs as find 4 GiB of theirs and of the machine's)",
    )
    group.add_argument(
        "--clip-timeout",
        type=float,
        default=WorkerConfig.clip_timeout,
        metavar="SECONDS",
        help="longest that reading a clip, or finding its faces, may take before it is recorded as failed; 0 for no "
        "limit (default: %(default)g)",
    )
    group.add_argument(
        "--ray",
        default="",
        metavar="ADDRESS",
        help="extract on the machines of a Ray cluster: HOST:6379 of its head, or auto for the one that this machine "
        "is part of; --workers then limits their number on all machines together (default: as many as these feed)",
    )
    add_decoder_flag(group)


def worker_config(arguments: argparse.Namespace) -> WorkerConfig:
    """Return what the flags say.

    Raises:
        TfdfdError: if a value is not allowed.
    """
    return WorkerConfig(arguments.workers, arguments.clip_timeout, arguments.ray, arguments.decoder, arguments.cpu)


def make_parts(config: ExtractionConfig, share: Share) -> Parts:
    """Make what a worker works with, in the worker: a frame source and MTCNN, warmed up on an empty picture."""
    # A card that it was given and cannot use ends the run, with TensorFlow's reason.
    import_tensorflow(hide_notices=False)
    import numpy as np
    import tensorflow as tf

    from tfdfd.faces.mtcnn import MTCNN

    tf.config.threading.set_intra_op_parallelism_threads(share.num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(share.num_threads)
    gpus = tf.config.list_physical_devices("GPU")
    source, note = choose_frame_source(gpu=bool(gpus), num_threads=share.num_threads, decoder=share.decoder)
    detector = MTCNN(min_face_share=config.min_face_share)
    detector(np.zeros((1, 180, 320, 3), np.uint8))
    return Parts(
        source,
        detector,
        (note,) if note else (),
        (MemoryError, tf.errors.ResourceExhaustedError),
        second_source=PyAvFrameSource("second try, a worker ended on it") if gpus else None,
    )


def extract_in_workers(
    clips: list[Clip],
    store: FaceStore,
    config: ExtractionConfig,
    workers: WorkerConfig,
    console: Console,
    *,
    run_token: str,
    on_clip: Callable[[Done], None],
) -> None:
    """Extract clips into a store that the caller holds for writing.

    Args:
        clips: what to do, in order.
        store: where the faces go.
        config: how crops are made.
        workers: how many processes, and what they may take.
        console: for what a person should know meanwhile.
        run_token: what `store.writing()` gave the caller.
        on_clip: called after each clip, for progress.

    Raises:
        TfdfdError: if the run cannot go on, also where many clips in a row fail alike; clips that are done are kept.
    """

    def say(note: str) -> None:
        console.print(note, style="yellow")

    patience = Patience(say=say)
    folders = ClipFolders.of(clips)

    def recorded(clip: Clip) -> Done | None:
        size = folders.size_of(clip.path, patience)
        for part in (store, *store.shards()):
            record = part.record(clip.clip_id)
            # A failed clip has a record from before where it is tried again.
            if record and record["status"] != FAILED and part.holds(clip.clip_id, source_bytes=size):
                return Done(clip.clip_id, record["status"], record["reason"], tuple(record["warnings"]))
        return None

    def on_failed(clip: Clip, reason: str) -> None:
        store.write(ClipFaces(clip.clip_id, FAILED, reason), source_bytes=folders.size_of(clip.path, patience))
        on_clip(Done(clip.clip_id, FAILED, reason))

    def on_done(done: Done) -> None:
        if workers.ray:
            # What a shard has of it now must not give way to what the store has from before.
            store.forget(done.clip_id)
        on_clip(done)

    job = ExtractionJob(
        store.folder.absolute(),
        store.fingerprint,
        config,
        make_parts,
        Share(num_cores(), workers.decoder),
        folders,
        run_token=run_token,
    )
    crew = _ray_crew(job, workers, say) if workers.ray else _process_crew(job, workers, len(clips), console)
    with guarding(console, store.folder) as guard:
        run_clips(
            clips,
            crew,
            clip_timeout_seconds=workers.clip_timeout,
            recorded=recorded,
            on_done=on_done,
            on_failed=on_failed,
            on_fault=guard.log.add,  # the dispatcher counts: it tries clips from the other end before it stops
            on_note=say,
        )


def _process_crew(job: ExtractionJob, workers: WorkerConfig, num_clips: int, console: Console) -> ProcessCrew:
    cards = choose_gpus()
    # Before there are workers, which would disturb the trial and each other.
    settle_decoder(workers.decoder, console)
    card_places = [places_of_memory(card.free_bytes) for card in cards]
    places = worker_places(
        card_places,
        cores=num_cores(),
        memory_bytes=free_memory(),
        asked=workers.workers,
        only_on_cards=workers.decoder == NVDEC,
    )[:num_clips]
    for card, number in zip(cards, card_places, strict=True):
        if not number:
            console.print(
                f"{card.label} has {card.free_bytes / 2**30:.1f} GiB free, a worker may need "
                f"{GPU_MEMORY_PER_WORKER / 2**30:.0f}: none works on it",
                style="yellow",
            )
    share = dataclasses.replace(job.share, num_threads=max(1, num_cores() // len(places)))
    environments = [environment_of(None if place is None else cards[place]) for place in places] if cards else []
    return ProcessCrew(dataclasses.replace(job, share=share), environments or [{}] * len(places))


def _ray_crew(job: ExtractionJob, workers: WorkerConfig, say: Callable[[str], None]) -> RayCrew:
    from tfdfd.workers.ray_cluster import RayCrew  # takes a second to import, and may not be installed

    return RayCrew(workers.ray, job, max_workers=workers.workers, say=say, uses_gpus=not workers.cpu)


def free_memory() -> int:
    """Return how many bytes of memory can be had, in a container of what it may use."""
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free = [int(line.split()[1]) * 1024]
    cgroup = Path("/sys/fs/cgroup")
    limit, used = (_lines(cgroup / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdigit():
        # What was read and can be dropped counts as used there.
        cached = [int(line.split()[1]) for line in _lines(cgroup / "memory.stat") if line.startswith("inactive_file ")]
        free.append(max(0, int(limit[0]) - int(used[0]) + sum(cached)))
    return min(free)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
