"""What scores clips on this machine, put together: model, frame source and detector, checked to fit each other."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

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
    raise NotImplementedError
