"""The sections of the report below its charts: models side by side, parts of the clips, rules, robustness."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tfdfd.evaluation.break_downs import BreakDown as PartsFound
from tfdfd.evaluation.result import EvaluationResult, ModelComparison, ModelResult
from tfdfd.evaluation.robustness import RobustnessPoint
from tfdfd.evaluation.wording import FigureWords, estimate, figure_words
from tfdfd.models.aggregation import AGGREGATIONS, TRACK_RULES
from tfdfd.reports.detail_charts import IntervalRow, RobustnessLine, RobustnessSeries
from tfdfd.reports.evaluation_shown import (
    BreakDown,
    Calibration,
    Comparison,
    Difference,
    LeftOut,
    Robustness,
    RuleGrid,
    Scoring,
)
from tfdfd.reports.page import counted
from tfdfd.reports.tables_shown import Estimate, Row, Table

_COMPARED = ("log_loss", "log_loss_balanced", "auc", "average_precision", "equal_error_rate")
_BROKEN_DOWN = ("auc", "log_loss_balanced", "log_loss", "equal_error_rate", "fakes_found", "false_alarms")
_OF_RULES = ("log_loss", "log_loss_balanced", "auc", "balanced_accuracy")
_CALIBRATED = ("log_loss", "log_loss_balanced", "brier_score", "expected_calibration_error", "balanced_accuracy")


def comparison_section(result: EvaluationResult) -> Comparison | LeftOut:
    """Return the models and their ensembles side by side."""
    if result.comparison is None:
        return LeftOut("One model was evaluated. Give --model several times to compare them on the same clips.")
    words = figure_words(result.models[0].settings)
    rows = [(model.name, model.figures.all_clips) for model in result.models]
    rows += list(result.comparison.ensembles.items())
    best = min(range(len(rows)), key=lambda row: rows[row][1].values["log_loss"] or 0.0)
    return Comparison(
        Table(
            ("model", *(words[name].title for name in _COMPARED)),
            tuple(
                Row((title, *(estimate(figures, name, words[name]) for name in _COMPARED)), is_marked=number == best)
                for number, (title, figures) in enumerate(rows)
            ),
            note="Marked: the lowest log loss. Ensembles combine clip scores; the geometric mean is that of the odds.",
        ),
        tuple(_differences(result.comparison, words)),
        note="Every draw of originals is the same for both models, so what is hard about a clip is hard for both. "
        "DeLong's test takes clips as independent; with several fakes an original, trust the interval.",
    )


def _differences(comparison: ModelComparison, words: dict[str, FigureWords]) -> list[Difference]:
    found = []
    for entry in comparison.differences:
        if entry.figure not in _COMPARED or entry.difference is None:
            continue
        test = comparison.delong.get((entry.one, entry.other))
        edges = None if entry.interval is None else (entry.interval.low, entry.interval.high)
        found.append(
            Difference(
                # As in metrics.json: the later model less the earlier one.
                entry.other,
                entry.one,
                words[entry.figure].title,
                Estimate(entry.difference, *(edges or (None, None)), digits=4, is_difference=True),
                p_value=None if test is None or entry.figure != "auc" else test.p_value,
            )
        )
    return found


def break_down_sections(model: ModelResult) -> tuple[BreakDown, ...] | LeftOut:
    """Return the parts of the clips, dimension by dimension."""
    if not model.break_downs:
        return LeftOut(
            "The clips do not differ in folder, data set, method, codec, resolution, face size, people or status."
        )
    return tuple(_break_down(model, down) for down in model.break_downs)


def _break_down(model: ModelResult, down: PartsFound) -> BreakDown:
    words = figure_words(model.settings)
    # Where every part is of one label, as methods' folders are, only the share that is called rightly can be drawn.
    name = "auc" if any(part.figures.values["auc"] is not None for part in down.parts) else "accuracy"
    overall = model.figures.all_clips.values[name]
    rows = []
    for part in down.parts:
        shown = estimate(part.figures, name, words[name])
        rows.append(IntervalRow(part.value, counted(part.figures.count, "clip"), shown.value, shown.low, shown.high))
    notes = []
    if down.dimension == "method":
        notes.append("Each method's fakes are compared with all real clips of its data sets.")
    if down.num_left_out:
        notes.append(f"{counted(down.num_left_out, 'part')} with the fewest clips left out.")
    return BreakDown(
        dimension=down.dimension.replace("_", " "),
        figure=words[name].title,
        groups=tuple(rows),
        overall=overall,
        table=Table(
            (
                down.dimension.replace("_", " "),
                "clips",
                "real",
                "fake",
                "originals",
                *(words[n].title for n in _BROKEN_DOWN),
            ),
            tuple(
                Row(
                    (
                        part.value,
                        part.figures.count,
                        part.figures.num_real,
                        part.figures.num_fake,
                        part.figures.num_originals,
                        *(estimate(part.figures, n, words[n]) for n in _BROKEN_DOWN),
                    )
                )
                for part in down.parts
            ),
        ),
        note=" ".join(notes),
    )


def scoring_section(model: ModelResult) -> Scoring:
    """Return how faces become a clip score, and what every other way would have given."""
    words, rule = figure_words(model.settings), model.choice.rule
    found = {(entry.rule.aggregation, entry.rule.over_tracks): entry.values for entry in model.rules}
    # Where every clip is one face, all rules agree.
    num_faces = np.bincount(model.scored.rows.clip_rows, weights=model.scored.rows.is_face.sum(axis=1))
    has_choice = bool((num_faces > 1).any())
    grids = tuple(
        RuleGrid(
            figure=words[name].title,
            aggregations=tuple(AGGREGATIONS),
            track_rules=tuple(TRACK_RULES),
            estimates=tuple(
                tuple(
                    Estimate(found[aggregation, track_rule][name], is_share=words[name].is_share)
                    for track_rule in TRACK_RULES
                )
                for aggregation in AGGREGATIONS
            ),
            chosen=(rule.aggregation, rule.over_tracks),
        )
        for name in (_OF_RULES if has_choice else ())
    )
    over_people = {
        "mean": "mean over the people of the clip",
        "max": "highest of the people of the clip",
        "main": "score of the main person alone",
    }[rule.over_tracks]
    return Scoring(
        rule_in_words=f"The {rule.aggregation.replace('_', ' ')} over the faces of each person, then the "
        f"{over_people}. Logits are divided by {rule.temperature:.4g} first. A clip without a usable face scores "
        f"{rule.no_evidence_score:g}; a score of {rule.threshold:.4g} or more is called fake.",
        grids=grids,
        calibration=_calibration(model, words),
        note="All on the same faces and the same clips. To choose the best way by these very clips flatters it: choose "
        "on others."
        if has_choice
        else "Every clip is one face at most, so all ways from faces to a clip agree.",
    )


def _calibration(model: ModelResult, words: dict[str, FigureWords]) -> Calibration | LeftOut:
    calibrated = model.choice.calibrated
    if calibrated is None:
        return LeftOut(
            "Nothing was fitted. --calibrate-folders fits temperature and threshold on folders of their own."
        )
    table = Table(
        ("figure", "before", "after"),
        tuple(
            Row(
                (
                    words[name].title,
                    estimate(model.uncalibrated, name, words[name]),
                    estimate(model.figures.all_clips, name, words[name]),
                )
            )
            for name in _CALIBRATED
        ),
        note="Both on the evaluated clips, none of which were fitted on; accuracy each at its own threshold.",
    )
    return Calibration(
        model.choice.rule.temperature,
        model.choice.rule.threshold,
        f"{calibrated.folders}: {calibrated.num_real:,} real and {calibrated.num_fake:,} fake clips, "
        f"{counted(calibrated.num_originals, 'original')}",
        table,
        note="The temperature is the lowest or highest that is looked at: these clips are too few or too easy for it."
        if calibrated.is_on_bound
        else "",
    )


def _auc(point: RobustnessPoint) -> Estimate:
    edges = point.auc_interval
    return Estimate(point.auc) if edges is None else Estimate(point.auc, edges.low, edges.high)


def robustness_section(result: EvaluationResult) -> Robustness | LeftOut:
    """Return how the AUC falls as the clips get worse, model by model."""
    points = [(model.name, point) for model in result.models for point in model.robustness]
    if not points:
        return LeftOut("Not measured: --robustness scores the clips again under nine disturbances.")
    curves: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for name, point in points:
        curves[point.corruption][name].append(point)
    series = []
    for corruption, of_models in curves.items():
        first = next(iter(of_models.values()))
        levels = tuple("clean" if point.value is None else f"{point.value:g}" for point in first)
        lines = tuple(
            RobustnessLine(
                name,
                tuple(point.auc for point in found),
                lows=tuple(None if point.auc_interval is None else point.auc_interval.low for point in found),
                highs=tuple(None if point.auc_interval is None else point.auc_interval.high for point in found),
            )
            for name, found in of_models.items()
        )
        series.append(RobustnessSeries(f"{corruption.replace('_', ' ')}, {first[0].unit}", levels, lines))
    rows = tuple(
        Row(
            (
                f"{point.corruption.replace('_', ' ')} {'clean' if point.value is None else f'{point.value:g}'}",
                *((name,) if len(result.models) > 1 else ()),
                point.num_clips,
                _auc(point),
                Estimate(point.log_loss_balanced),
                Estimate(point.mean_score_real),
                Estimate(point.mean_score_fake),
                point.num_lost,
                point.num_unchanged,
            )
        )
        for name, point in points
    )
    header = ("level", *(("model",) if len(result.models) > 1 else ()), "clips", "AUC", "log loss, balanced")
    return Robustness(
        figure="AUC",
        series=tuple(series),
        table=Table((*header, "mean score, real", "mean score, fake", "lost their face", "unchanged"), rows),
        note="Picture disturbances fall on the stored crops, frame rate and H.264 on the clips, whose faces are then "
        "looked for anew.",
    )
