"""Scored clips out of plain numbers, for the tests of their pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdfd.scored_clip import NO_FACE, OK, ScoredClip, ScoredTrack, ScoredWindow


def track(
    seconds: Sequence[float],
    probabilities: Sequence[float | None],
    *,
    box: Sequence[float] = (10, 12, 30, 36),
    crops: bool = True,
) -> ScoredTrack:
    """Return a person; None is a frame without the face. Crops are as bright as they are fake."""
    is_face = np.array([probability is not None for probability in probabilities])
    values = np.array([probability or 0 for probability in probabilities], np.float32)
    shades = np.rint(255 * values).astype(np.uint8)
    return ScoredTrack(
        score=float(values[is_face].mean()) if is_face.any() else 0.0,
        seconds=np.array(seconds, np.float64),
        is_face=is_face,
        boxes_xyxy=np.where(is_face[:, None], np.array(box, np.float32), np.float32(0)),
        face_probabilities=values,
        crops=np.broadcast_to(shades[:, None, None, None], (len(values), 16, 16, 3)) if crops else None,
    )


def clip(windows: Sequence[tuple[float, float, Sequence[ScoredTrack]]], *, path: str = "clip.mp4") -> ScoredClip:
    """Return a clip of windows (start, end, people); the score of each is the mean over its people."""
    scored = tuple(
        ScoredWindow(
            start,
            end,
            float(np.mean([one.score for one in people])) if people else None,
            tuple(people),
            num_places=len(people[0].is_face) if people else 0,
        )
        for start, end, people in windows
    )
    scores = [window.score for window in scored if window.score is not None]
    if not scores:
        return ScoredClip(path, NO_FACE, "no face found", windows=scored)
    mean = float(np.mean(scores))
    highest = max(scores) if len(scored) > 1 else None
    return ScoredClip(path, OK, clip_score=mean, is_fake=mean >= 0.5, max_score=highest, windows=scored)
