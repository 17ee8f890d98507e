"""From a fake and its original to masks: where each of the fake's crops in the store was altered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfdfd.clip import OK, ClipError, ClipFrames, Track
from tfdfd.data.altered_region import RegionSettings, altered_region
from tfdfd.data.frame_alignment import LEAST_AGREEMENT, Placement, agreement, find_placement
from tfdfd.data.frame_reading import read_frames, read_what_decodes
from tfdfd.data.frame_source import turn_upright
from tfdfd.data.mask_store import FAILED, OTHER_LENGTH, OTHER_SIZE, ClipMasks
from tfdfd.data.video import ProbedVideo, probe

_FACE_GROWN = 0.25
"""Share of its sides by which a face's box is grown where the background alone is looked at."""


@dataclass(frozen=True)
class CropGeometry:
    """How the crops of a store lie in their frames."""

    size: int
    """Side in pixels."""
    margin: float
    """Share of a box's longer side that is added to it."""
    alignment: str
    """One of `tfdfd.faces.alignment.ALIGNMENTS`."""
    num_places: int


class _OfAnotherKind(ClipError):
    """A pair that cannot be laid on each other, and the status that says why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def masks_of_fake(
    record: Mapping[str, Any],
    fake: Path,
    original: Path,
    geometry: CropGeometry,
    settings: RegionSettings = RegionSettings(),  # noqa: B008, frozen
) -> ClipMasks:
    """Make the masks of one fake.

    Args:
        record: its record in the store, with status ok.
        fake: its file.
        original: its original's file.
        geometry: the store's.
        settings: how differences become regions.

    Returns:
        The masks, or the status and the reason why there are none.
    """
    clip_id = str(record["clip_id"])
    try:
        faces = compare_faces(record, fake, original, geometry, settings)
    except _OfAnotherKind as error:
        return ClipMasks(clip_id, error.status, str(error))
    except ClipError as error:
        return ClipMasks(clip_id, FAILED, str(error))
    masks = []
    for number, is_known in enumerate(faces.is_known):
        found = np.zeros((geometry.num_places, geometry.size, geometry.size), np.bool_)
        for place in np.flatnonzero(is_known).tolist():
            found[place] = altered_region(
                faces.fakes[number][place],
                faces.originals[number][place],
                crop_size=geometry.size,
                is_shown=faces.is_shown[number][place],
                settings=settings,
            )
        masks.append(found)
    return ClipMasks(clip_id, OK, notes=faces.notes, masks=tuple(masks), is_known=faces.is_known)


@dataclass(frozen=True)
class ComparedFaces:
    """The faces of a fake beside the same windows of its original."""

    fakes: tuple[np.ndarray, ...]
    """One array a track, uint8 RGB, shape (num_places, side, side, 3): the crops, with what lies around them."""
    originals: tuple[np.ndarray, ...]
    """The same of the original."""
    is_shown: tuple[np.ndarray, ...]
    """bool, shape (num_places, side, side) a track: what lies inside both frames."""
    is_known: tuple[np.ndarray, ...]
    """bool, shape (num_places,) a track: where there is a face, and the original shows the same frame."""
    notes: tuple[str, ...]
    """What a person should know of them."""


def compare_faces(
    record: Mapping[str, Any],
    fake: Path,
    original: Path,
    geometry: CropGeometry,
    settings: RegionSettings = RegionSettings(),  # noqa: B008
) -> ComparedFaces:
    """Read the frames of a fake's faces and of its original, and lay them on each other.

    Args: as in `masks_of_fake`.

    Raises:
        ClipError: if a file cannot be read, or the two do not show the same.
    """
    fake_info, original_info = probe(fake), probe(original)
    made, read = (record["width"], record["height"]), (fake_info.width, fake_info.height)
    if made != read:
        raise ClipError(
            f"{fake}: its faces were found in frames of {made[0]} x {made[1]}, it is read as {read[0]} x {read[1]} "
            "(pixels are made square since): prepare the clip again"
        )
    is_longer = fake_info.num_frames != original_info.num_frames
    indices = np.asarray(record["frame_indices"], np.int64)
    tracks = [_track_of(track) for track in record["tracks"]]
    has_face = np.any([track.is_face for track in tracks], axis=0) & (indices >= 0)
    is_in_both = has_face & (indices < min(fake_info.num_frames, original_info.num_frames))
    lengths = f"the fake has {fake_info.num_frames} frames, its original {original_info.num_frames}"
    if not is_in_both.any():
        raise _OfAnotherKind(OTHER_LENGTH, f"{lengths}: no frame of the fake with a face is in both")
    read = read_what_decodes(original, original_info, indices[is_in_both])
    is_in_both &= np.isin(indices, read.indices)
    places = np.flatnonzero(is_in_both)
    turns = (original_info.quarter_turns + record.get("turns_beside_file", 0)) % 4
    originals = turn_upright(read.frames, turns)
    turns = (fake_info.quarter_turns + record.get("turns_beside_file", 0)) % 4
    fakes = turn_upright(read_frames(fake, fake_info, indices[places]), turns)
    background = np.stack([_is_background(tracks, place, fakes.shape[1:3]) for place in places.tolist()])
    placement = _placement(fakes, originals, background, lengths, is_longer)
    placed, is_covered = placement.placed(originals, *fakes.shape[1:3])

    windows = _Windows(geometry, settings, places, np.where(is_in_both, indices, -1), fake_info)
    ours, theirs = windows.of(fakes, tracks), windows.of(placed, tracks)
    shown = tuple(crops[..., 0] > 254 for crops in windows.of(_white(fakes, is_covered), tracks))
    known = tuple(track.is_face & is_in_both for track in tracks)
    for number, is_known in enumerate(known):
        for place in np.flatnonzero(is_known).tolist():
            around = shown[number][place] & windows.is_around
            is_known[place] = agreement(ours[number][place], theirs[number][place], around) >= LEAST_AGREEMENT
    if not np.any(known):
        what = "around no face do fake and original show the same at the same frame"
        (height, width), (their_height, their_width) = fakes.shape[1:3], originals.shape[1:3]
        if (height, width) != (their_height, their_width):
            sizes = f"the fake's frames are {width} x {height}, its original's {their_width} x {their_height}"
            raise _OfAnotherKind(OTHER_SIZE, f"{what}; {sizes}; {lengths}")
        raise _OfAnotherKind(OTHER_LENGTH if is_longer else FAILED, f"{what}; {lengths}")
    return ComparedFaces(ours, theirs, shown, known, _notes(placement, lengths, tracks, known))


def _notes(placement: Placement, lengths: str, tracks: list[Track], known: tuple[np.ndarray, ...]) -> tuple[str, ...]:
    notes = []
    if placement != Placement():
        notes.append(f"its original was {placement}")
    if left_out := int(sum((track.is_face & ~is_known).sum() for track, is_known in zip(tracks, known, strict=True))):
        notes.append(f"{left_out} faces have no mask, since their frames are not in the original ({lengths})")
    return tuple(notes)


def _placement(
    fakes: np.ndarray, originals: np.ndarray, background: np.ndarray, lengths: str, is_longer: bool
) -> Placement:
    try:
        return find_placement(fakes, originals, background)
    except ClipError as error:
        if fakes.shape[1:3] != originals.shape[1:3]:
            raise _OfAnotherKind(OTHER_SIZE, str(error)) from error
        if is_longer:
            raise _OfAnotherKind(OTHER_LENGTH, f"{error}; {lengths}") from error
        raise


def _track_of(track: Mapping[str, Any]) -> Track:
    landmarks = np.asarray(track["landmarks_xy"], np.float32).reshape(-1, 5, 2)
    boxes, confidences = (np.asarray(track[name], np.float32) for name in ("boxes_xyxy", "confidences"))
    return Track(np.asarray(track["is_face"], np.bool_), boxes, landmarks, confidences)


def _is_background(tracks: list[Track], place: int, size: tuple[int, int]) -> np.ndarray:
    """Return what of a frame shows no face, bool (height, width)."""
    background = np.ones(size, np.bool_)
    for track in tracks:
        if track.is_face[place]:
            x1, y1, x2, y2 = track.boxes_xyxy[place]
            right, down = _FACE_GROWN * (x2 - x1), _FACE_GROWN * (y2 - y1)
            rows = slice(max(0, int(y1 - down)), max(0, int(y2 + down)))
            background[rows, max(0, int(x1 - right)) : max(0, int(x2 + right))] = False
    return background


def _white(frames: np.ndarray, is_covered: np.ndarray) -> np.ndarray:
    """Return frames that are white where both clips have pixels: cropped, they tell what a crop shows of those."""
    one = np.repeat(np.where(is_covered, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    return np.broadcast_to(one, frames.shape).copy()


class _Windows:
    """Crops with what lies around them, in the pixels of the crops.

    Args:
        geometry: of the crops.
        settings: how much lies around them.
        places: int64, shape (n,): the place of each frame that was read.
        indices: int64, shape (num_places,): the frame of each place, -1 where none was read.
        info: the fake's.
    """

    def __init__(
        self,
        geometry: CropGeometry,
        settings: RegionSettings,
        places: np.ndarray,
        indices: np.ndarray,
        info: ProbedVideo,
    ) -> None:
        reach = round(settings.context * geometry.size)
        self._size = geometry.size + 2 * reach
        # A wider square of the same pixels: its middle is the crop.
        self._margin = (1 + geometry.margin) * self._size / geometry.size - 1
        self._alignment, self._places, self._indices, self._info = geometry.alignment, places, indices, info
        self.is_around = np.ones((self._size, self._size), np.bool_)
        """bool, shape (side, side): what is not the crop itself."""
        self.is_around[reach : reach + geometry.size, reach : reach + geometry.size] = False

    def of(self, frames: np.ndarray, tracks: list[Track]) -> tuple[np.ndarray, ...]:
        """Return the windows of each track, uint8 (num_places, side, side, 3), cut from frames uint8 (n, h, w, 3)."""
        from tfdfd.faces.crops import crop_tracks  # loads TensorFlow

        read = ClipFrames(frames, self._places, self._indices, self._info, "pyav", "masks")
        is_read = self._indices >= 0
        seen = [
            dataclasses.replace(track, is_face=track.is_face & is_read)
            for track in tracks
            if (track.is_face & is_read).any()
        ]
        windows = iter(crop_tracks(read, seen, self._size, self._margin, self._alignment))
        empty = np.zeros((len(is_read), self._size, self._size, 3), np.uint8)
        return tuple(next(windows) if (track.is_face & is_read).any() else empty for track in tracks)
