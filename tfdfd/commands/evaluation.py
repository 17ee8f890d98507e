"""From the scores of models to what was found: figures, rules, parts of the clips, robustness, differences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from tfdfd.commands.evaluated_clips import EvaluatedClips
from tfdfd.commands.evaluated_regions import measured_regions
from tfdfd.commands.inputs import provenance
from tfdfd.commands.scoring import KEPT, ModelScores
from tfdfd.data.frame_source import AUTO
from tfdfd.evaluation.config import EvalConfig, RuleConfig

if TYPE_CHECKING:
    from tfdfd.evaluation.result import EvaluationResult, ModelComparison, ModelResult


def evaluate(
    scores: Sequence[ModelScores],
    clips: EvaluatedClips,
    report: Path,
    rule_config: RuleConfig,
    config: EvalConfig,
    console: Console,
    *,
    data: Path,
    command: tuple[str, ...],
    batch_size: int,
    decoder: str = AUTO,
) -> EvaluationResult:
    """Make figures of scores.

    Args:
        scores: of each model.
        clips: what they are of.
        report: the report's folder, in which what robustness gave is kept.
        rule_config, config: what the person asked for.
        console: for progress and what a person should know.
        data: where the clips are from.
        command: the command line, for the report.
        batch_size: tracks a batch.
        decoder: what decodes clips that are changed, one of `inputs.DECODERS`.

    Raises:
        TfdfdError: if clips cannot be scored again.
    """
    from tfdfd.evaluation.result import EvaluationResult

    models = tuple(_evaluate_one(one, report, rule_config, config, console, batch_size, decoder) for one in scores)
    return EvaluationResult(
        models=models,
        comparison=_compare(models, config, console) if len(models) > 1 else None,
        num_train_originals=clips.num_train_originals,
        num_originals=clips.num_originals,
        num_in_both=clips.num_in_both,
        num_chosen_by=clips.num_chosen_by,
        data=str(data),
        command=command,
        versions=provenance(data)["versions"],
    )


def _evaluate_one(
    one: ModelScores,
    report: Path,
    rule_config: RuleConfig,
    config: EvalConfig,
    console: Console,
    batch_size: int,
    decoder: str,
) -> ModelResult:
    from tfdfd.evaluation.break_downs import break_downs
    from tfdfd.evaluation.clip_facts import clip_facts
    from tfdfd.evaluation.metrics import FigureSettings
    from tfdfd.evaluation.result import ModelResult
    from tfdfd.evaluation.rule_choice import choose_rule, figures_before
    from tfdfd.evaluation.rules import compare_rules
    from tfdfd.evaluation.scores import clip_table, score_figures

    choice = choose_rule(one.model.rule, rule_config, one.calibration)
    if choice.calibrated is not None:
        console.print(
            f"{one.name}: temperature {choice.rule.temperature:.3f} and threshold {choice.rule.threshold:.3f} fitted "
            f"on {choice.calibrated.num_real} real and {choice.calibrated.num_fake} fake clips of "
            f"{choice.calibrated.folders}, which are not part of the figures"
        )
        if choice.calibrated.is_on_bound:
            console.print(
                f"{one.name}: that temperature is the lowest or highest that is looked at: these clips are too few, or "
                "too easy, to calibrate by",
                style="yellow",
            )
    settings = FigureSettings(choice.rule.threshold, config.clip_low, config.clip_high)
    with console.status(f"figures of {one.name}"):
        figures = score_figures(
            one.scored,
            choice.rule,
            settings,
            num_replicates=config.replicates,
            face_replicates=config.replicates // 5,
        )
        uncalibrated = figures_before(one.scored, choice, settings, num_replicates=config.replicates)
        parts = break_downs(
            clip_table(one.scored, choice.rule),
            clip_facts(one.scored.clips, one.store),
            one.scored.groups,
            settings,
            num_replicates=config.replicates // 5,
        )
        rules = compare_rules(one.scored, choice.rule, settings)
    robustness = ()
    if config.robustness:
        from tfdfd.commands.robustness import measure_robustness
        from tfdfd.evaluation.robustness import with_intervals

        points = measure_robustness(
            lambda crops, is_face: one.model.explain(crops, is_face)[0],
            one.scored.clips,
            one.store,
            choice.rule,
            one.extraction,
            num_clips=config.robustness_clips,
            folder=report / KEPT / f"robustness-{one.key}",
            key=one.key,
            console=console,
            batch_size=batch_size,
            decoder=decoder,
        )
        groups = dict(zip(one.scored.clips["clip_id"], one.scored.groups.tolist(), strict=True))
        robustness = with_intervals(points, groups, settings, num_replicates=config.replicates // 5)
    regions, why_no_regions = measured_regions(one, config, console)
    return ModelResult(
        name=one.name,
        folder=str(one.model.folder),
        choice=choice,
        settings=settings,
        fingerprint=one.model.fingerprint,
        scored=one.scored,
        figures=figures,
        uncalibrated=uncalibrated,
        break_downs=parts,
        rules=rules,
        robustness=robustness,
        regions=regions,
        why_no_regions=why_no_regions,
    )


def _compare(models: Sequence[ModelResult], config: EvalConfig, console: Console) -> ModelComparison:
    from tfdfd.evaluation.comparison import delong_test, ensembles, paired_differences
    from tfdfd.evaluation.figures import figures_of
    from tfdfd.evaluation.metrics import FigureSettings
    from tfdfd.evaluation.result import ModelComparison

    first = models[0].scored
    scores = {model.name: model.scores for model in models}
    thresholds = {model.choice.rule.threshold for model in models}
    threshold = thresholds.pop() if len(thresholds) == 1 else 0.5
    if thresholds:
        console.print(
            f"the models have different thresholds: their accuracies are compared at {threshold}, every model's own "
            "table has those at its own",
            style="yellow",
        )
    settings = FigureSettings(threshold, config.clip_low, config.clip_high)
    with console.status("comparing the models"):
        return ModelComparison(
            threshold=threshold,
            ensembles={
                name: figures_of(first.labels, combined, first.groups, settings, num_replicates=config.replicates)
                for name, combined in ensembles(scores).items()
            },
            differences=tuple(
                paired_differences(
                    first.labels,
                    scores,
                    first.groups,
                    settings,
                    num_replicates=config.replicates,
                )
            ),
            delong={
                (one, other): delong_test(first.labels, scores[one], scores[other])
                for one, other in combinations(scores, 2)
                if min(np.bincount(first.labels, minlength=2)) >= 2  # of one clip there is no variance
            },
        )
