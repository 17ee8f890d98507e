"""The settings of an evaluation: one dataclass, from which the flags are made. Does not load TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from tfdfd.data.options import option

AGGREGATION_NAMES = ("mean", "geometric", "median", "confident", "trimmed_mean", "logit_mean")
TRACK_RULE_NAMES = ("mean", "max", "main")
"""As AGGREGATIONS and TRACK_RULES, which load TensorFlow; a test holds them together."""


@dataclass(frozen=True)
class RuleValues:
    """What of a model's ScoringRule is set otherwise; what is not set stays the model's."""

    aggregate: str | None = option(None, "how the faces of a track are combined", AGGREGATION_NAMES)
    over_tracks: str | None = option(None, "how the people of a clip are combined", TRACK_RULE_NAMES)
    no_face_score: float | None = option(None, "score of clips without a usable face, which are always counted aloud")
    temperature: float | None = option(None, "logits are divided by it; above 1 makes the model less sure")
    threshold: float | None = option(None, "a clip score at or above it is called fake")

    def __post_init__(self) -> None:
        for name in ("no_face_score", "threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"--{name.replace('_', '-')} must be in [0, 1], got {value}")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise ValueError(f"--temperature must be above 0 and finite, got {self.temperature}")


RULE_FIELDS = {
    "aggregate": "aggregation",
    "over_tracks": "over_tracks",
    "no_face_score": "no_evidence_score",
    "temperature": "temperature",
    "threshold": "threshold",
}
"""The field of ScoringRule that each of RuleValues sets."""


@dataclass(frozen=True)
class RuleConfig(RuleValues):
    """The rule that an evaluation scores by: values that are set, or fitted, and whether it is kept."""

    calibrate_folders: str | None = option(
        None,
        "fit temperature and threshold on these folders, which are then not part of the figures",
        metavar="GLOB",
    )
    save_rule: bool = option(False, "write the rule that was used into a new version of the SavedModel")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calibrate_folders is not None:
            for name in ("temperature", "threshold"):
                if getattr(self, name) is not None:
                    raise ValueError(f"--calibrate-folders fits the {name}: leave it or --{name} out")
        if self.save_rule and all(
            getattr(self, field.name) is None for field in dataclasses.fields(self) if field.name != "save_rule"
        ):
            raise ValueError("--save-rule writes another rule than the model's: say which, e.g. --aggregate median")


@dataclass(frozen=True)
class EvalConfig:
    """What is measured and shown; each field's help says what it does."""

    clip_low: float = option(0.1, "lower bound of scores in the clipped log loss")
    clip_high: float = option(0.9, "upper bound of scores in the clipped log loss")
    replicates: int = option(1000, "draws of originals for the intervals of clips; faces get a fifth of them")
    robustness: bool = option(
        False,
        "score again under JPEG, blur, noise, downscaling, brightness, contrast, lower frame rates and H.264, five "
        "levels each",
    )
    robustness_clips: int = option(200, "clips that --robustness scores again, evenly chosen of each label")
    region_clips: int = option(
        100,
        "clips, half of them fakes, in which regions told by a network that was trained with masks are compared with "
        "the masks of the store",
    )
    pictures: bool = option(True, "show faces in the report; --no-pictures leaves all of them out")
    mistakes: int = option(12, "clips that the report shows of those that were scored worst")

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low < self.clip_high <= 1:
            raise ValueError(
                f"--clip-low and --clip-high must be in [0, 1] and ascending, got {self.clip_low} and {self.clip_high}"
            )
        if self.robustness_clips != EvalConfig.robustness_clips and not self.robustness:
            raise ValueError("--robustness-clips says how many clips --robustness scores again: add --robustness")
        for name, least in (("replicates", 100), ("robustness_clips", 2), ("region_clips", 2), ("mistakes", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}")
