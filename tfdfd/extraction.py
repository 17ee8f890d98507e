"""Clips to face store: takes a frame source and a detector, knows neither DALI nor MTCNN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfdfd.clip import FAILED, NO_FACE, OK, Clip, ClipError, ClipFaces, ClipFrames, Detections, FramePlan, Track
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.store import FaceStore, source_bytes
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.paths import FacePath
from tfdfd.faces.tracking import link_tracks

FRAME_RULE = "nearest the centres of equal segments; of H.264 its reference frames"
STRIP_CODEC = "jpeg 4:4:4 q95"


class FrameSource(Protocol):
    """Reads the chosen frames of clips; see `tfdfd.data.frame_source` and `pipelines.decode`."""

    def read(self, clip_path: Path, plan: FramePlan) -> ClipFrames:
        """Return the planned frames of one clip, or raise ClipError."""
        ...

    def iterate(self, clips: Iterable[Clip], plan: FramePlan) -> Iterator[tuple[Clip, ClipFrames | ClipError]]:
        """Return each clip with its frames or the reason why there are none, reading ahead."""
        ...


class Detector(Protocol):
    """Finds faces; a second detector is one more class like `tfdfd.faces.mtcnn.MTCNN`."""

    @property
    def settings(self) -> dict[str, Any]:
        """Name and settings, JSON-able: part of the fingerprint."""
        ...

    def __call__(self, frames: np.ndarray) -> list[Detections]:
        """Return the faces of each frame; frames uint8 RGB, shape (n, height, width, 3)."""
        ...


def extraction_fingerprint(
    config: ExtractionConfig, detector_settings: dict[str, Any], provenance: dict[str, Any]
) -> Fingerprint:
    """Return the fingerprint of crops made with these settings."""
    return Fingerprint(
        preprocessing={
            "detector": detector_settings,
            "margin": config.margin,
            "alignment": config.alignment,
            "crop_size": config.crop_size,
            "strip_codec": STRIP_CODEC,
            "frame_rule": FRAME_RULE,
            "detect_every_seconds": config.detect_every,
        },
        provenance=provenance,
    )


def faces_of_frames(clip_id: str, frames: ClipFrames, detector: Detector, config: ExtractionConfig) -> ClipFaces:
    """Find, link and crop the faces in the chosen frames of one clip.

    Args:
        clip_id: the clip.
        frames: its chosen frames.
        detector: from frames to detections.
        config: how crops are made.

    Returns:
        The tracks and crops, with status ok, or no_face.
    """
    height, width = frames.frames.shape[1:3]
    rows = frames.detection_rows
    is_all = len(rows) == len(frames.frames)
    detections = detector(frames.frames if is_all else frames.frames[rows])
    looks: tuple[Track, ...] = ()
    if frames.detection_indices is None:
        tracks = link_tracks(detections, frames.places, config.places, (height, width))
    else:
        looks = link_tracks(detections, np.arange(len(rows)), len(rows), (height, width))
        looks, tracks = at_places(frames, looks)
    if not tracks:
        reason = f"no face found in {len(rows)} frames of {width} x {height}"
        return ClipFaces(clip_id, NO_FACE, reason, frames=frames)
    # Here, since it loads TensorFlow, which a process that only hands out clips does without.
    from tfdfd.faces.crops import crop_tracks

    crops = crop_tracks(frames, tracks, config.crop_size, config.margin, config.alignment)
    return ClipFaces(clip_id, OK, tracks=tracks, crops=crops, looks=looks, frames=frames)


def at_places(frames: ClipFrames, looks: tuple[Track, ...]) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """Follow people from the frames that faces were looked for in to the frames of the places.

    Args:
        frames: of the clip, with detection_indices.
        looks: the people, one place a frame of detection_indices.

    Returns:
        Those that are at one place at least, and their tracks there.
    """
    assert frames.detection_indices is not None
    is_read = frames.frame_indices >= 0
    seconds = frames.seconds_of(frames.frame_indices[is_read])
    looked_at = frames.seconds_of(frames.detection_indices)
    followed = [(look, FacePath(looked_at, look).at(seconds)) for look in looks]
    kept = [(look, track) for look, track in followed if track is not None]
    # Places that the clip is too short for lie at the end.
    missing = len(is_read) - int(is_read.sum())
    return tuple(look for look, _ in kept), tuple(track.with_empty_places(missing) for _, track in kept)


def faces_of_clips(
    clips: Iterable[Clip], frame_source: FrameSource, detector: Detector, config: ExtractionConfig
) -> Iterator[tuple[Clip, ClipFaces]]:
    """Return what is found in each clip, in order; the next clip is read while this one's faces are found."""
    for clip, frames in frame_source.iterate(clips, config.frame_plan):
        yield clip, faces_of_read(clip, frames, detector, config)


def extract_clip(clip: Clip, frame_source: FrameSource, detector: Detector, config: ExtractionConfig) -> ClipFaces:
    """Turn one clip into crops; a clip that cannot be read gets the status failed and the reason."""
    return faces_of_read(clip, read_clip(clip, frame_source, config), detector, config)


def read_clip(clip: Clip, frame_source: FrameSource, config: ExtractionConfig) -> ClipFrames | ClipError:
    """Read the chosen frames of a clip, or say why there are none; the first half of `extract_clip`."""
    try:
        return frame_source.read(clip.path, config.frame_plan)
    except ClipError as error:
        return error


def faces_of_read(
    clip: Clip, frames: ClipFrames | ClipError, detector: Detector, config: ExtractionConfig
) -> ClipFaces:
    """Find the faces in what `read_clip` returned; the second half of `extract_clip`."""
    if isinstance(frames, ClipError):
        return ClipFaces(clip.clip_id, FAILED, str(frames))
    return faces_of_frames(clip.clip_id, frames, detector, config)


def clips_to_do(clips: Iterable[Clip], store: FaceStore, *, retry_failed: bool) -> list[Clip]:
    """Return the clips that the store does not hold yet, or holds from a file of another size."""
    return [
        clip
        for clip in clips
        if not store.holds(clip.clip_id, source_bytes=source_bytes(clip.path), retry_failed=retry_failed)
    ]
