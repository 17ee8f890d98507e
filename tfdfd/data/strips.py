"""The strip codec: the crops of one track as one JPEG, stacked in playing order."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tfdfd.clip import ClipError, TfdfdError
from tfdfd.data.crop_bytes import EOI, SOI, with_crop_starts

STRIP_QUALITY = 95
"""JPEG quality of the strips; less would wash out the traces that the network looks for."""
STRIP_CODEC = "jpeg 4:4:4 q95"
"""What a fingerprint calls it."""
JPEG_BLOCK = 8
"""Side of a JPEG block in pixels: where crops begin on one, no crop bleeds into the next."""
JPEG_MAX_SIDE = 65_500
"""Tallest JPEG that libjpeg writes."""


def check_crop_size(crop_size: int, *, num_places: int) -> None:
    """Check that crops of this size can be stored as a strip.

    Args:
        crop_size: side of a crop in pixels.
        num_places: crops a strip.

    Raises:
        TfdfdError: if the side is not a multiple of 8 or the strip would be taller than a JPEG can be.
    """
    if crop_size < JPEG_BLOCK or crop_size % JPEG_BLOCK:
        below = max(crop_size // JPEG_BLOCK, 1) * JPEG_BLOCK
        raise TfdfdError(
            f"crop size must be a multiple of {JPEG_BLOCK}, else crops bleed into each other in the strip: "
            f"got {crop_size}, use {below} or {below + JPEG_BLOCK}"
        )
    if num_places * crop_size > JPEG_MAX_SIDE:
        raise TfdfdError(
            f"{num_places} places of {crop_size} pixels make a strip of {num_places * crop_size} pixels, "
            f"more than the {JPEG_MAX_SIDE} of a JPEG: use at most {JPEG_MAX_SIDE // crop_size} places"
        )


def encode_strip(crops: np.ndarray, *, quality: int = STRIP_QUALITY) -> bytes:
    """Store the crops of one track as a JPEG without colour subsampling.

    Args:
        crops: uint8 RGB, shape (num_places, size, size, 3), size a multiple of 8; zeros where there is no face.
        quality: JPEG quality, 95 to 100.

    Returns:
        A JPEG of num_places * size rows and size columns, which says where each crop's bytes are (see `crop_bytes`).

    Raises:
        ValueError: if the array is not a stack of square RGB crops, or the quality is too low.
        TfdfdError: if the size does not suit a strip (see `check_crop_size`).
    """
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[3] != 3 or crops.shape[1] != crops.shape[2]:
        raise ValueError(f"crops must be uint8 (num_places, size, size, 3), got {crops.dtype} {crops.shape}")
    if not STRIP_QUALITY <= quality <= 100:
        raise ValueError(f"quality must be {STRIP_QUALITY} to 100, got {quality}")
    num_places, size = crops.shape[:2]
    check_crop_size(size, num_places=num_places)
    buffer = io.BytesIO()
    blocks = (size // JPEG_BLOCK) ** 2
    Image.fromarray(crops.reshape(num_places * size, size, 3)).save(
        buffer, "JPEG", quality=quality, subsampling="4:4:4", restart_marker_blocks=blocks
    )
    return with_crop_starts(buffer.getvalue(), num_places)


def decode_strip(strip: bytes, *, num_places: int) -> np.ndarray:
    """Read a strip back, for tests and reports (training and evaluation decode in their own graphs).

    Args:
        strip: a JPEG as `encode_strip` writes it, or one ready crop.
        num_places: crops in the strip.

    Returns:
        uint8 RGB, shape (num_places, size, size, 3). Places without a face are as they were stored, black.

    Raises:
        ClipError: if the bytes are no such JPEG.
    """
    try:
        with Image.open(io.BytesIO(strip), formats=["JPEG"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:  # Pillow's errors for what is no picture and for a truncated one are both OSErrors
        raise ClipError(f"a strip of {len(strip)} bytes cannot be decoded: {error}") from error
    height, size = pixels.shape[:2]
    if height != num_places * size:
        raise ClipError(
            f"a strip of {num_places} square crops must be {num_places} times as tall as wide, "
            f"got {size} x {height} pixels"
        )
    return pixels.reshape(num_places, size, size, 3)


def read_strip(path: str | Path, *, num_places: int) -> np.ndarray:
    """Read the crops of a strip file, as `decode_strip` does.

    Raises:
        ClipError: if the file is missing or no such JPEG.
    """
    try:
        return decode_strip(Path(path).read_bytes(), num_places=num_places)
    except OSError as error:
        raise ClipError(f"the strip {path} cannot be read: {error.strerror or error}") from error


def check_strips(strip_paths: Sequence[str]) -> None:
    """Stop before any work if a strip file is missing, empty, truncated or no JPEG.

    Looks at the first and last bytes only, so that 100,000 strips take seconds. It matters because a graph that
    meets such a file ends the run, and tf.data does not say which file it was.

    Args:
        strip_paths: strip files; repeated ones are looked at once.

    Raises:
        TfdfdError: naming the first few bad files and their number.
    """
    refuse_bad_files(
        strip_paths,
        _what_is_wrong,
        what="strip files",
        remedy="Delete those files and run `tfdfd prepare` again on the same store: it makes what is missing.",
    )


def refuse_bad_files(paths: Sequence[str], problem_of: Callable[[str], str], *, what: str, remedy: str) -> None:
    """Raise TfdfdError that names the first few bad files of a store and their number, if there are any.

    Args:
        paths: files; repeated ones are looked at once.
        problem_of: path -> what is wrong with the file, empty if nothing is.
        what: what such files are called, in the plural.
        remedy: what to do.
    """
    bad = [f"{path}: {problem}" for path in dict.fromkeys(paths) if (problem := problem_of(path))]
    if bad:
        shown = "\n  ".join(bad[:5])
        raise TfdfdError(f"{len(bad)} {what} of the store cannot be used, first of them:\n  {shown}\n{remedy}")


def _what_is_wrong(path: str) -> str:
    try:
        with open(path, "rb") as file:
            start = file.read(2)
            if not start:
                return "empty"
            if start != SOI:
                return "not a JPEG"
            file.seek(-2, io.SEEK_END)
            if file.read(2) == EOI:
                return ""
        # Ready crops may carry bytes after the picture's end: only decoding tells.
        with Image.open(path) as picture:
            picture.load()
    except OSError as error:
        return error.strerror or str(error)
    return ""
