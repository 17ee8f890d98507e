"""The NVIDIA GPUs of this machine: what the driver lists, what TensorFlow can use, and what each process may see.

Nothing here loads TensorFlow or starts CUDA: the driver reads CUDA_VISIBLE_DEVICES once, when CUDA starts, so
everything must be decided before.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tfdfd.clip import TfdfdError
from tfdfd.phrases import counted

VISIBLE = "CUDA_VISIBLE_DEVICES"
ON_THE_CPU = f"--cpu (or {VISIBLE}= before the command) runs it on the CPU"
"""What a person can always do where GPUs cannot be used."""

_IDENTITY = ("index", "name", "uuid", "pci.bus_id", "memory.total", "memory.free", "mig.mode.current")
# Asked apart: a driver before 470 does not know compute_cap, and one unknown field fails a whole query.
_ABILITY = ("compute_cap", "driver_version")
_DRIVER_SECONDS = 60.0
"""The driver wakes cards that sleep: seconds on a machine with eight."""
_WSL_NVIDIA_SMI = "/usr/lib/wsl/lib/nvidia-smi"
"""Where it lies under WSL2, which does not put it on every PATH."""
_MEBIBYTE = 2**20

_KERNEL_CACHE_BYTES = 4 * 2**30
"""What CUDA may keep of kernels that it compiles at first use; its own default, 256 MiB or 1 GiB, drops some of
TensorFlow's, which are then compiled again at every start."""
_ABORTS_FROM = (10, 0)
"""TensorFlow 2.20 and 2.21 abort inside LLVM on cards of this compute capability and later (TensorFlow issues 111958,
101746)."""
_OLDEST_DRIVER = 525
"""Of CUDA 12: NVIDIA's minor version compatibility."""
_DRIVER_OF_CUDA = {"12.2": 535, "12.3": 545, "12.4": 550, "12.5": 555, "12.6": 560, "12.8": 570, "12.9": 575}
"""First driver that compiles PTX of each CUDA release; source: CUDA Toolkit release notes, table 3."""

Capability = tuple[int, int]


@dataclass(frozen=True)
class Card:
    """A GPU as the driver lists it; what the driver does not tell is empty, 0 or None."""

    index: int
    """Its number in the order of PCI addresses, as nvidia-smi counts."""
    name: str
    uuid: str = ""
    pci_bus_id: str = ""
    memory_bytes: int = 0
    free_bytes: int = 0
    """When it was asked."""
    is_divided: bool = False
    """Whether it is in MIG mode; a process then sees one slice of it, however many there are."""
    compute_capability: Capability | None = None
    driver_version: str = ""

    @property
    def label(self) -> str:
        """What messages call it: `GPU 0, NVIDIA A100 (8.0, driver 550.54.15)`."""
        capability = "" if self.compute_capability is None else ".".join(map(str, self.compute_capability))
        facts = ", ".join(filter(None, (capability, self.driver_version and f"driver {self.driver_version}")))
        return f"GPU {self.index}, {self.name}{facts and f' ({facts})'}"


def driver_cards() -> tuple[Card, ...]:
    """Return all GPUs that the driver lists, in the order of their PCI addresses; none where there is no driver."""
    return _ask_driver()[0]


def driver_problem() -> str:
    """Return why a driver that is there cannot list its GPUs; empty where it can, or there is none."""
    return _ask_driver()[1]


def visible_cards() -> tuple[Card, ...]:
    """Return the GPUs that a process started now would see, in the order of CUDA: those of CUDA_VISIBLE_DEVICES.

    Each is named by `name_for_cuda`. An entry that names no card ends the list, as it does for CUDA.
    """
    cards = driver_cards()
    named = os.environ.get(VISIBLE)
    if named is None:
        return cards
    seen: list[Card] = []
    for entry in (part.strip() for part in named.split(",")):
        if entry.startswith("MIG-"):  # nvidia-smi does not list slices among its GPUs
            return tuple(seen) or (Card(0, "MIG slice", uuid=entry, is_divided=True),)
        found = [card for card in cards if _is_named(card, entry)]
        if len(found) != 1 or found[0] in seen:
            break
        seen += found
    return tuple(seen)


