"""From frames to a request and from its answer to scored people: with faces found here, or by the server."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from tfdfd.clip import NO_FACE, OK, ClipFaces, ClipFrames, FramePlan, Track
from tfdfd.data.clip_windows import Window
from tfdfd.data.strips import STRIP_QUALITY
from tfdfd.extraction import Detector, boxes_as_shown, faces_of_frames
from tfdfd.faces.config import ExtractionConfig
from tfdfd.scored_clip import ScoredTrack, ScoredWindow
from tfdfd.serving.remote_model import RemoteModel
from tfdfd.serving.remote_target import RAW
from tfdfd.serving.signatures import CROPS, FRAMES, JPEG_FACES, JPEG_FRAMES

Outputs = dict[str, np.ndarray]
"""Of a signature, by name."""


class Looked(NamedTuple):
    """What was found in a window, and how it was scored."""

    faces: ClipFaces
    window: ScoredWindow


class WindowRequest(NamedTuple):
    """What to ask of the server."""

    signature: str
    inputs: dict[str, np.ndarray]
    scored: Callable[[Outputs], Looked]
    """From the outputs to the scores."""


class Faces(Protocol):
    """Where faces are found."""

    plan: FramePlan
    """Which frames are read, of a clip or of each window of a long one."""

    def request(self, clip_id: str, frames: ClipFrames, window: Window, first_seconds: float) -> WindowRequest | Looked:
        """Return what to ask of a window, or what is known of it without asking.

        Args:
            clip_id: of the clip.
            frames: of the window.
            window: where it lies in the clip.
            first_seconds: when the clip's first frame is shown.
        """
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

    def request(self, clip_id: str, frames: ClipFrames, window: Window, first_seconds: float) -> WindowRequest | Looked:
        """Return what to ask of a window, or what is known of it without asking."""
        found = faces_of_frames(clip_id, frames, self._detector, self._config)
        seconds, there = _seconds(frames, first_seconds), frames.frame_indices >= 0
        nothing = ScoredWindow(window.start_seconds, window.end_seconds, None, num_places=len(seconds))
        boxes = [boxes_as_shown(found, track) for track in found.tracks]
        # What is under way holds no more pixels than its crops.
        assert found.frames is not None
        faces = replace(found, frames=replace(found.frames, frames=found.frames.frames[:, :0, :0].copy()))
        if not faces.tracks:
            return Looked(faces, nothing)
        crops, is_face = np.stack(faces.crops), np.stack([track.is_face for track in faces.tracks])

        def scored(outputs: Outputs) -> Looked:
            tracks = self._tracks(faces, boxes, seconds, there, outputs)
            rows = np.zeros(len(is_face), np.int64)
            score = float(self._model.rule.clip_scores(outputs["face_probabilities"], is_face, rows, 1)[0])
            return Looked(faces, replace(nothing, score=score, tracks=tracks, turned_degrees=90 * faces.turns))

        if self._pixels == RAW:
            return WindowRequest(CROPS, {"crops": crops, "is_face": is_face}, scored)
        return WindowRequest(JPEG_FACES, {"face_bytes": _jpegs(crops, is_face)}, scored)

    def _tracks(
        self, faces: ClipFaces, boxes: list[np.ndarray], seconds: np.ndarray, there: np.ndarray, outputs: Outputs
    ) -> tuple[ScoredTrack, ...]:
        return tuple(
            ScoredTrack(
                score=float(outputs["clip_score"][row]),
                seconds=seconds,
                is_face=track.is_face[there],
                boxes_xyxy=boxes[row][there],
                face_probabilities=outputs["face_probabilities"][row, there],
                crops=crops[there] if self._keep_crops else None,
            )
            for row, (track, crops) in enumerate(zip(faces.tracks, faces.crops, strict=True))
        )


class FacesThere:
    """Leaves the faces to the server, which sees frames, one row a window.

    Args:
        config: how clips are cropped for the model, of which only the choice of frames matters here.
        pixels: RAW or JPEG, of the stored strips' quality.
    """

    def __init__(self, config: ExtractionConfig, *, pixels: str) -> None:
        self._pixels = pixels
        # The server looks for faces in the frames that it is sent, so those of the places are all it needs.
        self.plan = replace(config.frame_plan, detect_every_seconds=None)

    def request(self, clip_id: str, frames: ClipFrames, window: Window, first_seconds: float) -> WindowRequest | Looked:
        """Return what to ask of a window."""
        seconds = _seconds(frames, first_seconds)
        num_frames, (height, width) = len(frames.frames), frames.frames.shape[1:3]
        nothing = ScoredWindow(window.start_seconds, window.end_seconds, None, num_places=num_frames)

        def scored(outputs: Outputs) -> Looked:
            if not outputs["num_faces"][0]:
                reason = f"no face found in {num_frames} frames of {width} x {height}, which the server does not turn"
                return Looked(ClipFaces(clip_id, NO_FACE, reason), nothing)
            found, tracks = _people(outputs, seconds)
            nothing_cropped = tuple(np.zeros((num_frames, 0, 0, 3), np.uint8) for _ in found)
            faces = ClipFaces(clip_id, OK, tracks=found, crops=nothing_cropped)
            return Looked(faces, replace(nothing, score=float(outputs["clip_score"][0]), tracks=tracks))

        if self._pixels == RAW:
            return WindowRequest(FRAMES, {"frames": frames.frames[None]}, scored)
        everywhere = np.ones((1, num_frames), np.bool_)
        return WindowRequest(JPEG_FRAMES, {"frame_bytes": _jpegs(frames.frames[None], everywhere)}, scored)


def _people(outputs: Outputs, seconds: np.ndarray) -> tuple[tuple[Track, ...], tuple[ScoredTrack, ...]]:
    """Return the people of the only row of an answer: as found, without landmarks, and as scored."""
    found, scored = [], []
    for person in range(int(outputs["num_people"][0])):
        is_face, boxes = outputs["is_face"][0, person], outputs["boxes"][0, person]
        landmarks = np.zeros((len(is_face), 5, 2), np.float32)
        found.append(Track(is_face, boxes, landmarks, outputs["confidences"][0, person]))
        scored.append(
            ScoredTrack(
                score=float(outputs["track_scores"][0, person]),
                seconds=seconds,
                is_face=is_face,
                boxes_xyxy=boxes,
                face_probabilities=outputs["face_probabilities"][0, person],
            )
        )
    return tuple(found), tuple(scored)


def _seconds(frames: ClipFrames, first_seconds: float) -> np.ndarray:
    """Return when the frame of each place is shown, from the clip's first frame on."""
    return frames.seconds_of(frames.frame_indices[frames.frame_indices >= 0]) - first_seconds


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
