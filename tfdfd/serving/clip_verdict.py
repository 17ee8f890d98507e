"""From the windows of a clip to what is said of it: score, status, and what was left out and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfdfd.clip import (
    LEAST_READABLE_SHARE,
    ClipError,
    ClipFaces,
    ClipFrames,
    is_weak,
    weak_evidence,
    what_is_missing,
)
from tfdfd.guard import Failed, UnforeseenError, attempt
from tfdfd.scored_clip import FAILED, NO_FACE, OK, PARTIAL, WEAK, ScoredClip, ScoredWindow
from tfdfd.serving.clip_parts import ClipPart

if TYPE_CHECKING:
    from tfdfd.models.scoring import ScoringRule


class ClipVerdict:
    """Takes in the parts of a clip in order.

    Args:
        first: its first part.
        rule: decides from which score on it is fake.
    """

    def __init__(self, first: ClipPart, rule: ScoringRule) -> None:
        # Not the part itself, whose frames are large.
        self._path, self._watch, self._rule = first.path, first.watch, rule
        self._num_windows, self._num_planned = first.num_windows, first.num_planned
        self._windows: list[ScoredWindow] = []
        self._errors: list[ClipError] = []
        self._warnings: list[str] = []
        self._sound_problem = ""
        self._no_face = ""
        self._cut_off, self._unread = "", ""
        self._num_unread, self._num_chosen = 0, 0
        self._read_until: float | None = None
        self._failed: Failed | None = None
        self.num_looked_at = 0
        """Places whose frames were looked at so far."""

    def add(
        self, part: ClipPart, frames: ClipFrames, faces: ClipFaces, window: ScoredWindow, *, num_looked_at: int
    ) -> None:
        """Take in a window that was looked at.

        Args:
            part: where it is from.
            frames: those that there was time for.
            faces: what was found in them.
            window: what they were scored.
            num_looked_at: places whose frames were looked at.
        """
        self._windows.append(window)
        told = (faces.frames or frames).warnings  # those of a clip that was turned say so
        self._warnings += [text for text in told if text not in self._warnings]
        self._no_face = self._no_face or faces.reason
        self.num_looked_at += num_looked_at
        self._cut_off, self._unread = frames.cut_off, self._unread or frames.unread
        self._num_unread += frames.num_unread
        self._num_chosen += len(frames.frames) + frames.num_unread
        if part.is_cut_short:
            self._read_until = float(frames.seconds_of(frames.row_indices[-1:])[0]) - part.first_seconds

    def add_unreadable(self, error: ClipError) -> None:
        """Take in why a window could not be read."""
        if isinstance(error, UnforeseenError):
            self.fail(Failed(str(error), error.fault))
        self._errors.append(error)

    @property
    def has_failed(self) -> bool:
        """Whether the clip has failed, whatever its other windows hold."""
        return self._failed is not None

    def fail(self, failed: Failed) -> None:
        """Take in what costs the clip, and not one window alone; the first counts."""
        self._failed = self._failed or failed

    def add_sound_problem(self, reason: str) -> None:
        """Take in what is wrong with the sound of a window; the first counts, for mostly they have the same."""
        said = reason.removeprefix(f"{self._path}: ")  # the clip's path stands beside its warnings
        self._sound_problem = self._sound_problem or f"{said}; what is missing of the sound is masked"

    def finish(self, *, num_places_left_out: int) -> ScoredClip:
        """Return what is said of the clip.

        Args:
            num_places_left_out: places whose frames there was no time for.
        """
        if self._failed is None:
            finished = attempt(lambda: self._scored(num_places_left_out))
            if not isinstance(finished, Failed):
                return finished
            self._failed = finished
        reason = self._failed.reason.removeprefix(f"{self._path}: ")
        return ScoredClip(str(self._path), FAILED, reason, took_seconds=self._watch.seconds, fault=self._failed.fault)

    def _scored(self, num_places_left_out: int) -> ScoredClip:
        scores = [window.score for window in self._windows if window.score is not None]
        missing = [*self._time_is_up(num_places_left_out), *self._unreadable()]
        is_too_little = self._num_windows - len(self._errors) < LEAST_READABLE_SHARE * self._num_windows
        score = float(np.mean(scores)) if scores and not is_too_little else None
        nothing = NO_FACE if self._windows and not is_too_little else FAILED
        weak = self._few_faces() if score is not None else ""
        status = nothing if score is None else WEAK if weak else PARTIAL if missing else OK
        seen = self._without_face() if status == NO_FACE else weak  # of a single window it says what is missing
        return ScoredClip(
            str(self._path),
            status,
            "; ".join(filter(None, [seen, *(text for text in missing if text not in seen)])),
            clip_score=score,
            is_fake=None if score is None else bool(self._rule.is_fake(np.array(score))),
            max_score=max(scores) if score is not None and self._num_windows > 1 else None,
            windows=() if is_too_little else tuple(self._windows),
            took_seconds=self._watch.seconds,
            warnings=(*self._warnings, *([self._sound_problem] if self._sound_problem else [])),
        )

    def _few_faces(self) -> str:
        num_with_face, num_places = (
            sum(getattr(window, name) for window in self._windows) for name in ("num_with_face", "num_places")
        )
        if not is_weak(num_with_face, num_places):
            return ""
        num_windows = sum(window.score is not None for window in self._windows)
        where = f", in {num_windows} of {len(self._windows)} windows" if len(self._windows) > 1 else ""
        return weak_evidence(num_with_face, num_places) + where

    def _without_face(self) -> str:
        if self._num_windows == 1:
            return self._no_face
        return f"no face found in {self.num_looked_at} frames of {len(self._windows)} windows"

    def _time_is_up(self, num_places_left_out: int) -> list[str]:
        if not num_places_left_out:
            return []
        limit = f"the time limit of {self._watch.limit_seconds:g} s"
        if not self.num_looked_at:
            return [f"{limit} was over before a frame could be looked at: allow more"]
        told = [f"{limit} left time for {self.num_looked_at} of {self._num_planned} frames"]
        if self._read_until is not None:
            told.append(f"those after {self._read_until:.1f} s could not even be read")
        if num_windows := self._num_windows - len(self._windows) - len(self._errors):
            told.append(f"{num_windows} of {self._num_windows} windows were left out")
        return [", ".join(told)]

    def _unreadable(self) -> list[str]:
        missing = what_is_missing(self._cut_off, self._num_unread, self._num_chosen, self._unread)
        told = [missing] if missing else []
        if not self._errors:
            return told
        said = str(self._errors[0]).removeprefix(f"{self._path}: ")  # the clip's path stands beside its reason
        if self._num_windows == 1:
            return [*told, said]
        return [*told, f"{len(self._errors)} of {self._num_windows} windows could not be read: {said}"]
