"""What scores clips on this machine, put together: model, frame source and detector, checked to fit each other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import import_tensorflow
from tfdfd.commands.inputs import make_frame_source, newest_model, provenance
from tfdfd.data.fingerprint import Fingerprint, of_single_crops, require_same_preprocessing
from tfdfd.data.frame_source import AUTO, NVDEC, PyAvFrameSource, one_ahead
from tfdfd.extraction import Detector, extraction_config_of, extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.gpus import choose_gpus
from tfdfd.scored_clip import ScoredClip
from tfdfd.serving.clip_parts import ClipReader, OnWindow, PlannedFrameSource
from tfdfd.serving.local_scorer import LocalScorer
from tfdfd.serving.time_limit import Pace
from tfdfd.serving.versions import ASSETS, newest_version

if TYPE_CHECKING:
    from tfdfd.serving.saved_model import LoadedModel


def make_local_scorer(
    model_folder: Path | None,
    console: Console,
    *,
    accept_mismatch: bool = False,
    time_limit_seconds: float | None = None,
    keep_crops: bool = False,
    decoder: str = AUTO,
) -> LocalScorer:
    """Put together what scores clips by a model.

    Args:
        model_folder: `saved_models/NAME` or one of its versions; None for the newest under `saved_models/`.
        console: for what a person should know.
        accept_mismatch: go on although faces are found otherwise than the model's were.
        time_limit_seconds: most time for one clip; None for no limit.
        keep_crops: whether scored tracks hold their crops.
        decoder: what decodes, one of `inputs.DECODERS`.

    Raises:
        TfdfdError: if there is no such model, or clips cannot be cropped as its were.
    """
    basis = _Basis.of(model_folder, console, decoder)
    return basis.scorer(console, accept_mismatch, time_limit_seconds, keep_crops=keep_crops)


def begin_scoring(
    paths: Sequence[Path],
    model_folder: Path | None,
    console: Console,
    *,
    accept_mismatch: bool = False,
    time_limit_seconds: float | None = None,
    keep_crops: bool = False,
    decoder: str = AUTO,
    on_window: OnWindow = lambda number, count: None,
) -> tuple[LocalScorer, Iterator[ScoredClip]]:
    """Put together what scores clips while the first of them is read, since TensorFlow takes long to come.

    With a time limit it is read afterwards.

    Args:
        paths: of the clips.
        model_folder, console, accept_mismatch, time_limit_seconds, keep_crops, decoder: as in `make_local_scorer`.
        on_window: called after each window of a clip.

    Returns:
        The scorer, and the clips as they are scored.

    Raises:
        TfdfdError: as in `make_local_scorer`.
    """
    basis = _Basis.of(model_folder, console, decoder, on_window)
    if time_limit_seconds is not None:
        # What reads beside the start of TensorFlow is slow, and its time would count.
        scorer = basis.scorer(console, accept_mismatch, time_limit_seconds, keep_crops=keep_crops)
        return scorer, scorer.score_all(paths)
    reader = ClipReader(basis.frame_source, basis.config.frame_plan, pace=basis.pace)
    parts = one_ahead(reader.parts(paths))
    try:
        scorer = basis.scorer(console, accept_mismatch, time_limit_seconds, keep_crops=keep_crops)
    except BaseException:
        parts.close()
        raise
    return scorer, scorer.score_parts(parts)


@dataclass(frozen=True)
class _Basis:
    """What is known without TensorFlow."""

    folder: Path
    """Of the model's version."""
    config: ExtractionConfig
    """How clips are cropped for it."""
    frame_source: PlannedFrameSource
    pace: Pace
    on_window: OnWindow

    @staticmethod
    def of(
        model_folder: Path | None,
        console: Console,
        decoder: str,
        on_window: OnWindow = lambda number, count: None,
    ) -> _Basis:
        folder = newest_version(model_folder or newest_model(Path("saved_models")))
        config = extraction_config_of(Fingerprint.from_file(folder / ASSETS / "fingerprint.json"))
        return _Basis(folder, config, scoring_frame_source(console, decoder), Pace(), on_window)

    def scorer(
        self, console: Console, accept_mismatch: bool, time_limit_seconds: float | None, *, keep_crops: bool
    ) -> LocalScorer:
        import_tensorflow()
        from tfdfd.faces.mtcnn import MTCNN
        from tfdfd.serving.saved_model import LoadedModel

        detector = MTCNN(min_face_share=self.config.min_face_share)
        # To optimise the detector's graph takes a second in which Python has nothing to do but to load the model.
        with ThreadPoolExecutor(1, thread_name_prefix="warm-up") as pool:
            warm = pool.submit(_warm_up, detector)
            model = LoadedModel(self.folder)
            warm.result()
        if extraction_config_of(model.fingerprint) != self.config:
            raise TfdfdError(
                f"{self.folder / ASSETS / 'fingerprint.json'} says that crops are made otherwise than the model itself "
                "does: export the model again"
            )
        if time_limit_seconds is not None:
            _measure(model, self.config, self.pace)
        check_model(model, detector, self.config, console, accept_mismatch=accept_mismatch)
        return LocalScorer(
            model,
            self.frame_source,
            detector,
            self.config,
            time_limit_seconds=time_limit_seconds,
            keep_crops=keep_crops,
            pace=self.pace,
            on_window=self.on_window,
        )


def check_model(
    model: LoadedModel, detector: Detector, config: ExtractionConfig, console: Console, *, accept_mismatch: bool
) -> None:
    """Refuse a model whose crops were made otherwise than these would be, or say aloud that it is accepted.

    Raises:
        TfdfdError: if they differ and that is not accepted.
    """
    warning = require_same_preprocessing(
        of_single_crops(model.fingerprint),
        of_single_crops(extraction_fingerprint(config, detector.settings, provenance(Path()))),
        expected_name="the model",
        found_name="this run",
        accept=accept_mismatch,
    )
    if warning:
        console.print(f"accepted: {warning}", style="yellow")


def _warm_up(detector: Detector) -> None:
    """Have a detector's graph made: on grey frames with some noise, in which there is something to look at again."""
    frames = np.full((4, 216, 384, 3), 128, np.uint8)
    frames[:, 60:140, 100:180] = np.random.default_rng(0).integers(0, 256, (4, 80, 80, 3), dtype=np.uint8)
    detector(frames)


def _measure(model: LoadedModel, config: ExtractionConfig, pace: Pace) -> None:
    """Find out how fast a network is that has been used once: the first use is slow and says nothing of the others."""
    crops = np.zeros((1, config.places, config.crop_size, config.crop_size, 3), np.uint8)
    is_face = np.ones((1, config.places), np.bool_)
    model.score(crops, is_face)
    began = time.monotonic()
    model.score(crops, is_face)
    pace.saw_faces(config.places, time.monotonic() - began)


def scoring_frame_source(console: Console, decoder: str = AUTO) -> PlannedFrameSource:
    """Return what reads frames: as `make_frame_source`, but without a GPU PyAV alone: DALI would only be imported.

    Args:
        console: for what a person should know.
        decoder: one of DECODERS.

    Raises:
        TfdfdError: if NVDEC is asked for and cannot be had.
    """
    if choose_gpus() or decoder == NVDEC:
        return make_frame_source(console, gpu=True, decoder=decoder)
    return PyAvFrameSource("no GPU" if decoder == AUTO else "--decoder pyav")
