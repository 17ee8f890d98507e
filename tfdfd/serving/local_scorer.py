"""Scoring clips on this machine: from a path to a score, the next clip read while this one is scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tfdfd.extraction import Detector, FrameSource
from tfdfd.faces.config import ExtractionConfig
from tfdfd.scored_clip import ScoredClip

if TYPE_CHECKING:
    from tfdfd.serving.saved_model import LoadedModel


class LocalScorer:
    """Scores clips by a model on this machine.

    Args:
        model: the model.
        frame_source: reads clips.
        detector: finds faces.
        config: how clips are cropped for the model.
        time_limit_seconds: most time for one clip; fewer frames are looked at where it would not do. None for no limit.
        keep_crops: whether the scored tracks hold their crops.
        clock: returns seconds.
    """

    def __init__(
        self,
        model: LoadedModel,
        frame_source: FrameSource,
        detector: Detector,
        config: ExtractionConfig,
        *,
        time_limit_seconds: float | None = None,
        keep_crops: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.frame_source, self.detector, self.config = model, frame_source, detector, config
        self.time_limit_seconds, self.keep_crops, self._clock = time_limit_seconds, keep_crops, clock

    def score(self, path: Path) -> ScoredClip:
        """Score one clip; one that cannot be read has the status failed and the reason."""
        (scored,) = self.score_all([path])
        return scored

    def score_all(self, paths: Iterable[Path]) -> Iterator[ScoredClip]:
        """Score clips in order, as soon as each is done; the next one is read while this one is scored."""
        raise NotImplementedError
