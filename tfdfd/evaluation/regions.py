"""How well a network tells where faces were altered: its maps beside the masks of the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import FAKE
from tfdfd.data.mask_store import MaskStore, track_masks
from tfdfd.data.rows import TrackMasks
from tfdfd.data.strips import read_strip
from tfdfd.data.tables import values
from tfdfd.evaluation.intervals import NUM_REPLICATES, Interval, edges_of, mean_interval, with_interval
from tfdfd.evaluation.scores import ScoredClips
from tfdfd.reports.faces_explained import enlarged
from tfdfd.reports.selection import evenly

TellRegions = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(crops [batch, places, size, size, 3], is_face [batch, places]) -> how likely each place of each face was altered."""

ALL = "all fakes"
ALTERED_FROM = 0.5
"""How likely a place must have been altered, in the eyes of the network, to be called so."""
EXAMPLES = 12


@dataclass(frozen=True)
class RegionPart:
    """The fakes of one method, or all."""

    method: str
    """ALL, or as the manifest names it."""
    num_clips: int
    num_faces: int
    """Those in which something is known to have been altered."""
    iou: float
    """Mean over them: what network and mask both call altered, as a share of what either does."""
    interval: Interval | None
    """Over originals; None of one."""

    def written(self) -> str:
        """Return the mean with its interval, such as `0.8340  [0.8123, 0.8541]`."""
        return with_interval(self.iou, self.interval)


@dataclass(frozen=True)
class RegionExample:
    """One face, to look at."""

    clip_id: str
    place: int
    crop: np.ndarray = field(repr=False)
    """uint8 RGB, shape (size, size, 3)."""
    mask: np.ndarray = field(repr=False)
    """bool, shape (size, size): where it was altered."""
    told: np.ndarray = field(repr=False)
    """float32, shape (h, w): how likely each place was altered, in the eyes of the network."""
    iou: float


@dataclass(frozen=True)
class Regions:
    """What was found of one model."""

    parts: tuple[RegionPart, ...]
    """All fakes, then each method where there are several."""
    num_unaltered: int
    """Faces of real clips, and of people in fakes who were not forged."""
    false_area: float | None
    """Mean share of those faces that is called altered; None without any."""
    examples: tuple[RegionExample, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in metrics.json."""
        return {
            "parts": [
                {
                    "method": part.method,
                    "num_clips": part.num_clips,
                    "num_faces": part.num_faces,
                    "iou": part.iou,
                    "iou_interval": edges_of(part.interval),
                }
                for part in self.parts
            ],
            "num_unaltered": self.num_unaltered,
            "false_area": self.false_area,
        }


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of what either mask has that both have; bool of one shape, 1 where neither has anything."""
    either = (one | other).sum()
    return float((one & other).sum() / either) if either else 1.0


@dataclass(frozen=True)
class ComparedClips:
    """The clips that are looked at, and what is known of their faces."""

    masks: MaskStore
    known: TrackMasks = field(repr=False)
    """Of the tracks of all scored clips."""
    clip_rows: tuple[int, ...]
    """Fakes first."""
    examples: frozenset[int]
    """Those of which a face is shown."""


def choose_clips(scored: ScoredClips, masks: MaskStore, num_clips: int) -> ComparedClips:
    """Choose clips evenly, half of them fakes with masks.

    Args:
        scored: the clips.
        masks: of the store that they were scored from.
        num_clips: clips to look at, at least 2.

    Raises:
        TfdfdError: if the masks are older than the faces.
    """
    rows, is_fake = scored.rows, scored.labels == FAKE
    known = track_masks(masks, _tracks(scored), is_fake[rows.clip_rows])
    has_mask = np.zeros(len(is_fake), np.bool_)
    has_mask[rows.clip_rows[(known.is_known & rows.is_face).any(axis=1)]] = True
    fakes, real = (np.flatnonzero(has_mask & (is_fake == side)).tolist() for side in (True, False))
    chosen = evenly(fakes, num_clips // 2)
    return ComparedClips(
        masks,
        known,
        (*chosen, *evenly(real, num_clips - num_clips // 2)),
        frozenset(evenly(chosen, EXAMPLES)),
    )


def measure_regions(
    tell: TellRegions,
    scored: ScoredClips,
    compared: ComparedClips,
    *,
    num_replicates: int = NUM_REPLICATES,
    on_clips: Callable[[int], None] = lambda _: None,
) -> Regions | None:
    """Compare what a network calls altered with the masks of a store, face by face.

    Args:
        tell: its maps, float32 (batch, places, h, w), in [0, 1].
        scored: the clips.
        compared: those to look at, of `choose_clips`.
        num_replicates: draws of originals for the intervals.
        on_clips: told how many clips are done.

    Returns:
        None where no face of these fakes has a mask that shows something.

    Raises:
        ClipError: if a strip or a mask is missing or damaged.
    """
    rows, known, masks = scored.rows, compared.known, compared.masks
    clip_ids = values(scored.clips, "clip_id")
    found, shown, false_areas = [], [], []
    for clip_row in compared.clip_rows:
        best: RegionExample | None = None
        for row in np.flatnonzero(rows.clip_rows == clip_row).tolist():
            is_face = rows.is_face[row] & known.is_known[row]
            if not is_face.any():
                continue
            crops = read_strip(rows.strip_paths[row], num_places=masks.store.num_places)
            path = known.paths[row]
            truth = np.zeros(crops.shape[:3], np.bool_)
            if path:
                truth = masks.read(str(Path(path).relative_to(masks.folder)))
            maps = tell(crops[None] * is_face[None, :, None, None, None], is_face[None])[0]
            for place in np.flatnonzero(is_face).tolist():
                told = enlarged(maps[place], *truth.shape[1:]) >= ALTERED_FROM
                if not truth[place].any():
                    false_areas.append(float(told.mean()))
                    continue
                share = iou(told, truth[place])
                found.append((clip_row, share))
                if clip_row in compared.examples and best is None and place >= len(is_face) // 2:
                    best = RegionExample(clip_ids[clip_row], place, crops[place], truth[place], maps[place], share)
        if best is not None:
            shown.append(best)
        on_clips(1)
    if not found:
        return None
    clip_rows, shares = (np.array(column) for column in zip(*found, strict=True))
    return Regions(
        _parts(scored, clip_rows, shares, num_replicates),
        len(false_areas),
        float(np.mean(false_areas)) if false_areas else None,
        tuple(shown),
    )


def _tracks(scored: ScoredClips) -> pd.DataFrame:
    clip_ids = values(scored.clips, "clip_id")[scored.rows.clip_rows]
    return pd.DataFrame({"clip_id": clip_ids, "track": scored.rows.track})


def _parts(
    scored: ScoredClips, clip_rows: np.ndarray, shares: np.ndarray, num_replicates: int
) -> tuple[RegionPart, ...]:
    methods = values(scored.clips, "method")[clip_rows]
    names = sorted(set(methods.tolist()) - {""})
    chosen = {ALL: np.ones(len(shares), np.bool_)}
    if len(names) > 1:
        chosen |= {name: methods == name for name in names}
    return tuple(
        RegionPart(
            name,
            len(set(clip_rows[some].tolist())),
            int(some.sum()),
            float(shares[some].mean()),
            mean_interval(shares[some], scored.groups[clip_rows[some]], num_replicates=num_replicates),
        )
        for name, some in chosen.items()
    )
