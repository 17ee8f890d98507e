"""NVDEC in a process of its own, which a crash, a hang or a leak cannot outlive, and which is replaced in time.

DALI 2.4 keeps its decoders for the life of the process, up to 100 of them, whatever becomes of the pipeline (read in
the code of `NVDECCache`: a static table that no call empties). It looks them up by a clip's coded size and files them
by the size to which they crop. So a clip whose coded size differs from its display size, which is all 1080p H.264 (1088
rows are coded), never finds the decoder of the clip before: each makes a new one, of some 60 MB. And a clip may find
the decoder of another clip whose display size happens to be its coded size, which crops wrongly. `DecoderCache` follows
what is in the table; before a wrong decoder would be used, and before there are too many, the process is replaced.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from mmap import mmap
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from pipelines.nvdec_colours import Correction
from tfdfd.clip import ClipError

MAX_DECODERS = 16
"""Decoders that a process may have made: at most 20 surfaces of 1080p each, so 1 GiB together."""
MAX_CLIPS = 512
"""Clips of a process: DALI also tells decoders apart by how many pictures a stream keeps, which we do not know."""
START_SECONDS = 120.0
"""Time in which the process must have imported DALI: minutes from a busy network disk."""
CLIP_SECONDS, FRAME_SECONDS = 60.0, 0.1
"""Time for a clip, and for each frame of it: ten times what the slowest NVDEC needs. Above it, the driver hangs."""
ENGINE = "pipelines.nvdec_process:DaliEngine"
_SPARE_FROM = MAX_DECODERS // 2
"""Decoders from which a successor is started beside the process, so that its import costs no time."""
_LAST_WORDS = 600
"""Characters of what a process printed before it ended."""
_BOOTSTRAP = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
from pipelines.nvdec_process import serve
serve(connection, int(sys.argv[2]))
"""


class NvdecError(RuntimeError):
    """NVDEC could not decode a clip; its message says why."""


@dataclass(frozen=True)
class Pictures:
    """What a clip's decoder is made for."""

    codec: str
    """FFmpeg's name."""
    coded: tuple[int, int]
    """Width and height in pixels that are decoded."""
    shown: tuple[int, int]
    """Width and height in pixels of the frame as stored."""


class DecoderCache:
    """What is in DALI's table of decoders: they are made by display size and looked up by coded size."""

    def __init__(self) -> None:
        self._made: list[Pictures] = []

    @property
    def num_decoders(self) -> int:
        """Decoders that were made, at least."""
        return len(self._made)

    def would_mix(self, pictures: Pictures) -> bool:
        """Return whether DALI may take the decoder of a clip of another coded or display size."""
        return any(made != pictures for made in self._found(pictures))

    def take(self, pictures: Pictures) -> None:
        """Note that a clip is decoded."""
        if not self._found(pictures):
            self._made.append(pictures)

    def _found(self, pictures: Pictures) -> list[Pictures]:
        return [made for made in self._made if (made.codec, made.shown) == (pictures.codec, pictures.coded)]


@dataclass(frozen=True)
class Request:
    """One clip for the process; the memory for its frames follows as a file descriptor."""

    path: Path
    indices: np.ndarray
    """int32, shape (n,), ascending."""
    quarter_turns: int
    correction: Correction
    shape: tuple[int, int, int, int]
    """Of the frames, upright."""


@dataclass(frozen=True)
class Answer:
    """What became of a request."""

    problem: str = ""
    """Why there are no frames; empty where they are in the memory."""
    is_unreadable: bool = False
    """Whether the file itself could not be read."""
    device_bytes: int = 0
    """Bytes of the GPU's memory that are in use, by all processes together; 0 if not known."""


class Engine(Protocol):
    """Decodes inside the process; see `DaliEngine`."""

    def decode(self, request: Request, encoded: np.ndarray, into: np.ndarray) -> None:
        """Decode a file's bytes into memory, or raise."""
        ...

    def device_bytes(self) -> int:
        """As `Answer.device_bytes`."""
        ...


