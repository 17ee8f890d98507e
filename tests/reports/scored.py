"""Scored clips made up of the probabilities of their faces, for the tests of what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdfd.models.scoring import ScoringRule
from tfdfd.scored_clip import OK, ScoredClip, ScoredTrack, ScoredWindow

RULE = ScoringRule(threshold=0.5)
WINDOW_SECONDS = 10.0
SIZE = 16


def track(probabilities: Sequence[float | None], *, score: float | None = None, has_crops: bool = True) -> ScoredTrack:
    """Return one person, looked at once a second.

    Args:
        probabilities: of each face, None where there is none.
        score: of the person; None for the mean.
        has_crops: whether there are crops, grey ones.
    """
    is_face = np.array([probability is not None for probability in probabilities])
    told = np.array([probability or 0 for probability in probabilities], np.float32)
    return ScoredTrack(
        float(told[is_face].mean()) if score is None else score,
        np.arange(len(told), dtype=np.float64),
        is_face,
        np.zeros((len(told), 4), np.float32),
        told,
        np.full((len(told), SIZE, SIZE, 3), 128, np.uint8) if has_crops else None,
    )


def scored(
    windows: Sequence[Sequence[ScoredTrack]], *, path: str = "a.mp4", warnings: tuple[str, ...] = ()
) -> ScoredClip:
    """Return a clip of windows of 10 s, the mean of whose people is its score."""
    shown = tuple(
        ScoredWindow(
            number * WINDOW_SECONDS,
            (number + 1) * WINDOW_SECONDS,
            float(np.mean([one.score for one in people])) if people else None,
            tuple(_later(one, number * WINDOW_SECONDS) for one in people),
        )
        for number, people in enumerate(windows)
    )
    scores = [window.score for window in shown if window.score is not None]
    score = float(np.mean(scores))
    return ScoredClip(
        path,
        OK,
        clip_score=score,
        is_fake=score >= RULE.threshold,
        max_score=max(scores) if len(shown) > 1 else None,
        windows=shown,
        took_seconds=1.25,
        warnings=warnings,
    )


def _later(one: ScoredTrack, seconds: float) -> ScoredTrack:
    return ScoredTrack(one.score, one.seconds + seconds, one.is_face, one.boxes_xyxy, one.face_probabilities, one.crops)
