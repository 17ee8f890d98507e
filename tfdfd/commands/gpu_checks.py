"""What `tfdfd doctor` says of GPUs, and the repair that set-up ends with: `tfdfd doctor --link-cuda`."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tfdfd.commands.check import MISSING, OK, WARNING, Check, version_of
from tfdfd.cuda_libraries import LINK, SET_UP_GPU, ask_loader, finding_of, link_missing, tensorflow_gpus, why_unseen
from tfdfd.gpus import VISIBLE, card_problem, driver_cards, driver_problem, first_use_note, visible_cards, why_no_gpu
from tfdfd.phrases import counted

GET_GPU = f"with an NVIDIA card and its driver (nvidia-smi lists it): {SET_UP_GPU}"
_SHARED_MEMORY = Path("/dev/shm")
_SHARED_BYTES = 512 * 2**20
"""Of shared memory, for NCCL between the cards of a machine; a container has 64 MiB unless it is told otherwise."""
_CUDA_PACKAGE = "nvidia-cublas-cu12"
"""Comes with `tensorflow[and-cuda]`; where it is absent, CUDA libraries were not asked for."""


def check_driver() -> Check:
    """Whether the driver lists GPUs, each of a compute capability and with a driver that TensorFlow can use."""
    cards = driver_cards()
    if not cards:
        if driver_problem():
            return Check("NVIDIA driver", MISSING, driver_problem(), "reload or reinstall the driver, then restart")
        return Check("NVIDIA driver", WARNING, f"{why_no_gpu()}: everything runs on the CPU", GET_GPU)
    labels = "; ".join(card.label for card in cards)
    problems = [f"{card.label}: {problem}" for card in cards if (problem := card_problem(card))]
    if problems:
        remedy = f"{VISIBLE} with the numbers of other cards, --cpu, or what is said beside it"
        return Check("NVIDIA driver", MISSING, "; ".join(problems), remedy)
    return Check("NVIDIA driver", OK, "; ".join(filter(None, (labels, first_use_note(cards)))))


def check_cuda_libraries() -> Check:
    """Whether TensorFlow's loader opens every CUDA library that it needs, asked without a GPU."""
    name = "CUDA libraries"
    if not driver_cards() and not version_of(_CUDA_PACKAGE):
        return Check(name, WARNING, "not installed, and there is no GPU", GET_GPU)
    report = ask_loader()
    if report.is_ok:
        return Check(name, OK, f"TensorFlow opens {', '.join(report.opened)}")
    finding = finding_of(report)
    return Check(name, MISSING, finding.reason, finding.remedy)


def check_gpus() -> Check:
    """Whether TensorFlow sees the GPUs that the driver lists."""
    cards = visible_cards()
    if not cards:
        return Check("GPUs", WARNING, f"{why_no_gpu()}: one CPU replica is used", GET_GPU)
    finding = why_unseen()
    if finding is not None:
        return Check(
            "GPUs", MISSING, f"the driver lists {len(cards)}, TensorFlow sees fewer: {finding.reason}", finding.remedy
        )
    return Check("GPUs", OK, f"TensorFlow sees all {len(cards)}")


def check_nvdec() -> Check:
    """Whether the GPU can decode video: a card and the driver's decoding library."""
    if not driver_cards():
        return Check("NVDEC", WARNING, "no GPU: PyAV decodes on the CPU", GET_GPU)
    try:
        ctypes.CDLL("libnvcuvid.so.1")
    except OSError as error:
        remedy = "install the driver's libnvcuvid (in a container: NVIDIA_DRIVER_CAPABILITIES=compute,video,utility)"
        return Check("NVDEC", MISSING, str(error), remedy)
    return Check("NVDEC", OK, "libnvcuvid.so.1 loads; what it cannot decode (4:4:4) goes to PyAV")


def check_shared_memory() -> Check:
    """Whether NCCL has room to pass gradients between the cards."""
    if len(driver_cards()) < 2 or not _SHARED_MEMORY.is_dir():
        return Check("shared memory", OK, "not needed: there are no two GPUs")
    there = shutil.disk_usage(_SHARED_MEMORY).total
    found = f"{there / 2**20:.0f} MiB in {_SHARED_MEMORY}"
    if there < _SHARED_BYTES:
        remedy = "start the container with --shm-size=1g or --ipc=host; in Kubernetes mount an emptyDir in Memory there"
        return Check("shared memory", WARNING, f"{found}, too little for NCCL between several GPUs", remedy)
    return Check("shared memory", OK, found)


GPU_CHECKS: tuple[Callable[[], Check], ...] = (
    check_driver,
    check_cuda_libraries,
    check_gpus,
    check_nvdec,
    check_shared_memory,
)


def link_cuda() -> int:
    """Make TensorFlow find the CUDA libraries that are installed, and check that it sees every GPU.

    Returns:
        The exit status: 1 if TensorFlow cannot use the GPUs that the driver lists.
    """
    try:
        made = link_missing()
    except OSError as error:
        print(f"cannot link a CUDA library: {error}: run {LINK} as the owner of this folder", file=sys.stderr)
        return 1
    for link in made:
        print(f"linked {link.name} into {link.parent}, where TensorFlow looks")
    libraries = check_cuda_libraries()
    print(f"{libraries.name}: {libraries.detail}")
    if libraries.state == MISSING:
        # What linking could not repair it will not the next time.
        print(f"remedy: {SET_UP_GPU if libraries.mend == LINK else libraries.mend}", file=sys.stderr)
        return 1
    # All that there are, also where this shell hides some.
    os.environ.pop(VISIBLE, None)
    problem = check_driver()
    if problem.state != OK:
        print(f"{problem.name}: {problem.detail}")
        return 1 if problem.state == MISSING else 0
    seen, log = tensorflow_gpus()
    finding = why_unseen(seen, log)
    if finding is None:
        print(f"TensorFlow sees {counted(seen, 'GPU')}, as the driver does")
        return 0
    print(log, file=sys.stderr)
    said = f"TensorFlow sees {seen} of {len(driver_cards())} GPUs (its log is above): {finding.reason}"
    print(f"{said}\nremedy: {finding.remedy}", file=sys.stderr)
    return 1
