"""What the face store writes down of each clip and track."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdfd.clip import ClipFaces

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
    *_VIDEO_COLUMNS,
]
TRACK_COLUMNS = ["clip_id", "track", "strip", "is_face", "boxes_xyxy", "landmarks_xy", "confidences"]


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
    }
    if faces.frames is not None:
        info = faces.frames.info
        record |= {name: getattr(info, name) for name in _VIDEO_COLUMNS}
        record |= {
            "frames_per_second": round(info.frames_per_second, 4),
            "decoder": faces.frames.decoder,
            "decoder_reason": faces.frames.decoder_reason,
            "warnings": list(faces.frames.warnings),
            "frame_indices": faces.frames.frame_indices.tolist(),
        }
    record["tracks"] = [
        {
            "strip": strip,
            "is_face": track.is_face.tolist(),
            "boxes_xyxy": _rounded(track.boxes_xyxy, 2),
            "landmarks_xy": _rounded(track.landmarks_xy.reshape(len(track.is_face), -1), 2),
            "confidences": _rounded(track.confidences, 4),
        }
        for strip, track in zip(strips, faces.tracks, strict=True)
    ]
    return record


def _rounded(values: np.ndarray, decimals: int) -> list[Any]:
    return np.round(values.astype(np.float64), decimals).tolist()
