"""Windows whose answers are waited for, put together to clips in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tfdfd.clip import ClipError, ClipFrames
from tfdfd.guard import Failed, attempt
from tfdfd.scored_clip import ScoredClip
from tfdfd.serving.clip_parts import ClipPart, OnWindow
from tfdfd.serving.clip_verdict import ClipVerdict
from tfdfd.serving.remote_faces import Looked
from tfdfd.serving.remote_model import RemoteModel


class _Waiting(NamedTuple):
    """A window, without its pixels."""

    part: ClipPart
    frames: ClipFrames | None
    """None where it could not be read; the reason is the part's."""
    looked: Future[Looked] | Looked | Failed | None


class ClipsUnderWay:
    """Takes windows in order and gives out clips in order, each as soon as it and those before it are done.

    Args:
        model: says from which score on a clip is fake.
        most: windows that are waited for at once, at most.
        on_window: called after each window of a clip.
    """

    def __init__(self, model: RemoteModel, *, most: int, on_window: OnWindow = lambda number, count: None) -> None:
        self._rule: Any = model  # which says as well as its rule what is called fake
        self._most, self._on_window = most, on_window
        self._waiting: deque[_Waiting] = deque()
        self._verdict: ClipVerdict | None = None

    def add(self, part: ClipPart, looked: Future[Looked] | Looked | Failed | None) -> None:
        """Take in a window.

        Args:
            part: the window; its frames are let go.
            looked: what was or will be found in it or why nothing, None where it could not be read.
        """
        frames = None
        if isinstance(part.frames, ClipFrames):
            nothing = np.zeros((len(part.frames.frames), 0, 0, 3), np.uint8)
            frames, part = replace(part.frames, frames=nothing), replace(part, frames=None)
        self._waiting.append(_Waiting(part, frames, looked))

    def done(self) -> Iterator[ScoredClip]:
        """Yield clips that are done; wait while so many windows are under way that no further one may be."""
        while self._waiting and (len(self._waiting) >= self._most or _is_done(self._waiting[0])):
            yield from self._take()

    def rest(self) -> Iterator[ScoredClip]:
        """Wait for all that is under way."""
        while self._waiting:
            yield from self._take()

    def _take(self) -> Iterator[ScoredClip]:
        """Wait for the first window; yield its clip if it is the last of it."""
        part, frames, looked = self._waiting.popleft()
        if self._verdict is None:
            self._verdict = ClipVerdict(part, self._rule)
        if isinstance(part.frames, ClipError):
            self._verdict.add_unreadable(part.frames)
        elif frames is not None and looked is not None:
            found = attempt(looked.result) if isinstance(looked, Future) else looked
            if isinstance(found, Failed):
                self._verdict.fail(found)
            else:
                num_places = int((frames.frame_indices >= 0).sum())
                self._verdict.add(part, frames, found.faces, found.window, num_looked_at=num_places)
        self._on_window(part.number + 1, part.num_windows)
        if part.is_last:
            verdict, self._verdict = self._verdict, None
            yield verdict.finish(num_places_left_out=0)


def _is_done(one: _Waiting) -> bool:
    return one.looked.done() if isinstance(one.looked, Future) else True
