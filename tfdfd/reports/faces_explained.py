"""The faces of one clip beside what the model says of each, and where in them it looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tfdfd.clip import ClipError
from tfdfd.data.store import FaceStore
from tfdfd.reports.clips_shown import THUMBNAIL, TRACKS_A_CLIP, clip_facts, place_seconds, place_title, read_crops
from tfdfd.reports.detail_charts import TimelineTrack
from tfdfd.reports.evaluation_shown import FaceShown, MistakeShown, StripShown
from tfdfd.reports.faces_in_crops import shrink
from tfdfd.reports.page import counted, picture_uri

TOWARDS_FAKE, TOWARDS_REAL = (255, 40, 0), (0, 70, 255)
"""RGB of heat above and below 0; evaluation.css has them once more, for the legend."""
_MOST_COVERED = 0.7
"""Share of the colour where the heat is strongest: the face must show through."""


STRONG_HEAT = 0.98
"""Quantile of all heat shown that gets the full colour: one hot corner must not dim all others."""


def strongest_heat(heats: Sequence[np.ndarray], *, are_masks: bool = False) -> float:
    """Return the heat that is shown strongest, above 0.

    Args:
        heats: float32, of any shapes: all maps that are to be compared.
        are_masks: whether they tell how likely each place was altered.

    Returns:
        Their STRONG_HEAT quantile, without the sign; 1 of masks, so that a face in which hardly anything is found
        altered stays clear.
    """
    if not heats or are_masks:
        return 1.0
    return max(float(np.quantile(np.concatenate([np.abs(heat).ravel() for heat in heats]), STRONG_HEAT)), 1e-6)


def enlarged(heat: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a heat map at the size of a picture, float32 (height, width), bilinear between its places."""
    small = Image.fromarray(np.asarray(heat, np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def heat_overlay(crop: np.ndarray, heat: np.ndarray, scale: float) -> np.ndarray:
    """Lay a heat map over a crop.

    Args:
        crop: uint8 RGB, shape (size, size, 3).
        heat: float32, shape (h, w), signed: above 0 what pushed towards fake, below 0 what pushed towards real.
        scale: heat that is shown strongest, above 0; the same for all faces that are to be compared.

    Returns:
        uint8 RGB, shape (size, size, 3): red towards fake, blue towards real, clear where the heat is 0.

    Raises:
        ValueError: if the scale is not above 0 or the heat is not a map of finite numbers.
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    if np.ndim(heat) != 2 or not np.isfinite(heat).all():
        raise ValueError(f"heat must be a map of finite numbers, got shape {np.shape(heat)}")
    strength = np.clip(enlarged(heat, *crop.shape[:2]) / scale, -1, 1)
    colour = np.where(strength[..., None] > 0, np.array(TOWARDS_FAKE, np.float32), np.array(TOWARDS_REAL, np.float32))
    alpha = _MOST_COVERED * np.abs(strength)[..., None]
    return np.rint(crop * (1 - alpha) + colour * alpha).astype(np.uint8)


def explain_clip(
    store: FaceStore,
    clip: Mapping[str, Any],
    *,
    label: str,
    score: float,
    what: str,
    probabilities: Sequence[np.ndarray],
    heats: Sequence[np.ndarray] | None = None,
    heat_scale: float = 1.0,
    has_pictures: bool = True,
) -> MistakeShown:
    """Return what the page shows of a clip, whatever its status.

    Args:
        store: where its strips are.
        clip: its record, as `FaceStore.record` has it.
        label: `real` or `fake`.
        score: clip score, in [0, 1].
        what: what went wrong, in words.
        probabilities: float, shape (num_places,), one array a track in the order of the record: the face
            probabilities; what stands at places without a face is ignored.
        heats: float32, shape (num_places, h, w), one array for each of the first tracks, None without heat maps.
        heat_scale: heat that is shown strongest.
        has_pictures: whether to make pictures at all.
    """
    tracks = clip["tracks"][:TRACKS_A_CLIP]
    strips, timeline = [], []
    for number, track in enumerate(tracks):
        is_face = np.asarray(track["is_face"], np.bool_)
        told = np.where(is_face, np.asarray(probabilities[number], np.float64), np.nan)
        name = f"track {number + 1}" + (" (main)" if number == 0 else "")
        if has_pictures:
            heat = heats[number] if heats is not None and number < len(heats) else None
            strips.append(_strip(store, clip, track, name, told, heat, heat_scale))
        places = [place for place, frame in enumerate(clip["frame_indices"]) if frame >= 0]
        if places and clip["frame_seconds"] and is_face.any():
            seconds = np.array([place_seconds(clip, place) for place in places])
            timeline.append(TimelineTrack(name, seconds, told[places]))
    return MistakeShown(
        clip["clip_id"],
        label,
        score,
        what,
        clip_facts(clip),
        tuple(strips),
        tuple(timeline),
        num_tracks_left_out=len(clip["tracks"]) - len(tracks),
    )


def _strip(
    store: FaceStore,
    clip: Mapping[str, Any],
    track: Mapping[str, Any],
    name: str,
    probabilities: np.ndarray,
    heats: np.ndarray | None,
    heat_scale: float,
) -> StripShown:
    known = probabilities[np.isfinite(probabilities)]
    summary = f"{len(known)} of {counted(len(probabilities), 'place')}"
    if len(known):
        summary += f", face probability {known.min():.2f} to {known.max():.2f}, mean {known.mean():.2f}"
    try:
        crops = read_crops(store, track)
    except ClipError as error:
        return StripShown(name, summary, (), problem=str(error))
    faces, frames = [], clip["frame_indices"]
    for place, crop in enumerate(crops):
        title, probability = place_title(clip, place), float(probabilities[place])
        if np.isnan(probability):
            is_past_end = place < len(frames) and frames[place] < 0
            faces.append(FaceShown(title if is_past_end else f"{title}: no face", is_past_end=is_past_end))
            continue
        small = shrink(crop, THUMBNAIL)
        heat = "" if heats is None else picture_uri(heat_overlay(small, heats[place], heat_scale))
        faces.append(FaceShown(f"{title}, face probability {probability:.4f}", probability, picture_uri(small), heat))
    return StripShown(name, summary, tuple(faces))
