"""Why TensorFlow does not see a GPU that the driver lists: its loader's own words, and what helps.

TensorFlow opens the CUDA libraries by name while it looks for GPUs. If one of them is not found it registers no GPU,
and says so at a log level that most programs hide. `libtensorflow_framework.so.2` of the 2.21.0 wheel looks in the
folders of its RUNPATH, from which `nvidia/cusolver/lib` is missing (TensorFlow issue 117538), so an installation by pip
alone never sees a GPU. A link in a folder that is searched repairs it for every process, without a variable.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfdfd.gpus import (
    ON_THE_CPU,
    VISIBLE,
    Card,
    driver_problem,
    name_for_cuda,
    tensorflow_folder,
    visible_cards,
)
from tfdfd.phrases import counted

LINK = "tfdfd doctor --link-cuda"
SET_UP_GPU = "bash setup.sh --gpu --no-demo"

_FRAMEWORK = "libtensorflow_framework.so.2"
_SEARCHED = "cublas"
"""The NVIDIA package into whose folder links go. TensorFlow searches it, and it lies as deep as the folders linked to:
a library's own RUNPATH begins at the link, and still leads to its neighbours."""
_SECONDS = 600.0
"""Importing TensorFlow takes 5 s on an idle machine, minutes on one that is short of memory or cores."""
_DRIVER_LIBRARY = "libcuda.so.1"

_ASK_LOADER = """
import ctypes, sys
framework = ctypes.CDLL(sys.argv[1])
for symbol in ("TryDlopenCUDALibraries", "GetCudaDriverDsoHandle", "GetNcclDsoHandle"):
    # Both kinds of result, a status and a status with a handle, are written to memory of the caller's.
    ask = getattr(framework, f"_ZN3tsl8internal9DsoLoader{len(symbol)}{symbol}Ev")
    ask.argtypes, ask.restype = [ctypes.c_void_p], None
    ask(ctypes.create_string_buffer(64))
"""
_COUNT_GPUS = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
_OPENED = re.compile(r"Successfully opened dynamic library (\S+)")
_NOT_OPENED = re.compile(r"Could not load dynamic library '([^']+)'; dlerror: (.*)")
_TOO_SMALL = re.compile(r"Ignoring visible gpu device .*?pci bus id: ([0-9a-fA-F:.]+).*?minimum required count")
_NOT_SEEN = re.compile(r"Ignoring visible gpu device|[Cc]annot dlopen|cuInit|Could not find cuda|skipping registering")


@dataclass(frozen=True)
class LoaderReport:
    """What TensorFlow's loader says of the libraries that it opens by name."""

    opened: tuple[str, ...] = ()
    """Names of libraries, such as `libcudart.so.12`."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Name -> the system's reason."""
    problem: str = ""
    """Why the loader could not be asked; empty if it could."""

    @property
    def is_ok(self) -> bool:
        """Whether all was opened that needs no driver."""
        return not self.problem and not (self.failed.keys() - {_DRIVER_LIBRARY})


@dataclass(frozen=True)
class Finding:
    """Why GPUs are not seen, and what to do."""

    reason: str
    remedy: str


def ask_loader() -> LoaderReport:
    """Have TensorFlow's loader open the CUDA libraries, in a process of its own and without importing TensorFlow."""
    folder = tensorflow_folder()
    if folder is None:
        return LoaderReport(problem="TensorFlow is not installed")
    framework = folder / _FRAMEWORK
    if not framework.is_file():
        return LoaderReport(problem=f"{framework} is not there: a TensorFlow of another kind than Linux's wheels")
    status, log = _run([sys.executable, "-c", _ASK_LOADER, str(framework)], TF_CPP_VMODULE="dso_loader=2")
    opened, failed = tuple(dict.fromkeys(_OPENED.findall(log))), dict(_NOT_OPENED.findall(log))
    if status:
        return LoaderReport(opened, failed, f"asking it ended with status {status}: {_last_line(log)}")
    return LoaderReport(opened, failed)


