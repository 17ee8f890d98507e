"""`tfdfd doctor`: what this machine can do and, for everything missing, the command that mends it."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tfdfd.commands.check import MISSING, OK, SET_UP, WARNING, Check, ask, version_of
from tfdfd.commands.console import make_console
from tfdfd.commands.flags import CommandParser
from tfdfd.commands.gpu_checks import GPU_CHECKS, link_cuda
from tfdfd.commands.gpu_proof.proof import add_flags, asks_for_proof, prove

_COLOURS = {OK: "green", WARNING: "yellow", MISSING: "red"}
DALI_PACKAGE, PLUGIN_PACKAGE = "nvidia-dali-cuda120", "nvidia-dali-tf-plugin-cuda120"
# FFmpeg's own `av1` decoder only drives hardware.
DECODERS = {"H.264": ("h264",), "HEVC": ("hevc",), "VP9": ("vp9", "libvpx-vp9"), "AV1": ("libdav1d", "libaom-av1")}
GIGABYTE = 1e9


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd doctor` and return its exit status."""
    parser = CommandParser(prog="tfdfd doctor", description=__doc__)
    parser.add_argument(
        "--link-cuda",
        action="store_true",
        help="only make TensorFlow find the CUDA libraries that are installed, and check that it sees every GPU",
    )
    add_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.link_cuda:
        return link_cuda()
    return prove(arguments, make_console()) if asks_for_proof(arguments) else run(make_console())


def run(console: Console) -> int:
    """Check the machine and print the table.

    Args:
        console: where to print.

    Returns:
        The exit status: 1 if anything is missing, else 0.
    """
    with console.status("looking at this machine (TensorFlow takes a few seconds to load)"):
        checks = run_checks()
    table = Table("piece", "state", "found", "to mend it", title="tfdfd doctor", box=box.SIMPLE_HEAD)
    for check in checks:
        state = Text(check.state, style=_COLOURS[check.state])
        table.add_row(check.name, state, Text(check.detail), Text(check.mend))
    console.print(table)
    missing = [check.name for check in checks if check.state == MISSING]
    console.print(f"Missing: {', '.join(missing)}." if missing else "Everything needed is here.")
    return 1 if missing else 0


def run_checks() -> list[Check]:
    """Run every check, the slow ones side by side, and return them in the table's order."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda check: check(), CHECKS))


def _is_dali_platform() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def check_python() -> Check:
    """Python's version and where it runs from."""
    detail = f"{platform.python_version()} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", OK, detail)
    return Check("Python", MISSING, f"{detail}; 3.11 to 3.13 is needed", f"PYTHON=python3.12 {SET_UP}")


def check_machine() -> Check:
    """Platform, cores, memory and disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = shutil.disk_usage(Path.cwd()).free / GIGABYTE
    parts = [platform.platform(terse=True), platform.machine(), f"{cores} cores"]
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * page / GIGABYTE:.0f} GB memory")
        parts.append(f"{os.sysconf('SC_AVPHYS_PAGES') * page / GIGABYTE:.0f} GB of it free")
    except (ValueError, OSError):
        pass  # not every system counts them
    detail = ", ".join([*parts, f"{free:.0f} GB disk free here"])
    if free < 5:
        return Check("machine", WARNING, detail, "free some disk: a store of 100,000 clips takes about 40 GB")
    return Check("machine", OK, detail)


def check_tensorflow() -> Check:
    """Whether TensorFlow and Keras import, and their versions."""
    answer = ask(sys.executable, "-c", _TENSORFLOW)
    if answer.error:
        return Check("TensorFlow", MISSING, answer.error, SET_UP)
    found = json.loads(answer.text.splitlines()[-1])
    return Check("TensorFlow", OK, f"{found['tensorflow']}, Keras {found['keras']}")


_TENSORFLOW = (
    "import json, keras, tensorflow as tf; print(json.dumps(dict(tensorflow=tf.__version__, keras=keras.__version__)))"
)


def check_dali() -> Check:
    """Whether DALI and its TensorFlow plugin import (in a process of their own)."""
    name = "DALI"
    if not _is_dali_platform():
        detail = f"not made for {sys.platform} {platform.machine()}; the tf.data input path is used"
        return Check(name, WARNING, detail, "use x86-64 Linux for the DALI path")
    versions = f"{version_of(DALI_PACKAGE) or 'absent'}, TensorFlow plugin {version_of(PLUGIN_PACKAGE) or 'absent'}"
    answer = ask(sys.executable, "-c", "import nvidia.dali, nvidia.dali.plugin.tf")
    if answer.error:
        return Check(name, MISSING, f"{versions}; {answer.error}", SET_UP)
    return Check(name, OK, versions)


def check_pyav() -> Check:
    """Whether PyAV imports and brings the decoders of usual clips, and the demo's encoders."""
    try:
        import av
    except (ImportError, OSError) as error:
        return Check("PyAV", MISSING, str(error), SET_UP)
    have = av.codecs_available
    absent = [name for name, codecs in DECODERS.items() if not any(codec in have for codec in codecs)]
    absent += [f"{codec} encoder (demo)" for codec in ("libx264", "aac") if codec not in have]
    if absent:
        return Check("PyAV", WARNING, f"{av.__version__} without {', '.join(absent)}", SET_UP)
    return Check("PyAV", OK, f"{av.__version__}, decodes {', '.join(DECODERS)}; encodes H.264, AAC")


