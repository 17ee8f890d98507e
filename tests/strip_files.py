"""Strips of known pixels for the tests of rows, datasets and training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tfdfd.data.crop_bytes import read_crop_bytes
from tfdfd.data.rows import FaceTable, StripRows
from tfdfd.data.strips import encode_strip


def smooth_picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """uint8 RGB with coloured detail that survives JPEG."""
    coarse = rng.integers(0, 256, (max(height // 4, 1), max(width // 4, 1), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write_strips(folder: Path, *, num_tracks: int, num_places: int, crop_size: int, seed: int = 0) -> FaceTable:
    """Write strips of random pictures, black in the fifth of places that holds no face."""
    rng = np.random.default_rng(seed)
    is_face = rng.random((num_tracks, num_places)) < 0.8
    is_face[:, 0] = True
    paths = []
    for track in range(num_tracks):
        crops = np.stack([smooth_picture(rng, crop_size, crop_size) for _ in range(num_places)])
        path = folder / f"a track {track}.0.jpg"
        path.write_bytes(encode_strip(crops * is_face[track, :, None, None, None].astype(np.uint8)))
        paths.append(str(path))
    return FaceTable(
        paths,
        is_face,
        rng.integers(0, 2, num_tracks).astype(np.float32),
        rng.uniform(0.5, 2, num_tracks).astype(np.float32),
        rng.permutation(1000)[:num_tracks].astype(np.int32),
        crop_bytes=read_crop_bytes(paths, num_places, crop_size),
    )


def strip_rows(table: FaceTable) -> StripRows:
    """The tracks of the table, to be scored in order."""
    return StripRows(table.strip_paths, table.is_face, table.clip_rows, np.zeros(len(table.strip_paths), np.int32))
