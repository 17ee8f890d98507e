"""The parts of a page about one scored clip: the verdict, its reasons, and the styles of both."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from tfdfd.reports.detail_charts import timeline_chart
from tfdfd.reports.page import fill
from tfdfd.reports.score_timeline import timeline_png
from tfdfd.reports.scored_clip_shown import (
    ROWS,
    ExplainFaces,
    lines_of,
    most_suspicious,
    people_of,
    steps_of,
    strips_of,
)
from tfdfd.scored_clip import FAILED, ScoredClip

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule

_TEMPLATES = Path(__file__).parent / "templates"
_FIGURES = {
    "val_clip_auc": "AUC",
    "val_clip_log_loss": "log loss",
    "val_clip_accuracy": "accuracy",
}
"""Validation figures of a model's card that a person is told of, and their names."""


@dataclass(frozen=True)
class ModelShown:
    """What a page says of the model that scored."""

    name: str
    """Name and version, such as `dfdc/3`."""
    figures: tuple[tuple[str, str], ...]
    """Name and value of each validation figure."""

    @staticmethod
    def of(name: str, card: dict[str, Any]) -> ModelShown:
        """Return what is said of a model with this name and card."""
        known = card.get("figures") or {}
        return ModelShown(name, tuple((told, f"{known[key]:.3f}") for key, told in _FIGURES.items() if key in known))


def verdict_part(clip: ScoredClip, rule: ScoringRule, model: ModelShown) -> str:
    """Return the verdict on a clip as HTML: a word, the score beside the threshold, what to know of it.

    Args:
        clip: any, those that failed or show no face too.
        rule: that it was scored by.
        model: that it was scored by.
    """
    return fill("scored_clip_verdict.html", clip=clip, word=_word(clip), rule=rule, model=model)


def reasons_part(clip: ScoredClip, rule: ScoringRule, explain: ExplainFaces, *, shows_masks: bool = False) -> str:
    """Return the reasons of a verdict as HTML: the scores over time, the people, their faces with heat maps.

    Args:
        clip: scored, with its crops.
        rule: that it was scored by.
        explain: what the network says of each face, and of what in it.
        shows_masks: whether that is how likely each place was altered.

    Returns:
        Nothing for a clip without a score.
    """
    if clip.clip_score is None:
        return ""
    people = people_of(clip, rule)
    strips = strips_of(people, explain, shows_masks=shows_masks)
    chart = timeline_chart(
        lines_of(clip), rule.threshold, clip_score=clip.clip_score, steps=steps_of(clip), key="timeline"
    )
    return fill(
        "scored_clip_reasons.html",
        clip=clip,
        rule=rule,
        chart=chart,
        picture=base64.b64encode(timeline_png(clip, threshold=rule.threshold)).decode("ascii"),
        picture_name=f"{PurePath(clip.path).stem}-score.png",
        people=[person for person, _ in most_suspicious(people, ROWS)],
        num_people=len(people),
        strips=strips,
    )


def styles() -> str:
    """Return the styles of both parts: the colours of the reports' pages, dark wherever a page has the class `dark`."""
    light, dark = "", ""
    for name in ("page.css", "evaluation.css"):
        by_day, by_night, _ = re.findall(r":root \{(.*?)\}", (_TEMPLATES / name).read_text(), re.DOTALL)
        light, dark = light + by_day, dark + by_night
    own = (_TEMPLATES / "scored_clip.css").read_text()
    return f":root {{{light}}}\n.dark {{{dark}}}\n{own}"


def _word(clip: ScoredClip) -> str:
    if clip.clip_score is None:
        return "Not scored" if clip.status == FAILED else "No evidence"
    return "Fake" if clip.is_fake else "Real"
