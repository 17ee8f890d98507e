"""Pairs: a fake's faces beside its original's at the same places, and where the two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from tfdfd.clip import WITH_FACES, ClipError
from tfdfd.data.store import FaceStore
from tfdfd.faces.boxes import iou
from tfdfd.reports.clips_shown import THUMBNAIL, Geometry, boxes_of, place_title, read_crops
from tfdfd.reports.faces_in_crops import shrink, through_view
from tfdfd.reports.page import counted, picture_uri

AMPLIFIED = 4
"""Times that the difference pictures are brighter than the difference."""
_SAME_PERSON = 0.3
"""Mean overlap (IoU) above which a track of the fake and one of its original are one person."""
_UNKNOWN_GREY = 128
"""What a difference picture shows where the original's crop does not reach."""


@dataclass(frozen=True)
class PairedPlace:
    """One place of a pair."""

    title: str
    original: str
    """`data:` address of the original's crop."""
    fake: str
    difference: str
    """`data:` address of the difference, amplified."""
    caption: str
    """How far the boxes agree."""


@dataclass(frozen=True)
class PairedTrack:
    """One person in a fake and its original."""

    name: str
    summary: str
    places: tuple[PairedPlace, ...]


@dataclass(frozen=True)
class PairShown:
    """A fake and its original."""

    fake: str
    original: str
    tracks: tuple[PairedTrack, ...]
    problem: str = ""
    """Why there are no pictures; empty where there are."""


def why_not_compared(fake: Mapping[str, Any], original: Mapping[str, Any] | None) -> str:
    """Return why a fake and its original cannot be laid beside each other, empty if they can.

    Args:
        fake: its record or row of the index of clips, with status ok or partial.
        original: the same of the original, None where the store does not hold it.
    """
    if original is None:
        return "its original is not in the store"
    if original["status"] not in WITH_FACES:
        return f"its original has the status {original['status']}"
    sizes = [f"{row['width']:.0f} x {row['height']:.0f}" for row in (fake, original) if len(row["frame_indices"])]
    if len(sizes) < 2:
        return "ready-made crops do not say which frames they show"
    if sizes[0] != sizes[1] or fake["quarter_turns"] != original["quarter_turns"]:
        return f"the fake's frames are {sizes[0]}, its original's {sizes[1]}, so their pixels do not correspond"
    if not same_frames(fake, original).any():
        frames = [counted(int(row["num_frames"]), "frame") for row in (fake, original)]
        return f"no frame was read of both: the fake has {frames[0]}, its original {frames[1]}"
    return ""


def same_frames(fake: Mapping[str, Any], original: Mapping[str, Any]) -> np.ndarray:
    """Return at which places both clips show the same frame, bool, shape (num_places,)."""
    indices = [np.asarray(row["frame_indices"], np.int64) for row in (fake, original)]
    return (indices[0] == indices[1]) & (indices[0] >= 0)


def match_tracks(
    fakes: Sequence[Mapping[str, Any]], originals: Sequence[Mapping[str, Any]], is_same_frame: np.ndarray
) -> list[tuple[int, int, np.ndarray]]:
    """Find the tracks of a fake and its original that are one person, by the overlap of their boxes.

    Args:
        fakes: the fake's tracks as its record has them.
        originals: the same of the original.
        is_same_frame: bool, shape (num_places,): the places that may be compared.

    Returns:
        Row of the fake's track, row of the original's, and their IoU at each place, float64 [num_places], NaN where
        either has no face or the frames differ. In the order of the fake's tracks.
    """
    overlaps = np.full((len(fakes), len(originals), len(is_same_frame)), np.nan)
    for row, fake in enumerate(fakes):
        for column, original in enumerate(originals):
            both = np.asarray(fake["is_face"], bool) & np.asarray(original["is_face"], bool) & is_same_frame
            pairs = zip(boxes_of(fake)[both], boxes_of(original)[both], strict=True)
            overlaps[row, column, both] = [iou(one[None], other[None])[0, 0] for one, other in pairs]
    # Those seen together at no place share nothing; a mean over no place would be NaN.
    means = np.nansum(overlaps, axis=2) / np.maximum((~np.isnan(overlaps)).sum(axis=2), 1)
    matched = zip(*linear_sum_assignment(-means), strict=True)
    return [(int(f), int(o), overlaps[f, o]) for f, o in matched if means[f, o] > _SAME_PERSON]


