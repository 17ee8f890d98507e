"""Where a run's clips, frames, faces and batches come from: folder, frame source, detector, datasets."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import import_tensorflow
from tfdfd.data.frame_source import AUTO, NVDEC, PYAV, PyAvFrameSource
from tfdfd.gpus import Card, environment_of, visible_cards, why_no_gpu

if TYPE_CHECKING:
    from pipelines.decode import DaliFrameSource
    from pipelines.nvdec_findings import Finding, Findings
    from tfdfd.data.face_datasets import FaceDatasets

DATA_VARIABLE = "TFDFD_DATA"
INPUTS = ("auto", "dali", "tf.data")
"""What may feed the network: DALI pipelines or their tf.data twin, with the same values."""
DECODERS = (AUTO, NVDEC, PYAV)
"""What may decode clips on a GPU machine."""


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
    """Return why DALI cannot be used on this machine, or an empty string if it can.

    Raises:
        TfdfdError: as `import_tensorflow`.
    """
    try:
        import_tensorflow()  # DALI's plugin imports it too, and would hide a card that it does not see
        import pipelines.dataset
        import pipelines.decode  # noqa: F401
    except (ImportError, OSError) as error:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("nvidia"):
            raise  # something of ours is missing, not DALI
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def add_decoder_flag(parser: argparse._ActionsContainer) -> None:
    """Add `--decoder`."""
    parser.add_argument(
        "--decoder",
        choices=DECODERS,
        default=AUTO,
        help="what decodes clips where there is a GPU: auto tries NVDEC once, in about a minute, and takes it for the "
        "kinds of clips that it decodes as PyAV does, and faster; nvdec takes it untried for all clips that it can "
        "read; pyav never (default: %(default)s)",
    )


def no_dali_note() -> str:
    """Return what to tell a person where DALI cannot be used."""
    return (
        f"DALI cannot be used here ({dali_problem()}): PyAV and tf.data take its place, with the same values. "
        "`tfdfd doctor` says how to mend it."
    )


@cache
def _announce(console: Console, note: str) -> None:
    console.print(note)


def make_frame_source(console: Console, *, gpu: bool, decoder: str = AUTO) -> PyAvFrameSource | DaliFrameSource:
    """Return what reads frames, as `choose_frame_source`, after `settle_decoder`; what to know of it is said once."""
    if gpu:
        settle_decoder(decoder, console)
    source, note = choose_frame_source(gpu=gpu, num_threads=num_cores(), decoder=decoder)
    if note:
        _announce(console, note)
    return source


def choose_frame_source(
    *, gpu: bool, num_threads: int, decoder: str = AUTO
) -> tuple[PyAvFrameSource | DaliFrameSource, str]:
    """Return what reads frames: NVDEC through DALI where a GPU is and it is right and faster, else PyAV.

    Args:
        gpu: whether this process uses a GPU; the first one that it sees decodes.
        num_threads: DALI's host threads.
        decoder: one of DECODERS.

    Returns:
        The frame source, and what to tell a person of it, mostly nothing.

    Raises:
        TfdfdError: if NVDEC is asked for where there is no DALI or no GPU.
    """
    if decoder == PYAV:
        return PyAvFrameSource("--decoder pyav"), ""
    _check_nvdec_asked_for(decoder, has_gpu=gpu)
    if dali_problem():
        return PyAvFrameSource(), no_dali_note()
    from pipelines.decode import DaliFrameSource

    if not gpu:
        return DaliFrameSource(gpu=False, num_threads=num_threads), ""
    if decoder == NVDEC:
        return DaliFrameSource(gpu=True, device_id=0, num_threads=num_threads), (
            "NVDEC decodes all clips that it can read (--decoder nvdec)"
        )
    findings = nvdec_findings(visible_cards()[:1])
    return DaliFrameSource(gpu=True, device_id=0, num_threads=num_threads, findings=findings), findings.sentence


def _check_nvdec_asked_for(decoder: str, *, has_gpu: bool) -> None:
    if decoder == NVDEC and (problem := dali_problem() or ("" if has_gpu else why_no_gpu())):
        raise TfdfdError(f"--decoder nvdec: {problem}; leave it out, or run `tfdfd doctor`")


def settle_decoder(decoder: str, console: Console) -> None:
    """Find out what NVDEC is good for, before workers that share the machine need to know; without a GPU nothing.

    Args:
        decoder: one of DECODERS.
        console: where a person is told that it takes a while.

    Raises:
        TfdfdError: if NVDEC is asked for and cannot be had.
    """
    cards = visible_cards()
    _check_nvdec_asked_for(decoder, has_gpu=bool(cards))
    if decoder == PYAV or not cards or dali_problem():
        return
    if decoder == AUTO:
        nvdec_findings(cards, say=console.print)
        return
    from pipelines.nvdec_trial import KINDS, try_nvdec

    (finding,) = try_nvdec(kinds=KINDS[:1])
    # Slow or another shade is what was asked for; no frame at all is not.
    if finding.is_checked and finding.mean_difference is None:
        raise TfdfdError(f"--decoder nvdec: NVDEC cannot decode here: {finding.problem}; leave it out to use PyAV")


def nvdec_findings(cards: Sequence[Card], *, say: Callable[[str], None] = lambda _: None) -> Findings:
    """Return what NVDEC was found to be good for on each of some cards together, trying those that were not tried.

    Args:
        cards: at least one, as `visible_cards` returns them.
        say: told before a trial, which takes about a minute.
    """
    from pipelines.nvdec_findings import kept_findings
    from pipelines.nvdec_trial import try_nvdec

    found = None
    for name, driver in dict.fromkeys((card.name, card.driver_version) for card in cards):
        card = next(card for card in cards if (card.name, card.driver_version) == (name, driver))

        def check(card: Card = card) -> Sequence[Finding]:
            say(f"trying NVDEC of the {card.name} beside PyAV, once: this takes about a minute")
            return try_nvdec(environment=environment_of(card))

        findings = kept_findings(name, driver, check)
        found = found or findings
    assert found is not None, "there is no card to try"
    return found


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
            _announce(console, no_dali_note())
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
