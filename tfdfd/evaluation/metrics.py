"""How good scores are: the figures of clips or faces, through scikit-learn where it has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    roc_curve,
)

EPSILON = 1e-7
"""Scores are float32 and may be exactly 0 or 1; this keeps the plain log loss finite."""
RECALLS = (0.1, 0.5, 0.9)
"""Shares of the fakes that are found where precision is reported."""
REAL_PER_FAKE = 100
"""Weight of a false alarm in the weighted precision: in the wild so many clips are real for each fake."""
NUM_BINS = 15
"""Bins of equal width of the expected calibration error."""


@dataclass(frozen=True)
class FigureSettings:
    """What a person may choose about the figures."""

    threshold: float = 0.5
    """A score at or above it is called fake."""
    clip_low: float = 0.1
    """Scores below it count as it in the clipped log loss."""
    clip_high: float = 0.9
    """Scores above it count as it in the clipped log loss."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be in [0, 1], got {self.threshold}")
        if not 0 <= self.clip_low < self.clip_high <= 1:
            raise ValueError(
                f"clip_low and clip_high must be 0 <= low < high <= 1, got {self.clip_low} and {self.clip_high}"
            )

    @property
    def called_fake_from(self) -> float:
        """The threshold as float32, which scores are: else 0.7 as a score would lie below 0.7 as a threshold."""
        return float(np.float32(self.threshold))


