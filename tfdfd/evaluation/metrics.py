"""How good scores are: log loss, AUC and accuracy over clips or faces."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

CLIP_LOW, CLIP_HIGH = 0.1, 0.9
"""Bounds of the clipped log loss, as the DFDC entry this work is measured against reports it."""
_EPSILON = 1e-7
"""Scores are float32 and may be exactly 0 or 1; this keeps the plain log loss finite."""


def score_metrics(labels: np.ndarray, scores: np.ndarray, *, threshold: float) -> dict[str, float | int | None]:
    """Compare scores with labels.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), probability of fake in [0, 1].
        threshold: a score at or above it is called fake.

    Returns:
        `count`, `real`, `fake`, `log_loss`, `log_loss_clipped` (scores clipped to [0.1, 0.9]), `auc` (None where
        only one class is there) and `accuracy`.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if len(labels) == 0 or labels.shape != scores.shape:
        raise ValueError(f"need as many scores as labels and at least one, got {scores.shape} and {labels.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be in [0, 1] and not NaN")
    both = len(np.unique(labels)) == 2
    return {
        "count": len(labels),
        "real": int((labels == 0).sum()),
        "fake": int((labels == 1).sum()),
        "log_loss": float(log_loss(labels, np.clip(scores, _EPSILON, 1 - _EPSILON), labels=[0, 1])),
        "log_loss_clipped": float(log_loss(labels, np.clip(scores, CLIP_LOW, CLIP_HIGH), labels=[0, 1])),
        "auc": float(roc_auc_score(labels, scores)) if both else None,
        "accuracy": float(((scores >= threshold) == (labels == 1)).mean()),
    }
