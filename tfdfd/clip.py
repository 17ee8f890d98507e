"""The values that travel between the rooms: frozen dataclasses that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

REAL, FAKE = 0, 1
LABEL_NAMES = {REAL: "REAL", FAKE: "FAKE"}

OK, PARTIAL, NO_FACE, FAILED = "ok", "partial", "no_face", "failed"
STATUSES = (OK, PARTIAL, NO_FACE, FAILED)
"""`partial`: faces were found, but the file is cut off, or not all chosen frames could be read."""
WITH_FACES = (OK, PARTIAL)
"""Statuses of clips that have faces to train on and to score."""
LEAST_READABLE_SHARE = 0.25
"""Of the frames that a file announces, and of those that are chosen; with less a clip is refused."""


def what_is_missing(cut_off: str, num_unread: int, num_chosen: int, unread: str) -> str:
    """Return why a clip is partial, empty where it is not.

    Args:
        cut_off: how much of the file is missing; empty where all of it is there.
        num_unread: chosen frames that could not be read.
        num_chosen: all chosen frames.
        unread: the first that could not be read, and why.
    """
    frames = f"{num_unread} of {num_chosen} chosen frames could not be read: {unread}" if num_unread else ""
    return "; ".join(filter(None, [cut_off, frames]))


WEAK_SHARE = 1 / 3
"""Share of a clip's places that must show a face; a verdict on fewer rests on weak evidence. Of 45 people in real
clips, scored by the demo's model, one face said another verdict than all 17 in 11 % of draws, two in 7 %, five in
4.6 %, eight in 3.4 % (`benchmarks/evidence.py`)."""


WEAK_EVIDENCE = "weak evidence"
"""What a warning of few faces begins with."""


def is_weak(num_with_face: int, num_places: int) -> bool:
    """Return whether faces at so few of the places that were looked at are weak evidence."""
    return num_with_face < WEAK_SHARE * num_places


def weak_evidence(num_with_face: int, num_places: int) -> str:
    """Return how a person is told of few faces."""
    return f"{WEAK_EVIDENCE}: a face at {num_with_face} of {num_places} places"


class TfdfdError(Exception):
    """An error whose message is for the person at the command line: what was wrong, where, what to do."""

    exit_status = 1
    """What the command ends with."""


class ClipError(TfdfdError):
    """One clip cannot be used; the run goes on and the clip's status carries this reason."""


@dataclass(frozen=True)
class Clip:
    """A video file with one label."""

    clip_id: str
    """Unique in its manifest, e.g. `aagfhgtpmv` or `Deepfakes/c23/183_253`."""
    path: Path
    """The video file."""

    def __post_init__(self) -> None:
        if not self.clip_id:
            raise ValueError(f"clip_id must not be empty (path {self.path})")


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself: its packets are counted, of its pictures only the first is decoded."""

    codec: str
    """FFmpeg's name, e.g. `h264`, `hevc`, `vp9`, `av1`, `mjpeg`."""
    profile: str
    """FFmpeg's name, e.g. `High`, `High 4:4:4 Predictive`; empty if the codec has none."""
    pixel_format: str
    """FFmpeg's name, e.g. `yuv420p`, `yuv444p`, `yuv420p10le`."""
    width: int
    """Of a frame in square pixels, before rotation."""
    height: int
    """Of a frame in square pixels, before rotation."""
    num_frames: int
    """Pictures that the file presents, counted from its packets, at least 1."""
    pts: np.ndarray = field(repr=False)
    """int64, shape (num_frames,), ascending: presentation time of each frame in units of time_base."""
    time_base_seconds: float
    """Seconds in one unit of pts."""
    frames_per_second: float
    """Average rate; 0 where the file does not say."""
    quarter_turns: int
    """Counter-clockwise quarter turns (as in `np.rot90`) that show the frame upright, 0 to 3."""
    has_audio: bool
    """Whether the file has an audio stream."""
    is_hdr: bool
    """Whether the transfer function is PQ or HLG, for which 8-bit RGB without tone mapping is only approximate."""
    is_reference: np.ndarray | None = field(default=None, repr=False)
    """bool, shape (num_frames,): whether others lean on a frame; None where the file does not tell (not H.264)."""

    def __post_init__(self) -> None:
        if self.num_frames < 1 or len(self.pts) != self.num_frames:
            raise ValueError(f"num_frames must be at least 1 and match pts, got {self.num_frames} and {len(self.pts)}")
        if self.quarter_turns not in (0, 1, 2, 3):
            raise ValueError(f"quarter_turns must be 0 to 3, got {self.quarter_turns}")


