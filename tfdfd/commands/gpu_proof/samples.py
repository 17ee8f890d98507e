"""The pictures and clips that checks look at: rendered on the spot, always the same."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tfdfd.data.crop_bytes import read_crop_bytes
from tfdfd.data.demo import render_demo
from tfdfd.data.demo_frames import draw_frames, draw_look, padded_portrait
from tfdfd.data.mask_strips import encode_masks
from tfdfd.data.rows import FaceTable, StripRows, TrackMasks
from tfdfd.data.strips import encode_strip

BLOCK = 4
"""Side in pixels of a painted block, one bit: large enough that no JPEG decoder turns it over."""
NUMBER_SIZE, NUMBER_BITS = 32, 16
"""Side of a crop that shows a number, and how many blocks spell it behind the mark."""
MARK = [1] * 4 + [0] * 4
"""The first row of blocks, white on the left: a crop with it on the right is mirrored."""
FULL_HD = (1920, 1080)
_DRAWN_FRAMES = 12


def smooth_crops(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Return uint8 RGB (count, size, size, 3) with coloured detail that survives a JPEG."""
    coarse = rng.integers(0, 256, (count, max(size // 8, 1), max(size // 8, 1), 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in coarse])


def smooth_table(folder: Path, *, num_tracks: int = 8, num_places: int = 3, size: int = 64) -> FaceTable:
    """Write strips of smooth crops, one place in five without a face, and masks of half of each fake's crops."""
    rng = np.random.default_rng(0)
    is_face = rng.random((num_tracks, num_places)) < 0.8
    is_face[:, 0] = True
    crops = [smooth_crops(rng, num_places, size) * present[:, None, None, None] for present in is_face]
    labels = (np.arange(num_tracks) % 2).astype(np.float32)
    table = _table(folder, [strip.astype(np.uint8) for strip in crops], is_face, labels)
    altered = np.zeros((num_places, size, size), np.bool_)
    altered[:, size // 4 : size // 2, size // 4 : 3 * size // 4] = True
    masks = folder / "masks.png"
    masks.write_bytes(encode_masks(altered))
    paths = [str(masks) if label else "" for label in labels]
    return dataclasses.replace(table, masks=TrackMasks(paths, np.ones_like(is_face)))


def ready_table(folder: Path, *, count: int = 8, size: int = 61) -> FaceTable:
    """Write ready-made crops, one a file, whose colour is subsampled in each way that JPEG knows."""
    rng = np.random.default_rng(1)
    paths = []
    for number, crop in enumerate(smooth_crops(rng, count, size)):
        path = folder / f"ready-{number}.jpg"
        ways = ("4:4:4", "4:2:2", "4:2:0")
        Image.fromarray(crop).save(path, quality=90, subsampling=ways[number % 3], progressive=number % 2 == 1)
        paths.append(str(path))
    ones, numbers = np.ones(count, np.float32), np.arange(count, dtype=np.int32)
    return FaceTable(paths, np.ones((count, 1), np.bool_), numbers.astype(np.float32) % 2, ones, numbers)


def numbered_table(folder: Path, *, num_tracks: int, num_places: int) -> FaceTable:
    """Write strips whose crops show `track * num_places + place`; label and clip row follow from the track."""
    rng = np.random.default_rng(2)
    is_face = rng.random((num_tracks, num_places)) < 0.7
    is_face[~is_face.any(axis=1), 1] = True
    numbers = np.arange(num_tracks * num_places).reshape(is_face.shape)
    strips = [
        np.stack([_spelled(number) * present for number, present in zip(row, there, strict=True)])
        for row, there in zip(numbers, is_face, strict=True)
    ]
    labels = (np.arange(num_tracks) * 7 % 10 < 3).astype(np.float32)
    return _table(folder, strips, is_face, labels)


def read_numbers(crops: np.ndarray) -> np.ndarray:
    """Return the numbers that crops of a `numbered_table`, uint8 (n, size, size, 3), show, mirrored or not; else -1."""
    grids = (crops[:, BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK, 0] > 127).astype(np.int64)
    is_mirrored = grids[:, 0, 0] == 0
    grids[is_mirrored] = grids[is_mirrored, :, ::-1]
    bits = grids.reshape(len(grids), -1)
    numbers = bits[:, len(MARK) : len(MARK) + NUMBER_BITS] @ (1 << np.arange(NUMBER_BITS))
    return np.where((bits[:, : len(MARK)] == MARK).all(axis=1), numbers, -1)


def easy_table(folder: Path, *, num_tracks: int, num_places: int = 4, size: int = 32) -> tuple[FaceTable, StripRows]:
    """Write strips of which fakes are brighter, so that any network learns them in a few steps.

    Returns:
        The tracks to train on, and the last quarter of them to validate on.
    """
    rng = np.random.default_rng(3)
    labels = (np.arange(num_tracks) % 2).astype(np.float32)
    strips = [(smooth_crops(rng, num_places, size) // 2 + 90 * int(label)).astype(np.uint8) for label in labels]
    table = _table(folder, strips, np.ones((num_tracks, num_places), np.bool_), labels)
    held_out = np.arange(num_tracks) >= 3 * num_tracks // 4
    paths = [path for path, out in zip(table.strip_paths, held_out, strict=True) if out]
    num_held = len(paths)
    numbers = np.arange(num_held, dtype=np.int32)
    return table, StripRows(paths, table.is_face[:num_held], numbers, np.zeros(num_held, np.int32))


def repeated(table: FaceTable, times: int) -> FaceTable:
    """Return a table with its tracks several times, for epochs of many steps."""
    is_face, labels, weights = (
        np.concatenate([array] * times) for array in (table.is_face, table.labels, table.weights)
    )
    paths = list(table.strip_paths) * times
    return FaceTable(
        paths,
        is_face,
        labels,
        weights,
        np.arange(len(paths), dtype=np.int32),
        crop_bytes=read_crop_bytes(paths, table.is_face.shape[1], _size_of(Path(paths[0]))),
    )


def demo_clips(data: Path) -> list[Path]:
    """Return small clips with a face, rendered at the first call."""
    return sorted(render_demo(data / "demo", num_clips=4, num_frames=24).rglob("*.mp4"))


def full_hd_clips(data: Path, *, num_clips: int = 2, num_frames: int = 48) -> list[Path]:
    """Return clips of 1920 x 1080 with a face, H.264 with B-frames, rendered at the first call."""
    paths = [data / f"full-hd-{number}-{num_frames}.mp4" for number in range(num_clips)]
    absent = [number for number, path in enumerate(paths) if not path.exists()]
    if absent:
        portrait = padded_portrait()

        def render(number: int) -> None:
            look = dataclasses.replace(draw_look(np.random.default_rng(number), 2 * number), frame_size=FULL_HD)
            drawn = list(draw_frames(portrait, look, None, _DRAWN_FRAMES))
            there_and_back = [*drawn, *reversed(drawn)]
            temporary = paths[number].with_suffix(".unfinished.mp4")
            _encode(temporary, (there_and_back[k % len(there_and_back)] for k in range(num_frames)))
            os.replace(temporary, paths[number])

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(render, absent))
    return paths


def _encode(path: Path, frames: Iterator[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "superfast", "crf": "20", "bf": "2"})
        stream.width, stream.height = FULL_HD
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _spelled(number: int) -> np.ndarray:
    side = NUMBER_SIZE // BLOCK
    bits = MARK + [number >> bit & 1 for bit in range(NUMBER_BITS)]
    grid = np.array(bits + [0] * (side * side - len(bits)), np.uint8).reshape(side, side) * 255
    return np.kron(grid, np.ones((BLOCK, BLOCK), np.uint8))[..., None].repeat(3, axis=-1)


def _table(folder: Path, strips: list[np.ndarray], is_face: np.ndarray, labels: np.ndarray) -> FaceTable:
    """Write strips, uint8 (places, size, size, 3) each, and return their table; the clip row is the track's number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, crops in enumerate(strips):
        path = folder / f"{number}.jpg"
        path.write_bytes(encode_strip(crops))
        paths.append(str(path))
    return FaceTable(
        paths,
        is_face,
        labels,
        np.ones(len(strips), np.float32),
        np.arange(len(strips), dtype=np.int32),
        crop_bytes=read_crop_bytes(paths, is_face.shape[1], strips[0].shape[1]),
    )


def _size_of(strip: Path) -> int:
    with Image.open(strip) as picture:
        return picture.width
