"""What the face store writes down of each clip and track."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

import numpy as np

from tfdfd.clip import ClipFaces, Track, VideoInfo

_VIDEO_COLUMNS = [
    "codec",
    "profile",
    "pixel_format",
    "width",
    "height",
    "num_frames",
    "frames_per_second",
    "quarter_turns",
    "has_audio",
    "is_hdr",
]
CLIP_COLUMNS = [
    "clip_id",
    "status",
    "reason",
    "source_bytes",
    "decoder",
    "decoder_reason",
    "warnings",
    "frame_indices",
    "detection_indices",
    "frame_seconds",
    *_VIDEO_COLUMNS,
]
TRACK_COLUMNS = ["clip_id", "track", "strip", "is_face", "is_detected", "boxes_xyxy", "landmarks_xy", "confidences"]


def record_of(faces: ClipFaces, strips: list[str], source_bytes: int) -> dict[str, Any]:
    """Return the JSON record of a clip; nothing in it depends on when or in which order clips were done."""
    record: dict[str, Any] = dict.fromkeys(CLIP_COLUMNS)
    record |= {
        "clip_id": faces.clip_id,
        "status": faces.status,
        "reason": faces.reason,
        "source_bytes": source_bytes,
        "warnings": [],
        "frame_indices": [],
        "detection_indices": [],
        "frame_seconds": [],
    }
    if faces.frames is not None:
        info, looked_at = faces.frames.info, faces.frames.detection_indices
        record |= {name: getattr(info, name) for name in _VIDEO_COLUMNS}
        record |= {
            "frames_per_second": round(info.frames_per_second, 4),
            "decoder": faces.frames.decoder,
            "decoder_reason": faces.frames.decoder_reason,
            "warnings": list(faces.warnings),
            "frame_indices": faces.frames.frame_indices.tolist(),
            "detection_indices": [] if looked_at is None else looked_at.tolist(),
            "frame_seconds": _times(info),
        }
    if faces.turns:
        # Only where it is so: what stores hold of all other clips stays what it is.
        record["turns_beside_file"] = faces.turns
    record["tracks"] = [
        {
            "strip": strip,
            "is_face": track.is_face.tolist(),
            "is_detected": _is_detected(faces, track, look).tolist(),
            "boxes_xyxy": _rounded(track.boxes_xyxy, 2),
            "landmarks_xy": _rounded(track.landmarks_xy.reshape(len(track.is_face), -1), 2),
            "confidences": _rounded(track.confidences, 4),
            "looks": _look_record(look),
        }
        for strip, track, look in zip(strips, faces.tracks, faces.looks or [None] * len(strips), strict=True)
    ]
    return record


def _is_detected(faces: ClipFaces, track: Track, look: Track | None) -> np.ndarray:
    """Return whether the face at each place was detected there, bool: else its box lies between detections."""
    if look is None or faces.frames is None:
        return track.is_face
    of_places = faces.frames.frame_indices
    filled = np.flatnonzero(of_places >= 0)
    is_detected = np.zeros_like(track.is_face)
    is_detected[filled] = look.is_face[np.searchsorted(faces.frames.row_indices, of_places[filled])]
    return is_detected


def _look_record(look: Track | None) -> dict[str, Any] | None:
    """Return the detections of one person, without the looks in vain: rows count the frames that were read."""
    if look is None:
        return None
    rows = np.flatnonzero(look.is_face)
    return {
        "rows": rows.tolist(),
        "boxes_xyxy": _rounded(look.boxes_xyxy[rows], 2),
        "landmarks_xy": _rounded(look.landmarks_xy[rows].reshape(len(rows), -1), 2),
        "confidences": _rounded(look.confidences[rows], 4),
    }


def _times(info: VideoInfo) -> list[float]:
    """Return when each frame is shown, in seconds: the first and the last time where frames are evenly spaced."""
    seconds = info.pts * info.time_base_seconds
    even = np.linspace(seconds[0], seconds[-1], info.num_frames)
    # Containers round times to a millisecond.
    if info.num_frames > 2 and np.abs(seconds - even).max() <= 2e-3:
        seconds = seconds[[0, -1]]
    return _rounded(seconds, 6)


def _rounded(values: np.ndarray, decimals: int) -> list[Any]:
    return np.round(values.astype(np.float64), decimals).tolist()


def record_name(clip_id: str) -> str:
    """Return the path of a clip's record in a store."""
    return f"records/{_file_name(clip_id)}.json"


def strip_name(clip_id: str, track: int) -> str:
    """Return the path of a track's strip in a store."""
    return f"strips/{_file_name(clip_id)}.{track}.jpg"


def _file_name(clip_id: str) -> str:
    """Return a folder (so that none grows to 100,000 files) and a name that any file system takes."""
    digest = hashlib.sha1(clip_id.encode()).hexdigest()
    name = quote(clip_id, safe="")
    if len(name) > 180:
        name = f"{name[:140]}.{digest}"
    return f"{digest[:2]}/{name}"


def is_whole(record: Any) -> bool:
    """Return whether what was read from a record's file is one: it has the columns of both indexes."""
    return (
        isinstance(record, dict)
        and record.keys() >= {*CLIP_COLUMNS, "tracks"}
        and all(track.keys() >= set(TRACK_COLUMNS) - {"clip_id", "track"} for track in record["tracks"])
    )
