"""What the page of an evaluation shows, in the order in which it shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tfdfd.reports.detail_charts import IntervalRow, RobustnessSeries, TimelineTrack
from tfdfd.reports.score_charts import PrecisionRecallCurve, ReliabilityBin, RocCurve
from tfdfd.reports.tables_shown import Estimate, Table


@dataclass(frozen=True)
class LeftOut:
    """Stands in the place of a section that has nothing to show."""

    reason: str
    """One line, such as `One model was evaluated, so there is nothing to compare.`"""

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError("a section that is left out says why, got no reason")


@dataclass(frozen=True)
class KeyFigure:
    """One of the few figures that stand large at the top."""

    name: str
    """In plain words, such as `fakes found`."""
    estimate: Estimate
    meaning: str
    """One short sentence for those who do not know the figure."""


@dataclass(frozen=True)
class HeadlineFigure:
    """One row of the table at the top."""

    name: str
    meaning: str
    """One or two sentences: what it is, and which way is better."""
    estimates: tuple[Estimate, ...]
    """One for each column of the headline."""


@dataclass(frozen=True)
class Notice:
    """One line under the outcome: how many clips, and what became of those that could not be scored."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Headline:
    """How good the detector is, and how sure that is."""

    columns: tuple[tuple[str, str], ...]
    """Name and count of each, such as `all clips` and `412: 200 real, 212 fake, of 160 originals`."""
    figures: tuple[HeadlineFigure, ...]
    interval_note: str
    """How the intervals were made."""
    key_figures: tuple[KeyFigure, ...] = ()
    notices: tuple[Notice, ...] = ()

    def __post_init__(self) -> None:
        for figure in self.figures:
            if len(figure.estimates) != len(self.columns):
                raise ValueError(f"{figure.name} has {len(figure.estimates)} values for {len(self.columns)} columns")


@dataclass(frozen=True)
class Difference:
    """Two models on the same clips."""

    first: str
    second: str
    figure: str
    estimate: Estimate
    """First less second, with the interval of the paired draws."""
    p_value: float | None = None
    """DeLong's, None for a figure that it is not for."""


@dataclass(frozen=True)
class Comparison:
    """Several models and their ensembles."""

    table: Table
    differences: tuple[Difference, ...]
    note: str = ""
    """How the differences were made."""


@dataclass(frozen=True)
class Curves:
    """What the charts of the scores of all clips are drawn from."""

    roc: tuple[RocCurve, ...]
    precision_recall: tuple[PrecisionRecallCurve, ...]
    base_rate: float
    """Share of fakes among the clips."""
    reliability: tuple[ReliabilityBin, ...]
    real_scores: np.ndarray
    """float, shape (n,), in [0, 1]."""
    fake_scores: np.ndarray
    threshold: float


@dataclass(frozen=True)
class BreakDown:
    """One way to divide the clips into groups."""

    dimension: str
    """Such as `compression`."""
    figure: str
    """The figure of the chart, such as `AUC`."""
    groups: tuple[IntervalRow, ...]
    overall: float | None
    table: Table
    note: str = ""


@dataclass(frozen=True)
class RuleGrid:
    """One figure of every way from faces to a clip."""

    figure: str
    """With the way that is better, such as `log loss, lower is better`."""
    aggregations: tuple[str, ...]
    track_rules: tuple[str, ...]
    estimates: tuple[tuple[Estimate, ...], ...]
    """A row an aggregation, a column a track rule."""
    chosen: tuple[str, str] | None
    """Aggregation and track rule of the model; None where it has another."""

    def __post_init__(self) -> None:
        if [len(row) for row in self.estimates] != [len(self.track_rules)] * len(self.aggregations):
            raise ValueError(f"{self.figure}: need {len(self.aggregations)} rows of {len(self.track_rules)} values")


@dataclass(frozen=True)
class Calibration:
    """How raw scores became probabilities."""

    temperature: float
    threshold: float
    fitted_on: str
    """Which folders, and how many clips."""
    before_after: Table | None = None
    note: str = ""


