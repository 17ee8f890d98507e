"""What an evaluation found, model by model and between models, and how it stands in metrics.json."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdfd.clip import STATUSES
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.evaluation.break_downs import BreakDown
from tfdfd.evaluation.break_downs import to_json as break_downs_to_json
from tfdfd.evaluation.figures import Figures
from tfdfd.evaluation.intervals import edges_of
from tfdfd.evaluation.metrics import FigureSettings
from tfdfd.evaluation.regions import Regions
from tfdfd.evaluation.robustness import RobustnessPoint
from tfdfd.evaluation.rule_choice import RuleChoice
from tfdfd.evaluation.rules import RuleFigures
from tfdfd.evaluation.scores import ScoredClips, ScoreFigures

if TYPE_CHECKING:
    from tfdfd.evaluation.comparison import DeLong, PairedDifference

SCHEMA_VERSION = 1
"""Raised whenever a reader of an older metrics.json would misread a newer one."""


@dataclass(frozen=True)
class ModelResult:
    """What was found of one model."""

    name: str
    """Name and version, such as `dfdc/3`."""
    folder: str
    choice: RuleChoice
    settings: FigureSettings
    fingerprint: Fingerprint
    scored: ScoredClips
    figures: ScoreFigures
    uncalibrated: Figures | None
    """Of all clips by the rule before it was fitted; None where nothing was fitted."""
    break_downs: tuple[BreakDown, ...]
    rules: tuple[RuleFigures, ...]
    robustness: tuple[RobustnessPoint, ...]
    """Empty where it was not asked for."""
    regions: Regions | None
    """How well it tells where faces were altered; None where that cannot be measured."""
    why_no_regions: str
    """The reason; empty where it is measured."""

    @cached_property
    def scores(self) -> np.ndarray:
        """float32, shape (n,): the clip scores."""
        return self.scored.scores(self.choice.rule)

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in metrics.json."""
        statuses = self.scored.status.tolist()
        figures = {name: getattr(self.figures, name) for name in ("all_clips", "clips_with_faces", "faces")}
        calibrated = self.choice.calibrated
        return {
            "name": self.name,
            "folder": self.folder,
            "scoring_rule": dataclasses.asdict(self.choice.rule),
            "calibration": None
            if calibrated is None or self.uncalibrated is None
            else calibrated.to_json()
            | {"rule_before": dataclasses.asdict(self.choice.before), "all_clips_before": self.uncalibrated.to_json()},
            "fingerprint": dataclasses.asdict(self.fingerprint),
            "statuses": {status: statuses.count(status) for status in STATUSES},
            **{name: None if found is None else found.to_json() for name, found in figures.items()},
            "break_downs": break_downs_to_json(self.break_downs),
            "rules": [
                {
                    "aggregation": entry.rule.aggregation,
                    "over_tracks": entry.rule.over_tracks,
                    "is_chosen": entry.is_chosen,
                    **entry.values,
                }
                for entry in self.rules
            ],
            "robustness": [point.to_json() for point in self.robustness],
            "regions": None if self.regions is None else self.regions.to_json(),
        }


@dataclass(frozen=True)
class ModelComparison:
    """What was found between models."""

    threshold: float
    """Of the accuracies here: the models' own where they agree, else 0.5."""
    ensembles: dict[str, Figures]
    """Of the combined clip scores."""
    differences: tuple[PairedDifference, ...]
    delong: dict[tuple[str, str], DeLong]
    """By the names of both models; empty where there are fewer than two real or two fake clips."""

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in metrics.json."""
        return {
            "threshold": self.threshold,
            "ensembles": {name: figures.to_json() for name, figures in self.ensembles.items()},
            "differences": [
                {
                    "one": entry.one,
                    "other": entry.other,
                    "figure": entry.figure,
                    "value_of_one": entry.value_of_one,
                    "value_of_other": entry.value_of_other,
                    "difference": entry.difference,
                    "interval": edges_of(entry.interval),
                }
                for entry in self.differences
            ],
            "delong": [
                # JSON knows no infinity, which z is where scores without any error differ.
                {
                    "one": one,
                    "other": other,
                    **dataclasses.asdict(found),
                    "z": found.z if np.isfinite(found.z) else None,
                }
                for (one, other), found in self.delong.items()
            ],
        }


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found."""

    models: tuple[ModelResult, ...]
    comparison: ModelComparison | None
    """None for one model."""
    num_train_originals: int | None
    """Recordings that the models were trained on; None, as num_in_both, where one of them does not say."""
    num_originals: int
    num_in_both: int | None
    num_chosen_by: int
    """Evaluated clips by which the best epoch of a model was chosen."""
    data: str
    """The folder of the clips."""
    command: tuple[str, ...]
    versions: dict[str, str]

    def to_json(self) -> str:
        """Return the content of metrics.json; `metrics.schema.json` says what it holds."""
        settings = self.models[0].settings
        content = {
            "schema_version": SCHEMA_VERSION,
            "data": self.data,
            "split": {
                "num_train_originals": self.num_train_originals,
                "num_evaluation_originals": self.num_originals,
                "num_in_both": self.num_in_both,
                "num_clips_that_chose_the_epoch": self.num_chosen_by,
            },
            "clip_bounds": [settings.clip_low, settings.clip_high],
            "models": [model.to_json() for model in self.models],
            "comparison": None if self.comparison is None else self.comparison.to_json(),
            "command": list(self.command),
            "versions": self.versions,
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"
