"""What an H.264 packet says of its picture without being decoded: whether others lean on it, or it on others."""

from __future__ import annotations

from collections.abc import Iterator

_IDR = 5
SLICE_TYPES = (1, 2, _IDR)
"""NAL units that hold a picture's slices: of a plain picture, its first partition, of an IDR picture."""


def length_size_of(extradata: bytes | None) -> int | None:
    """Return how many bytes give a NAL unit's length in a stream's packets.

    Args:
        extradata: the codec's configuration, as the container stores it.

    Returns:
        1 to 4 for an avcC record (mp4, mov, matroska, flv); None where NAL units are parted by start codes.

    Source: ISO/IEC 14496-15, AVCDecoderConfigurationRecord.
    """
    if not extradata or len(extradata) < 7 or extradata[0] != 1:
        return None
    return (extradata[4] & 3) + 1


def is_reference(packet: memoryview | bytes, length_size: int | None) -> bool:
    """Return whether other pictures may lean on the picture in a packet (nal_ref_idc is not 0).

    A decoder that is told to leave out pictures that are no reference (FFmpeg's `skip_frame=NONREF`) leaves out
    exactly those for which this is false. A packet that cannot be read counts as a reference: it is decoded.

    Args:
        packet: the bytes of one packet.
        length_size: what `length_size_of` returned.

    Source: ITU-T H.264, 7.3.1 and 7.4.1.
    """
    header = _first_slice(packet, length_size)
    return header is None or header & 0x60 != 0


def is_idr(packet: memoryview | bytes, length_size: int | None) -> bool:
    """Return whether a decoder can begin with a packet: no picture from it on leans on one before it.

    Args: as in `is_reference`. A packet that cannot be read is none to begin with.
    """
    header = _first_slice(packet, length_size)
    return header is not None and header & 0x1F == _IDR


def _first_slice(packet: memoryview | bytes, length_size: int | None) -> int | None:
    """Return the first byte of the packet's first slice, None if there is none."""
    return next((unit[0] for unit in nal_units(packet, length_size) if unit[0] & 0x1F in SLICE_TYPES), None)


def nal_units(packet: memoryview | bytes, length_size: int | None) -> Iterator[memoryview]:
    """Yield the NAL units of a packet, each with a byte at least.

    Args:
        packet: the bytes of one packet.
        length_size: what `length_size_of` returned.

    Yields:
        From the first byte of each NAL unit on; where start codes part them, up to the end of the packet.
    """
    data = memoryview(packet)
    if length_size is None:
        whole = bytes(data)
        start = whole.find(b"\0\0\1")
        while 0 <= start < len(data) - 3:
            yield data[start + 3 :]
            start = whole.find(b"\0\0\1", start + 3)
        return
    start = 0
    while start + length_size < len(data):
        length = int.from_bytes(data[start : start + length_size], "big")
        start += length_size
        yield data[start : start + max(length, 1)]
        start += length