def score_metrics(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> dict[str, float | int | None]:
    """Compare scores with labels.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), probability of fake in [0, 1].
        settings: threshold, and bounds of the clipped log loss.

    Returns:
        `count`, `real` and `fake`, and of these, None where only one class is there:

        - `log_loss`, `log_loss_clipped` (scores clipped to the bounds): also of one class;
        - `log_loss_balanced`: mean of the two classes' own, so as if half of all were fake;
        - `auc`: area under the ROC curve; `average_precision`;
        - `equal_error_rate`: where as large a share of the real is called fake as of the fake real, by straight lines
          between the thresholds;
        - `fakes_found` and `false_alarms`: the shares of the fake and of the real that are called fake, at the
          threshold;
        - `accuracy`, also of one class, and `balanced_accuracy`, at the threshold;
        - `precision_at_recall_0.1` and so on: at the highest threshold at which that share of the fakes is found;
        - `log_weighted_precision_at_recall_0.1` and so on: the natural logarithm of TP / (TP + 100 FP) there;
        - `brier_score` and `expected_calibration_error` (15 bins of equal width): also of one class.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].

    Source: weighted precision as in the DFDC paper, arXiv:2006.07397, section 5; expected calibration error,
    arXiv:1706.04599.
    """
    labels, scores = checked(labels, scores)
    # scikit-learn sorts anew for each figure of the ranks; it does so much faster where nothing is out of order.
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    found: dict[str, float | int | None] = {
        "count": len(labels),
        "real": int((labels == 0).sum()),
        "fake": int((labels == 1).sum()),
    }
    both = bool(found["real"] and found["fake"])
    for name, (metric, needs_both) in METRICS.items():
        found[name] = float(metric(labels, scores, settings)) if both or not needs_both else None
    return found


def checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and scores in float64, if they can be compared.

    Raises:
        ValueError: if there is nothing to compare, or a score is not in [0, 1].
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if len(labels) == 0 or labels.shape != scores.shape:
        raise ValueError(f"need as many scores as labels and at least one, got {scores.shape} and {labels.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be in [0, 1] and not NaN")
    return labels, scores


def without_extremes(scores: np.ndarray) -> np.ndarray:
    """Return scores that have a logarithm, and whose complements have one."""
    return np.clip(scores, EPSILON, 1 - EPSILON)


def clipped(scores: np.ndarray, settings: FigureSettings) -> np.ndarray:
    """Return scores as the clipped log loss takes them; bounds of 0 and 1 make it the plain one."""
    return without_extremes(np.clip(scores, settings.clip_low, settings.clip_high))


Metric = Callable[[np.ndarray, np.ndarray, FigureSettings], float]
"""From labels, scores and settings to a figure."""


def _log_loss(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return log_loss(labels, without_extremes(scores), labels=[0, 1])


def _log_loss_clipped(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return log_loss(labels, clipped(scores, settings), labels=[0, 1])


def _log_loss_balanced(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return sum(_log_loss(labels[labels == label], scores[labels == label], settings) for label in (0, 1)) / 2


def _auc(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float(roc_auc_score(labels, scores))


def _average_precision(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float(average_precision_score(labels, scores))


def _equal_error_rate(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    false_alarms, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    return crossing(false_alarms, 1 - found)


def crossing(rising: np.ndarray, falling: np.ndarray) -> float:
    """Return the value at which two curves over the same points meet, by straight lines between the points.

    Args:
        rising: float, shape (n,), from 0 to 1, never falling.
        falling: float, shape (n,), from 1 to 0, never rising.
    """
    after = int(np.argmax(rising >= falling))
    if after == 0:
        return float(rising[0])
    before = after - 1
    gap_before, gap_after = falling[before] - rising[before], rising[after] - falling[after]
    share = gap_before / (gap_before + gap_after)
    return float(rising[before] + share * (rising[after] - rising[before]))


def _fakes_found(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float((scores[labels == 1] >= settings.called_fake_from).mean())


def _false_alarms(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float((scores[labels == 0] >= settings.called_fake_from).mean())


def _accuracy(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float(((scores >= settings.called_fake_from) == (labels == 1)).mean())


def _balanced_accuracy(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float(balanced_accuracy_score(labels == 1, scores >= settings.called_fake_from))


def _counts_at_recall(labels: np.ndarray, scores: np.ndarray, recall: float) -> tuple[int, int]:
    """Return how many fakes and how many real ones lie at or above the highest threshold that finds enough fakes."""
    false_alarms, found, _ = roc_curve(labels, scores, drop_intermediate=False)
    num_fake = int((labels == 1).sum())
    counts = np.rint(found * num_fake).astype(int)
    point = int(np.argmax(counts >= recall * num_fake - 1e-9))
    return int(counts[point]), round(false_alarms[point] * (len(labels) - num_fake))


def _precision_at(recall: float) -> Metric:
    def precision(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
        fake, real = _counts_at_recall(labels, scores, recall)
        return fake / (fake + real)

    return precision


def _log_weighted_precision_at(recall: float) -> Metric:
    def precision(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
        fake, real = _counts_at_recall(labels, scores, recall)
        return float(np.log(fake / (fake + REAL_PER_FAKE * real)))

    return precision


def _brier(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float(brier_score_loss(labels, scores, labels=[0, 1]))


def bins_of(scores: np.ndarray) -> np.ndarray:
    """Return the bin of the expected calibration error of each score, int, in [0, NUM_BINS)."""
    return np.minimum((scores * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def _calibration_error(labels: np.ndarray, scores: np.ndarray, settings: FigureSettings) -> float:
    return float(np.abs(np.bincount(bins_of(scores), weights=labels - scores, minlength=NUM_BINS)).sum() / len(labels))


METRICS: dict[str, tuple[Metric, bool]] = {
    "log_loss": (_log_loss, False),
    "log_loss_clipped": (_log_loss_clipped, False),
    "log_loss_balanced": (_log_loss_balanced, True),
    "auc": (_auc, True),
    "average_precision": (_average_precision, True),
    "equal_error_rate": (_equal_error_rate, True),
    "fakes_found": (_fakes_found, True),
    "false_alarms": (_false_alarms, True),
    "accuracy": (_accuracy, False),
    "balanced_accuracy": (_balanced_accuracy, True),
    **{f"precision_at_recall_{recall}": (_precision_at(recall), True) for recall in RECALLS},
    **{f"log_weighted_precision_at_recall_{recall}": (_log_weighted_precision_at(recall), True) for recall in RECALLS},
    "brier_score": (_brier, False),
    "expected_calibration_error": (_calibration_error, False),
}
"""Each figure, and whether it needs both classes."""
