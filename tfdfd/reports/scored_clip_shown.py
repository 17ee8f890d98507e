"""What a page shows of one scored clip: its people, their faces, and what in them spoke for fake and for real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfdfd.reports.detail_charts import TimelineStep, TimelineTrack
from tfdfd.reports.evaluation_shown import FaceShown
from tfdfd.reports.faces_explained import heat_overlay, strongest_heat
from tfdfd.reports.faces_in_crops import shrink
from tfdfd.reports.page import picture_uri
from tfdfd.scored_clip import ScoredClip, ScoredTrack

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule

ExplainFaces = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Crops uint8 [n, places, size, size, 3] and is_face bool [n, places] -> logits [n, places] and heat maps
float32 [n, places, h, w], as `tfdfd.serving.saved_model.LoadedModel.explain`."""

STRIPS = 6
"""People whose faces are shown: of a long clip or a crowd those with the highest scores."""
LINES = 6
"""People that the timeline tells apart."""
ROWS = 60
"""Rows of the table of people, again of those with the highest scores."""
FACE = 128
"""Side of a face on the page in pixels."""


@dataclass(frozen=True)
class PersonShown:
    """One person of a clip, or of a window of it."""

    name: str
    score: float
    is_fake: bool
    """By the threshold of clips: a person by itself is judged by no other."""
    first_seconds: float
    last_seconds: float
    num_faces: int
    num_places: int
    highest: float
    """Face probability of the most suspicious face."""
    highest_seconds: float
    """When it is shown."""


@dataclass(frozen=True)
class StripOfFaces:
    """The faces of one person in playing order, with and without heat."""

    person: PersonShown
    faces: tuple[FaceShown, ...]


Person = tuple[PersonShown, ScoredTrack]
"""What is shown of a person, and what they were scored by."""


def people_of(clip: ScoredClip, rule: ScoringRule) -> list[Person]:
    """Return the people of a clip in playing order, each window's main one first, with what they were scored by."""
    is_cut = len(clip.windows) > 1
    found = []
    for window in clip.windows:
        where = f"{window.start_seconds:.0f} to {window.end_seconds:.0f} s, " if is_cut else ""
        for number, track in enumerate(window.tracks, 1):
            seen = np.flatnonzero(track.is_face)
            if not len(seen):
                continue
            top = seen[np.argmax(track.face_probabilities[seen])]
            person = PersonShown(
                f"{where}person {number}" + (" (main)" if number == 1 and len(window.tracks) > 1 else ""),
                track.score,
                bool(rule.is_fake(np.array(track.score))),
                float(track.seconds[seen[0]]),
                float(track.seconds[seen[-1]]),
                len(seen),
                len(track.is_face),
                float(track.face_probabilities[top]),
                float(track.seconds[top]),
            )
            found.append((person, track))
    return found


def most_suspicious(people: Sequence[Person], count: int) -> list[Person]:
    """Return so many people with the highest scores, in the order they came in."""
    ranked = sorted(range(len(people)), key=lambda number: -people[number][0].score)
    return [people[number] for number in sorted(ranked[:count])]


def strips_of(
    people: Sequence[Person], explain: ExplainFaces, *, shows_masks: bool = False
) -> tuple[StripOfFaces, ...]:
    """Return the faces of the most suspicious people, in playing order, and what the network saw in them.

    Args:
        people: as `people_of` has them; those without crops are left out.
        explain: asked for the heat maps of those that are shown, and of no others: it takes as long as scoring.
        shows_masks: whether heat maps tell how likely each place was altered.
    """
    chosen = most_suspicious([(person, track) for person, track in people if track.crops is not None], STRIPS)
    heats = [_heat(track, explain) for _, track in chosen]
    shown = [heat[track.is_face] for (_, track), heat in zip(chosen, heats, strict=True)]
    scale = strongest_heat(shown, are_masks=shows_masks)
    return tuple(
        StripOfFaces(person, _faces(track, heat, scale)) for (person, track), heat in zip(chosen, heats, strict=True)
    )


def lines_of(clip: ScoredClip) -> tuple[TimelineTrack, ...]:
    """Return the face probabilities of a clip over its time: a line for the main people, one for those after them, ...

    People are not told apart from one window to the next, so each line has a gap between two windows.
    """
    lines = []
    for number in range(min(LINES, max((len(window.tracks) for window in clip.windows), default=0))):
        seconds, told = [], []
        for window in clip.windows:
            if number < len(window.tracks):
                track = window.tracks[number]
                seconds += [*track.seconds.tolist(), window.end_seconds]
                told += [*np.where(track.is_face, track.face_probabilities, np.nan).tolist(), np.nan]
        if np.isfinite(told).any():
            lines.append(TimelineTrack(f"person {number + 1}", np.array(seconds), np.array(told)))
    return tuple(lines)


def steps_of(clip: ScoredClip) -> tuple[TimelineStep, ...]:
    """Return the scores of the windows of a clip, none for a clip that was not cut."""
    if clip.max_score is None:
        return ()
    return tuple(
        TimelineStep(window.start_seconds, window.end_seconds, window.score)
        for window in clip.windows
        if window.score is not None
    )


def _heat(track: ScoredTrack, explain: ExplainFaces) -> np.ndarray:
    assert track.crops is not None
    return explain(track.crops[None], track.is_face[None])[1][0]


def _faces(track: ScoredTrack, heat: np.ndarray, scale: float) -> tuple[FaceShown, ...]:
    assert track.crops is not None
    faces = []
    for place in np.flatnonzero(track.is_face).tolist():
        small = shrink(track.crops[place], FACE)
        faces.append(
            FaceShown(
                f"{track.seconds[place]:.2f} s",
                float(track.face_probabilities[place]),
                picture_uri(small),
                picture_uri(heat_overlay(small, heat[place], scale)),
            )
        )
    return tuple(faces)
