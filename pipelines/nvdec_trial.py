"""Try this machine's NVDEC on clips that are rendered on the spot: pixels, numbering, speed and memory, beside PyAV.

`try_nvdec` is the whole of it. It takes the name of a function that makes what is tried, so that anything with the same
interface can be tried: `pipelines.decode:nvdec_to_try`, or a fake that is wrong, slow, failing, leaking or hanging, or
crashes. What is tried works in a process of its own, which none of that can outlive; each is a finding.

    findings = Findings(try_nvdec())
    print(findings.sentence)

It has not run on a GPU yet.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, cast

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from pipelines.nvdec_findings import BT709, CROPPED, FAILURE, FULL_RANGE, H264, HEVC, ROTATED, SIZES, Finding
from tfdfd.clip import ClipFrames, FramePlan
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import NVDEC, PyAvFrameSource, turn_upright
from tfdfd.data.video import probe

MAX_MEAN_DIFFERENCE, MAX_SIGNED_MEAN = 1.0, 0.5
"""Levels: how far a frame may lie from PyAV's, and a channel of it on the whole; more would be other faces."""
MAX_GROWTH_BYTES = 10**9
"""Of GPU memory, by clips after the first ten."""
NUM_FRAMES = 240
"""Frames of a clip that is timed: eight seconds, of which setting up a decoder is a small part."""
_FEW_FRAMES = 24
"""Frames of one that is only compared."""
KIND_SECONDS = 90.0
"""Time for one kind; what takes longer hangs, or is of no use."""
TRIAL_SECONDS = 300.0
"""Time for all kinds."""
_PLACES = 9
_WARM_CLIPS, _MANY_CLIPS = 10, 24
"""Of the kind that makes a decoder a clip: those that may take memory, and all."""
_ROUNDS = 3
_STEP = 6
"""Pixels by which the picture moves from frame to frame, so that a neighbour is another picture."""
_BOOTSTRAP = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
from pipelines.nvdec_trial import answer
answer(connection)
"""


class Tried(Protocol):
    """What is tried."""

    @property
    def device_bytes(self) -> int:
        """Bytes of the GPU's memory in use after the last clip; 0 if not known."""
        ...

    def read(self, clip_path: Path, plan: FramePlan) -> ClipFrames:
        """Read the planned frames of a clip; what it reads by PyAV, it says so in `decoder`."""
        ...


@dataclass(frozen=True)
class Kind:
    """How a clip of a kind is rendered."""

    name: str
    encoder: str = "libx264"
    width: int = 1280
    height: int = 720
    rotation_degrees: int = 0
    is_full_range: bool = False
    is_bt709: bool = False
    cropped_to: tuple[int, int] | None = None
    """Width and height of a second clip, whose coded size is the first one's; they are read in turn."""
    is_timed: bool = False
    """Whether it counts how fast it is read. Rotation, range and matrix cost no time; sizes that change, too rare."""
    is_many: bool = False
    """Whether to read it so often that a leak shows."""


KINDS = (
    Kind(H264, is_timed=True),
    Kind(HEVC, encoder="libx265", is_timed=True),
    Kind(CROPPED, width=1920, height=1080, is_timed=True, is_many=True),
    Kind(SIZES, cropped_to=(1270, 712)),
    Kind(ROTATED, rotation_degrees=90),
    Kind(FULL_RANGE, is_full_range=True),
    Kind(BT709, is_bt709=True),
)


@dataclass(frozen=True)
class _Task:
    kind: Kind
    paths: tuple[Path, ...]


def try_nvdec(
    make: str = "pipelines.decode:nvdec_to_try",
    *,
    environment: Mapping[str, str] | None = None,
    kinds: Sequence[Kind] = KINDS,
    num_frames: int = NUM_FRAMES,
    kind_seconds: float = KIND_SECONDS,
    trial_seconds: float = TRIAL_SECONDS,
) -> tuple[Finding, ...]:
    """Compare what a function makes with PyAV, on one rendered clip of each kind.

    Args:
        make: `module:function` without arguments, called in the process of the trial.
        environment: variables that this process has beside or instead of ours: which GPU it sees.
        kinds: what to try.
        num_frames: of a rendered clip that is timed.
        kind_seconds: most time for one kind, the start of the process included.
        trial_seconds: most time for all; what is left then is not checked.

    Returns:
        A finding for each kind, in their order.
    """
    ends_at = time.monotonic() + trial_seconds
    found: dict[str, Finding] = {}
    with tempfile.TemporaryDirectory(prefix="tfdfd-nvdec-") as folder:
        tasks: list[_Task] = []
        for kind in kinds:
            try:
                length = num_frames if kind.is_timed else min(num_frames, _FEW_FRAMES)
                tasks.append(_Task(kind, render(kind, Path(folder), num_frames=length)))
            except (FFmpegError, UnknownCodecError) as error:
                problem = f"not checked, no such clip can be made here ({error})"
                found[kind.name] = Finding(kind.name, problem, is_checked=False)
        while tasks:
            # After a crash the kinds that are left get another process.
            for finding in _try_in_process(make, tasks, kind_seconds, ends_at, environment or {}):
                found[finding.kind] = finding
            tasks = [task for task in tasks if task.kind.name not in found]
    return tuple(found[kind.name] for kind in kinds)


