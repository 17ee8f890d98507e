"""What scoring a clip gives, wherever it was scored: on this machine, by a server, for a table, a picture or a page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tfdfd.guard import Fault

OK, PARTIAL, WEAK, NO_FACE, FAILED = "ok", "partial", "weak_evidence", "no_face", "failed"
SCORE_STATUSES = (OK, PARTIAL, WEAK, NO_FACE, FAILED)
"""`partial`: scored, but by less than asked for: the time was up, or windows of it could not be read. `weak_evidence`:
scored, but fewer of the places that were looked at show a face than `tfdfd.clip.WEAK_SHARE`; partial or not."""


@dataclass(frozen=True)
class ScoredTrack:
    """One person of a clip, or of a window of it."""

    score: float
    """Of this person, in [0, 1]."""
    seconds: np.ndarray
    """float64, shape (n,), ascending: when each frame is shown that was looked at, from the clip's first frame on."""
    is_face: np.ndarray
    """bool, shape (n,)."""
    boxes_xyxy: np.ndarray
    """float32, shape (n, 4), pixels of the upright frame, zeros where there is no face."""
    face_probabilities: np.ndarray
    """float32, shape (n,), in [0, 1], zero where there is no face."""
    crops: np.ndarray | None = field(default=None, repr=False)
    """uint8 RGB, shape (n, size, size, 3), zeros where there is no face; None where nobody asked for them."""

    def __post_init__(self) -> None:
        n = len(self.is_face)
        shapes = (self.seconds.shape, self.boxes_xyxy.shape, self.face_probabilities.shape)
        if shapes != ((n,), (n, 4), (n,)):
            raise ValueError(f"seconds, boxes and probabilities of {n} places must be (n,), (n,4), (n,), got {shapes}")


@dataclass(frozen=True)
class ScoredWindow:
    """A stretch of a long clip, scored by itself."""

    start_seconds: float
    end_seconds: float
    score: float | None
    """None where it shows no face."""
    tracks: tuple[ScoredTrack, ...] = ()
    """The main person first."""
    num_places: int = 0
    """Places that were looked at."""
    turned_degrees: int = 0
    """Counter-clockwise, by which its frames were turned to find faces, beside what the file asks for: 0, 90, 180, 270.
    Boxes lie in the frames as the file shows them, crops are as turned."""

    @property
    def num_with_face(self) -> int:
        """Places at which anybody's face was scored."""
        return int(np.any([track.is_face for track in self.tracks], axis=0).sum()) if self.tracks else 0


@dataclass(frozen=True)
class ScoredClip:
    """A clip and its score."""

    path: str
    status: str
    """One of SCORE_STATUSES."""
    reason: str = ""
    """Why the status is not ok; empty when it is."""
    clip_score: float | None = None
    """By the scoring rule; of a clip in windows the mean of those with a face. None for a clip without a face or one
    that failed: what such a clip counts as is the rule's no-evidence score, and the caller's to decide."""
    is_fake: bool | None = None
    """Whether the score is at or above the rule's threshold; None without a score."""
    max_score: float | None = None
    """The greatest of the windows' scores; None for a clip that was not cut into windows."""
    windows: tuple[ScoredWindow, ...] = ()
    """One window, the whole clip, for clips that are not cut."""
    took_seconds: float = 0.0
    """From opening the file to the score."""
    warnings: tuple[str, ...] = ()
    """What a person should know of a clip that was scored all the same."""
    fault: Fault | None = field(default=None, repr=False)
    """What nobody foresaw, of a clip that failed by it."""

    def __post_init__(self) -> None:
        if self.status not in SCORE_STATUSES:
            raise ValueError(f"status must be one of {list(SCORE_STATUSES)}, got {self.status!r}")
        if (self.clip_score is None) != (self.status in (NO_FACE, FAILED)):
            raise ValueError(f"{self.path}: status {self.status} with score {self.clip_score}")
        if (self.status != OK) != bool(self.reason):
            raise ValueError(f"{self.path}: a reason belongs to every status but ok, got {self.reason!r}")

    @property
    def num_places(self) -> int:
        """Places that were looked at."""
        return sum(window.num_places for window in self.windows)

    @property
    def num_with_face(self) -> int:
        """Places at which anybody's face was scored."""
        return sum(window.num_with_face for window in self.windows)

    def without_crops(self) -> ScoredClip:
        """Return the clip without the crops of its tracks, which are most of its memory."""
        windows = tuple(
            replace(window, tracks=tuple(replace(track, crops=None) for track in window.tracks))
            for window in self.windows
        )
        return replace(self, windows=windows)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values: times in seconds, boxes in pixels as [x1, y1, x2, y2]."""
        return {
            "path": self.path,
            "status": self.status,
            "reason": self.reason,
            "clip_score": self.clip_score,
            "is_fake": self.is_fake,
            "max_score": self.max_score,
            "num_places": self.num_places,
            "num_places_with_face": self.num_with_face,
            "took_seconds": round(self.took_seconds, 3),
            "warnings": list(self.warnings),
            "windows": [_window_json(window) for window in self.windows],
        }


def _window_json(window: ScoredWindow) -> dict[str, Any]:
    return {
        "start_seconds": round(window.start_seconds, 3),
        "end_seconds": round(window.end_seconds, 3),
        "score": window.score,
        "num_places": window.num_places,
        "num_places_with_face": window.num_with_face,
        "turned_degrees": window.turned_degrees,
        "tracks": [
            {
                "score": track.score,
                "faces": [
                    {
                        "seconds": round(float(track.seconds[place]), 3),
                        "box": [round(float(value), 1) for value in track.boxes_xyxy[place]],
                        "fake_probability": round(float(track.face_probabilities[place]), 6),
                    }
                    for place in np.flatnonzero(track.is_face).tolist()
                ],
            }
            for track in window.tracks
        ],
    }