class NvdecProcess:
    """Decodes clips by NVDEC in another process; starts it when it is needed, and again when it has ended.

    Args:
        device_id: the GPU, of those that this process sees.
        num_threads: DALI's host threads.
        engine: `module:class` of what decodes there, made with device_id and num_threads.
    """

    def __init__(self, *, device_id: int, num_threads: int, engine: str = ENGINE) -> None:
        self._settings = (engine, device_id, num_threads)
        self._child: _Child | None = None
        self._spare: _Child | None = None
        self.device_bytes = 0
        """As `Answer.device_bytes`, after the last clip."""
        self.num_started = 0
        """Processes that have decoded."""

    def decode(
        self,
        path: Path,
        pictures: Pictures,
        indices: np.ndarray,
        *,
        quarter_turns: int,
        correction: Correction,
        num_frames: int,
    ) -> np.ndarray:
        """Decode chosen frames.

        Args:
            path: the clip.
            pictures: its sizes.
            indices: int, shape (n,), ascending.
            quarter_turns: counter-clockwise, 0 to 3, that show it upright.
            correction: of its colours.
            num_frames: of the whole clip, which bounds the time.

        Returns:
            uint8 RGB, shape (n, height, width, 3), upright, in memory that begins at a page.

        Raises:
            NvdecError: if it cannot be decoded, or the process crashed or took too long.
            ClipError: if the file cannot be read.
        """
        width, height = pictures.shown[::-1] if quarter_turns % 2 else pictures.shown
        shape = (len(indices), height, width, 3)
        request = Request(path, indices.astype(np.int32), quarter_turns, correction, shape)
        child = self._child_for(pictures)
        try:
            answer, frames = child.ask(request, seconds=CLIP_SECONDS + FRAME_SECONDS * num_frames)
        except BaseException:  # what is left of it may answer the next clip with this one's frames
            self._end_child()
            raise
        self.device_bytes = answer.device_bytes
        if answer.is_unreadable:
            raise ClipError(f"{path}: cannot be read: {answer.problem}")
        if answer.problem:
            self._end_child()  # a CUDA context may be lost with it
            raise NvdecError(answer.problem)
        return frames

    def close(self) -> None:
        """End the process."""
        self._end_child()
        if self._spare is not None:
            self._spare.end()
            self._spare = None

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _child_for(self, pictures: Pictures) -> _Child:
        child = self._child
        if child is not None and child.is_spent(pictures):
            self._end_child()
            child = None
        if child is None:
            child, self._spare = self._spare or _Child(self._settings), None
            self._child, self.num_started = child, self.num_started + 1
        child.cache.take(pictures)
        child.num_clips += 1
        if child.cache.num_decoders >= _SPARE_FROM and self._spare is None:
            self._spare = _Child(self._settings)
        return child


class _Child:
    """One process, as its parent sees it."""

    def __init__(self, settings: tuple[str, int, int]) -> None:
        self.cache = DecoderCache()
        self.num_clips = 0
        self._is_ready = False
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115, closed in end()
        self._connection, theirs = connections.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                pass_fds=[theirs.fileno()],
            )
        with suppress(OSError):  # it has ended already, as the first clip will say
            self._connection.send(sys.path)
            self._connection.send(settings)

    def is_spent(self, pictures: Pictures) -> bool:
        """Return whether another process should decode a clip."""
        is_full = self.cache.num_decoders >= MAX_DECODERS or self.num_clips >= MAX_CLIPS
        return is_full or self.cache.would_mix(pictures) or self._process.poll() is not None

    def ask(self, request: Request, *, seconds: float) -> tuple[Answer, np.ndarray]:
        """Have a clip decoded; the frames are in memory that is shared with the process.

        Raises:
            NvdecError: if the process ends, or takes longer.
        """
        memory = os.memfd_create("frames")
        try:
            size = int(np.prod(request.shape))
            os.ftruncate(memory, size)
            frames = np.frombuffer(mmap(memory, size), np.uint8).reshape(request.shape)
            if not self._is_ready:
                self._receive(START_SECONDS)
                self._is_ready = True
            try:
                self._connection.send(request)
                send_handle(self._connection, memory, self._process.pid)
            except OSError as error:
                raise NvdecError(self._how_it_ended()) from error
        finally:
            os.close(memory)
        return cast(Answer, self._receive(seconds)), frames

    def end(self) -> None:
        """End the process by force."""
        self._connection.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # one that hangs in the driver ends when that lets go
            self._process.wait(5)
        self._printed.close()

    def _receive(self, seconds: float) -> object:
        try:
            if not self._connection.poll(seconds):
                raise NvdecError(f"its process did not answer in {seconds:.0f} s")
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise NvdecError(self._how_it_ended()) from error

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._printed.seek(0)
        words = " ".join(self._printed.read().decode(errors="replace").split())[-_LAST_WORDS:]
        return f"its process ended with status {self._process.returncode}{words and f', the last it printed: {words}'}"


