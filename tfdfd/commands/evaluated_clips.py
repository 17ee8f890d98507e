"""Which clips an evaluation scores, and the proof that no model was trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.connected_sets import BETWEEN_PEOPLE, connected_sets
from tfdfd.data.originals import recording_key
from tfdfd.data.splits import CALIBRATION, SPLITS, TRAIN, VAL, in_folders, require_whole_sets
from tfdfd.data.tables import records, rows_where, some, values

if TYPE_CHECKING:
    from tfdfd.serving.saved_model import LoadedModel


@dataclass(frozen=True)
class EvaluatedClips:
    """The clips of an evaluation."""

    table: pd.DataFrame
    """n rows of the manifest: those that figures are of, and those that temperature and threshold are fitted on."""
    groups: np.ndarray
    """int64, shape (n,): the connected set of each."""
    is_calibration: np.ndarray
    """bool, shape (n,): which are fitted on; none of their sets is among the others."""
    num_train_originals: int | None
    """Recordings that the models were trained on; None where one of them does not say."""
    num_originals: int
    """Recordings that the figures are of, or that their fakes were made from."""
    num_in_both: int | None
    """Of those, how many a model was trained on: 0 but for --include-train; None where one does not say."""
    num_chosen_by: int
    """Evaluated clips by which the best epoch of a model was chosen, which flatters it a little."""


def choose_clips(
    table: pd.DataFrame,
    models: Sequence[LoadedModel],
    *,
    val_folders: str | None,
    calibrate_folders: str | None,
    include_train: bool,
    console: Console,
) -> EvaluatedClips:
    """Choose the clips to score, and keep out those that a model was trained on.

    Args:
        table: the manifest.
        models: each records which clips it was trained and validated on.
        val_folders: comma list of globs over folders; None for the validation clips that the models record, or all
            clips where they know none of them.
        calibrate_folders: the same, of the clips to fit temperature and threshold on; None to fit nothing.
        include_train: score training clips too.
        console: says what was chosen, and why.

    Returns:
        The chosen clips.

    Raises:
        TfdfdError: if nothing is left or a label is lacking, if training clips are among them without include_train,
            or if calibration and evaluation share an original.
    """
    is_calibration = np.zeros(len(table), bool)
    if calibrate_folders is not None:
        is_calibration = in_folders(table, calibrate_folders, flag="--calibrate-folders")
    is_chosen = _asked_for(table, models, val_folders, include_train, console)
    if val_folders is None:
        is_chosen &= ~is_calibration
    elif both := values(table, "clip_id")[is_chosen & is_calibration].tolist():
        raise TfdfdError(
            f"--val-folders and --calibrate-folders share {len(both)} clips, the first: {some(both, limit=3)}. What is "
            "fitted on clips cannot be judged by them: choose other folders for one of them"
        )
    if not is_chosen.any():
        raise TfdfdError("there is no clip to score: choose folders with --val-folders")
    found = rows_where(table, is_chosen | is_calibration)
    calibration = is_calibration[is_chosen | is_calibration]
    groups = connected_sets(found)
    require_whole_sets(
        found,
        groups,
        ~calibration,
        f"--calibrate-folders {calibrate_folders}",
        sides=("calibration", "evaluation"),
        advice="Choose folders that keep them together; --val-folders says which are evaluated.",
    )
    trained = _families(models, TRAIN)
    fitted = _families(models, CALIBRATION)
    _require_unseen(rows_where(found, ~calibration), trained, "trained", include_train)
    _require_unseen(rows_where(found, ~calibration), fitted, "calibrated", include_train)
    # What is fitted on training clips is fitted to scores that are too good: no flag makes that useful.
    _require_unseen(rows_where(found, calibration), trained, "trained", False)
    for name, side in (("evaluation", ~calibration), ("calibration", calibration)):
        _require_both_labels(name, values(found, "label")[side])
    evaluated = records(rows_where(found, ~calibration))
    seen = _rows_of(models, TRAIN)
    is_told = all(TRAIN in values(model.clips(), "split") for model in models)
    validated = {row["clip_id"] for row in _rows_of(models, VAL)}
    return EvaluatedClips(
        found,
        groups,
        calibration,
        num_train_originals=len({_recording(row) for row in seen}) if is_told else None,
        num_originals=len({_recording(row) for row in evaluated}),
        num_in_both=len({_recording(row) for row in evaluated if not trained.isdisjoint(_family(row))})
        if is_told
        else None,
        num_chosen_by=sum(row["clip_id"] in validated for row in evaluated),
    )


def _asked_for(
    table: pd.DataFrame, models: Sequence[LoadedModel], val_folders: str | None, include_train: bool, console: Console
) -> np.ndarray:
    if val_folders is not None:
        return in_folders(table, val_folders)
    clip_ids = values(table, "clip_id")
    known = {row["clip_id"] for side in SPLITS for row in _rows_of(models, side)}
    if include_train or known.isdisjoint(clip_ids):
        if not include_train:
            console.print(f"no model names one of these clips: scoring all {len(table)}")
        return np.ones(len(table), bool)
    recorded = [row["clip_id"] for row in _rows_of(models, VAL)]
    is_chosen = np.isin(clip_ids, recorded)
    console.print(f"scoring the {is_chosen.sum()} validation clips that the model records, of {len(table)} here")
    return is_chosen


def _rows_of(models: Sequence[LoadedModel], side: str) -> list[dict[str, Any]]:
    """Return the clips that models record on one side of their split."""
    tables = [model.clips() for model in models]
    return [row for table in tables for row in records(rows_where(table, values(table, "split") == side))]


def _families(models: Sequence[LoadedModel], side: str) -> set[str]:
    return set().union(*(_family(row) for row in _rows_of(models, side)))


def _require_unseen(table: pd.DataFrame, seen: set[str], how: str, include_train: bool) -> None:
    leaked = [row["clip_id"] for row in records(table) if not seen.isdisjoint(_family(row))]
    if leaked and not include_train:
        raise TfdfdError(
            f"the model was {how} on {len(leaked)} of these {len(table)} clips, or on their original, a fake of it or "
            f"somebody seen in them, the first: {some(leaked, limit=3)}. Choose others with --val-folders and "
            "--calibrate-folders, or give --include-train to score them all the same"
        )


def _require_both_labels(name: str, labels: np.ndarray) -> None:
    if not len(labels):
        return
    for label, word, other in ((REAL, "real", "fake"), (FAKE, "fake", "real")):
        if not (labels == label).any():
            raise TfdfdError(
                f"all {len(labels)} clips of the {name} are {other}: most figures compare real and fake clips, so "
                f"choose folders that hold {word} ones too (to score clips without figures, --submission FILE)"
            )


def _family(row: dict[str, Any]) -> set[str]:
    """Return the recordings that a clip was made of, whatever their compression, and who is seen in it."""
    people = (name.strip() for name in row.get("person", "").split(BETWEEN_PEOPLE))
    return {recording_key(name) for name in (row["clip_id"], row["original"], row["donor"], *people)} - {""}


def _recording(row: dict[str, Any]) -> str:
    """Return the recording that a clip is, or was made from."""
    return recording_key(row["original"] or row["clip_id"])
