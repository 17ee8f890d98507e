"""The rule that an evaluation scores by: the model's, but for what is set otherwise or fitted on other clips."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdfd.evaluation.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, choose_threshold, fit_temperature
from tfdfd.evaluation.config import RULE_FIELDS, RuleConfig, RuleValues
from tfdfd.evaluation.figures import Figures, figures_of
from tfdfd.evaluation.metrics import FigureSettings
from tfdfd.evaluation.scores import ScoredClips
from tfdfd.models.scoring import ScoringRule


@dataclass(frozen=True)
class Calibrated:
    """What temperature and threshold were fitted on."""

    folders: str
    """The globs that named the folders."""
    num_real: int
    num_fake: int
    num_originals: int
    is_on_bound: bool
    """Whether the temperature is the lowest or highest that is looked at, as it is of too few or too easy clips."""

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in metrics.json."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class RuleChoice:
    """The rule of an evaluation."""

    rule: ScoringRule
    before: ScoringRule
    """The same rule before anything was fitted."""
    calibrated: Calibrated | None
    """None where nothing was fitted."""


def changed_rule(rule: ScoringRule, values: RuleValues) -> ScoringRule:
    """Return a rule in which what is set is changed."""
    asked = {field: getattr(values, option) for option, field in RULE_FIELDS.items()}
    return dataclasses.replace(rule, **{field: value for field, value in asked.items() if value is not None})


def choose_rule(model_rule: ScoringRule, config: RuleConfig, calibration: ScoredClips) -> RuleChoice:
    """Change a model's rule as the person asked.

    Args:
        model_rule: the model's own.
        config: what is set otherwise.
        calibration: clips of both labels to fit temperature and threshold on, none where nothing is to be fitted.
    """
    before = changed_rule(model_rule, config)
    if config.calibrate_folders is None:
        return RuleChoice(before, before, None)
    labels = calibration.labels

    def scores_at(temperature: float) -> np.ndarray:
        return calibration.scores(dataclasses.replace(before, temperature=temperature))

    temperature = fit_temperature(labels, scores_at)
    threshold = choose_threshold(labels, scores_at(temperature))
    fitted = dataclasses.replace(before, temperature=temperature, threshold=threshold)
    calibrated = Calibrated(
        config.calibrate_folders,
        num_real=int((labels == 0).sum()),
        num_fake=int((labels == 1).sum()),
        num_originals=len(np.unique(calibration.groups)),
        is_on_bound=not MIN_TEMPERATURE * 1.01 < temperature < MAX_TEMPERATURE / 1.01,
    )
    return RuleChoice(fitted, before, calibrated)


def figures_before(
    scored: ScoredClips, choice: RuleChoice, settings: FigureSettings, *, num_replicates: int
) -> Figures | None:
    """Return the figures of the evaluated clips by the rule before it was fitted, None where nothing was fitted.

    Args:
        scored: what the network says of the clips.
        choice: the rule, before and after.
        settings: bounds; the threshold is that of the rule.
        num_replicates: draws for the intervals.
    """
    if choice.calibrated is None:
        return None
    settings = dataclasses.replace(settings, threshold=choice.before.threshold)
    scores = scored.scores(choice.before)
    return figures_of(scored.labels, scores, scored.groups, settings, num_replicates=num_replicates)