@dataclass(frozen=True)
class Scoring:
    """From faces to a clip."""

    rule_in_words: str
    grids: tuple[RuleGrid, ...]
    calibration: Calibration | LeftOut
    note: str = ""


@dataclass(frozen=True)
class Robustness:
    """What disturbances do to a figure."""

    figure: str
    series: tuple[RobustnessSeries, ...]
    table: Table
    note: str = ""


@dataclass(frozen=True)
class RegionShown:
    """A face whose altered region is known."""

    title: str
    caption: str
    known: str
    """`data:` address of the face with a line around what was altered."""
    told: str
    """The same under what the network calls altered."""


@dataclass(frozen=True)
class RegionsShown:
    """How well altered regions are told."""

    table: Table
    faces: tuple[RegionShown, ...]
    """Empty for `--no-pictures`."""
    note: str = ""


@dataclass(frozen=True)
class FaceShown:
    """One place of a track."""

    title: str
    """Place, frame, time and probability, for the pointer."""
    probability: float | None = None
    """None where there is no face."""
    picture: str = ""
    """`data:` address of the crop; empty where there is no face."""
    heat: str = ""
    """The same of the crop under its heat map; empty where there is none."""
    is_past_end: bool = False
    """Whether no frame was read for the place: the clip is too short, or damaged there."""


@dataclass(frozen=True)
class StripShown:
    """The faces of one track."""

    name: str
    summary: str
    faces: tuple[FaceShown, ...]
    problem: str = ""
    """Why there are no pictures; empty where there are."""


@dataclass(frozen=True)
class MistakeShown:
    """One clip that was scored badly."""

    clip_id: str
    label: str
    """`real` or `fake`."""
    score: float
    what: str
    """What went wrong, in words."""
    facts: str
    """Size, frames, codec in one line."""
    strips: tuple[StripShown, ...]
    timeline: tuple[TimelineTrack, ...]
    """Empty where times are not known or there is no face."""
    num_tracks_left_out: int = 0


@dataclass(frozen=True)
class Mistakes:
    """The clips that were scored worst."""

    clips: Callable[[], Iterator[MistakeShown]]
    """Makes them one by one, so that the pictures of one clip are gone before those of the next are made."""
    num_shown: int
    order: str
    """How they were chosen, such as `highest log loss first`."""
    threshold: float
    has_pictures: bool = True
    """Whether faces are shown at all: False for `--no-pictures`."""
    has_heat: bool = True
    """Whether there are heat maps, so that their legend is shown."""
    heat_note: str = ""
    """How the heat maps were made, and what they are not."""
    has_one_place: bool = False
    """Whether a clip is one face, so that many stand side by side."""


@dataclass(frozen=True)
class DataShown:
    """What was evaluated, and that training saw none of it."""

    counts: Table
    num_train_originals: int | None
    """None where the model does not record what it was trained on."""
    num_evaluation_originals: int
    num_in_both: int | None
    checks: tuple[str, ...]
    """What was checked, a sentence each."""


@dataclass(frozen=True)
class ModelShown:
    """What was run."""

    rule: Mapping[str, str]
    preprocessing: Mapping[str, str]
    provenance: Mapping[str, str]
    versions: Mapping[str, str]
    command: str


@dataclass(frozen=True)
class EvaluationPage:
    """A whole report."""

    title: str
    outcome: str
    """One sentence in plain words."""
    headline: Headline
    comparison: Comparison | LeftOut
    curves: Curves | LeftOut
    break_downs: tuple[BreakDown, ...] | LeftOut
    scoring: Scoring | LeftOut
    robustness: Robustness | LeftOut
    regions: RegionsShown | LeftOut
    mistakes: Mistakes | LeftOut
    data: DataShown | LeftOut
    model: ModelShown

    def __post_init__(self) -> None:
        if not self.break_downs:
            raise ValueError("break_downs must be LeftOut where there are none, got an empty tuple")
