"""A SavedModel over the tracks of a store: one row of scores a clip, every clip with its status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import OK, TfdfdError
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import StripRows
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import check_strips
from tfdfd.data.tracks import scoring_rows
from tfdfd.evaluation.intervals import bootstrap_intervals
from tfdfd.evaluation.metrics import score_metrics
from tfdfd.models.scoring import ScoringRule

ScoreTracks = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(crops [batch, places, size, size, 3], is_face [batch, places]) -> track scores, face probabilities."""


def face_probabilities(
    score_tracks: ScoreTracks,
    rows: StripRows,
    datasets: FaceDatasets,
    *,
    crop_size: int,
    batch_size: int,
    num_threads: int,
    on_batch: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """Run a model over stored tracks.

    Args:
        score_tracks: the model, e.g. `LoadedModel.score`.
        rows: the tracks.
        datasets: what reads them.
        crop_size: side of a crop in pixels.
        batch_size: tracks a batch.
        num_threads: threads that read and decode.
        on_batch: called with the number of tracks that a batch scored.

    Returns:
        float32, shape (n, places), in the order of the rows; 0 where there is no face.

    Raises:
        TfdfdError: if a strip is missing, or the model answers with something that is no probability.
    """
    check_strips(rows.strip_paths)
    probabilities = np.zeros(rows.is_face.shape, np.float32)
    padded = rows.padded(batch_size)
    dataset = datasets.evaluation(
        padded,
        crop_size=crop_size,
        num_places=rows.is_face.shape[1],
        batch_size=batch_size,
        device_id=None,
        num_threads=num_threads,
    )
    for crops, is_face, strip_rows in dataset.take(padded.num_steps(batch_size)):
        _, of_batch = score_tracks(crops, is_face)
        real = strip_rows.numpy() >= 0
        probabilities[strip_rows.numpy()[real]] = of_batch[real]
        on_batch(int(real.sum()))
    bad = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)).all(axis=1))
    if len(bad):
        raise TfdfdError(
            f"the model gave something else than a probability for {len(bad)} of {len(rows)} tracks, the first is "
            f"{rows.strip_paths[bad[0]]}: its weights may hold NaN"
        )
    return probabilities


def score_clips(
    clips: pd.DataFrame, store: FaceStore, rule: ScoringRule, probabilities_of: Callable[[StripRows], np.ndarray]
) -> pd.DataFrame:
    """Score clips; a clip without evidence is scored by the rule and keeps its status.

    Args:
        clips: rows of the manifest.
        store: holds them.
        rule: how face probabilities become a clip score.
        probabilities_of: runs the model, as `face_probabilities`.

    Returns:
        One row a clip in the order of `clips`: clip_id, label, folder, method, clip_score, is_fake (by the threshold),
        status, reason, num_tracks, num_faces.
    """
    rows = scoring_rows(store, clips)
    scores = np.full(len(clips), rule.no_evidence_score, np.float32)
    if len(rows):
        scores = rule.clip_scores(probabilities_of(rows), rows.is_face, rows.clip_rows, len(clips))
    table = clips[["clip_id", "label", "folder", "method"]].reset_index(drop=True)
    table["clip_score"] = scores
    table["is_fake"] = scores >= rule.threshold
    table = table.merge(store.clips()[["clip_id", "status", "reason"]], on="clip_id", how="left", validate="one_to_one")
    table["num_tracks"] = np.bincount(rows.clip_rows, minlength=len(clips))
    table["num_faces"] = np.bincount(rows.clip_rows, weights=rows.is_face.sum(axis=1), minlength=len(clips)).astype(int)
    return table


def clip_metrics(scores: pd.DataFrame, rule: ScoringRule, groups: np.ndarray) -> dict[str, Any]:
    """Return the figures of a score table, over all its clips and over those with a face.

    Args:
        scores: as `score_clips` returns it, n rows.
        rule: gives the threshold and the score that clips without evidence were given.
        groups: int, shape (n,): the connected set of each clip; intervals draw these.

    Returns:
        `all_clips` and `clips_with_faces` (each as `score_metrics`, and its `intervals`: [low, high] of 95 % of the
        draws, or None; None in all if empty), `statuses` (count of each), `no_evidence_score` and `threshold`.
    """
    parts = {"all_clips": np.full(len(scores), True), "clips_with_faces": (scores["status"] == OK).to_numpy()}
    return {
        **{name: _figures(scores.loc[chosen], groups[chosen], rule.threshold) for name, chosen in parts.items()},
        "statuses": {str(status): int(count) for status, count in scores["status"].value_counts().items()},
        "no_evidence_score": rule.no_evidence_score,
        "threshold": rule.threshold,
    }


def _figures(scores: pd.DataFrame, groups: np.ndarray, threshold: float) -> dict[str, Any] | None:
    if scores.empty:
        return None
    values = scores["label"].to_numpy(), scores["clip_score"].to_numpy()
    # Numbered anew, so that groups which were left out are not drawn.
    intervals = bootstrap_intervals(*values, np.unique(groups, return_inverse=True)[1], threshold=threshold)
    return {
        **score_metrics(*values, threshold=threshold),
        "num_originals": len(np.unique(groups)),
        "intervals": {name: None if edges is None else [edges.low, edges.high] for name, edges in intervals.items()},
    }
