"""A clip's score over time with its faces, as one picture."""

from __future__ import annotations

from matplotlib.figure import Figure

from tfdfd.scored_clip import ScoredClip


def timeline_figure(clip: ScoredClip, *, threshold: float) -> Figure:
    """Draw the probability of each face over time, one line a person, and the faces along the time axis.

    Args:
        clip: with crops, where faces are to be shown.
        threshold: of the scoring rule.
    """
    raise NotImplementedError


def timeline_png(clip: ScoredClip, *, threshold: float) -> bytes:
    """Return `timeline_figure` as a PNG file's bytes."""
    raise NotImplementedError
