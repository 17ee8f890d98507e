"""Clips to face store: takes a frame source and a detector, knows neither DALI nor MTCNN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfdfd.clip import (
    FAILED,
    NO_FACE,
    OK,
    PARTIAL,
    Clip,
    ClipError,
    ClipFaces,
    ClipFrames,
    Detections,
    FramePlan,
    TfdfdError,
    Track,
)
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.store import FaceStore, source_bytes
from tfdfd.data.strips import STRIP_CODEC
from tfdfd.faces.alignment import ALIGNMENTS
from tfdfd.faces.config import ALL_SPREADS, SPREAD, ExtractionConfig
from tfdfd.faces.following import at_places, follow
from tfdfd.faces.tracking import link_tracks

EVERY_FRAMES_RULE = "every so many-th frame of a stretch in the middle"
RULES = 1
"""Raised whenever the same detections would give other tracks or crops."""
_SEARCHED_AT_ONCE = 12


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

    def look_near(self, frames: np.ndarray, boxes_xyxy: np.ndarray, rows: np.ndarray) -> list[Detections]:
        """Return the faces near expected boxes, float32 (k, 4), in the frames at int32 rows (k,): one entry a frame."""
        ...


def extraction_fingerprint(
    config: ExtractionConfig, detector_settings: dict[str, Any], provenance: dict[str, Any]
) -> Fingerprint:
    """Return the fingerprint of crops made with these settings."""
    every: dict[str, Any] = {}  # where it is not asked for it is not named: older stores stay what they are
    if config.every_frames is not None:
        every = {"frame_rule": EVERY_FRAMES_RULE, "every_frames": config.every_frames}
    return Fingerprint(
        preprocessing={
            "detector": detector_settings,
            "margin": config.margin,
            "alignment": config.alignment,
            "crop_size": config.crop_size,
            "strip_codec": STRIP_CODEC,
            "frame_rule": config.spread,
            "rules": RULES,
            "detect_every_seconds": config.detect_every,
            **every,
        },
        provenance=provenance,
    )


def extraction_config_of(fingerprint: Fingerprint, *, places: int | None = None) -> ExtractionConfig:
    """Return how to make crops as others were made; the inverse of `extraction_fingerprint`.

    Places are spread by the rule of now, since a model sees the same crops by either.

    Args:
        fingerprint: theirs, e.g. a model's.
        places: frames chosen of each clip; None for as many as they have.

    Raises:
        TfdfdError: if they do not say with which margin they were cut, or say what cannot be done.
    """
    made = fingerprint.preprocessing
    defaults = ExtractionConfig()
    if not isinstance(made.get("margin"), int | float):
        raise TfdfdError(
            "the model was trained on ready-made crops whose margin was not declared, so clips cannot be cropped "
            "alike: train it again with --crop-margin"
        )
    made_places = fingerprint.provenance.get("num_places", defaults.places)
    alignment = made.get("alignment")
    try:
        detector = made["detector"]
        return ExtractionConfig(
            places=places if places is not None else (made_places if made_places > 1 else defaults.places),
            crop_size=made["crop_size"],
            margin=made["margin"],
            min_face_share=detector["min_face_share"] if isinstance(detector, dict) else defaults.min_face_share,
            alignment=alignment if alignment in ALIGNMENTS else defaults.alignment,
            detect_every=made.get("detect_every_seconds"),
            every_frames=made.get("every_frames"),
        )
    except (KeyError, TypeError) as error:
        raise TfdfdError(
            f"the fingerprint does not say how clips are cropped for the model ({type(error).__name__}: {error}): "
            "export it again"
        ) from error
    except ValueError as error:
        raise TfdfdError(f"clips cannot be cropped as the model's were: {error}") from error


def spread_of(fingerprint: Fingerprint) -> str:
    """Return how the places of a store are spread, one of ALL_SPREADS; SPREAD where it has another frame rule."""
    rule = fingerprint.preprocessing.get("frame_rule")
    return rule if rule in ALL_SPREADS else SPREAD


def faces_of_frames(clip_id: str, frames: ClipFrames, detector: Detector, config: ExtractionConfig) -> ClipFaces:
    """Find, link and crop the faces in the chosen frames of one clip.

    Args:
        clip_id: the clip.
        frames: its chosen frames.
        detector: from frames to detections.
        config: how crops are made.

    Returns:
        The tracks and crops, with status ok or partial, or no_face.
    """
    height, width = frames.frames.shape[1:3]
    rows = frames.detection_rows
    detections = _search(frames.frames, rows, detector)
    looks: tuple[Track, ...] = ()
    if frames.detection_indices is None:
        tracks = link_tracks(detections, frames.places, config.places, (height, width))
    else:
        people = link_tracks(detections, np.arange(len(rows)), len(rows), (height, width))
        looks = follow(frames, people, detector.look_near)
        pairs = [
            (look, track) for look, track in zip(looks, at_places(frames, looks), strict=True) if track is not None
        ]
        looks, tracks = tuple(look for look, _ in pairs), tuple(track for _, track in pairs)
    if not tracks:
        reason = f"no face found in {len(rows)} frames of {width} x {height}"
        return ClipFaces(clip_id, NO_FACE, "; ".join(filter(None, [reason, frames.missing])), frames=frames)
    # Here, since it loads TensorFlow, which a process that only hands out clips does without.
    from tfdfd.faces.crops import crop_tracks

    crops = crop_tracks(frames, tracks, config.crop_size, config.margin, config.alignment)
    status = PARTIAL if frames.missing else OK
    return ClipFaces(clip_id, status, frames.missing, tracks=tracks, crops=crops, looks=looks, frames=frames)


def _search(frames: np.ndarray, rows: np.ndarray, detector: Detector) -> list[Detections]:
    """Return the faces of the frames at some rows."""
    if len(rows) == len(frames):
        return detector(frames)
    # A few at a time, since taking rows copies them.
    parts = (rows[start : start + _SEARCHED_AT_ONCE] for start in range(0, len(rows), _SEARCHED_AT_ONCE))
    return [found for part in parts for found in detector(frames[part])]


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
