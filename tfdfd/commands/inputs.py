"""Where a run's clips, frames, faces and batches come from: folder, frame source, detector, datasets."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tfdfd.clip import TfdfdError

if TYPE_CHECKING:
    from tfdfd.data.face_datasets import FaceDatasets
    from tfdfd.extraction import FrameSource

DATA_VARIABLE = "TFDFD_DATA"
INPUTS = ("auto", "dali", "tf.data")
"""What may feed the network: DALI pipelines or their tf.data twin, with the same values."""


def names_data(given: str | None) -> bool:
    """Return whether there is a data folder: one given, $TFDFD_DATA or ./data."""
    return bool(given or os.environ.get(DATA_VARIABLE) or Path("data").exists())


def data_folder(given: str | None) -> Path:
    """Return the folder (or CSV) of clips: the one given, else $TFDFD_DATA, else ./data.

    Raises:
        TfdfdError: if it is not there; names all three places and the demo.
    """
    if given:
        path, origin = Path(given), "--data"
    elif os.environ.get(DATA_VARIABLE):
        path, origin = Path(os.environ[DATA_VARIABLE]), f"${DATA_VARIABLE}"
    else:
        path, origin = Path("data"), "the default"
    if not path.exists():
        raise TfdfdError(
            f"there are no clips at {path} ({origin}): give their folder with --data DIR or ${DATA_VARIABLE}, put them "
            "into ./data, or try `python run_train.py --demo`, which needs none"
        )
    return path


def newest_model(root: Path) -> Path:
    """Return the version under `saved_models/` that was written last, and say on stderr which one that is.

    Raises:
        TfdfdError: if there is none.
    """
    found = [path.parent for path in root.glob("*/*/saved_model.pb") if path.parent.name.isdigit()]
    if not found:
        raise TfdfdError(f"{root}/ holds no model: train one with run_train.py, or give --model")
    newest = max(found, key=lambda path: path.stat().st_mtime)
    print(f"no --model is given: taking {newest}, written last of {len(found)} in {root}/", file=sys.stderr)
    return newest


@cache
def dali_problem() -> str:
    """Return why DALI cannot be used on this machine, or an empty string if it can."""
    try:
        import pipelines.dataset
        import pipelines.decode  # noqa: F401
    except (ImportError, OSError) as error:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("nvidia"):
            raise  # something of ours is missing, not DALI
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def no_dali_note() -> str:
    """Return what to tell a person where DALI cannot be used."""
    return (
        f"DALI cannot be used here ({dali_problem()}): PyAV and tf.data take its place, with the same values. "
        "`tfdfd doctor` says how to mend it."
    )


@cache
def _announce_no_dali(console: Console) -> None:
    console.print(no_dali_note())


def make_frame_source(console: Console, *, gpu: bool) -> FrameSource:
    """Return what reads frames, as `choose_frame_source`; a missing DALI is announced once."""
    source, note = choose_frame_source(gpu=gpu, num_threads=num_cores())
    if note:
        _announce_no_dali(console)
    return source


def choose_frame_source(*, gpu: bool, num_threads: int) -> tuple[FrameSource, str]:
    """Return what reads frames: DALI (NVDEC on a GPU, fed by PyAV elsewhere), or PyAV alone.

    Args:
        gpu: whether TensorFlow sees a GPU; the first one decodes.
        num_threads: DALI's host threads.

    Returns:
        The frame source, and what to tell a person of it, mostly nothing.
    """
    if dali_problem():
        from tfdfd.data.frame_source import PyAvFrameSource

        return PyAvFrameSource(), no_dali_note()
    from pipelines.decode import DaliFrameSource

    return DaliFrameSource(gpu=gpu, device_id=0 if gpu else None, num_threads=num_threads), ""


def make_datasets(console: Console, source: str = "auto") -> FaceDatasets:
    """Return what feeds the network.

    Args:
        console: where a missing DALI is announced, once.
        source: one of INPUTS; `auto` takes DALI where it can be used.

    Raises:
        TfdfdError: if DALI is asked for and cannot be used.
    """
    if source == "dali" and dali_problem():
        raise TfdfdError(
            f"--input dali: DALI cannot be used here ({dali_problem()}); `tfdfd doctor` says how to mend it"
        )
    if source == "tf.data" or dali_problem():
        from tfdfd.data.tf_datasets import TF_DATASETS

        if source == "auto":
            _announce_no_dali(console)
        return TF_DATASETS
    from pipelines.dataset import DALI_DATASETS

    return DALI_DATASETS


def provenance(source: Path) -> dict[str, Any]:
    """Return the versions of what makes crops, and where they come from."""
    packages = ("tfdfd", "tensorflow", "keras", "numpy", "av", "mtcnn", "nvidia-dali-cuda120", "nvidia-dali-cuda130")
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "source": str(source.resolve())}


def num_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Return whether TensorFlow sees a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
