"""Photographs as iPhones write them: HEIC pictures made of tiles, put together by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np

from tests.video_files import CODECS, find_encoder

_VPS, _SPS, _PPS = 32, 33, 34  # kinds of NAL units: parameter sets


def write_tiled_heic(path: Path, picture: np.ndarray, *, tile: int = 64) -> Path:
    """Write a HEIC picture as a grid of HEVC tiles.

    Args:
        path: where to write.
        picture: uint8 RGB, shape (height, width, 3); both sides are cut off a grid of whole tiles.
        tile: side of a tile in pixels.

    Source: ISO/IEC 23008-12, 6.6.2.3 (image grid).
    """
    height, width = picture.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    whole = np.pad(picture, ((0, rows * tile - height), (0, columns * tile - width), (0, 0)), mode="edge")
    tiles = [
        whole[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
        for row in range(rows)
        for column in range(columns)
    ]
    config, payloads = _encode(tiles)
    numbers = range(1, len(tiles) + 1)
    grid = len(tiles) + 1
    infos = [_full("infe", 2, 0, struct.pack(">HH4sB", number, 0, b"hvc1", 0)) for number in numbers]
    infos.append(_full("infe", 2, 0, struct.pack(">HH4sB", grid, 0, b"grid", 0)))
    properties = (
        _box("hvcC", config)
        + _full("ispe", 0, 0, struct.pack(">II", tile, tile))
        + _full("ispe", 0, 0, struct.pack(">II", width, height))
    )
    links = b"".join(struct.pack(">HBBB", number, 2, 0x81, 0x02) for number in numbers)
    links += struct.pack(">HBB", grid, 1, 0x03)
    dimg = struct.pack(f">HH{len(tiles)}H", grid, len(tiles), *numbers)
    grid_data = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)

    def meta(first: int) -> bytes:
        places, start = b"", first
        for number, payload in zip([*numbers, grid], [*payloads, grid_data], strict=True):
            places += struct.pack(">HHHII", number, 0, 1, start, len(payload))
            start += len(payload)
        return _full(
            "meta",
            0,
            0,
            _full("hdlr", 0, 0, struct.pack(">I4s12xx", 0, b"pict"))
            + _full("pitm", 0, 0, struct.pack(">H", grid))
            + _full("iloc", 0, 0, struct.pack(">BBH", 0x44, 0, len(infos)) + places)
            + _full("iinf", 0, 0, struct.pack(">H", len(infos)) + b"".join(infos))
            + _full("iref", 0, 0, _box("dimg", dimg))
            + _box("iprp", _box("ipco", properties) + _full("ipma", 0, 0, struct.pack(">I", len(infos)) + links)),
        )

    brands = _box("ftyp", b"heic" + struct.pack(">I", 0) + b"mif1heic")
    head = brands + meta(0)
    body = b"".join(payloads) + grid_data
    path.write_bytes(brands + meta(len(head) + 8) + _box("mdat", body))
    return path


def _encode(tiles: list[np.ndarray]) -> tuple[bytes, list[bytes]]:
    """Return the decoder's configuration (hvcC) and each tile as a key frame."""
    _, pixel_format, options = CODECS["hevc"]
    scratch: list[bytes] = []
    config = b""
    for pixels in tiles:
        with av.open("/dev/null", "w", format="mp4") as container:
            stream = container.add_stream(find_encoder("hevc"), rate=1, options=dict(options))
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = pixels.shape[:2]
            stream.pix_fmt = pixel_format
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            packets = [*stream.encode(frame.reformat(format=pixel_format)), *stream.encode(None)]
            config, payload = _as_mp4(stream.codec_context.extradata, b"".join(bytes(packet) for packet in packets))
            scratch.append(payload)
    return config, scratch


def _as_mp4(extradata: bytes | None, data: bytes) -> tuple[bytes, bytes]:
    """Return an hvcC record with the parameter sets, and the slices of an Annex B stream with lengths before them."""
    units = _units(data)
    sets = {unit[0] >> 1 & 63: unit for unit in _units(extradata or b"") + units}
    slices = [unit for unit in units if unit[0] >> 1 & 63 < 32]
    record = bytes([1]) + sets[_SPS][3:15] + struct.pack(">HBBBBHBB", 0xF000, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0x0F, 3)
    for kind in (_VPS, _SPS, _PPS):
        record += struct.pack(">BHH", 0x80 | kind, 1, len(sets[kind])) + sets[kind]
    return record, b"".join(struct.pack(">I", len(unit)) + unit for unit in slices)


def _units(data: bytes) -> list[bytes]:
    return [stripped for unit in data.split(b"\0\0\1")[1:] if (stripped := unit.rstrip(b"\0"))]


def _box(kind: str, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind.encode() + content


def _full(kind: str, version: int, flags: int, content: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags) + content)
