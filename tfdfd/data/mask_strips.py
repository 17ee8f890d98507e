"""The mask codec: where each crop of a track was altered, as one PNG, in the same places as the strip of crops."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tfdfd.clip import ClipError
from tfdfd.data.strips import refuse_bad_files

ALTERED = 255
"""What an altered pixel is in the file; all others are 0."""
_SIGNATURE, _END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
"""What every PNG begins and ends with."""


def encode_masks(masks: np.ndarray) -> bytes:
    """Store the masks of one track without loss.

    Args:
        masks: bool, shape (num_places, size, size): altered or not; False where nothing is known.

    Returns:
        A PNG of one channel, num_places * size rows and size columns, of 0 and ALTERED.

    Raises:
        ValueError: if the array is not a stack of square masks.
    """
    if masks.dtype != np.bool_ or masks.ndim != 3 or masks.shape[1] != masks.shape[2]:
        raise ValueError(f"masks must be bool (num_places, size, size), got {masks.dtype} {masks.shape}")
    num_places, size, _ = masks.shape
    buffer = io.BytesIO()
    Image.fromarray(masks.reshape(num_places * size, size).astype(np.uint8) * ALTERED).save(buffer, "PNG")
    return buffer.getvalue()


def decode_masks(strip: bytes, *, num_places: int) -> np.ndarray:
    """Read masks back.

    Args:
        strip: a PNG as `encode_masks` writes it.
        num_places: masks in it.

    Returns:
        bool, shape (num_places, size, size).

    Raises:
        ClipError: if the bytes are no such PNG.
    """
    try:
        with Image.open(io.BytesIO(strip), formats=["PNG"]) as picture:
            pixels = np.asarray(picture)
    except (OSError, SyntaxError) as error:  # Pillow raises a SyntaxError for a broken chunk
        raise ClipError(f"a mask strip of {len(strip)} bytes cannot be decoded: {error}") from error
    if pixels.ndim != 2 or pixels.shape[0] != num_places * pixels.shape[1]:
        raise ClipError(
            f"a strip of {num_places} masks must have one channel and be {num_places} times as tall as wide, got "
            f"{pixels.shape}"
        )
    return (pixels > ALTERED // 2).reshape(num_places, pixels.shape[1], pixels.shape[1])


def mask_problem(path: str | Path) -> str:
    """Return what is wrong with a file of masks: missing, empty, cut off or no PNG; empty if nothing is.

    Looks at the first and last bytes only, as `strips.check_strips` does and for the same reason.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(_SIGNATURE))
            if not start:
                return "empty"
            if start != _SIGNATURE:
                return "not a PNG"
            file.seek(-len(_END), io.SEEK_END)
            return "" if file.read() == _END else "cut off"
    except OSError as error:  # a file of less than the end's bytes too
        return error.strerror or str(error)


def check_masks(paths: Sequence[str]) -> None:
    """Stop before any work if a file of masks is missing or damaged: a graph that meets it does not say which it was.

    Args:
        paths: files of masks.

    Raises:
        TfdfdError: naming the first few bad files and their number.
    """
    refuse_bad_files(
        paths,
        mask_problem,
        what="masks",
        remedy="Run `tfdfd masks` again on the same store: it makes what is missing or damaged.",
    )
