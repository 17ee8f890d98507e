"""Where the people of a stored clip are in any of its frames, from the store's record alone, without the video."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfdfd.clip import TfdfdError, Track
from tfdfd.faces.paths import FacePath


def paths_of(record: dict[str, Any]) -> tuple[tuple[FacePath, ...], np.ndarray]:
    """Return where the people of a clip go, from its record alone.

    Args:
        record: what the store has of a clip.

    Returns:
        One path a track, and when each frame of the clip is shown: float64, shape (num_frames,), seconds.

    Raises:
        TfdfdError: if the faces were no frames of a video, but ready-made crops.
    """
    if not record["frame_seconds"] and record["tracks"]:
        raise TfdfdError(f"{record['clip_id']} was stored as ready-made crops: where its faces were is not known")
    times = record["frame_seconds"]
    # Two numbers are the first and the last of frames that are evenly spaced.
    seconds = np.linspace(times[0], times[-1], record["num_frames"]) if len(times) == 2 else np.array(times)
    of_places = np.array(record["frame_indices"], np.int64)
    is_read = of_places >= 0
    searched = np.array(record["detection_indices"], np.int64)
    read = np.union1d(of_places[is_read], searched)
    is_searched = np.isin(read, searched) if len(searched) else np.ones(len(read), np.bool_)
    paths = []
    for track in record["tracks"]:
        look = track["looks"]
        if look is None:
            found = np.array(track["is_face"], np.bool_)[is_read]
            names = ("boxes_xyxy", "landmarks_xy", "confidences")
            look = {"rows": np.flatnonzero(found)} | {name: np.array(track[name])[is_read][found] for name in names}
        paths.append(FacePath.through(seconds[read], _track(look, len(read)), is_searched))
    return tuple(paths), seconds


def boxes_of_every_frame(record: dict[str, Any]) -> tuple[Track, ...]:
    """Return the face of each person in every frame of a clip, from its record alone.

    Args:
        record: what `FaceStore.record` returns.

    Returns:
        One track for each stored one, in that order, with num_frames places: frame i of the clip is place i. In the
        frames that faces were looked for in they are the detections, elsewhere what `FacePath.at` says.

    Raises:
        TfdfdError: if the clip was stored as ready-made crops.
    """
    paths, seconds = paths_of(record)
    tracks = tuple(path.at(seconds) for path in paths)
    return tuple(track for track in tracks if track is not None)


def _track(look: dict[str, Any], num_looks: int) -> Track:
    rows = look["rows"]
    is_face = np.zeros(num_looks, np.bool_)
    boxes, confidences = np.zeros((num_looks, 4), np.float32), np.zeros(num_looks, np.float32)
    landmarks = np.zeros((num_looks, 5, 2), np.float32)
    is_face[rows] = True
    boxes[rows], confidences[rows] = look["boxes_xyxy"], look["confidences"]
    landmarks[rows] = np.array(look["landmarks_xy"]).reshape(-1, 5, 2)
    return Track(is_face, boxes, landmarks, confidences)
