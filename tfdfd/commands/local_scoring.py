"""What scores clips on this machine, put together: model, frame source and detector, checked to fit each other."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tfdfd.commands.console import import_tensorflow
from tfdfd.commands.inputs import has_gpu, newest_model, provenance
from tfdfd.extraction import extraction_config_of
from tfdfd.serving.clip_parts import PlannedFrameSource
from tfdfd.serving.local_scorer import LocalScorer


def make_local_scorer(
    model_folder: Path | None,
    console: Console,
    *,
    accept_mismatch: bool = False,
    time_limit_seconds: float | None = None,
    keep_crops: bool = False,
) -> LocalScorer:
    """Put together what scores clips by a model.

    Args:
        model_folder: `saved_models/NAME` or one of its versions; None for the newest under `saved_models/`.
        console: for what a person should know.
        accept_mismatch: go on although faces are found otherwise than the model's were.
        time_limit_seconds: most time for one clip; None for no limit.
        keep_crops: whether scored tracks hold their crops.

    Raises:
        TfdfdError: if there is no such model, or clips cannot be cropped as its were.
    """
    folder = model_folder or newest_model(Path("saved_models"))
    import_tensorflow()
    from tfdfd.data.fingerprint import require_same_preprocessing
    from tfdfd.extraction import extraction_fingerprint
    from tfdfd.faces.mtcnn import MTCNN
    from tfdfd.serving.saved_model import LoadedModel

    model = LoadedModel(folder)
    config = extraction_config_of(model.fingerprint)
    detector = MTCNN(min_face_share=config.min_face_share)
    warning = require_same_preprocessing(
        model.fingerprint,
        extraction_fingerprint(config, detector.settings, provenance(Path())),
        expected_name="the model",
        found_name="this run",
        accept=accept_mismatch,
    )
    if warning:
        console.print(f"accepted: {warning}", style="yellow")
    return LocalScorer(
        model,
        _frame_source(console),
        detector,
        config,
        time_limit_seconds=time_limit_seconds,
        keep_crops=keep_crops,
    )


def _frame_source(console: Console) -> PlannedFrameSource:
    """Return what reads frames: DALI where a GPU decodes, PyAV alone elsewhere, where DALI would only be imported."""
    if has_gpu():
        from tfdfd.commands.inputs import dali_problem, no_dali_note

        if not dali_problem():
            from pipelines.decode import DaliFrameSource

            return DaliFrameSource(gpu=True, device_id=0)
        console.print(no_dali_note())
    from tfdfd.data.frame_source import PyAvFrameSource

    return PyAvFrameSource()