def _try_in_process(
    make: str, tasks: Sequence[_Task], kind_seconds: float, ends_at: float, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield findings of tasks in their order; after a crash or a hang, which is the last finding, no more."""
    left = [task.kind.name for task in tasks]
    with _process(environment) as (process, connection):
        try:
            for value in (sys.path, make, list(tasks)):
                connection.send(value)
            while left:
                seconds = min(kind_seconds, ends_at - time.monotonic())
                if seconds <= 0:
                    yield from (Finding(name, "not checked, there was no time left", is_checked=False) for name in left)
                    return
                if not connection.poll(seconds):
                    yield Finding(left[0], f"it took longer than {seconds:.0f} s")
                    return
                yield cast(Finding, connection.recv())
                del left[0]
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            yield Finding(left[0], f"its process ended with status {process.returncode}")


@contextmanager
def _process(environment: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen, Connection]]:
    ours, theirs = connections.Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # whatever NVDEC prints, a person gets one sentence
            pass_fds=[theirs.fileno()],
            env={**os.environ, **environment},
        )
    try:
        yield process, ours
    finally:
        ours.close()
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # one that hangs in the driver ends when that lets go
            process.wait(5)


def answer(connection: Connection) -> None:
    """Try what a parent names, in a process of its own: receives the name and the tasks, sends findings."""
    module, _, function = connection.recv().partition(":")
    tasks = cast("list[_Task]", connection.recv())
    try:
        tried: Tried = getattr(import_module(module), function)()
    except Exception as error:  # noqa: BLE001, it is a finding
        for task in tasks:
            connection.send(Finding(task.kind.name, _told(error)))
        return
    for task in tasks:
        try:
            finding = compare(tried, task.paths, task.kind)
        except Exception as error:  # noqa: BLE001, as above
            finding = Finding("", _told(error))
        connection.send(replace(finding, kind=task.kind.name))
    os._exit(0)  # without the farewells of libraries that may hang


def compare(tried: Tried, paths: Sequence[Path], kind: Kind) -> Finding:
    """Compare what is tried with PyAV on clips of a kind, and measure both where its time counts.

    Args:
        tried: reads clips.
        paths: of the clips, read in turn.
        kind: of the clips.

    Returns:
        The finding, of no kind yet.
    """
    plan, pyav = FramePlan(_PLACES), PyAvFrameSource()
    finding = Finding("")
    for path in (*paths, *paths):
        # Each of several clips follows each other: the first may spoil the second, or the second the first.
        finding = _worse(finding, compare_frames(tried.read(path, plan), pyav.read(path, plan), path))
        if finding.problem:
            return finding
        if len(paths) == 1:
            break
    return _measured(finding, tried, paths[0], kind) if kind.is_timed else finding


def _measured(finding: Finding, tried: Tried, path: Path, kind: Kind) -> Finding:
    """Return a finding with times and memory."""
    plan, pyav = FramePlan(_PLACES), PyAvFrameSource()
    sizes, seconds, pyav_seconds = [], [], []
    for _ in range(_MANY_CLIPS if kind.is_many else _ROUNDS):
        began = time.perf_counter()
        by_nvdec = tried.read(path, plan)
        seconds.append(time.perf_counter() - began)
        if by_nvdec.decoder != NVDEC:
            return replace(finding, problem=_why_not(by_nvdec))
        sizes.append(tried.device_bytes)
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        pyav.read(path, plan)
        pyav_seconds.append(time.perf_counter() - began)
    # Of many clips the mean: it includes what replacing a full process costs.
    own, others = float(np.mean(seconds) if kind.is_many else np.median(seconds)), float(np.median(pyav_seconds))
    growth = max(sizes[_WARM_CLIPS:]) - sizes[_WARM_CLIPS - 1] if kind.is_many and all(sizes) else None
    problem = ""
    if growth is not None and growth > MAX_GROWTH_BYTES:
        problem = f"it took {growth / 1e9:.1f} GB more of the GPU's memory after {_WARM_CLIPS} clips"
    elif own >= others:
        problem = "slower than PyAV"
    return replace(finding, problem=problem, nvdec_seconds=own, pyav_seconds=others, growth_bytes=growth)


def compare_frames(by_nvdec: ClipFrames, by_pyav: ClipFrames, path: Path) -> Finding:
    """Compare what two decoders read of one clip.

    Args:
        by_nvdec: what is tried.
        by_pyav: the same places by PyAV.
        path: the clip, whose neighbouring frames tell wrong numbers.

    Returns:
        The finding, of no kind yet and without times.
    """
    if by_nvdec.decoder != NVDEC:
        return Finding("", _why_not(by_nvdec))
    ours, theirs = by_pyav.frames, by_nvdec.frames
    if ours.shape != theirs.shape or not np.array_equal(by_nvdec.row_indices, by_pyav.row_indices):
        return Finding("", f"frames of shape {theirs.shape} in place of {ours.shape}")
    apart = [_distance(a, b) for a, b in zip(theirs, ours, strict=True)]
    signed = [a.astype(np.int16) - b for a, b in zip(theirs, ours, strict=True)]
    mean, largest = max(apart), max(float(np.abs(each.mean(axis=(0, 1))).max()) for each in signed)
    wrong = num_misnumbered(path, by_nvdec, np.array(apart))
    problem = ""
    if wrong:
        problem = f"{wrong} of {len(ours)} frames are another's"
    elif mean > MAX_MEAN_DIFFERENCE:
        problem = f"pixels differ by {mean:.1f} levels"
    elif largest > MAX_SIGNED_MEAN:
        problem = f"a channel is shifted by {largest:.1f} levels"
    return Finding("", problem, mean_difference=mean, signed_mean=largest, misnumbered=wrong)


def num_misnumbered(path: Path, frames: ClipFrames, apart: np.ndarray) -> int:
    """Return how many frames are nearer to PyAV's frame before or after than to the one of their number.

    Args:
        path: the clip.
        frames: what is tried.
        apart: float, shape (n,): mean absolute difference of each from PyAV's frame of its number.
    """
    info, wrong = probe(path), np.zeros(len(apart), np.bool_)
    for step in (-1, 1):
        neighbours = frames.row_indices + step
        there = (neighbours >= 0) & (neighbours < info.num_frames)
        others = turn_upright(read_frames(path, info, neighbours[there]), info.quarter_turns)
        wrong[there] |= [_distance(a, b) for a, b in zip(frames.frames[there], others, strict=True)] < apart[there]
    return int(wrong.sum())


def render(kind: Kind, folder: Path, *, num_frames: int = NUM_FRAMES) -> tuple[Path, ...]:
    """Write the clips of a kind: a moving pattern, coloured and an eighth of it grey, with B-frames.

    Args:
        kind: which.
        folder: where to.
        num_frames: how many.

    Raises:
        UnknownCodecError, FFmpegError: if this PyAV has no such encoder, or it fails.
    """
    sizes = [(kind.width, kind.height), *([kind.cropped_to] if kind.cropped_to else [])]
    name = kind.name.replace(" ", "-")
    return tuple(_write(kind, folder / f"{name}-{width}.mp4", width, height, num_frames) for width, height in sizes)


def _write(kind: Kind, path: Path, width: int, height: int, num_frames: int) -> Path:
    options = {"preset": "superfast", "crf": "18"}
    options |= {"x265-params": "log-level=none:bframes=3"} if kind.encoder == "libx265" else {"bf": "3"}
    luma, chroma = _pattern(width, height, num_frames, is_full_range=kind.is_full_range)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind.encoder, rate=30, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if kind.is_full_range else "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, 30)
        context.color_range = ColorRange.JPEG if kind.is_full_range else ColorRange.MPEG
        if kind.is_bt709:
            context.colorspace = Colorspace.ITU709
        if kind.rotation_degrees:
            stream.set_display_rotation(kind.rotation_degrees)
        for number in range(num_frames):
            frame = av.VideoFrame(width, height, stream.pix_fmt)
            shown = luma[:, number * _STEP : number * _STEP + width]
            for plane, values in zip(frame.planes, (shown, *chroma), strict=True):
                rows = np.zeros((plane.height, plane.line_size), np.uint8)
                rows[:, : plane.width] = values
                plane.update(rows.tobytes())
            frame.color_range, frame.pts, frame.time_base = context.color_range, number, context.time_base
            if kind.is_bt709:
                frame.colorspace = Colorspace.ITU709
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _pattern(width: int, height: int, num_frames: int, *, is_full_range: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return luma (height, more than width) of which each frame shows a part, and chroma (2, rows, columns)."""
    generator = np.random.default_rng(0)
    low, high = (20, 236) if is_full_range else (40, 216)
    block = 40
    wide = width + num_frames * _STEP
    blocks = generator.integers(low, high, (height // block + 2, wide // block + 2))
    luma = blocks.repeat(block, 0).repeat(block, 1)[:height, :wide]
    rows, columns = np.mgrid[0 : (height + 1) // 2, 0 : (width + 1) // 2]
    waves = [np.sin(columns / 37 + phase) * np.cos(rows / 53 + phase) for phase in (0.0, 1.7)]
    # About the colour of skin, for PyAV's rounding depends on the colour.
    chroma = np.rint(np.array([118, 140])[:, None, None] + 16 * np.array(waves))
    chroma[:, :, : width // 16] = 128
    return luma.astype(np.uint8), chroma.astype(np.uint8)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


def _worse(one: Finding, other: Finding) -> Finding:
    def larger(name: str) -> float | None:
        found = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        return max(found, default=None)

    return replace(
        other,
        mean_difference=larger("mean_difference"),
        signed_mean=larger("signed_mean"),
        misnumbered=cast("int | None", larger("misnumbered")),
    )


def _why_not(frames: ClipFrames) -> str:
    return frames.warnings[-1].removeprefix(FAILURE) if frames.warnings else frames.decoder_reason


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
