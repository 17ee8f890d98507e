"""The page of masks: fakes beside their originals with the region that was altered, and the fakes without masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from tfdfd.clip import OK, ClipError
from tfdfd.data.mask_store import MASK_STATUSES, MaskStore
from tfdfd.data.tables import records, rows_where, values
from tfdfd.reports.clips_shown import THUMBNAIL, TRACKS_A_CLIP, Geometry, place_title, read_crops
from tfdfd.reports.faces_in_crops import shrink, through_view
from tfdfd.reports.page import counted, picture_uri, write_page
from tfdfd.reports.pairs import match_tracks, same_frames, why_not_compared
from tfdfd.reports.selection import evenly

CLIPS_SHOWN = 24
"""Fakes that the page shows unless told otherwise."""
ROWS_A_TABLE = 200
EDGE = (255, 212, 0)
"""RGB of the line around an altered region."""


@dataclass(frozen=True)
class MaskedPlace:
    """One face of a fake."""

    title: str
    caption: str
    """Share of the crop that was altered."""
    original: str
    """`data:` address of what the original shows there; empty where the store does not hold that frame of it."""
    fake: str
    """The fake's crop with the altered region outlined."""
    mask: str
    """The region, white on black; empty where nothing is known."""


@dataclass(frozen=True)
class MaskedTrack:
    """One person of a fake."""

    name: str
    summary: str
    places: tuple[MaskedPlace, ...]
    problem: str = ""


@dataclass(frozen=True)
class MaskedClip:
    """One fake."""

    clip_id: str
    original: str
    notes: tuple[str, ...]
    tracks: tuple[MaskedTrack, ...]


def write_mask_sheet(masks: MaskStore, path: Path, *, limit: int = CLIPS_SHOWN) -> int:
    """Write the page; the same store gives the same bytes.

    Args:
        masks: of a store that is not being written to.
        path: the HTML file.
        limit: fakes to show, chosen evenly by clip id; at least 1.

    Returns:
        Bytes written.

    Raises:
        TfdfdError: if the page cannot be written.
    """
    index = masks.index()
    clips = index.drop_duplicates("clip_id")
    made = values(clips, "clip_id")[values(clips, "status") == OK].tolist()
    shown = evenly(made, limit)
    without = records(rows_where(clips, values(clips, "status") != OK))
    counts = Counter(clips["status"])
    known = sum(int(np.sum(is_known)) for is_known in values(index, "is_known"))
    return write_page(
        path,
        "mask_sheet.html",
        title="Altered regions",
        facts={
            "fakes": counted(len(clips), "fake"),
            **{status: f"{counts[status]:,}" for status in MASK_STATUSES if counts[status]},
            "faces with a mask": f"{known:,}",
            "crops": f"{masks.store.crop_size} px",
        },
        num_made=len(made),
        num_shown=len(shown),
        clips=lambda: _clips(masks, shown),
        without=[[row[name] for name in ("clip_id", "status", "reason")] for row in without[:ROWS_A_TABLE]],
        num_without=len(without),
        num_places=masks.store.num_places,
        thumbnail=THUMBNAIL,
    )


def outlined(crop: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw a line around a region, inside it.

    Args:
        crop: uint8 RGB, shape (side, side, 3).
        mask: bool, shape (side, side).

    Returns:
        uint8 RGB, shape (side, side, 3).
    """
    inner = np.asarray(ndimage.binary_erosion(np.pad(mask, 1, mode="edge")), np.bool_)[1:-1, 1:-1]
    return np.where((mask & ~inner)[..., None], np.array(EDGE, np.uint8), crop)


def _clips(masks: MaskStore, clip_ids: list[str]) -> Iterator[MaskedClip]:
    store = masks.store
    manifest = store.manifest() if (store.folder / "manifest.parquet").is_file() else None
    originals = {} if manifest is None else dict(zip(manifest["clip_id"], manifest["original"], strict=True))
    geometry = Geometry(store)
    for clip_id in clip_ids:
        fake, made = store.record(clip_id), masks.record(clip_id)
        if fake is None or made is None:
            continue  # taken away since the index was read
        name = originals.get(clip_id, "")
        original = store.record(name) if name else None
        yield MaskedClip(clip_id, name, tuple(made["notes"]), tuple(_tracks(masks, geometry, fake, made, original)))


def _tracks(
    masks: MaskStore,
    geometry: Geometry,
    fake: Mapping[str, Any],
    made: Mapping[str, Any],
    original: Mapping[str, Any] | None,
) -> Iterator[MaskedTrack]:
    matched: dict[int, int] = {}
    same = np.zeros(masks.store.num_places, np.bool_)
    if original is not None and not why_not_compared(fake, original):
        same = same_frames(fake, original)
        matched = {ours: theirs for ours, theirs, _ in match_tracks(fake["tracks"], original["tracks"], same)}
    for number, (track, of_track) in enumerate(zip(fake["tracks"][:TRACKS_A_CLIP], made["tracks"], strict=False)):
        other = original["tracks"][matched[number]] if original is not None and number in matched else None
        name = f"track {number + 1}" + (" (main)" if number == 0 else "")
        is_known = np.asarray(of_track["is_known"], np.bool_)
        summary = f"masks at {is_known.sum()} of {counted(sum(track['is_face']), 'face')}"
        try:
            places = _places(masks, geometry, fake, track, of_track, other, same)
        except ClipError as error:
            yield MaskedTrack(name, summary, (), problem=str(error))
            continue
        yield MaskedTrack(name, summary, places)


def _places(
    masks: MaskStore,
    geometry: Geometry,
    fake: Mapping[str, Any],
    track: Mapping[str, Any],
    of_track: Mapping[str, Any],
    other: Mapping[str, Any] | None,
    same: np.ndarray,
) -> tuple[MaskedPlace, ...]:
    crops, regions = read_crops(masks.store, track), masks.read(of_track["mask"])
    theirs = None if other is None else read_crops(masks.store, other)
    views, their_views = geometry.views(track), None if other is None else geometry.views(other)
    shown = []
    for place in np.flatnonzero(track["is_face"]).tolist():
        small = shrink(crops[place], THUMBNAIL)
        original = ""
        is_beside = other is not None and same[place] and other["is_face"][place]
        if is_beside and theirs is not None and views is not None and their_views is not None:
            picture, is_there = through_view(theirs[place], their_views[place], views[place], THUMBNAIL)
            original = picture_uri(np.where(is_there[..., None], picture, 128).astype(np.uint8))
        title = place_title(fake, place)
        if not of_track["is_known"][place]:
            shown.append(MaskedPlace(f"{title}: nothing is known", "?", original, picture_uri(small), ""))
            continue
        white = Image.fromarray(regions[place].astype(np.uint8) * 255).resize((THUMBNAIL, THUMBNAIL))
        region = np.asarray(white) > 127
        share = regions[place].mean()
        shown.append(
            MaskedPlace(
                f"{title}, {share:.1%} altered",
                f"{share:.0%}",
                original,
                picture_uri(outlined(small, region)),
                picture_uri(np.repeat(np.asarray(white)[..., None], 3, axis=2)),
            )
        )
    return tuple(shown)
