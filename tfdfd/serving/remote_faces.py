"""From a clip's frames to a request and from its answer to a score: with faces found here, or by the server."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from tfdfd.clip import OK, Clip, ClipError, ClipFaces, ClipFrames, FramePlan
from tfdfd.data.clip_windows import LONGEST_WHOLE_SECONDS
from tfdfd.data.strips import STRIP_QUALITY
from tfdfd.extraction import Detector, faces_of_read
from tfdfd.faces.config import ExtractionConfig
from tfdfd.scored_clip import FAILED, NO_FACE, ScoredClip, ScoredTrack, ScoredWindow
from tfdfd.serving.remote_model import RemoteModel
from tfdfd.serving.remote_target import RAW
from tfdfd.serving.signatures import CROPS, FRAMES, JPEG_FACES, JPEG_FRAMES


class ClipRequest(NamedTuple):
    """What to ask of one clip."""

    signature: str
    inputs: dict[str, np.ndarray]
    scored: Callable[[dict[str, np.ndarray]], ScoredClip]
    """From the outputs to the score."""


class Faces(Protocol):
    """Where faces are found."""

    @property
    def plan(self) -> FramePlan:
        """Which frames of a clip are read."""
        ...

    def request(self, path: Path, frames: ClipFrames | ClipError) -> ClipRequest | ScoredClip:
        """Return what to ask of a clip, or what is known of it without asking."""
        ...


class FacesHere:
    """Finds, links and crops faces on this machine; the server sees crops, one row a person.

    Args:
        model: the server's.
        detector: finds faces.
        config: how clips are cropped for the model.
        pixels: RAW or JPEG, of the stored strips' quality.
        keep_crops: whether the scored tracks hold their crops.
    """

    def __init__(
        self, model: RemoteModel, detector: Detector, config: ExtractionConfig, *, pixels: str, keep_crops: bool
    ) -> None:
        self._model, self._detector, self._config = model, detector, config
        self._pixels, self._keep_crops = pixels, keep_crops
        self.plan = config.frame_plan

    def request(self, path: Path, frames: ClipFrames | ClipError) -> ClipRequest | ScoredClip:
        """Return what to ask of a clip, or what is known of it without asking."""
        if isinstance(frames, ClipError):
            return _failed(path, frames)
        faces = faces_of_read(Clip(str(path), path), frames, self._detector, self._config)
        if faces.status != OK:
            return _without_face(path, frames, faces.reason)
        crops, is_face = np.stack(faces.crops), np.stack([track.is_face for track in faces.tracks])
        if self._pixels == RAW:
            signature, inputs = CROPS, {"crops": crops, "is_face": is_face}
        else:
            signature, inputs = JPEG_FACES, {"face_bytes": _jpegs(crops, is_face)}
        # Not the frames: a clip in flight holds no more pixels than its crops.
        shown = _shown(frames)
        faces = replace(faces, frames=None)

        def scored(outputs: dict[str, np.ndarray]) -> ScoredClip:
            return self._scored(path, faces, shown, outputs["face_probabilities"], outputs["clip_score"])

        return ClipRequest(signature, inputs, scored)

    def _scored(
        self, path: Path, faces: ClipFaces, shown: _Shown, probabilities: np.ndarray, scores: np.ndarray
    ) -> ScoredClip:
        is_face = np.stack([track.is_face for track in faces.tracks])
        rows = np.zeros(len(is_face), np.int64)
        score = float(self._model.rule.clip_scores(probabilities, is_face, rows, 1)[0])
        filled = slice(len(shown.seconds))  # places that a short clip leaves empty lie at the end
        tracks = tuple(
            ScoredTrack(
                float(scores[row]),
                shown.seconds,
                track.is_face[filled],
                track.boxes_xyxy[filled],
                probabilities[row, filled],
                crops[filled] if self._keep_crops else None,
            )
            for row, (track, crops) in enumerate(zip(faces.tracks, faces.crops, strict=True))
        )
        return _ok(path, score, self._model.is_fake(score), tracks, shown)


class FacesThere:
    """Leaves the faces to the server, which sees frames, one row a clip.

    Args:
        model: the server's.
        config: how clips are cropped for the model, of which only the choice of frames matters here.
        pixels: RAW or JPEG, of the stored strips' quality.
    """

    def __init__(self, model: RemoteModel, config: ExtractionConfig, *, pixels: str) -> None:
        self._model, self._pixels = model, pixels
        # The server looks for faces in the frames that it is sent, so those of the places are all it needs.
        self.plan = FramePlan(config.places)

    def request(self, path: Path, frames: ClipFrames | ClipError) -> ClipRequest | ScoredClip:
        """Return what to ask of a clip, or what is known of it without asking."""
        if isinstance(frames, ClipError):
            return _failed(path, frames)
        if self._pixels == RAW:
            signature, inputs = FRAMES, {"frames": frames.frames[None]}
        else:
            everywhere = np.ones((1, len(frames.frames)), np.bool_)
            signature, inputs = JPEG_FRAMES, {"frame_bytes": _jpegs(frames.frames[None], everywhere)}
        shown = _shown(frames)
        num_frames, (height, width) = len(frames.frames), frames.frames.shape[1:3]

        def scored(outputs: dict[str, np.ndarray]) -> ScoredClip:
            if not outputs["num_faces"][0]:
                return _no_face(path, f"no face found in {num_frames} frames of {width} x {height}", shown)
            score = float(outputs["clip_score"][0])
            tracks = tuple(
                ScoredTrack(
                    float(outputs["track_scores"][0, person]),
                    shown.seconds,
                    outputs["is_face"][0, person],
                    outputs["boxes"][0, person],
                    outputs["face_probabilities"][0, person],
                )
                for person in range(int(outputs["num_people"][0]))
            )
            return _ok(path, score, self._model.is_fake(score), tracks, shown)

        return ClipRequest(signature, inputs, scored)


class _Shown(NamedTuple):
    """When the frames of a clip are shown, in seconds from its first frame on."""

    seconds: np.ndarray
    duration: float
    warnings: tuple[str, ...]


def _shown(frames: ClipFrames) -> _Shown:
    pts = (frames.info.pts - frames.info.pts[0]) * frames.info.time_base_seconds
    # The last frame is taken to stand as long as frames usually do: files do not reliably say.
    duration = float(pts[-1]) + (float(np.median(np.diff(pts))) if len(pts) > 1 else 0.0)
    warnings = frames.warnings
    if duration > LONGEST_WHOLE_SECONDS:
        warnings += (
            f"{duration:.0f} seconds are scored by {len(frames.frames)} frames as one whole: a server is "
            "sent no windows, as tfdfd score without --server makes of long clips",
        )
    return _Shown(pts[frames.frame_indices[frames.frame_indices >= 0]], duration, warnings)


def _jpegs(pictures: np.ndarray, is_there: np.ndarray) -> np.ndarray:
    """Return each picture as a JPEG like a strip's, an empty string where there is none.

    Args:
        pictures: uint8 RGB, shape (rows, n, height, width, 3).
        is_there: bool, shape (rows, n).

    Returns:
        object, shape (rows, n), bytes.
    """
    jpegs = np.full(is_there.shape, b"", object)
    for row, number in np.argwhere(is_there).tolist():
        buffer = io.BytesIO()
        Image.fromarray(pictures[row, number]).save(buffer, "JPEG", quality=STRIP_QUALITY, subsampling="4:4:4")
        jpegs[row, number] = buffer.getvalue()
    return jpegs


def _failed(path: Path, error: ClipError) -> ScoredClip:
    return ScoredClip(str(path), FAILED, str(error))


def _without_face(path: Path, frames: ClipFrames, reason: str) -> ScoredClip:
    return _no_face(path, reason, _shown(frames))


def _no_face(path: Path, reason: str, shown: _Shown) -> ScoredClip:
    whole = ScoredWindow(0.0, shown.duration, None)
    return ScoredClip(str(path), NO_FACE, reason, windows=(whole,), warnings=shown.warnings)


def _ok(path: Path, score: float, is_fake: bool, tracks: tuple[ScoredTrack, ...], shown: _Shown) -> ScoredClip:
    whole = ScoredWindow(0.0, shown.duration, score, tracks)
    return ScoredClip(str(path), OK, clip_score=score, is_fake=is_fake, windows=(whole,), warnings=shown.warnings)
