"""What a machine's NVDEC does right, and faster than PyAV: found once, and kept beside the driver's version."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tfdfd.data.atomic import write_atomically
from tfdfd.data.video import ProbedVideo

H264, HEVC, CROPPED, SIZES, ROTATED, FULL_RANGE, BT709 = (
    "H.264",
    "HEVC",
    "1080p H.264",
    "coded and display sizes",
    "rotated",
    "full range",
    "BT.709",
)
"""The kinds of clips that are told apart."""
TRIAL_VERSION = 1
"""Raised where the trial asks for something else, so that older findings do not count."""
FAILURE = "NVDEC failed, PyAV read the clip: "
"""How a clip's warning begins where that happened."""
_DALI_PACKAGES = ("nvidia-dali-cuda120", "nvidia-dali-cuda130")


@dataclass(frozen=True)
class Finding:
    """What was found of one kind of clip."""

    kind: str
    """One of the kinds above."""
    problem: str = ""
    """Why PyAV reads such clips, e.g. `pixels differ by 3.2 levels`; empty where NVDEC is right and faster."""
    is_checked: bool = True
    """False where no clip of the kind could be made here."""
    mean_difference: float | None = None
    """Largest mean absolute difference of a frame from PyAV's, in levels."""
    signed_mean: float | None = None
    """Largest mean difference of a channel of a frame, without its sign, in levels."""
    misnumbered: int | None = None
    """Frames that are nearer to PyAV's frame before or after than to that of their number."""
    nvdec_seconds: float | None = None
    """Time for the clip."""
    pyav_seconds: float | None = None
    """Time of PyAV for it, on this machine and at the same moment."""
    growth_bytes: int | None = None
    """GPU memory that further clips took after the first ten; None where it was not measured."""

    @property
    def is_wrong(self) -> bool:
        """Whether frames were wrong, or there were none; not where they only took too long, or too much memory."""
        return self.is_checked and bool(self.problem) and self.nvdec_seconds is None


@dataclass(frozen=True)
class Findings:
    """What was found of every kind."""

    kinds: tuple[Finding, ...]

    def problem_of(self, info: ProbedVideo) -> str:
        """Return why PyAV should read a clip, or an empty string where NVDEC is right and faster."""
        found = {finding.kind: finding.problem for finding in self.kinds}
        for kind in kinds_of(info):
            if problem := found.get(kind, "not checked"):
                return f"{kind}: {problem}"
        return ""

    @property
    def sentence(self) -> str:
        """Say, for a person, what decodes which clips and why."""
        kinds_of_problem: dict[str, list[str]] = {}
        for finding in self.kinds:
            kinds_of_problem.setdefault(finding.problem, []).append(finding.kind)
        right = kinds_of_problem.pop("", [])
        if not right and len(kinds_of_problem) == 1:
            return f"PyAV decodes, not NVDEC: {next(iter(kinds_of_problem))}"
        wrong = "; ".join(f"{', '.join(kinds)} ({problem})" for problem, kinds in kinds_of_problem.items())
        if not right:
            return f"PyAV decodes, not NVDEC: {wrong}"
        rest = f"; PyAV decodes {wrong}" if wrong else ", and PyAV what NVDEC cannot"
        return f"NVDEC decodes {', '.join(right)}: as PyAV does, and faster{rest}"


def kinds_of(info: ProbedVideo) -> tuple[str, ...]:
    """Return the kinds that a clip is of: NVDEC must have been right with each, and fast with the first."""
    is_cropped = (info.coded_width, info.coded_height) != (info.width, info.height)
    kinds = [HEVC] if info.codec == "hevc" else [CROPPED] if is_cropped else [H264]
    if is_cropped:
        kinds += [kind for kind in (CROPPED, SIZES) if kind not in kinds]
    if info.quarter_turns:
        kinds.append(ROTATED)
    if info.is_full_range:
        kinds.append(FULL_RANGE)
    if info.matrix == "bt709":
        kinds.append(BT709)
    return tuple(kinds)


def kept_findings(card: str, driver: str, check: Callable[[], Sequence[Finding]]) -> Findings:
    """Return what was found on this machine before, or check it now and keep it.

    Several processes may ask at once: one checks, the others wait for it.

    Args:
        card: the GPU's name.
        driver: its version.
        check: makes the findings; takes about a minute.
    """
    key = {"card": card, "driver": driver, "trial": TRIAL_VERSION, "packages": _versions()}
    name = f"nvdec-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}.json"
    file = _cache_folder() / name
    if found := _read(file, key):
        return found
    with _alone(file.with_suffix(".lock")):
        if found := _read(file, key):
            return found
        made = Findings(tuple(check()))
        content = {"of": key, "kinds": [asdict(finding) for finding in made.kinds]}
        with suppress(OSError):  # it is only checked again
            write_atomically(file, json.dumps(content, indent=1).encode())
        return made


def _read(file: Path, key: dict) -> Findings | None:
    try:
        content = json.loads(file.read_text())
        if content["of"] != key:
            return None
        return Findings(tuple(Finding(**finding) for finding in content["kinds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing or damaged: it is made again


def _cache_folder() -> Path:
    """Return a folder that can be written to: the user's cache, else one of the system's for what is temporary."""
    asked = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfdfd"
    for folder in (asked, Path(tempfile.gettempdir()) / f"tfdfd-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    return asked


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is here; one that dies leaves at once. Where no file can be made none waits."""
    with ExitStack() as stack:
        with suppress(OSError):
            fcntl.flock(stack.enter_context(open(lock, "w")), fcntl.LOCK_EX)
        yield


def _versions() -> dict[str, str]:
    found = {}
    for package in ("tfdfd", "av", *_DALI_PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
