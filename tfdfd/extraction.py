"""Clips to face store: takes a frame source and a detector, knows neither DALI nor MTCNN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
    is_weak,
)
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.frame_source import turn_upright
from tfdfd.data.store import FaceStore, source_bytes
from tfdfd.data.strips import STRIP_CODEC
from tfdfd.faces.alignment import ALIGNMENTS
from tfdfd.faces.boxes import turned_back
from tfdfd.faces.config import ALL_SPREADS, SPREAD, ExtractionConfig
from tfdfd.faces.following import at_places, follow
from tfdfd.faces.tracking import link_tracks

EVERY_FRAMES_RULE = "every so many-th frame of a stretch in the middle"
_SEARCHED_AT_ONCE = 12
SURE_CONFIDENCE = 0.98
"""Mean confidence of a track that is not seen in frames on their side, where parts of a face are taken for one at 0.93
to 0.96. Of 39 real clips the best track of two has less: there turns are tried in vain."""
_TURNS_TRIED_IN = 5
"""Frames of a clip that are turned to find out whether it lies on its side: of 17 that is 0.9 searches more, where all
would be three."""


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
            "rules": config.track_rules,
            "detect_every_seconds": config.detect_every,
            **every,
        },
        provenance=provenance,
    )


def extraction_config_of(fingerprint: Fingerprint, *, places: int | None = None) -> ExtractionConfig:
    """Return how to make crops as others were made; the inverse of `extraction_fingerprint`.

    Places are spread, and faces become tracks, by the rules of now: a model sees the same crops by either, and those of
    then would hand it doubtful faces.

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


def faces_of_frames(
    clip_id: str, frames: ClipFrames, detector: Detector, config: ExtractionConfig, *, tries_turns: bool = True
) -> ClipFaces:
    """Find, link and crop the faces in the chosen frames of one clip.

    Where nobody is surely seen, _TURNS_TRIED_IN frames are turned by a quarter, a half and three quarters. If a turn
    shows faces more surely there, all are turned so, and that is taken where it shows enough of them.

    Args:
        clip_id: the clip.
        frames: its chosen frames.
        detector: from frames to detections.
        config: how crops are made.
        tries_turns: whether there is time for turns.

    Returns:
        The tracks and crops, with status ok or partial, or no_face. Of a turned clip tracks and frames are those after
        the turn.
    """
    found = _people_of(frames, detector, config)
    turns = 0
    if tries_turns and config.track_rules > 1 and not found.is_sure:
        found, frames, turns = _turned_for_more(found, frames, detector, config)
    if not found.tracks:
        reason = "; ".join(filter(None, [_why_no_face(found, frames), frames.missing]))
        return ClipFaces(clip_id, NO_FACE, reason, frames=frames)
    # Here, since it loads TensorFlow, which a process that only hands out clips does without.
    from tfdfd.faces.crops import crop_tracks

    crops = crop_tracks(frames, found.tracks, config.crop_size, config.margin, config.alignment)
    status = PARTIAL if frames.missing else OK
    return ClipFaces(clip_id, status, frames.missing, found.tracks, crops, found.looks, frames, turns)


@dataclass(frozen=True)
class _People:
    """Who was found in the frames of a clip."""

    tracks: tuple[Track, ...]
    looks: tuple[Track, ...]
    num_filled: int
    """Places that have a frame."""
    confidences: np.ndarray
    """float64, shape (m,): of the surest detection in each frame that was searched, 0 where there is none."""

    @property
    def num_places(self) -> int:
        """Places with a face."""
        return int(np.any([track.is_face for track in self.tracks], axis=0).sum()) if self.tracks else 0

    @property
    def is_enough(self) -> bool:
        """Whether a verdict on these faces is none on weak evidence."""
        return bool(self.tracks) and not is_weak(self.num_places, self.num_filled)

    @property
    def is_sure(self) -> bool:
        """Whether they are enough, and somebody is seen so well that the frames must stand upright."""
        means = [track.confidences[track.is_face].mean() for track in self.tracks]
        return self.is_enough and max(means) >= SURE_CONFIDENCE


