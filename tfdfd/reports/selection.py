"""Which clips a page shows, where there are too many for one: the worst, and some typical ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_TYPICAL_SHARE = 0.25


def worst_and_typical(clip_ids: Sequence[str], scores: np.ndarray, limit: int) -> tuple[list[str], list[str]]:
    """Choose clips to look at: the worst first, then some evenly among the others.

    Args:
        clip_ids: n of them, each once.
        scores: float, shape (n,), low is bad; clips of one score go by their id.
        limit: clips to choose, at least 1; a quarter of them are typical ones.

    Returns:
        The worst, worst first, and the typical ones, by clip id. All n are among the worst where n is within the limit.
    """
    order = sorted(range(len(clip_ids)), key=lambda row: (scores[row], clip_ids[row]))
    num_worst = limit if len(clip_ids) <= limit else limit - int(limit * _TYPICAL_SHARE)
    worst = [clip_ids[row] for row in order[:num_worst]]
    return worst, evenly(sorted(clip_ids[row] for row in order[num_worst:]), limit - len(worst))


def evenly(clip_ids: Sequence[T], limit: int) -> list[T]:
    """Choose clips, by id or row, at the centres of equal segments of a list; all where they are within the limit."""
    if len(clip_ids) <= limit:
        return list(clip_ids)
    return [clip_ids[(2 * number + 1) * len(clip_ids) // (2 * limit)] for number in range(limit)]