def serve(connection: Connection, parent: int) -> None:
    """Decode what a parent asks for, in a process of its own, until the parent is gone.

    Args:
        connection: gives the settings, then requests; takes answers.
        parent: process id of whoever started this one.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    name, device_id, num_threads = connection.recv()
    module, _, made = name.partition(":")
    engine: Engine = getattr(import_module(module), made)(device_id=device_id, num_threads=num_threads)
    with suppress(EOFError, OSError):
        connection.send("ready")
        while True:
            request = cast(Request, connection.recv())
            memory = recv_handle(connection)
            try:
                connection.send(_answer(engine, request, memory))
            finally:
                os.close(memory)


def _answer(engine: Engine, request: Request, memory: int) -> Answer:
    try:
        encoded = np.fromfile(request.path, np.uint8)
    except OSError as error:
        return Answer(error.strerror or str(error), is_unreadable=True)
    try:
        frames = np.frombuffer(mmap(memory, int(np.prod(request.shape))), np.uint8).reshape(request.shape)
        engine.decode(request, encoded, frames)
        return Answer(device_bytes=engine.device_bytes())
    except Exception as error:  # noqa: BLE001, whatever it is, PyAV reads the clip and a person sees the reason
        return Answer(" ".join(str(error).split())[:300] or type(error).__name__)


def _end_with(parent: int) -> None:
    """End this process soon after its parent, also in the middle of a clip or in a driver that hangs."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


class DaliEngine:
    """Decodes by DALI's NVDEC graphs, of which it keeps one for each rotation and correction.

    Args:
        device_id: the GPU, of those that this process sees.
        num_threads: DALI's host threads.
    """

    def __init__(self, *, device_id: int, num_threads: int) -> None:
        from pipelines import frame_graphs  # takes a second; the parent may do without

        self._graphs = frame_graphs
        self._device_id, self._num_threads = device_id, num_threads
        self._built: dict[tuple[int, Correction], Any] = {}

    def decode(self, request: Request, encoded: np.ndarray, into: np.ndarray) -> None:
        """Decode a file's bytes into memory, or raise."""
        kind = (request.quarter_turns, request.correction)
        if kind not in self._built:
            graph = self._graphs.nvdec_graph(*kind, device_id=self._device_id, num_threads=self._num_threads)
            graph.build()
            self._built[kind] = graph
        self._graphs.run_graph(self._built[kind], into, encoded=encoded, frames=request.indices)

    def device_bytes(self) -> int:
        """Ask the driver, in whose context DALI has just worked; 0 where it does not say."""
        free, total, context = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
        try:
            driver = ctypes.CDLL("libcuda.so.1")
        except OSError:
            return 0
        # The device's primary context, which DALI's runtime uses; DALI's own threads made it.
        calls = (
            lambda: driver.cuInit(0),
            lambda: driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), self._device_id),
            lambda: driver.cuCtxSetCurrent(context),
            lambda: driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)),
            lambda: driver.cuDevicePrimaryCtxRelease_v2(self._device_id),
        )
        return 0 if any(call() for call in calls) else total.value - free.value
