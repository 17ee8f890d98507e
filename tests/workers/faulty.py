"""`tfdfd prepare` with clips that break their worker: each does what its name says.

The workers are real processes; only the frames come from here, and the detector finds no face, so that no TensorFlow
is loaded. `$FAULTS_JOURNAL` names a file to which each worker appends a line for each thing that happens.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import tfdfd.data.atomic
from tests.run_commands import environment
from tfdfd.clip import ClipError, ClipFrames, Detections, TfdfdError, VideoInfo
from tfdfd.commands import extracting, prepare
from tfdfd.commands.console import run_command
from tfdfd.data.store import FaceStore
from tfdfd.gpus import Card
from tfdfd.workers.job import Parts
from tfdfd.workers.places import GPU_MEMORY_PER_WORKER

INFO = VideoInfo("h264", "High", "yuv420p", 64, 48, 3, np.arange(3), 0.04, 25.0, 0, False, False)
COMMAND = [sys.executable, "-c", "from tests.workers.faulty import main; main()"]


def note(line):
    with open(os.environ["FAULTS_JOURNAL"], "a") as file:
        file.write(f"{line} {os.getpid()}\n")


def tries(name):
    """Return how often a clip has been read, this time included."""
    return Path(os.environ["FAULTS_JOURNAL"]).read_text().count(f"read {name} ")


class FaultyFrames:
    """Reads frames that say nothing, and misbehaves where the clip's name says so."""

    def read(self, clip_path, plan):
        name = clip_path.stem
        note(f"read {name}")
        if "segfault" in name:
            ctypes.string_at(0)
        if "killed" in name or ("once" in name and tries(name) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in name:
            time.sleep(1000)
        if "exit" in name:
            print("the decoder says goodbye", file=sys.stderr)
            os._exit(7)
        if "bug" in name and "FAULTS_MENDED" not in os.environ:
            raise ZeroDivisionError("a bug of ours")
        if "large" in name:
            raise MemoryError(f"no room for {name}")
        if "broken" in name:
            raise ClipError(f"{clip_path} is cut off")
        if "slow" in name:
            time.sleep(0.4)
        return ClipFrames(np.zeros((3, 48, 64, 3), np.uint8), np.arange(3), np.arange(3), INFO, "pyav", "scripted")


class SecondTry(FaultyFrames):
    """Reads what a worker ended on before."""

    def read(self, clip_path, plan):
        note(f"second {clip_path.stem}")
        if "nvdec" in clip_path.stem:
            return ClipFrames(np.zeros((3, 48, 64, 3), np.uint8), np.arange(3), np.arange(3), INFO, "pyav", "scripted")
        return super().read(clip_path, plan)


class BlindDetector:
    """Finds no face."""

    settings = {"name": "blind"}  # noqa: RUF012

    def __call__(self, frames):
        return [Detections.none() for _ in frames]


def make_parts(config, share):
    note(f"start threads={share.num_threads},gpu={os.environ.get('CUDA_VISIBLE_DEVICES', '')}")
    fault = os.environ.get("FAULTS_START", "")
    if fault == "crash":
        print("libbroken.so: cannot open shared object file", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGABRT)
    if fault == "refuse":
        raise TfdfdError("the mtcnn package is missing: install it")
    if fault == "full":
        fill_the_disk(after=6)
    write = FaceStore.write

    def noted(store, faces, *, source_bytes):
        write(store, faces, source_bytes=source_bytes)
        note(f"wrote {faces.clip_id}")
        note(f"into {store.folder.name}")
        if "unsaid" in faces.clip_id:
            os.kill(os.getpid(), signal.SIGKILL)

    FaceStore.write = noted
    return Parts(FaultyFrames(), BlindDetector(), ("frames are scripted",), second_source=SecondTry())


def fill_the_disk(after):
    """Let no file be written any more after a number of them."""
    left = iter(range(after))
    fsync = os.fsync

    def until_full(descriptor):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    tfdfd.data.atomic.os.fsync = until_full


def command_environment(folder, **more):
    """Return the environment of COMMAND with its journal in a folder."""
    return {**environment(), "FAULTS_JOURNAL": str(folder / "journal"), **more}


def main():
    extracting.make_parts = make_parts
    numbers = list(filter(None, os.environ.get("FAULTS_GPUS", "").split(",")))
    places = int(os.environ.get("FAULTS_PLACES", "1"))
    cards = tuple(Card(int(number), "no card", free_bytes=places * GPU_MEMORY_PER_WORKER) for number in numbers)
    extracting.choose_gpus = lambda: cards
    extracting.settle_decoder = lambda decoder, console: None
    sys.exit(run_command(prepare.main, sys.argv[1:], goes_on=True))
