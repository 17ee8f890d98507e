"""How scores fall as clips get worse: which clips are measured, and the points of the curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.tables import values
from tfdfd.evaluation.corruptions import NUM_LEVELS, Strengths
from tfdfd.evaluation.face_logits import ScoreFaces
from tfdfd.evaluation.intervals import Interval, bootstrap_intervals, edges_of
from tfdfd.evaluation.metrics import METRICS, FigureSettings
from tfdfd.models.scoring import ScoringRule
from tfdfd.reports.selection import evenly

CLEAN = 0
"""The level of a clip as it is in the store."""


@dataclass(frozen=True)
class ClipLogits:
    """What the network says of one clip at one level of a corruption."""

    logits: np.ndarray
    """float32, shape (tracks, places): 0 where there is no face; no track where no face was found."""
    is_face: np.ndarray
    """bool, shape (tracks, places)."""
    is_unchanged: bool = False
    """Whether the corruption left the clip as it is, e.g. as its own frame rate is not higher."""

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.logits.shape != self.is_face.shape:
            raise ValueError(f"logits and is_face must be (tracks, places), got {self.logits.shape}")

    @property
    def has_face(self) -> bool:
        """Whether anything is there to judge."""
        return bool(self.is_face.any())


@dataclass(frozen=True)
class RobustnessPoint:
    """The scores of the same clips at one level of a corruption."""

    corruption: str
    """A key of CORRUPTIONS or CLIP_CORRUPTIONS."""
    unit: str
    """Of the value, for people."""
    level: int
    """0 for the clips as they are, else 1 (mild) to 5."""
    value: float | None
    """What the level stands for; None at level 0."""
    clip_ids: tuple[str, ...] = field(repr=False)
    """The clips, n in all, the same at every level of a corruption."""
    labels: np.ndarray = field(repr=False)
    """int64, shape (n,): 0 real, 1 fake."""
    clip_scores: np.ndarray = field(repr=False)
    """float32, shape (n,): a clip without a face has the rule's no-evidence score."""
    auc: float | None
    """None where only one class is there."""
    log_loss_balanced: float | None
    """None where only one class is there."""
    mean_score_real: float | None
    """Mean clip score of the real clips; None where there is none."""
    mean_score_fake: float | None
    """Mean clip score of the fakes; None where there is none."""
    num_lost: int
    """Clips that have a face at level 0 and none here."""
    num_unchanged: int
    """Clips that this level leaves as they are."""

    auc_interval: Interval | None = None
    """Of the AUC, over draws of originals; None where it was not asked for or nothing can be told."""

    @property
    def num_clips(self) -> int:
        """Clips that were scored."""
        return len(self.clip_ids)

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in metrics.json, without the scores of single clips."""
        names = ("corruption", "unit", "level", "value", "num_clips", "auc", "log_loss_balanced", "mean_score_real")
        return {
            **{name: getattr(self, name) for name in (*names, "mean_score_fake", "num_lost", "num_unchanged")},
            "auc_interval": edges_of(self.auc_interval),
        }


def choose_evenly(clips: pd.DataFrame, num_clips: int) -> np.ndarray:
    """Choose clips for the curves: half of each label where there are enough, evenly by clip id, the same every time.

    Args:
        clips: rows of the manifest with `clip_id` and `label`, in any order.
        num_clips: most to choose, at least 1; where one label has too few, the other takes its place.

    Returns:
        int64, shape (n,), ascending: the chosen rows.
    """
    if num_clips < 1:
        raise ValueError(f"num_clips must be at least 1, got {num_clips}")
    labels, clip_ids = clips["label"].to_numpy(), values(clips, "clip_id")
    rows = {label: np.flatnonzero(labels == label) for label in (REAL, FAKE)}
    # An odd one out goes to the fakes: they come in more kinds.
    num_real = min(len(rows[REAL]), max(num_clips // 2, num_clips - len(rows[FAKE])))
    counts = {REAL: num_real, FAKE: min(len(rows[FAKE]), num_clips - num_real)}
    chosen = [
        np.array(evenly(rows[label][np.argsort(clip_ids[rows[label]])].tolist(), count), np.int64)
        for label, count in counts.items()
    ]
    return np.sort(np.concatenate(chosen))


def curve(
    strengths: Strengths,
    clip_ids: Sequence[str],
    labels: np.ndarray,
    by_level: Sequence[Sequence[ClipLogits]],
    rule: ScoringRule,
) -> list[RobustnessPoint]:
    """Turn what the network says into the points of one corruption.

    Args:
        strengths: the corruption.
        clip_ids: the clips, n in all, at least 1.
        labels: int, shape (n,): 0 real, 1 fake.
        by_level: for level 0 (as they are) to 5 what was said of each clip, in the order of `clip_ids`.
        rule: how logits become a clip score.

    Returns:
        One point a level, from 0 on.
    """
    if len(by_level) != NUM_LEVELS + 1 or any(len(of_level) != len(clip_ids) for of_level in by_level):
        raise ValueError(
            f"{strengths.name} needs {NUM_LEVELS + 1} levels of {len(clip_ids)} clips, got "
            f"{[len(of_level) for of_level in by_level]}"
        )
    return [
        _point(strengths, level, tuple(clip_ids), np.asarray(labels, np.int64), of_level, by_level[CLEAN], rule)
        for level, of_level in enumerate(by_level)
    ]


def _point(
    strengths: Strengths,
    level: int,
    clip_ids: tuple[str, ...],
    labels: np.ndarray,
    of_level: Sequence[ClipLogits],
    clean: Sequence[ClipLogits],
    rule: ScoringRule,
) -> RobustnessPoint:
    scores = score_by(rule, of_level)
    # Not `score_metrics`: the other figures of 54 points would take seconds.
    both, settings = len(np.unique(labels)) == 2, FigureSettings(threshold=rule.threshold)
    figures = {
        name: METRICS[name][0](labels, scores.astype(np.float64), settings) if both else None
        for name in ("auc", "log_loss_balanced")
    }
    mean = {label: float(scores[labels == label].mean()) if (labels == label).any() else None for label in (REAL, FAKE)}
    return RobustnessPoint(
        corruption=strengths.name,
        unit=strengths.unit,
        level=level,
        value=None if level == CLEAN else float(strengths.levels[level - 1]),
        clip_ids=clip_ids,
        labels=labels,
        clip_scores=scores,
        auc=figures["auc"],
        log_loss_balanced=figures["log_loss_balanced"],
        mean_score_real=mean[REAL],
        mean_score_fake=mean[FAKE],
        num_lost=sum(was.has_face and not now.has_face for was, now in zip(clean, of_level, strict=True)),
        num_unchanged=sum(now.is_unchanged for now in of_level),
    )


def with_intervals(
    points: Sequence[RobustnessPoint], groups: Mapping[str, int], settings: FigureSettings, *, num_replicates: int
) -> tuple[RobustnessPoint, ...]:
    """Return the points with the interval of each AUC, without which few clips tell of falls that are none.

    Args:
        points: of one model.
        groups: the original of each clip, by clip id.
        settings: threshold and bounds.
        num_replicates: draws.
    """
    found = []
    for point in points:
        of_clips = np.array([groups[clip_id] for clip_id in point.clip_ids])
        intervals = bootstrap_intervals(
            point.labels, point.clip_scores, of_clips, settings, num_replicates=num_replicates
        )
        found.append(dataclasses.replace(point, auc_interval=intervals["auc"]))
    return tuple(found)


def score_by(rule: ScoringRule, clips: Sequence[ClipLogits]) -> np.ndarray:
    """Return the clip scores, float32, shape (n,), by the logits of their faces; tracks of a clip are in order."""
    found = [clip for clip in clips if len(clip.logits)]
    if not found:
        return np.full(len(clips), rule.no_evidence_score, np.float32)
    clip_rows = np.repeat(np.arange(len(clips)), [len(clip.logits) for clip in clips])
    logits = np.concatenate([clip.logits for clip in found])
    is_face = np.concatenate([clip.is_face for clip in found])
    return rule.score_logits(logits, is_face, clip_rows, len(clips))


def checked_logits(score_faces: ScoreFaces, crops: np.ndarray, is_face: np.ndarray) -> np.ndarray:
    """Run the network over a batch of tracks.

    Args:
        score_faces: the network.
        crops: uint8 RGB, shape (batch, places, size, size, 3).
        is_face: bool, shape (batch, places).

    Returns:
        float32, shape (batch, places): 0 where there is no face.

    Raises:
        TfdfdError: if it says something that is no number.
    """
    logits = np.where(is_face, np.asarray(score_faces(crops, is_face), np.float32), np.float32(0))
    if not np.isfinite(logits).all():
        raise TfdfdError(
            "the model gave something that is no number for a face: its weights may hold NaN; train it again, or give "
            "another --model"
        )
    return logits