@dataclass(frozen=True)
class FramePlan:
    """Which frames of a clip are read; `tfdfd.data.frame_plan` turns it into frame numbers."""

    places: int
    """Places of a track: frames that are cropped."""
    detect_every_seconds: float | None = None
    """Longest time between two frames that faces are looked for in; None to look in the frames of the places."""
    every_frames: int | None = None
    """The places take every so many-th frame, in a stretch in the middle of the clip; None to spread them over it."""
    by_time: bool = True
    """Whether they are spread over the time of a clip of variable frame rate, and not over its frames."""

    def __post_init__(self) -> None:
        if self.places < 1:
            raise ValueError(f"places must be at least 1, got {self.places}")
        if self.every_frames is not None and self.every_frames < 1:
            raise ValueError(f"every_frames must be at least 1 or None, got {self.every_frames}")
        if self.detect_every_seconds is not None and not self.detect_every_seconds > 0:
            raise ValueError(f"detect_every_seconds must be above 0 or None, got {self.detect_every_seconds}")


@dataclass(frozen=True)
class ClipFrames:
    """The frames that were read of one clip, upright."""

    frames: np.ndarray = field(repr=False)
    """uint8 RGB, shape (n, height, width, 3), n >= 1, in playing order."""
    places: np.ndarray
    """int64, shape (n,): the place in the track that each frame fills, ascending but for -1: looked at only."""
    frame_indices: np.ndarray
    """int64, shape (num_places,): chosen frame of each place, -1 where there is none: the clip is too short to fill it,
    or the frame could not be read."""
    info: VideoInfo
    """What the file said of itself."""
    decoder: str
    """`nvdec` or `pyav`."""
    decoder_reason: str
    """Why this decoder: the routing rule that applied."""
    warnings: tuple[str, ...] = ()
    """What a person should know of a clip that was read all the same, e.g. HDR."""
    detection_indices: np.ndarray | None = None
    """int64, shape (m,), ascending: frames that faces are looked for in; None for the frames of the places."""
    num_unread: int = 0
    """Chosen frames that could not be read."""
    unread: str = ""
    """The first of them and why; empty where there is none."""
    cut_off: str = ""
    """How much of the file is missing; empty where all of it is there."""

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8 or self.frames.ndim != 4 or self.frames.shape[-1] != 3:
            raise ValueError(f"frames must be uint8 (n, height, width, 3), got {self.frames.dtype} {self.frames.shape}")
        if len(self.places) != len(self.frames) or len(self.frames) < 1:
            raise ValueError(f"got {len(self.frames)} frames for {len(self.places)} places")
        if len(self.row_indices) != len(self.frames):
            raise ValueError(f"got {len(self.frames)} frames, the numbers of {len(self.row_indices)} were chosen")

    @property
    def missing(self) -> str:
        """Why the clip is partial; empty where all that was asked for is there."""
        num_chosen = len(self.frames) + self.num_unread
        return what_is_missing(self.cut_off, self.num_unread, num_chosen, self.unread)

    @property
    def row_indices(self) -> np.ndarray:
        """int64, shape (n,): the number of each frame in the clip."""
        of_places = self.frame_indices[self.frame_indices >= 0]
        return of_places if self.detection_indices is None else np.union1d(of_places, self.detection_indices)

    @property
    def detection_rows(self) -> np.ndarray:
        """int64, shape (m,): the frames that faces are looked for in."""
        if self.detection_indices is None:
            return np.arange(len(self.frames))
        return np.searchsorted(self.row_indices, self.detection_indices)

    def seconds_of(self, frame_indices: np.ndarray) -> np.ndarray:
        """Return when frames of the clip are shown, float64, seconds; frame_indices in [0, num_frames)."""
        return self.info.pts[frame_indices] * self.info.time_base_seconds


