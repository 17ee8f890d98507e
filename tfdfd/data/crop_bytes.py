"""Where in a strip's JPEG each crop's own bytes lie, so that one crop can be decoded without those before it.

A strip is written with a restart marker between its crops, and says in a comment where each begins. With the strip's
header, its height made that of one crop, those bytes are a JPEG of their own with the same pixels: blocks lean on each
other only between restart markers, and without colour subsampling no pixel leans on another block.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_COMMENT = b"tfdfd crops"
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
"""What every JPEG begins and ends with."""
_SOF, _COM, _SOS = 0xC0, 0xFE, 0xDA
_HEAD_BYTES = 2048
"""More than any header of a strip of ours takes, but for one of very many places."""


@dataclass(frozen=True)
class CropBytes:
    """Where the crops of strips lie in their files."""

    header: bytes
    """What a JPEG of one crop begins with, the same for all strips."""
    spans: np.ndarray
    """int32, shape (n, num_places, 2): first byte of each crop in its strip's file, and how many there are."""


def with_crop_starts(strip: bytes, num_places: int) -> bytes:
    """Add the comment that says where each crop begins to a JPEG with a restart marker between its crops."""
    _, scan = _segments(strip)
    starts, ends = [scan], []
    for number in range(num_places - 1):
        # In the coded data 0xff is followed by 0, so this can be nothing but the marker.
        ends.append(strip.index(bytes((0xFF, 0xD0 + number % 8)), starts[-1]))
        starts.append(ends[-1] + 2)
    ends.append(len(strip) - len(EOI))
    head = _comment_head(num_places)
    numbers = np.stack([starts, ends], axis=1) + _comment_bytes(num_places)
    return SOI + head + numbers.astype(">u4").tobytes() + strip[len(SOI) :]


def read_crop_bytes(strip_paths: Sequence[str], num_places: int, crop_size: int) -> CropBytes | None:
    """Read where the crops of strips lie.

    Args:
        strip_paths: the strips, at least one; their first bytes are read.
        num_places: crops a strip.
        crop_size: side of a crop in pixels.

    Returns:
        None where a strip does not say, as one that is a ready-made crop or was written by an older version, or where
        headers differ.
    """
    first, spans = b"", np.zeros((len(strip_paths), num_places, 2), np.int32)
    begin, comment_bytes = SOI + _comment_head(num_places), _comment_bytes(num_places)
    for row, path in enumerate(strip_paths):
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES + comment_bytes)
        if not head.startswith(begin):
            return None
        numbers = np.frombuffer(head, ">u4", 2 * num_places, len(begin)).reshape(num_places, 2).astype(np.int32)
        spans[row, :, 0], spans[row, :, 1] = numbers[:, 0], numbers[:, 1] - numbers[:, 0]
        of_crop = SOI + head[len(SOI) + comment_bytes : numbers[0, 0]]
        first = first or of_crop
        if of_crop != first:
            return None
    return CropBytes(_with_height(first, crop_size), spans)


def crop_jpeg(strip: bytes, header: bytes, span: np.ndarray) -> bytes:
    """Return the JPEG of one crop of a strip; what the DALI graph puts together."""
    start, length = (int(number) for number in span)
    return header + strip[start : start + length] + EOI


def _comment_bytes(num_places: int) -> int:
    return 4 + len(_COMMENT) + 8 * num_places


def _comment_head(num_places: int) -> bytes:
    return struct.pack(">BBH", 0xFF, _COM, _comment_bytes(num_places) - 2) + _COMMENT


def _segments(strip: bytes) -> tuple[dict[int, int], int]:
    """Return where each kind of header segment begins, by its marker, and where the coded data begin."""
    position, found = len(SOI), {}
    while True:
        marker, length = struct.unpack_from(">xBH", strip, position)
        found[marker] = position
        position += 2 + length
        if marker == _SOS:
            return found, position


def _with_height(header: bytes, height: int) -> bytes:
    segments, _ = _segments(header)
    place = segments[_SOF] + 5  # behind marker, length and precision
    return header[:place] + struct.pack(">H", height) + header[place + 2 :]
