"""Scored clips out of plain numbers, for the tests of what is made of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tfdfd.clip import FAILED, NO_FACE, OK
from tfdfd.data.manifest import COLUMNS
from tfdfd.data.rows import StripRows
from tfdfd.evaluation.scores import ScoredClips

Tracks = Sequence[Sequence[float | None]]
"""The logit of each place of each track, None where there is no face."""


def scored_clips(
    clips: Sequence[tuple[str, int, Tracks | None]], *, groups: Sequence[int] | None = None, **columns: Sequence[str]
) -> ScoredClips:
    """Make them.

    Args:
        clips: clip id, label and tracks of each: no track for a clip without a face, None for one that failed.
        groups: the original of each; left out, each clip is its own.
        columns: of the manifest, such as `folder`.
    """
    table = pd.DataFrame("", index=range(len(clips)), columns=list(COLUMNS)).assign(
        clip_id=[clip_id for clip_id, _, _ in clips],
        label=np.array([label for _, label, _ in clips], np.int64),
        **columns,
    )
    tracks = [
        (row, number, places)
        for row, (_, _, of_clip) in enumerate(clips)
        for number, places in enumerate(of_clip or ())
    ]
    num_places = max((len(places) for _, _, places in tracks), default=1)
    is_face = np.zeros((len(tracks), num_places), bool)
    logits = np.zeros((len(tracks), num_places), np.float32)
    for number, (_, _, places) in enumerate(tracks):
        for place, logit in enumerate(places):
            is_face[number, place], logits[number, place] = logit is not None, logit or 0
    rows = StripRows(
        [f"{row}.{track}.jpg" for row, track, _ in tracks],
        is_face,
        np.array([row for row, _, _ in tracks], np.int32),
        np.array([track for _, track, _ in tracks], np.int32),
    )
    status = [FAILED if found is None else OK if len(found) else NO_FACE for _, _, found in clips]
    return ScoredClips(
        table,
        np.arange(len(clips)) if groups is None else np.array(groups),
        rows,
        logits,
        np.array(status, object),
        np.array(["" if name == OK else "a reason" for name in status], object),
    )