@dataclass(frozen=True)
class Detections:
    """The faces found in one frame, most confident first."""

    boxes_xyxy: np.ndarray
    """float32, shape (n, 4): x1, y1, x2, y2 in pixels of the full-size frame; may reach outside it."""
    landmarks_xy: np.ndarray
    """float32, shape (n, 5, 2): left eye, right eye, nose, left and right mouth corner, in pixels."""
    confidences: np.ndarray
    """float32, shape (n,), in [0, 1]."""

    def __post_init__(self) -> None:
        n = len(self.boxes_xyxy)
        shapes = (self.boxes_xyxy.shape, self.landmarks_xy.shape, self.confidences.shape)
        if shapes != ((n, 4), (n, 5, 2), (n,)):
            raise ValueError(f"boxes, landmarks and confidences must be (n,4), (n,5,2), (n,), got {shapes}")

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @staticmethod
    def none() -> Detections:
        """Return the detections of a frame without a face."""
        return Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros((0,), np.float32))


@dataclass(frozen=True)
class Track:
    """The detections of one person through a clip, one place a chosen frame."""

    is_face: np.ndarray
    """bool, shape (num_places,): whether the place holds a face."""
    boxes_xyxy: np.ndarray
    """float32, shape (num_places, 4), zeros where there is no face."""
    landmarks_xy: np.ndarray
    """float32, shape (num_places, 5, 2), zeros where there is no face."""
    confidences: np.ndarray
    """float32, shape (num_places,), zero where there is no face."""

    def __post_init__(self) -> None:
        n = len(self.is_face)
        if self.is_face.dtype != np.bool_ or not self.is_face.any():
            raise ValueError("is_face must be bool and mark at least one face")
        if self.boxes_xyxy.shape != (n, 4) or self.landmarks_xy.shape != (n, 5, 2):
            raise ValueError(f"a track of {n} places got boxes {self.boxes_xyxy.shape}")

    @property
    def num_faces(self) -> int:
        """Places that hold a face."""
        return int(self.is_face.sum())


@dataclass(frozen=True)
class ClipFaces:
    """What extraction found in one clip: a status and, where it is ok or partial, the crops of every track."""

    clip_id: str
    status: str
    """One of STATUSES."""
    reason: str = ""
    """Why the status is not ok; empty when it is."""
    tracks: tuple[Track, ...] = ()
    """The people of the clip, the main one (often seen and large) first."""
    crops: tuple[np.ndarray, ...] = field(default=(), repr=False)
    """One array a track: uint8 RGB, shape (num_places, size, size, 3), zeros where there is no face."""
    looks: tuple[Track, ...] = ()
    """The same people as detected in all frames that were read, one place a frame; empty where faces were looked for
    in the frames of the places, for then the tracks are what was detected."""
    frames: ClipFrames | None = field(default=None, repr=False)
    """Where the faces came from (its pixels are not kept in the store)."""
    turns: int = 0
    """Counter-clockwise quarter turns by which faces were found, beside those that the file asks for; `frames` and
    `tracks` are as turned."""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {list(STATUSES)}, got {self.status!r}")
        if (self.status in WITH_FACES) != bool(self.tracks) or len(self.tracks) != len(self.crops):
            raise ValueError(f"{self.clip_id}: status {self.status} with {len(self.tracks)} tracks")
        if len(self.looks) not in (0, len(self.tracks)):
            raise ValueError(f"{self.clip_id}: {len(self.looks)} looks for {len(self.tracks)} tracks")
        if (self.status != OK) != bool(self.reason):
            raise ValueError(f"{self.clip_id}: a reason belongs to every status but ok, got {self.reason!r}")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the clip: what its frames say, and that there are few faces."""
        told = () if self.frames is None else self.frames.warnings
        if self.frames is None or not self.tracks:
            return told
        num_filled = int((self.frames.frame_indices >= 0).sum())
        num_with_face = int(np.any([track.is_face for track in self.tracks], axis=0).sum())
        return (*told, weak_evidence(num_with_face, num_filled)) if is_weak(num_with_face, num_filled) else told
