"""Scoring clips on this machine: from a path to a score, the next clip read while this one is scored."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfdfd.clip import OK, ClipError, ClipFaces, ClipFrames, TfdfdError
from tfdfd.data.audio import read_sound
from tfdfd.data.frame_source import OneAhead, one_ahead
from tfdfd.data.video import choose_frame_indices
from tfdfd.extraction import Detector, boxes_as_shown, faces_of_frames
from tfdfd.faces.config import ExtractionConfig
from tfdfd.guard import Failed, attempt
from tfdfd.scored_clip import ScoredClip, ScoredTrack, ScoredWindow
from tfdfd.serving.clip_parts import ClipPart, ClipReader, OnWindow, PlannedFrameSource, with_fewer_places
from tfdfd.serving.clip_verdict import ClipVerdict
from tfdfd.serving.time_limit import Clock, Pace

if TYPE_CHECKING:
    from tfdfd.serving.saved_model import LoadedModel, Sound

_SHORTEST_SOUND_SECONDS = 0.04
"""Of a clip of one frame, which says of no time how long it is shown."""


class LocalScorer:
    """Scores clips by a model on this machine.

    A clip of more than 20 seconds is scored in windows of ten, each with as many frames as a whole clip, its own people
    and its own score; the clip's score is the mean of those with a face. One window is in memory, and the one ahead.

    Args:
        model: the model.
        frame_source: reads clips.
        detector: finds faces.
        config: how clips are cropped for the model.
        time_limit_seconds: most time for one clip, from opening the file to the score; fewer frames are looked at where
            more would take longer, and quarter turns are not tried. None for no limit. Without measurements, so of the
            first clip, one frame is tried twice.
        keep_crops: whether the scored tracks hold their crops.
        clock: returns seconds.
        pace: what a reader measures by that was begun before; None for one of its own.
        on_window: called after each window of a clip.
    """

    def __init__(
        self,
        model: LoadedModel,
        frame_source: PlannedFrameSource,
        detector: Detector,
        config: ExtractionConfig,
        *,
        time_limit_seconds: float | None = None,
        keep_crops: bool = False,
        clock: Clock = time.monotonic,
        pace: Pace | None = None,
        on_window: OnWindow = lambda number, count: None,
    ) -> None:
        if time_limit_seconds is not None and not time_limit_seconds > 0:
            raise ValueError(f"time_limit_seconds must be above 0 or None, got {time_limit_seconds}")
        self.model, self.detector, self.config = model, detector, config
        self.keep_crops, self._clock = keep_crops, clock
        self._pace = pace or Pace()
        self._on_window = on_window
        self._reader = ClipReader(
            frame_source, config.frame_plan, limit_seconds=time_limit_seconds, pace=self._pace, clock=clock
        )

    def score(self, path: Path) -> ScoredClip:
        """Score one clip; one that cannot be read has the status failed and the reason."""
        (scored,) = self.score_all([path])
        return scored

    def score_all(self, paths: Iterable[Path]) -> Iterator[ScoredClip]:
        """Score clips in order, each given out as soon as it is done; the next one is read meanwhile.

        Args:
            paths: of the clips; taken from another thread, one ahead.
        """
        return self.score_parts(one_ahead(self._reader.parts(paths)))

    def score_parts(self, parts_ahead: OneAhead[ClipPart]) -> Iterator[ScoredClip]:
        """Score clips that are being read already.

        Args:
            parts_ahead: what a `ClipReader` reads; closed in the end.
        """
        with closing(parts_ahead) as parts:
            verdict: ClipVerdict | None = None
            num_unreadable = 0
            for part in parts:
                if verdict is None:
                    part.watch.go_on()
                    verdict, num_unreadable = ClipVerdict(part, self.model.rule), 0
                if isinstance(part.frames, ClipError):
                    verdict.add_unreadable(part.frames)
                elif part.frames is not None and not verdict.has_failed:
                    self._look_at(part, part.frames, verdict)
                num_unreadable += part.num_unread
                self._on_window(part.number + 1, part.num_windows)
                if part.is_last:
                    yield verdict.finish(num_places_left_out=part.num_planned - num_unreadable - verdict.num_looked_at)
                    verdict = None
                del part  # its frames are large

    def _look_at(self, part: ClipPart, frames: ClipFrames, verdict: ClipVerdict) -> None:
        """Find and score the faces of a part, as far as there is time, and add what comes of it."""
        found = attempt(lambda: self._add_faces_of(part, frames, verdict))
        if isinstance(found, Failed):
            verdict.fail(found)

    def _add_faces_of(self, part: ClipPart, frames: ClipFrames, verdict: ClipVerdict) -> None:
        if part.watch.limit_seconds is not None:
            if not self._pace.is_known:
                one = with_fewer_places(frames, 1)
                # The first look at frames of a size prepares for all others, and says nothing of how long they take.
                faces_of_frames(str(part.path), one, self.detector, self.config, tries_turns=False)
                self._find(part, one)
            frames_a_place = len(frames.frames) / max(_num_places(frames), 1)
            count = self._pace.frames_in(part.share_left_seconds, round(_pixels(frames) * frames_a_place))
            if not count and verdict.num_looked_at:
                return
            frames = with_fewer_places(frames, max(count, 1))  # of no clip less than one
        faces = self._find(part, frames)
        chosen = self._places_to_score(part, faces, frames)
        window = self._score(part, frames, faces, chosen, verdict)
        verdict.add(part, frames, faces, window, num_looked_at=int(chosen.sum()))

    def _find(self, part: ClipPart, frames: ClipFrames) -> ClipFaces:
        began = self._clock()
        # Turns take as long again: no clip has that much left.
        tries_turns = part.watch.limit_seconds is None
        faces = faces_of_frames(str(part.path), frames, self.detector, self.config, tries_turns=tries_turns)
        self._pace.saw_frames(len(frames.frames) * _pixels(frames), self._clock() - began)
        return faces

    def _places_to_score(self, part: ClipPart, faces: ClipFaces, frames: ClipFrames) -> np.ndarray:
        """Return the places whose faces the network has time for, bool, shape (places,): of a crowd's maybe not all."""
        chosen = frames.frame_indices >= 0
        there = np.flatnonzero(chosen)
        needed = sum(track.num_faces for track in faces.tracks) * self._pace.seconds_a_face
        share = max(part.share_left_seconds, 0.0)
        if needed > share and len(there) > 1:
            chosen[:] = False
            count = max(1, int(len(there) * share / needed))
            chosen[there[choose_frame_indices(len(there), num_places=count)]] = True
        return chosen

    def _score(
        self, part: ClipPart, frames: ClipFrames, faces: ClipFaces, chosen: np.ndarray, verdict: ClipVerdict
    ) -> ScoredWindow:
        """Score the faces at the chosen places."""
        assert part.window is not None
        start, end = part.window.start_seconds, part.window.end_seconds
        there = np.flatnonzero(chosen)  # of places that there is no time for nothing is known
        nothing = ScoredWindow(start, end, None, num_places=len(there))
        if not faces.tracks:
            return nothing
        is_face = np.stack([track.is_face for track in faces.tracks]) & chosen
        if not is_face.any():
            return nothing
        crops = np.stack(faces.crops)
        began = self._clock()
        sound = (self._sound_of(part, len(crops), verdict),) if self.model.hears else ()
        scores, probabilities = self.model.score(crops, is_face, *sound)
        self._pace.saw_faces(int(is_face.sum()), self._clock() - began)
        if not np.isfinite(scores).all():
            raise TfdfdError(
                f"{part.path}: the model's answer is no number, so it is broken: score by another version of it"
            )
        rows = np.zeros(len(is_face), np.int64)
        score = float(self.model.rule.clip_scores(probabilities, is_face, rows, 1)[0])
        seconds = frames.seconds_of(frames.frame_indices[there]) - part.first_seconds
        tracks = tuple(
            ScoredTrack(
                score=float(scores[row]),
                seconds=seconds,
                is_face=is_face[row, there],
                boxes_xyxy=boxes_as_shown(faces, track)[there],
                face_probabilities=probabilities[row, there],
                crops=crops[row, there] if self.keep_crops else None,
            )
            for row, track in enumerate(faces.tracks)
            if is_face[row].any()
        )
        return replace(nothing, score=score, tracks=tracks, turned_degrees=90 * faces.turns)

    def _sound_of(self, part: ClipPart, num_people: int, verdict: ClipVerdict) -> Sound:
        """Return the sound of a part, for each of its people; what is wrong with it is told to the verdict."""
        assert part.window is not None
        start, end = (part.first_seconds + at for at in (part.window.start_seconds, part.window.end_seconds))
        sound = read_sound(part.path, start_seconds=start, end_seconds=max(end, start + _SHORTEST_SOUND_SECONDS))
        if sound.status != OK:
            verdict.add_sound_problem(sound.reason)
        waveform, is_sound = (np.repeat(each[None], num_people, axis=0) for each in (sound.waveform, sound.is_sound))
        return waveform, is_sound


def _num_places(frames: ClipFrames) -> int:
    return int((frames.frame_indices >= 0).sum())


def _pixels(frames: ClipFrames) -> int:
    return frames.frames.shape[1] * frames.frames.shape[2]