def name_for_cuda(card: Card) -> str:
    """Return what CUDA_VISIBLE_DEVICES calls a card: its UUID, which no order of devices changes, else its number."""
    return card.uuid or str(card.index)


def choose_gpus(number: int | None = None) -> tuple[Card, ...]:
    """Decide which GPUs this process and those that it starts see; call it before TensorFlow is imported.

    The others stay untouched: not even a CUDA context is made on them.

    Args:
        number: the first so many of those that are visible; 0 for none, None for all.

    Returns:
        The cards.

    Raises:
        TfdfdError: if there are fewer, or one of them cannot run TensorFlow.
    """
    if number == 0:
        os.environ[VISIBLE] = ""
        return ()
    cards = visible_cards()
    if number is not None and number > len(cards):
        raise TfdfdError(_too_few(number, cards))
    chosen = cards[:number]
    for card in chosen:
        if problem := card_problem(card):
            others = [name_for_cuda(other) for other in cards if not card_problem(other)]
            leave_out = f"leave it out by {VISIBLE}={','.join(others)}, or " if others else ""
            raise TfdfdError(f"{card.label}: {problem}; {leave_out}{ON_THE_CPU}")
    if chosen and number is not None:
        os.environ[VISIBLE] = ",".join(map(name_for_cuda, chosen))
    # nvidia-smi, CUDA and TensorFlow then count alike; CUDA's own order begins with the fastest card.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(_KERNEL_CACHE_BYTES))
    return chosen


def why_no_gpu() -> str:
    """Return why `visible_cards` are none."""
    if driver_cards():
        return f"{counted(len(driver_cards()), 'GPU is', 'GPUs are')} hidden by --cpu or {VISIBLE}"
    return driver_problem() or "there is no GPU with an NVIDIA driver"


def environment_of(card: Card | None) -> dict[str, str]:
    """Return the variables with which a child process sees one card alone, or with None no card."""
    return {VISIBLE: "" if card is None else name_for_cuda(card)}


def fix_arithmetic() -> None:
    """Set the variables of a process that finds or scores faces but does not train; before TensorFlow is imported.

    cuDNN's search for the fastest algorithm begins again at every new number of faces, and what it finds differs from
    run to run. `console.import_tensorflow` also turns TF32 off, so that faces are those of a CPU.
    """
    os.environ.setdefault("TF_CUDNN_USE_AUTOTUNE", "0")


def card_problem(card: Card) -> str:
    """Return why the installed TensorFlow cannot use a card, and what to do; empty where it can or nothing is known."""
    capability, build = card.compute_capability, tensorflow_build()
    driver = int(card.driver_version.partition(".")[0] or 0) if card.driver_version[:1].isdigit() else None
    if capability is not None:
        dotted = ".".join(map(str, capability))
        if capability >= _ABORTS_FROM:
            return (
                f"TensorFlow {build.version} aborts on compute capability {dotted}: it has kernels for "
                f"{build.described}, and fails to compile them for cards of 10.0 and later"
            )
        if capability < build.oldest:
            return f"TensorFlow {build.version} has kernels for {build.described}, none for compute capability {dotted}"
        if driver is not None and is_compiled_at_first_use(card) and driver < build.compiling_driver:
            return (
                f"compute capability {dotted} needs driver {build.compiling_driver} or later, which compiles "
                f"TensorFlow's kernels of CUDA {build.cuda} for it; found {card.driver_version}: update the driver"
            )
    if driver is not None and driver < _OLDEST_DRIVER:
        return f"CUDA 12 needs driver {_OLDEST_DRIVER} or later, found {card.driver_version}: update the driver"
    return ""


def is_compiled_at_first_use(card: Card) -> bool:
    """Return whether the driver compiles TensorFlow's kernels for a card when they are first used: minutes, once."""
    capability = card.compute_capability
    return capability is not None and all(capability[0] != major for major, _ in tensorflow_build().ready_made)


