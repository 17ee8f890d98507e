"""All ways from faces to a clip score, compared on the same faces."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tfdfd.evaluation.metrics import METRICS, FigureSettings, score_metrics
from tfdfd.evaluation.scores import ScoredClips
from tfdfd.models.aggregation import AGGREGATIONS, TRACK_RULES
from tfdfd.models.scoring import ScoringRule


@dataclass(frozen=True)
class RuleFigures:
    """What one rule gives on the clips that were scored."""

    rule: ScoringRule
    is_chosen: bool
    """Whether it is the rule that all other figures are by."""
    values: dict[str, float | None]
    """Each of METRICS."""


def compare_rules(scored: ScoredClips, chosen: ScoringRule, settings: FigureSettings) -> tuple[RuleFigures, ...]:
    """Score the clips by every aggregation and track rule; temperature, no-evidence score and threshold stay.

    The figures are of the very clips that one is tempted to choose the best rule by: choose it on others.

    Args:
        scored: what the network says.
        chosen: the rule that all other figures are by.
        settings: threshold and bounds.

    Returns:
        One entry each of AGGREGATIONS times TRACK_RULES.
    """
    found = []
    for aggregation in AGGREGATIONS:
        for over_tracks in TRACK_RULES:
            rule = dataclasses.replace(chosen, aggregation=aggregation, over_tracks=over_tracks)
            figures = score_metrics(scored.labels, scored.scores(rule), settings)
            found.append(RuleFigures(rule, rule == chosen, {name: figures[name] for name in METRICS}))
    return tuple(found)
