"""Small clips of which it is known where they were forged: a textured picture that moves, and a patch put into it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd
from scipy import ndimage

from tests.stores import frames_of, new_store, painted, track_of, write_clips
from tfdfd.clip import OK, ClipFaces
from tfdfd.data.store import FaceStore

WIDTH, HEIGHT, NUM_FRAMES = 384, 288, 12
BOX = (128.0, 80.0, 256.0, 208.0)
"""The face, x1, y1, x2, y2: the crop of margin 0.25 is the square of 160 px about its centre (192, 144)."""
PATCH = (160, 112, 224, 176)
"""What is forged of it."""
MARGIN, SIZE = 0.25, 160
INDICES = (2, 6, 10)


def textured_frames(count: int = NUM_FRAMES, *, width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> np.ndarray:
    """Draw a picture with details of all sizes that moves by two pixels a frame, uint8 (count, height, width, 3)."""
    rng = np.random.default_rng(seed)
    wide = width + 2 * count
    layers = [ndimage.gaussian_filter(rng.normal(size=(height, wide)), s) * s for s in (1.5, 4.0, 12.0)]
    grey = 128 + 30 * np.sum(layers, axis=0) / np.std(np.sum(layers, axis=0))
    picture = np.clip(grey[..., None] + [20, 0, -20], 16, 235).astype(np.uint8)
    return np.stack([picture[:, 2 * n : 2 * n + width] for n in range(count)])


def forged(frames: np.ndarray, patch: tuple[int, int, int, int] = PATCH) -> np.ndarray:
    """Put another texture, and brighter, into a rectangle of every frame."""
    x1, y1, x2, y2 = patch
    other = textured_frames(1, width=x2 - x1, height=y2 - y1, seed=9)[0]
    result = frames.copy()
    result[:, y1:y2, x1:x2] = np.clip(other.astype(int) // 2 + 110, 0, 255)
    return result


def write_frames(path: Path, frames: np.ndarray, *, crf: int = 10) -> Path:
    """Encode frames as H.264 at 25 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": str(crf)})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def forged_store(folder: Path, clips: dict[str, str]) -> FaceStore:
    """Make a store of clips `clip id -> original` whose files are `<folder>/<clip id>.mp4`.

    Those with `forged` in their names are fakes. Each has one face at BOX in the frames INDICES.
    """
    store = new_store(folder / "store", margin=MARGIN, crop_size=SIZE)
    track = track_of(box=BOX)
    found = [
        ClipFaces(
            clip_id,
            OK,
            tracks=(track,),
            crops=(painted(track, size=SIZE),),
            frames=frames_of(
                width=WIDTH,
                height=HEIGHT,
                num_frames=NUM_FRAMES,
                indices=INDICES,
            ),
        )
        for clip_id in clips
    ]
    write_clips(store, found)
    with store.writing():
        for clip in found:
            path = folder / f"{clip.clip_id}.mp4"
            store.write(clip, source_bytes=path.stat().st_size if path.is_file() else 1)
    table = pd.DataFrame(
        {
            "clip_id": list(clips),
            "path": [str(folder / f"{clip_id}.mp4") for clip_id in clips],
            "label": [int("forged" in clip_id) for clip_id in clips],
            "original": list(clips.values()),
            "dataset": "painted",
        }
    )
    (store.folder / "manifest.parquet").unlink()
    store.write_manifest(table)
    return store


def true_mask() -> np.ndarray:
    """Return where the crop of BOX shows PATCH, bool (SIZE, SIZE)."""
    left, top = 192 - SIZE // 2, 144 - SIZE // 2
    x1, y1, x2, y2 = PATCH
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[y1 - top : y2 - top, x1 - left : x2 - left] = True
    return mask


def mask_iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of what either mask has that both have."""
    return float((one & other).sum() / max((one | other).sum(), 1))
