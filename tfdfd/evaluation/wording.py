"""What each figure is called on a page, and what it means, for those who do not know it."""

from __future__ import annotations

from dataclasses import dataclass

from tfdfd.evaluation.figures import Figures
from tfdfd.evaluation.metrics import NUM_BINS, REAL_PER_FAKE, RECALLS, FigureSettings
from tfdfd.reports.tables_shown import Estimate


@dataclass(frozen=True)
class FigureWords:
    """A figure in words."""

    title: str
    meaning: str
    is_share: bool = False


def figure_words(settings: FigureSettings) -> dict[str, FigureWords]:
    """Return the words of each of METRICS, in their order.

    Args:
        settings: the threshold and bounds that they were made with.
    """
    at = f"at the threshold {settings.threshold:.3g}"
    return {
        "log_loss": FigureWords(
            "log loss", "Price of wrong and overconfident scores. 0.693 is guessing, 0 is perfect."
        ),
        "log_loss_clipped": FigureWords(
            "log loss, clipped",
            f"The same with scores kept within {settings.clip_low:g} and {settings.clip_high:g}, as several published "
            "results have it.",
        ),
        "log_loss_balanced": FigureWords(
            "log loss, balanced",
            "Mean of the log loss of real clips and of fakes, as if half of all were fake. 0.693 is guessing.",
        ),
        "auc": FigureWords(
            "AUC",
            "Chance that a fake is scored above a real clip (area under the ROC curve). 0.5 is guessing, 1 perfect.",
        ),
        "average_precision": FigureWords(
            "average precision", "Precision over all thresholds. The share of fakes is guessing, 1 is perfect."
        ),
        "equal_error_rate": FigureWords(
            "equal error rate",
            "Where as large a share of the real is called fake as of the fakes real. 0 is perfect.",
            True,
        ),
        "fakes_found": FigureWords("fakes found", f"Share of the fakes that are called fake {at}.", True),
        "false_alarms": FigureWords("false alarms", f"Share of the real that are called fake {at}.", True),
        "accuracy": FigureWords("accuracy", f"Share that is called rightly {at}; depends on how many are fake.", True),
        "balanced_accuracy": FigureWords(
            "balanced accuracy", f"Mean of the shares of real and of fakes called rightly {at}. 50 % is guessing.", True
        ),
        **{
            f"precision_at_recall_{recall}": FigureWords(
                f"precision at recall {recall}",
                f"Share of fakes among what is called fake, at the threshold that finds {recall:.0%} of the fakes.",
                True,
            )
            for recall in RECALLS
        },
        **{
            f"log_weighted_precision_at_recall_{recall}": FigureWords(
                f"log weighted precision at recall {recall}",
                f"Natural logarithm of TP / (TP + {REAL_PER_FAKE} FP) there, as in the DFDC paper: in the wild fakes "
                "are rare. 0 is perfect.",
            )
            for recall in RECALLS
        },
        "brier_score": FigureWords("Brier score", "Mean square of score less truth. 0.25 is guessing, 0 is perfect."),
        "expected_calibration_error": FigureWords(
            "expected calibration error",
            f"How far scores are from the share of fakes among those scored so, over {NUM_BINS} bins. 0 is perfect.",
        ),
    }


def estimate(figures: Figures | None, name: str, words: FigureWords) -> Estimate:
    """Return a figure as a page writes it."""
    value = None if figures is None else figures.values[name]
    edges = None if figures is None else figures.intervals[name]
    if value is None or edges is None:
        return Estimate(value, is_share=words.is_share)
    return Estimate(value, edges.low, edges.high, is_share=words.is_share)


def counted_figures(figures: Figures) -> str:
    """Return what figures are of, such as `809: 400 real, 409 fake, of 301 originals`."""
    counts = f"{figures.num_real:,} real, {figures.num_fake:,} fake"
    return f"{figures.count:,}: {counts}, of {figures.num_originals:,} originals"
