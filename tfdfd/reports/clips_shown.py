"""What a page shows of one clip: each track's places in playing order, boxes and landmarks drawn inside the crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdfd.clip import ClipError
from tfdfd.data.ready_crops import READY_MADE
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import read_strip
from tfdfd.faces.alignment import ALIGNMENTS
from tfdfd.faces.crop_views import crop_views, to_crop
from tfdfd.reports.faces_in_crops import shrink
from tfdfd.reports.page import counted, picture_uri

THUMBNAIL = 96
"""Side of a face on the page in pixels."""
LOW_CONFIDENCE = 0.9
"""A face of less is marked."""
TRACKS_A_CLIP = 6
"""Tracks shown of one clip; a crowd would fill the page."""

Point = tuple[float, float]


@dataclass(frozen=True)
class PlaceShown:
    """One place of a track."""

    title: str
    """Place, frame, time, confidence and size, for the pointer."""
    picture: str = ""
    """`data:` address; empty where there is no face."""
    caption: str = ""
    """What stands under it."""
    is_past_end: bool = False
    """Whether no frame was read for the place, so that no face was missed: the clip is short, or damaged there."""
    is_between: bool = False
    """Whether faces were not looked for in its frame: box and landmarks lie between detections."""
    is_low: bool = False
    """Whether the confidence is below LOW_CONFIDENCE."""
    box: tuple[Point, ...] = ()
    """The four corners of the detector's box, x and y in pixels of the stored crop; empty where it is not known."""
    landmarks: tuple[Point, ...] = ()
    """x and y of the five landmarks in pixels of the stored crop."""


@dataclass(frozen=True)
class TrackShown:
    """One track."""

    name: str
    summary: str
    places: tuple[PlaceShown, ...]
    problem: str = ""
    """Why there are no pictures; empty where there are."""


@dataclass(frozen=True)
class ClipShown:
    """One clip."""

    clip_id: str
    facts: str
    warnings: tuple[str, ...]
    tracks: tuple[TrackShown, ...]
    num_tracks_left_out: int


class Geometry:
    """Where the faces of a store lie in its crops, as far as its fingerprint tells.

    Args:
        store: the store.
    """

    def __init__(self, store: FaceStore) -> None:
        preprocessing = store.fingerprint.preprocessing
        self.crop_size = store.crop_size
        self.has_boxes = preprocessing.get("detector") != READY_MADE
        """Whether boxes, landmarks and confidences are the detector's; ready-made crops come without."""
        margin, self._alignment = preprocessing.get("margin"), preprocessing.get("alignment")
        self._margin = float(margin) if isinstance(margin, int | float) else None
        self.has_views = self.has_boxes and self._margin is not None and self._alignment in ALIGNMENTS
        """Whether it is known how the crops lie in their frames."""

    def views(self, track: Mapping[str, Any]) -> np.ndarray | None:
        """Return how each crop of a track lies in its frame, float64 [num_places, 2, 3], None if that is not known."""
        if not self.has_views or self._margin is None:
            return None
        boxes, landmarks = boxes_of(track), landmarks_of(track)
        return crop_views(boxes, landmarks, size=self.crop_size, margin=self._margin, alignment=str(self._alignment))


def boxes_of(track: Mapping[str, Any]) -> np.ndarray:
    """Return the boxes of a track's record, float64, shape (num_places, 4)."""
    return np.asarray(track["boxes_xyxy"], np.float64)


def landmarks_of(track: Mapping[str, Any]) -> np.ndarray:
    """Return the landmarks of a track's record, float64, shape (num_places, 5, 2)."""
    return np.asarray(track["landmarks_xy"], np.float64).reshape(-1, 5, 2)


def read_crops(store: FaceStore, track: Mapping[str, Any]) -> np.ndarray:
    """Return the crops of a track, uint8 RGB [num_places, size, size, 3].

    Raises:
        ClipError: if the strip is missing or damaged.
    """
    return read_strip(store.folder / track["strip"], num_places=store.num_places)


