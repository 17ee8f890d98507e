"""What an epoch is judged by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sklearn.metrics
from scipy.special import expit

ScoreClips = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(probabilities float32 [n, places], is_face bool [n, places], clip_rows [n], num_clips) -> clip scores
[num_clips], no NaN; `ScoringRule.clip_scores`."""

FitTemperature = Callable[[np.ndarray, Callable[[float], np.ndarray]], float]
"""(labels int [n], temperature -> clip scores [n]) -> the temperature at which their log loss is lowest;
`evaluation.calibration.fit_temperature`."""

TEMPERATURE = "temperature"
"""The figure by which logits are divided before all others are reckoned."""

MONITOR = "val_clip_log_loss"
"""The figure by which the best epoch is chosen; smaller is better."""


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean log loss, probabilities clipped to [1e-7, 1 - 1e-7]."""
    clipped = np.clip(np.asarray(probabilities, np.float64), 1e-7, 1 - 1e-7)
    return float(sklearn.metrics.log_loss(labels, clipped, labels=[0, 1]))


def area_under_roc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve; NaN if one label is missing."""
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(sklearn.metrics.roc_auc_score(labels, scores))


def validation_figures(
    logits: np.ndarray,
    is_face: np.ndarray,
    clip_rows: np.ndarray,
    clip_labels: np.ndarray,
    score_clips: ScoreClips,
    fit_temperature: FitTemperature | None,
) -> dict[str, float]:
    """Return the figures of one validation pass.

    Args:
        logits: float32, shape (n, places): what the network says of each crop.
        is_face: bool, shape (n, places).
        clip_rows: int, shape (n,): the clip of each track.
        clip_labels: int, shape (num_clips,): 0 real, 1 fake, -1 for rows that are no validation clips.
        score_clips: the scoring rule.
        fit_temperature: finds a temperature, which is then among the figures; None for 1.
    """
    is_clip = clip_labels >= 0
    labels = clip_labels[is_clip]

    def scores_at(temperature: float) -> np.ndarray:
        return score_clips(expit(logits / temperature), is_face, clip_rows, len(clip_labels))[is_clip]

    fitted = {TEMPERATURE: fit_temperature(labels, scores_at)} if fit_temperature else {}
    temperature = fitted.get(TEMPERATURE, 1.0)
    scores = scores_at(temperature)
    face_labels = np.broadcast_to(clip_labels[clip_rows][:, None], is_face.shape)[is_face]
    faces = expit(logits / temperature)[is_face]
    return fitted | {
        MONITOR: log_loss(labels, scores),
        "val_clip_auc": area_under_roc(labels, scores),
        "val_clip_accuracy": float(np.mean((scores >= 0.5) == (labels == 1))),
        "val_face_log_loss": log_loss(face_labels, faces),
        "val_face_auc": area_under_roc(face_labels, faces),
        "val_face_accuracy": float(np.mean((faces >= 0.5) == (face_labels == 1))),
    }