def first_use_note(cards: Sequence[Card]) -> str:
    """Return what to say before a first start that takes minutes; empty where none is to be expected."""
    slow = [card for card in cards if is_compiled_at_first_use(card)]
    folder = Path(os.environ.get("CUDA_CACHE_PATH") or Path.home() / ".nv" / "ComputeCache")
    if not slow or (folder.is_dir() and any(folder.iterdir())):
        return ""
    return (
        f"{slow[0].name}: the driver compiles TensorFlow's kernels for this card at first use; that takes minutes, "
        f"once, and is kept in {folder}"
    )


@dataclass(frozen=True)
class TensorFlowBuild:
    """For which GPUs the installed TensorFlow was built."""

    version: str
    cuda: str
    """The CUDA release, such as `12.5`."""
    ready_made: tuple[Capability, ...]
    """Compute capabilities with machine code, which later ones of the same major number run too."""
    to_compile: tuple[Capability, ...]
    """Those with PTX, which the driver compiles for these and later ones."""

    @property
    def oldest(self) -> Capability:
        """The lowest compute capability that has kernels."""
        return min((*self.ready_made, *self.to_compile), default=(0, 0))

    @property
    def compiling_driver(self) -> int:
        """The first driver that compiles this build's PTX; 0 where that is not known."""
        return _DRIVER_OF_CUDA.get(self.cuda, 0)

    @property
    def described(self) -> str:
        """The capabilities in words: `6.0, 7.0, 8.0, 8.9 and, compiled at first use, 9.0`."""
        ready, later = (
            ", ".join(f"{major}.{minor}" for major, minor in group) for group in (self.ready_made, self.to_compile)
        )
        return f"{ready} and, compiled at first use, {later}" if later else ready


@cache
def tensorflow_build() -> TensorFlowBuild:
    """Read what the installed TensorFlow says of itself, without importing it; a build for CPUs has no capabilities."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("tensorflow")
    except PackageNotFoundError:
        return TensorFlowBuild("", "", (), ())
    folder = tensorflow_folder()
    info = {} if folder is None else _build_info(folder / "python" / "platform" / "build_info.py")
    listed = info.get("cuda_compute_capabilities", [])
    return TensorFlowBuild(
        version=installed,
        cuda=".".join(str(info.get("cuda_version", "")).split(".")[:2]),
        ready_made=tuple(_capability(name[3:]) for name in listed if name.startswith("sm_")),
        to_compile=tuple(_capability(name[8:]) for name in listed if name.startswith("compute_")),
    )


def tensorflow_folder() -> Path | None:
    """Return where the package tensorflow lies, without importing it; None where it is not installed."""
    spec = importlib.util.find_spec("tensorflow")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _build_info(file: Path) -> dict:
    spec = importlib.util.spec_from_file_location("tensorflow_build_info", file)
    if spec is None or spec.loader is None or not file.is_file():
        return {}
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.build_info)


def _capability(digits: str) -> Capability:
    number = int(re.match(r"\d+", digits).group())  # pyright: ignore[reportOptionalMemberAccess]  sm_90a
    return number // 10, number % 10


def _too_few(number: int, cards: Sequence[Card]) -> str:
    listed, hidden = driver_cards(), os.environ.get(VISIBLE)
    why = f": {driver_problem()}" if driver_problem() else ""
    if hidden is not None and len(cards) < len(listed):
        why = f", and {VISIBLE}={hidden!r} leaves {len(cards)} of them"
    return (
        f"--gpus {number} asks for {counted(number, 'GPU')}, the driver lists {len(listed)}{why}: ask for fewer, "
        "leave it out to use what there is, or run `tfdfd doctor` to see what is missing"
    )


def _is_named(card: Card, entry: str) -> bool:
    if entry.isdecimal():
        return card.index == int(entry)
    return entry.startswith("GPU-") and card.uuid.startswith(entry)


@cache
def _ask_driver() -> tuple[tuple[Card, ...], str]:
    if _nvidia_smi() is None:
        rows, abilities, problem = _ask_libcuda()
    else:
        rows, problem = ask_nvidia_smi(_IDENTITY)
        abilities = ask_nvidia_smi(_ABILITY)[0] if rows else []
    if rows and not all(row[0].isdecimal() for row in rows):
        rows, problem = [], f"it lists what is no GPU: {','.join(rows[0])}"
    if not rows:
        return (), problem
    cards = [_card(number, row) for number, row in enumerate(rows)]
    if len(abilities) == len(cards):
        cards = [_able(card, ability) for card, ability in zip(cards, abilities, strict=True)]
    return tuple(cards), ""


def ask_nvidia_smi(fields: Sequence[str], names: Sequence[str] = ()) -> tuple[list[list[str]], str]:
    """Ask the driver for facts of cards, each time it is called.

    Args:
        fields: as `nvidia-smi --help-query-gpu` lists them.
        names: of the cards, as `name_for_cuda` returns them; empty for all.

    Returns:
        A row of values for each card, or why there is none.
    """
    command = [_nvidia_smi() or "nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    return _rows_of([*command, f"--id={','.join(names)}"] if names else command, "nvidia-smi")


def _nvidia_smi() -> str | None:
    return shutil.which("nvidia-smi") or shutil.which(_WSL_NVIDIA_SMI)


def _ask_libcuda() -> tuple[list[list[str]], list[list[str]], str]:
    """Return the rows of both queries as CUDA tells them, for containers that have a driver but not its tools."""
    try:
        ctypes.CDLL("libcuda.so.1")  # loading it starts nothing
    except OSError:
        return [], [], ""
    # In a process of its own: CUDA reads its variables once, and this process has not decided on them yet.
    rows, problem = _rows_of([sys.executable, "-c", _LIST_BY_CUDA], "libcuda.so.1")
    driver = re.search(r" (\d+\.\d+[.\d]*) ", _text(Path("/proc/driver/nvidia/version")))
    abilities = [[row[-1], driver[1] if driver else ""] for row in rows]
    return [row[:-1] for row in rows], abilities, problem


_LIST_BY_CUDA = """
import ctypes, os, uuid
os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
os.environ.pop("CUDA_VISIBLE_DEVICES", None)
cuda, number, size = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_size_t()
if status := cuda.cuInit(0):
    raise SystemExit(f"cuInit returned {status}")