def _people_of(frames: ClipFrames, detector: Detector, config: ExtractionConfig) -> _People:
    """Find and link the faces of a clip's frames as they lie."""
    rows, size = frames.detection_rows, frames.frames.shape[1:3]
    detections = _search(frames.frames, rows, detector)
    shots, looks_alike = np.zeros(len(frames.frames), np.int64), None
    if config.track_rules > 1 and any(len(found) for found in detections):
        from tfdfd.faces.appearance import appearance_of  # loads TensorFlow

        looks_alike, shots = appearance_of(frames.frames, rows, detections)
    by_rules = {"shots": shots[rows], "looks": looks_alike, "asks_evidence": config.track_rules > 1}
    looks: tuple[Track, ...] = ()
    if frames.detection_indices is None:
        tracks = link_tracks(detections, frames.places, config.places, size, **by_rules)
    else:
        people = link_tracks(detections, np.arange(len(rows)), len(rows), size, **by_rules)
        looks = follow(frames, people, detector.look_near, shots)
        pairs = [
            (look, track)
            for look, track in zip(looks, at_places(frames, looks, shots), strict=True)
            if track is not None
        ]
        looks, tracks = tuple(look for look, _ in pairs), tuple(track for _, track in pairs)
    num_filled = int((frames.frame_indices >= 0).sum())
    confidences = np.array([found.confidences.max(initial=0) for found in detections], np.float64)
    return _People(tracks, looks, num_filled, confidences)


def _turned_for_more(
    found: _People, frames: ClipFrames, detector: Detector, config: ExtractionConfig
) -> tuple[_People, ClipFrames, int]:
    """Return who is found after the best quarter turns, the frames as turned and the turns: 0 where none is better."""
    if turns := _likely_turns(frames, found, detector):
        turned = _turned(frames, turns)
        again = _people_of(turned, detector, config)
        # What stands upright, if poorly, is left only for what is sure.
        if again.is_sure if found.is_enough else again.is_enough and again.num_places > found.num_places:
            return again, turned, turns
    return found, frames, 0


def _likely_turns(frames: ClipFrames, found: _People, detector: Detector) -> int:
    """Return by how many counter-clockwise quarter turns a few frames show faces most surely, 0 for none."""
    rows = frames.detection_rows
    chosen = np.linspace(0, len(rows) - 1, min(_TURNS_TRIED_IN, len(rows))).round().astype(int)
    few, sums = frames.frames[rows[chosen]], [float(found.confidences[chosen].sum())]
    for number in (1, 2, 3):
        sums.append(sum(float(one.confidences.max(initial=0)) for one in detector(turn_upright(few, number))))
    return int(np.argmax(sums))


def _turned(frames: ClipFrames, quarter_turns: int) -> ClipFrames:
    """Return frames turned counter-clockwise, with a warning that they were."""
    warning = f"faces lie on their side or upside down: turned by {90 * quarter_turns}° counter-clockwise to find them"
    return replace(
        frames,
        frames=turn_upright(frames.frames, quarter_turns),
        info=replace(frames.info, quarter_turns=(frames.info.quarter_turns + quarter_turns) % 4),
        warnings=(*frames.warnings, warning),
    )


def _why_no_face(found: _People, frames: ClipFrames) -> str:
    height, width = frames.frames.shape[1:3]
    where = f"{len(frames.detection_rows)} frames of {width} x {height}"
    num_doubtful = int((found.confidences > 0).sum())
    if not num_doubtful:
        return f"no face found in {where}"
    return f"no face found in {where}, only what might be one in {num_doubtful} of them"


def boxes_as_shown(faces: ClipFaces, track: Track) -> np.ndarray:
    """Return the boxes of a track in pixels of the frames as the file shows them, float32 (num_places, 4)."""
    if not faces.turns or faces.frames is None:
        return track.boxes_xyxy
    height, width = faces.frames.frames.shape[1:3]
    shown = turned_back(track.boxes_xyxy, faces.turns, (height, width))
    return np.where(track.is_face[:, None], shown, 0).astype(np.float32)


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