def show_clip(store: FaceStore, geometry: Geometry, clip: Mapping[str, Any]) -> ClipShown:
    """Return what the page shows of a clip with status ok.

    Args:
        store: where its strips are.
        geometry: the store's.
        clip: its record.
    """
    tracks = clip["tracks"][:TRACKS_A_CLIP]
    shown = tuple(_show_track(store, geometry, clip, track, number) for number, track in enumerate(tracks, 1))
    num_left_out = len(clip["tracks"]) - len(shown)
    return ClipShown(clip["clip_id"], clip_facts(clip), tuple(clip["warnings"]), shown, num_left_out)


def clip_facts(clip: Mapping[str, Any]) -> str:
    """Return size, frames, codec and decoder of a clip in one line, what is not known left out."""
    if not clip["width"]:
        return ""
    turned = f", turned by {clip['quarter_turns'] * 90}°" if clip["quarter_turns"] else ""
    codec = " ".join(part for part in (clip["codec"], clip["profile"]) if part)
    rate = f" at {clip['frames_per_second']:.4g}/s" if clip["frames_per_second"] else ""
    size = f"{clip['width']} x {clip['height']}{turned}"
    return f"{size}, {counted(clip['num_frames'], 'frame')}{rate}, {codec}, by {clip['decoder']}"


def place_title(clip: Mapping[str, Any], place: int) -> str:
    """Return place, frame and time of one place of a clip."""
    frames = clip["frame_indices"]
    if place >= len(frames):
        return f"place {place + 1}"
    frame = frames[place]
    if frame < 0:
        return f"place {place + 1}: no frame was read for it"
    return f"place {place + 1}, frame {frame}, {place_seconds(clip, place):.2f} s"


def place_seconds(clip: Mapping[str, Any], place: int) -> float:
    """Return the time of a place of a clip whose frame is known, in seconds."""
    frame, times = clip["frame_indices"][place], clip["frame_seconds"]
    last = max(clip["num_frames"] - 1, 1)
    # Two times are those of the first and the last of evenly spaced frames.
    return float(times[frame] if len(times) > 2 else times[0] + (times[-1] - times[0]) * frame / last)


def _show_track(
    store: FaceStore, geometry: Geometry, clip: Mapping[str, Any], track: Mapping[str, Any], number: int
) -> TrackShown:
    is_face = np.asarray(track["is_face"], np.bool_)
    name = f"track {number}" + (" (main)" if number == 1 else "")
    summary = f"{is_face.sum()} of {counted(len(is_face), 'place')}"
    boxes = boxes_of(track)
    if geometry.has_boxes:
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[is_face]
        summary += f", mean confidence {np.mean(np.asarray(track['confidences'])[is_face]):.3f}"
        summary += f", faces of {sides.min():.0f} to {sides.max():.0f} px"
    try:
        crops = read_crops(store, track)
    except ClipError as error:
        return TrackShown(name, summary, (), problem=str(error))
    views = geometry.views(track)
    places = []
    frames = clip["frame_indices"]
    for place, crop in enumerate(crops):
        title = place_title(clip, place)
        if not is_face[place]:
            is_past_end = place < len(frames) and frames[place] < 0
            places.append(PlaceShown(title if is_past_end else f"{title}: no face", is_past_end=is_past_end))
            continue
        confidence = float(track["confidences"][place])
        is_between = not track["is_detected"][place]
        if geometry.has_boxes:
            width, height = boxes[place, 2:] - boxes[place, :2]
            title += f", confidence {confidence:.4f}, face {width:.0f} x {height:.0f} px"
            title += ", between detections" if is_between else ""
        box, landmarks = (), ()
        if views is not None:
            x1, y1, x2, y2 = boxes[place]
            corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
            box = _rounded(to_crop(corners, views[place]))
            landmarks = _rounded(to_crop(landmarks_of(track)[place], views[place]))
        places.append(
            PlaceShown(
                title,
                picture_uri(shrink(crop, THUMBNAIL)),
                caption=f"{confidence:.3f}" if geometry.has_boxes else "",
                is_between=is_between,
                is_low=geometry.has_boxes and confidence < LOW_CONFIDENCE,
                box=box,
                landmarks=landmarks,
            )
        )
    return TrackShown(name, summary, tuple(places))


def _rounded(points_xy: np.ndarray) -> tuple[Point, ...]:
    return tuple((round(float(x), 1) + 0.0, round(float(y), 1) + 0.0) for x, y in points_xy)  # no -0.0
