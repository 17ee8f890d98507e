"""The report: what an evaluation found, as one page that a person can send."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from tfdfd.clip import FAILED, FAKE, NO_FACE, PARTIAL, REAL, WEAK_EVIDENCE
from tfdfd.data.fingerprint import preprocessing_differences
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import values
from tfdfd.evaluation.metrics import METRICS, NUM_BINS, bins_of
from tfdfd.evaluation.mistakes import ExplainTracks, worst_mistakes
from tfdfd.evaluation.report_details import (
    break_down_sections,
    comparison_section,
    robustness_section,
    scoring_section,
)
from tfdfd.evaluation.report_regions import regions_section
from tfdfd.evaluation.result import EvaluationResult, ModelResult
from tfdfd.evaluation.wording import counted_figures, estimate, figure_words
from tfdfd.reports.evaluation_page import write_evaluation_page
from tfdfd.reports.evaluation_shown import (
    Curves,
    DataShown,
    EvaluationPage,
    Headline,
    HeadlineFigure,
    KeyFigure,
    ModelShown,
    Notice,
)
from tfdfd.reports.page import counted
from tfdfd.reports.score_charts import PrecisionRecallCurve, ReliabilityBin, RocCurve
from tfdfd.reports.tables_shown import Row, Table

_KEY_FIGURES = ("fakes_found", "false_alarms", "auc", "log_loss_balanced")
_MOST_FOLDERS = 40


def write_evaluation_report(
    path: Path,
    result: EvaluationResult,
    explained_by: Sequence[tuple[FaceStore, ExplainTracks]],
    *,
    num_mistakes: int,
    has_pictures: bool,
    shows_masks: bool = False,
) -> int:
    """Write the page; the same result gives the same bytes.

    Args:
        path: the HTML file.
        result: what was found.
        explained_by: for each model the store of its crops, and what gives heat maps of them.
        num_mistakes: clips shown of those that were scored worst.
        has_pictures: whether faces are shown.
        shows_masks: whether the first model's heat maps tell how likely each place was altered.

    Returns:
        Bytes written.

    Raises:
        TfdfdError: if the page cannot be written.
    """
    # Where several models are compared, what is shown of one alone is of the first.
    model, (store, explain) = result.models[0], explained_by[0]
    several = f" (of {model.name}, the first model)" if len(result.models) > 1 else ""
    page = EvaluationPage(
        title="How well " + " and ".join(each.name for each in result.models) + " tell fake from real"
        if several
        else f"How well {model.name} tells fake from real",
        outcome=_outcome(model),
        headline=_headline(model, several),
        comparison=comparison_section(result),
        curves=_curves(result),
        break_downs=break_down_sections(model),
        scoring=scoring_section(model),
        robustness=robustness_section(result),
        regions=regions_section(result, has_pictures=has_pictures),
        mistakes=worst_mistakes(
            model, store, explain, limit=num_mistakes, has_pictures=has_pictures, shows_masks=shows_masks
        ),
        data=_data(result, store),
        model=_model(result, model),
    )
    return write_evaluation_page(path, page)


def _outcome(model: ModelResult) -> str:
    figures = model.figures.all_clips
    found, alarms, auc = (figures.values[name] for name in ("fakes_found", "false_alarms", "auc"))
    if found is None or alarms is None or auc is None:
        return (
            f"It scored {counted(figures.count, 'clip')} of one label alone, so little can be said of how good it is."
        )
    told = (
        f"{model.name} finds {100 * found:.0f} of 100 fakes and calls {100 * alarms:.0f} of 100 real clips fake, on "
        f"{counted(figures.count, 'clip')} of {counted(figures.num_originals, 'original')}."
    )
    edges = figures.intervals["auc"]
    if edges is None:
        return f"{told} How sure that is cannot be told of one original."
    if edges.low <= 0.5 <= edges.high:
        return f"{told} That may be no better than guessing: its AUC lies between {edges.low:.3f} and {edges.high:.3f}."
    if edges.high < 0.5:
        return f"{told} It scores real clips above fakes: its AUC lies between {edges.low:.3f} and {edges.high:.3f}."
    return (
        f"{told} Of a fake and a real clip it scores the fake higher {100 * auc:.0f} times in 100; had the clips been "
        f"others of their kind, between {100 * edges.low:.0f} and {100 * edges.high:.0f} times."
    )


def _headline(model: ModelResult, several: str) -> Headline:
    words = figure_words(model.settings)
    parts = model.figures.told_apart()
    return Headline(
        columns=tuple((title, counted_figures(figures)) for title, figures in parts),
        figures=tuple(
            HeadlineFigure(
                words[name].title, words[name].meaning, tuple(estimate(part, name, words[name]) for _, part in parts)
            )
            for name in METRICS
        ),
        interval_note="In brackets: 95 % intervals by draws of originals with replacement, each with all its fakes, "
        f"since ten fakes of one clip are not ten facts{several}. Originals swapped with each other count as one.",
        key_figures=tuple(
            KeyFigure(words[name].title, estimate(model.figures.all_clips, name, words[name]), words[name].meaning)
            for name in _KEY_FIGURES
        ),
        notices=tuple(_notices(model)),
    )


def _notices(model: ModelResult) -> list[Notice]:
    statuses, score = model.scored.status.tolist(), f"{model.choice.rule.no_evidence_score:g}"
    clips = model.figures.all_clips
    labels = f"{clips.num_real:,} real, {clips.num_fake:,} fake"
    originals = counted(clips.num_originals, "original")
    notices = [Notice(f"{counted(clips.count, 'clip')} scored: {labels}, of {originals}.")]
    for status, what in ((NO_FACE, "without a face"), (FAILED, "that could not be read")):
        if count := statuses.count(status):
            notices.append(Notice(f"{counted(count, 'clip')} {what}: scored {score} by the rule.", is_warning=True))
    if count := statuses.count(PARTIAL):
        notices.append(Notice(f"{counted(count, 'clip')} read in part: scored by the faces there.", is_warning=True))
    if weak := sum(str(reason).startswith(WEAK_EVIDENCE) for reason in model.scored.reason):
        notices.append(Notice(f"{counted(weak, 'clip')} scored on {WEAK_EVIDENCE}.", is_warning=True))
    if clips.num_originals < 30:
        notices.append(Notice(f"Intervals of {originals} are rough: they come out too narrow.", is_warning=True))
    return notices


def _curves(result: EvaluationResult) -> Curves:
    first, labels = result.models[0], result.models[0].scored.labels
    roc, precision_recall = [], []
    for model in result.models:
        words, figures = figure_words(model.settings), model.figures.all_clips
        false_alarms, found, _ = roc_curve(labels, model.scores, drop_intermediate=False)
        auc = estimate(figures, "auc", words["auc"])
        roc.append(RocCurve(model.name, false_alarms, found, f"AUC {auc.text} {auc.interval}".strip()))
        precision, recall, _ = precision_recall_curve(labels, model.scores)
        average = estimate(figures, "average_precision", words["average_precision"])
        legend = f"average precision {average.text} {average.interval}".strip()
        precision_recall.append(PrecisionRecallCurve(model.name, recall, precision, legend))
    scores = first.scores.astype(np.float64)
    return Curves(
        roc=tuple(roc),
        precision_recall=tuple(precision_recall),
        base_rate=float(labels.mean()),
        reliability=tuple(_reliability(labels, scores)),
        real_scores=scores[labels == REAL],
        fake_scores=scores[labels == FAKE],
        threshold=first.choice.rule.threshold,
    )


def _reliability(labels: np.ndarray, scores: np.ndarray) -> list[ReliabilityBin]:
    bins = bins_of(scores)
    counts = np.bincount(bins, minlength=NUM_BINS)
    held = np.maximum(counts, 1)
    means, shares = (np.bincount(bins, weights=of, minlength=NUM_BINS) / held for of in (scores, labels))
    # Of an empty bin nothing is drawn; its middle stands for a mean that is not there.
    middles = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
    return [
        ReliabilityBin(float(mean if count else middle), float(share), int(count))
        for mean, share, count, middle in zip(means, shares, counts, middles, strict=True)
    ]


def _data(result: EvaluationResult, store: FaceStore) -> DataShown:
    scored = result.models[0].scored
    folders = values(scored.clips, "folder")
    held = sorted(set(folders.tolist()))
    statuses = (PARTIAL, NO_FACE, FAILED)
    counts = [
        Row(
            (
                folder or "not known",
                int((folders == folder).sum()),
                *(int(((folders == folder) & (scored.labels == label)).sum()) for label in (REAL, FAKE)),
                *(int(((folders == folder) & (scored.status == status)).sum()) for status in statuses),
            )
        )
        for folder in held[:_MOST_FOLDERS]
    ]
    note = f"{len(held) - _MOST_FOLDERS} more folders; scores.csv has all." if len(held) > _MOST_FOLDERS else ""
    checks = [
        f"The clips are those of {result.data}.",
        "A fake belongs to the side of its original, whatever the compression; so do the donor of a face and everybody "
        "who is seen, where they are known.",
        *_made_alike(result.models[0], store),
    ]
    if result.num_chosen_by:
        checks.append(
            f"The best epoch of a model was chosen by {counted(result.num_chosen_by, 'clip')} of these, which flatters "
            "it a little: folders that no training run has seen tell more."
        )
    calibrated = result.models[0].choice.calibrated
    if calibrated is not None:
        checks.append(f"No original of the folders that were fitted on ({calibrated.folders}) is among the evaluated.")
    return DataShown(
        counts=Table(("folder", "clips", "real", "fake", "partial", "no face", "failed"), tuple(counts), note),
        num_train_originals=result.num_train_originals,
        num_evaluation_originals=result.num_originals,
        num_in_both=result.num_in_both,
        checks=tuple(checks),
    )


def _made_alike(model: ModelResult, store: FaceStore) -> list[str]:
    differences = preprocessing_differences(model.fingerprint.preprocessing, store.fingerprint.preprocessing)
    if not differences:
        return ["Crops were made as the model's were, value for value of the fingerprint."]
    return [
        "The crops were not made as the model's were, which was accepted (--accept-mismatch):",
        *(f"{name}: {expected} in the model, {found} in the store." for name, expected, found in differences),
    ]


def _model(result: EvaluationResult, model: ModelResult) -> ModelShown:
    rule = model.choice.rule
    return ModelShown(
        rule={
            "aggregation": rule.aggregation,
            "over tracks": rule.over_tracks,
            "no-evidence score": f"{rule.no_evidence_score:g}",
            "temperature": f"{rule.temperature:.6g}",
            "threshold": f"{rule.threshold:.6g}",
        },
        preprocessing=_flat(model.fingerprint.preprocessing),
        provenance={
            name: value
            for name, value in _flat(model.fingerprint.provenance).items()
            if not name.startswith("versions.")
        }
        | {"model": model.folder},
        versions=result.versions,
        command=shlex.join(result.command),
    )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values under dotted names, as text."""
    found: dict[str, str] = {}
    for name, value in sorted(values.items()):
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": str(value)}
    return found
