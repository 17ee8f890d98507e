"""Face stores of painted pictures, for the tests of what is made of a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tfdfd.clip import OK, ClipFaces, ClipFrames, Track, VideoInfo
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.store import FaceStore

CROP_SIZE, NUM_PLACES, MARGIN = 16, 3, 0.3


def new_store(folder: Path, *, num_places: int = NUM_PLACES, **preprocessing: object) -> FaceStore:
    """Make an empty store; its fingerprint can be told otherwise."""
    told = {"detector": {"detector": "mtcnn"}, "margin": MARGIN, "alignment": "none", "frame_rule": "all"}
    fingerprint = Fingerprint(told | {"crop_size": CROP_SIZE} | preprocessing, {})
    return FaceStore.create_or_open(folder, fingerprint, num_places=num_places)[0]


def track_of(
    is_face: Sequence[bool] = (True,) * NUM_PLACES,
    *,
    box: tuple[float, ...] = (100, 100, 140, 160),
    confidence: float = 0.99,
) -> Track:
    """Make a track with the same box, landmarks and confidence at every place with a face."""
    present = np.array(is_face)
    x1, y1, x2, y2 = box
    points = [[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2], [x2, y2]]
    boxes, landmarks = np.zeros((len(present), 4), np.float32), np.zeros((len(present), 5, 2), np.float32)
    boxes[present], landmarks[present] = box, points
    return Track(present, boxes, landmarks, np.where(present, confidence, 0).astype(np.float32))


def frames_of(
    *, width: int = 640, height: int = 480, num_frames: int = 30, indices: Sequence[int] = (5, 15, 25), **facts: object
) -> ClipFrames:
    """Say where faces came from: `facts` are further fields of ClipFrames, the frames are one black pixel each."""
    info = VideoInfo(
        codec="h264",
        profile="High",
        pixel_format="yuv420p",
        width=width,
        height=height,
        num_frames=num_frames,
        pts=np.arange(num_frames),
        time_base_seconds=0.1,
        frames_per_second=10.0,
        quarter_turns=0,
        has_audio=False,
        is_hdr=False,
    )
    chosen = np.array(indices, np.int64)
    places = np.flatnonzero(chosen >= 0)
    looked_at = facts.get("detection_indices")
    if looked_at is not None:  # frames that are looked at only belong to no place
        read = np.union1d(chosen[places], looked_at)
        places = np.array([int(np.flatnonzero(chosen == frame)[0]) if frame in chosen else -1 for frame in read])
    pixels = np.zeros((len(places), 1, 1, 3), np.uint8)
    return ClipFrames(pixels, places, chosen, info, "pyav", "no GPU", **facts)  # pyright: ignore[reportArgumentType]


def painted(track: Track, colour: tuple[int, int, int] = (200, 60, 60), *, size: int = CROP_SIZE) -> np.ndarray:
    """Paint the crops of a track in one colour, black where there is no face."""
    crops = np.zeros((len(track.is_face), size, size, 3), np.uint8)
    crops[track.is_face] = colour
    return crops


def ok_clip(clip_id: str, *tracks: Track, frames: ClipFrames | None = None) -> ClipFaces:
    """Make a clip with faces, of one track with a face at every place where none is given."""
    tracks = tracks or (track_of(),)
    crops = tuple(painted(track) for track in tracks)
    return ClipFaces(clip_id, OK, tracks=tracks, crops=crops, frames=frames or frames_of())


def write_clips(store: FaceStore, clips: Sequence[ClipFaces], labels: Sequence[tuple[str, int, str]] = ()) -> None:
    """Write clips and the manifest: clip id, label and original of each that has one."""
    with store.writing():
        for clip in clips:
            store.write(clip, source_bytes=1)
    table = pd.DataFrame(labels, columns=["clip_id", "label", "original"])
    store.write_manifest(table.assign(dataset="painted"))