def link_missing() -> list[Path]:
    """Link libraries that NVIDIA's packages brought, and TensorFlow does not find, into a folder that it searches.

    Returns:
        The links that were made; none where nothing is missing or nothing can be linked.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder = tensorflow_folder()
    if folder is None:
        return []
    packages, made = folder.parent / "nvidia", []
    for name in ask_loader().failed:
        library = _library_of_packages(packages, name)
        link = _link_of(packages, name)
        if library is None or link.exists() or not link.parent.is_dir():
            continue
        link.unlink(missing_ok=True)  # one that leads nowhere any more
        link.symlink_to(os.path.relpath(library, link.parent))
        made.append(link)
    return made


def tensorflow_gpus() -> tuple[int, str]:
    """Return how many GPUs TensorFlow sees in a fresh process, and what it logs meanwhile."""
    status, log = _run([sys.executable, "-c", _COUNT_GPUS])
    lines = log.split()
    return (int(lines[-1]) if not status and lines and lines[-1].isdecimal() else 0), log


def why_unseen(num_seen: int | None = None, log: str | None = None) -> Finding | None:
    """Return why TensorFlow sees fewer GPUs than this process may use; None where it sees them all.

    Args:
        num_seen: how many it sees; None to start a process that looks.
        log: what it logged while it looked; None to start a process if that is needed.
    """
    cards = visible_cards()
    if not cards:
        return None
    if num_seen is None:
        num_seen, log = tensorflow_gpus()
    # Of a card that is divided a process sees one slice, and then no other card.
    if num_seen >= (1 if any(card.is_divided for card in cards) else len(cards)):
        return None
    report = ask_loader()
    if report.problem or report.failed:
        return finding_of(report)
    return _of_log(tensorflow_gpus()[1] if log is None else log, cards)


def unseen_message(num_seen: int, finding: Finding) -> str:
    """Return the error of a command that would have to do without GPUs that are there."""
    cards = visible_cards()
    labels = "; ".join(card.label for card in cards)
    return (
        f"the driver lists {counted(len(cards), 'GPU')} ({labels}), TensorFlow sees {num_seen}: "
        f"{finding.reason}. Remedy: {finding.remedy}. Else {ON_THE_CPU}"
    )


def finding_of(report: LoaderReport) -> Finding:
    """Return what a report of the loader that is not ok means, and what to do."""
    if report.problem:
        return Finding(report.problem, SET_UP_GPU)
    failed = report.failed
    folder = tensorflow_folder()
    packages = None if folder is None else folder.parent / "nvidia"
    names = [name for name in failed if name != _DRIVER_LIBRARY]
    if not names:
        return Finding(
            f"it cannot open the driver's library: {failed[_DRIVER_LIBRARY]}",
            "install the driver on this machine; in a container start it with --gpus all and "
            "NVIDIA_DRIVER_CAPABILITIES=compute,video,utility",
        )
    said = " and ".join(dict.fromkeys(failed[name].removeprefix(f"{name}: ") for name in names))
    installed = [name for name in names if packages is not None and _library_of_packages(packages, name)]
    if packages is None or len(installed) < len(names):
        return Finding(f"it cannot open {', '.join(names)} ({said})", SET_UP_GPU)
    if all(_link_of(packages, name).exists() for name in names):
        again = f"delete .venv and run {SET_UP_GPU}: these files are damaged or of another system"
        return Finding(f"it finds {', '.join(names)} and cannot open them ({said})", again)
    return Finding(f"it does not find {', '.join(names)}, installed in a folder that it does not search", LINK)


def _of_log(log: str, cards: Sequence[Card]) -> Finding:
    skipped = [card for card in cards if _same_address(card.pci_bus_id, _TOO_SMALL.findall(log))]
    if skipped:
        others = ",".join(name_for_cuda(card) for card in cards if card not in skipped)
        named = "; ".join(card.label for card in skipped)
        return Finding(
            f"it skips small cards, so that its numbers are not CUDA's: {named}",
            f"export {VISIBLE}={others} leaves them out, TF_MIN_GPU_MULTIPROCESSOR_COUNT=1 has it use them",
        )
    lines = [line.partition("] ")[2] or line for line in log.splitlines() if _NOT_SEEN.search(line)]
    said = " ".join(lines) or driver_problem() or _last_line(log)
    return Finding(f"all CUDA libraries open, but: {said}", f"look whether nvidia-smi shows {len(cards)} healthy cards")


def _same_address(address: str, others: Sequence[str]) -> bool:
    """Compare PCI addresses, of which nvidia-smi writes the domain with eight digits and CUDA with four."""
    short = [other.lower().split(":", 1)[-1] for other in (address, *others)]
    return bool(address) and short[0] in short[1:]


def _link_of(packages: Path, name: str) -> Path:
    return packages / _SEARCHED / "lib" / name


def _library_of_packages(packages: Path, name: str) -> Path | None:
    return next(iter(sorted(packages.glob(f"*/lib/{name}"))), None)


def _run(command: Sequence[str], **variables: str) -> tuple[int | str, str]:
    """Return a command's exit status and all that it prints."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0", **variables},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), ""
    return done.returncode, done.stdout


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