cuda.cuDeviceGetCount(ctypes.byref(number))
for index in range(number.value):
    name, address, identity = (ctypes.create_string_buffer(length) for length in (256, 64, 16))
    cuda.cuDeviceGetName(name, 256, index)
    cuda.cuDeviceGetPCIBusId(address, 64, index)
    cuda.cuDeviceGetUuid(identity, index)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), index)
    capability = []
    for attribute in (75, 76):  # of the compute capability, before and after the dot
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, index)
        capability.append(str(number.value))
    mebibytes = size.value >> 20
    print(index, name.value.decode().replace(",", " "), f"GPU-{uuid.UUID(bytes=identity.raw)}", address.value.decode(),
        mebibytes, mebibytes, "", ".".join(capability), sep=",")
"""


def _rows_of(command: Sequence[str], name: str) -> tuple[list[list[str]], str]:
    """Return the values that a command prints for each GPU, a line each, or why there is none."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DRIVER_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"{name}: {error}"
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not lines:
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        return [], f"{name} (status {done.returncode}): {said or 'it lists no GPU'}"
    return [[value.strip() for value in line.split(",")] for line in lines], ""


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _card(number: int, row: list[str]) -> Card:
    if len(row) != len(_IDENTITY):
        return Card(number, row[0])
    index, name, uuid, pci_bus_id, total, free, mig = row
    return Card(
        index=int(index) if index.isdecimal() else number,
        name=name,
        uuid=uuid if uuid.startswith("GPU-") else "",
        pci_bus_id=pci_bus_id,
        memory_bytes=_mebibytes(total),
        free_bytes=_mebibytes(free),
        is_divided=mig == "Enabled",
    )


def _able(card: Card, row: list[str]) -> Card:
    capability, driver = row if len(row) == len(_ABILITY) else ("", "")
    match = re.fullmatch(r"(\d+)\.(\d+)", capability)
    return replace(
        card,
        compute_capability=(int(match[1]), int(match[2])) if match else None,
        driver_version=driver if driver[:1].isdigit() else "",
    )


def _mebibytes(text: str) -> int:
    return int(text) * _MEBIBYTE if text.isdecimal() else 0  # `[N/A]` of cards that share the machine's memory