def difference_picture(
    fake: np.ndarray, original: np.ndarray, fake_view: np.ndarray, original_view: np.ndarray
) -> np.ndarray:
    """Show where a fake differs from its original, whether or not both boxes are alike.

    The original's crop is resampled onto the piece of the frame that the fake's crop shows, so that what differs is the
    picture and not the cut.

    Args:
        fake: uint8 RGB, shape (size, size, 3).
        original: the same of the original, at the same frame.
        fake_view: float, shape (2, 3): how the fake's crop lies in the frame, of `crop_views`.
        original_view: the same of the original.

    Returns:
        uint8 RGB, shape (THUMBNAIL, THUMBNAIL, 3): the absolute difference times AMPLIFIED, grey where the original's
        crop does not reach.
    """
    seen, is_known = through_view(original, original_view, fake_view, THUMBNAIL)
    difference = np.abs(shrink(fake, THUMBNAIL).astype(np.int32) - seen.astype(np.int32)) * AMPLIFIED
    return np.where(is_known[..., None], np.clip(difference, 0, 255), _UNKNOWN_GREY).astype(np.uint8)


def show_pair(store: FaceStore, geometry: Geometry, fake: Mapping[str, Any], original: Mapping[str, Any]) -> PairShown:
    """Return what the page shows of a pair for which `why_not_compared` found nothing.

    Args:
        store: where the strips are.
        geometry: the store's, which tells how crops lie in their frames.
        fake: its record.
        original: the original's record.
    """
    is_same_frame = same_frames(fake, original)
    tracks = []
    try:
        for number, other, overlaps in match_tracks(fake["tracks"], original["tracks"], is_same_frame):
            rows = (fake["tracks"][number], original["tracks"][other])
            places = _paired_places(store, geometry, fake, rows, overlaps)
            agreement = f"boxes overlap by {np.nanmean(overlaps):.2f} (mean IoU)"
            compared = f"{len(places)} of {counted(len(overlaps), 'place')} show a face at the same frame of both"
            tracks.append(PairedTrack(f"track {number + 1}", f"{compared}, {agreement}", places))
    except ClipError as error:
        return PairShown(fake["clip_id"], original["clip_id"], (), problem=str(error))
    problem = "" if tracks else "no face of the fake overlaps one of its original at the same frame"
    return PairShown(fake["clip_id"], original["clip_id"], tuple(tracks), problem)


def _paired_places(
    store: FaceStore,
    geometry: Geometry,
    fake: Mapping[str, Any],
    rows: tuple[Mapping[str, Any], Mapping[str, Any]],
    overlaps: np.ndarray,
) -> tuple[PairedPlace, ...]:
    fake_crops, original_crops = (read_crops(store, row) for row in rows)
    views = [geometry.views(row) for row in rows]
    if views[0] is None or views[1] is None:
        raise ValueError("pairs need crops of which it is known how they lie in the frame")
    return tuple(
        PairedPlace(
            place_title(fake, place),
            original=picture_uri(shrink(original_crops[place], THUMBNAIL)),
            fake=picture_uri(shrink(fake_crops[place], THUMBNAIL)),
            difference=picture_uri(
                difference_picture(fake_crops[place], original_crops[place], views[0][place], views[1][place])
            ),
            caption=f"IoU {overlaps[place]:.2f}",
        )
        for place in np.flatnonzero(~np.isnan(overlaps)).tolist()
    )