def check_mtcnn() -> Check:
    """Whether the mtcnn package and the weights inside it are there."""
    try:
        spec = importlib.util.find_spec("mtcnn")
    except (ImportError, ValueError) as error:
        return Check("MTCNN weights", MISSING, str(error), SET_UP)
    places = spec.submodule_search_locations if spec else None
    if not places:
        return Check("MTCNN weights", MISSING, "the mtcnn package is not installed", SET_UP)
    weights = {path.stem for place in places for path in Path(place).rglob("*.lz4")}
    absent = sorted({"pnet", "rnet", "onet"} - weights)
    if absent:
        return Check("MTCNN weights", MISSING, f"{places[0]} has no weights of {absent}", SET_UP)
    return Check("MTCNN weights", OK, f"mtcnn {version_of('mtcnn')}: pnet, rnet, onet")


def check_keras_cv() -> Check:
    """Whether keras-cv is installed (not imported: that takes seconds)."""
    version = version_of("keras-cv")
    return Check("keras-cv", OK, version) if version else Check("keras-cv", MISSING, "not installed", SET_UP)


def check_gradio() -> Check:
    """Whether Gradio is installed, which the page of `tfdfd app` is made with (not imported: that takes seconds)."""
    version = version_of("gradio")
    if version:
        return Check("Gradio", OK, f"{version}: tfdfd app")
    return Check("Gradio", WARNING, "not installed: everything but tfdfd app works", "pip install -e '.[app]'")


def check_face_embedder() -> Check:
    """Whether the package is installed whose weights tell people apart."""
    version = version_of("face-recognition-models")
    if version:
        return Check("face embedder", OK, f"face-recognition-models {version}: tfdfd people")
    detail = "face-recognition-models is not installed: everything but tfdfd people works"
    return Check("face embedder", WARNING, detail, "pip install -e '.[people]'")


def check_imagenet_weights() -> Check:
    """Whether Keras already holds the ImageNet weights of Xception, or would download them."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    file = home / "models" / "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"
    if file.is_file():
        return Check("ImageNet weights", OK, str(file))
    detail = "not here yet: --weights imagenet downloads them (84 MB)"
    mend = "run_train.py --weights FILE without a network, or --weights none"
    return Check("ImageNet weights", WARNING, detail, mend)


def check_pipelines() -> Check:
    """Whether `import pipelines` finds ours: the name is a common one."""
    import tfdfd

    ours = Path(tfdfd.__file__).resolve().parent.parent / "pipelines"
    try:
        spec = importlib.util.find_spec("pipelines")
    except (ImportError, ValueError) as error:
        return Check("pipelines", MISSING, str(error), SET_UP)
    if spec is None:
        return Check("pipelines", MISSING, "not importable", SET_UP)
    places = [Path(place).resolve() for place in spec.submodule_search_locations or []]
    if ours in places:
        return Check("pipelines", OK, str(ours))
    found = spec.origin or places
    mend = "run from the project's folder, in its own .venv; unset PYTHONPATH"
    return Check("pipelines", MISSING, f"another package of that name shadows ours: {found}", mend)


def check_data_folder() -> Check:
    """Whether there is a default data folder: $TFDFD_DATA, then ./data."""
    given = os.environ.get("TFDFD_DATA", "")
    folder = Path(given) if given else Path("data")
    mend = "export TFDFD_DATA=DIR, or --data DIR, or --demo"
    if folder.is_dir():
        return Check("data folder", OK, f"{folder.resolve()}{' ($TFDFD_DATA)' if given else ''}")
    detail = f"$TFDFD_DATA is {given}, not a folder" if given else "$TFDFD_DATA is not set and there is no ./data"
    return Check("data folder", WARNING, detail, mend)


CHECKS: tuple[Callable[[], Check], ...] = (
    check_python,
    check_machine,
    check_tensorflow,
    *GPU_CHECKS,
    check_dali,
    check_pyav,
    check_mtcnn,
    check_keras_cv,
    check_gradio,
    check_face_embedder,
    check_imagenet_weights,
    check_pipelines,
    check_data_folder,
)
