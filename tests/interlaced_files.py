"""Videos of two fields a frame: a bar moves on between the fields, so that a frame of both looks like a comb."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.filter import Graph

WIDTH, HEIGHT = 320, 192
STEP, BAR = 6, 40
"""Pixels that the bar moves from field to field, and its width."""
DARK, BRIGHT = 60, 200
_ILDCT, _ILME = 1 << 18, 1 << 29
# name: (encoder, pixel format, options, flags): x264 codes frames whose macroblocks are fields (MBAFF).
INTERLACED = {
    "h264": ("libx264", "yuv420p", {"x264-params": "interlaced=1", "crf": "4", "preset": "veryfast"}, 0),
    "mpeg2": ("mpeg2video", "yuv420p", {"qmin": "1", "qmax": "2"}, _ILDCT | _ILME),
    "prores": ("prores_ks", "yuv422p10le", {}, _ILDCT),
}
_FIRST_FIELDS = {"upper": ("tff", 2), "lower": ("bff", 3)}


def bar_of_field(number: int) -> int:
    """Return the left edge of the bar in a field, counted from the first."""
    return 20 + STEP * number


def draw_field(number: int) -> np.ndarray:
    """Draw a field, uint8, shape (HEIGHT / 2, WIDTH)."""
    field = np.full((HEIGHT // 2, WIDTH), DARK, np.uint8)
    field[:, bar_of_field(number) : bar_of_field(number) + BAR] = BRIGHT
    return field


def draw_both(number: int, *, first: str = "upper") -> np.ndarray:
    """Draw a frame of two fields, uint8 RGB."""
    frame = np.empty((HEIGHT, WIDTH), np.uint8)
    lines = [frame[::2], frame[1::2]]
    for offset, of_field in enumerate(lines if first == "upper" else lines[::-1]):
        of_field[:] = draw_field(2 * number + offset)
    return np.repeat(frame[..., None], 3, axis=2)


def write_interlaced(
    path: Path, kind: str = "h264", *, first: str = "upper", num_frames: int = 20, key_frame_interval: int = 12
) -> Path:
    """Write frames of two fields, the upper or the lower one first, at 25 frames a second."""
    encoder, pixel_format, options, flags = INTERLACED[kind]
    mode, order = _FIRST_FIELDS[first]
    marking = Graph()  # PyAV has no other way to say of a frame that it is two fields
    source = marking.add_buffer(width=WIDTH, height=HEIGHT, format=pixel_format, time_base=Fraction(1, 25))
    marking.link_nodes(source, marking.add("setfield", mode), marking.add("buffersink")).configure()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        context = stream.codec_context
        context.flags |= flags
        context.field_order, context.gop_size, context.thread_count = order, key_frame_interval, 1
        for number in range(num_frames):
            picture = av.VideoFrame.from_ndarray(draw_both(number, first=first), format="rgb24")
            frame = picture.reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            marking.push(frame)
            container.mux(stream.encode(marking.vpull()))
        container.mux(stream.encode(None))
    return path


def left_edges(frame: np.ndarray) -> np.ndarray:
    """Return where each line's bar begins, shape (height,): the same everywhere in a picture of one moment."""
    return np.argmax(frame[..., 1] > (DARK + BRIGHT) // 2, axis=1)


class _BitWriter:
    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, count: int) -> _BitWriter:
        self.bits += format(value, f"0{count}b")
        return self

    def ue(self, *values: int) -> _BitWriter:
        for value in values:
            coded = format(value + 1, "b")
            self.bits += "0" * (len(coded) - 1) + coded
        return self

    def align(self) -> bytes:
        self.bits += "0" * (-len(self.bits) % 8)
        return int(self.bits or "0", 2).to_bytes(len(self.bits) // 8, "big")


def _unit(header: int, payload: bytes) -> bytes:
    """Return a NAL unit behind its start code, with the bytes that keep start codes out of it."""
    guarded = bytearray()
    for value in payload:
        if value <= 3 and guarded[-2:] == b"\0\0":
            guarded.append(3)
        guarded.append(value)
    return b"\0\0\0\1" + bytes([header]) + bytes(guarded)


def _parameters() -> bytes:
    sequence = _BitWriter().put(77, 8).put(0, 8).put(40, 8).ue(0)  # Main profile
    sequence.ue(0, 2, 1).put(0, 1)  # frame_num of 4 bits, output in the order of decoding, one reference
    sequence.ue(WIDTH // 16 - 1, HEIGHT // 32 - 1).put(0b011, 3).put(0b001, 3)  # fields may be coded
    picture = _BitWriter().ue(0, 0).put(0b00, 2).ue(0, 0, 0).put(0b000, 3).ue(0, 0, 0).put(0b100, 3).put(1, 1)
    return _unit(0x67, sequence.align()) + _unit(0x68, picture.align())


def _field_slice(number: int) -> bytes:
    """Code a field without loss: all macroblocks are their pixels (I_PCM)."""
    frame, is_bottom = divmod(number, 2)
    is_idr = number == 0
    bits = _BitWriter().ue(0, 7, 0).put(frame % 16, 4).put(1, 1).put(is_bottom, 1)
    if is_idr:
        bits.ue(0).put(0, 2)
    else:
        bits.put(0, 1)
    bits.ue(0, 1)  # the quantizer as it is, no deblocking
    picture, coded = draw_field(number), b""
    for y in range(0, picture.shape[0], 16):
        for x in range(0, picture.shape[1], 16):
            bits.ue(25)
            coded += bits.align() + picture[y : y + 16, x : x + 16].tobytes() + bytes([128]) * 128
            bits = _BitWriter()
    return _unit(0x65 if is_idr else 0x61, coded + b"\x80")


def field_packets(num_frames: int) -> Iterator[bytes]:
    """Yield H.264 access units of one field each, as cameras code them."""
    for number in range(2 * num_frames):
        yield (_parameters() if number == 0 else b"") + _field_slice(number)


def write_fields(path: Path, *, num_frames: int = 20, in_one_packet: bool = False, skip: int = 0) -> Path:
    """Write H.264 coded as fields, in a packet each, or both fields of a frame in one.

    Args:
        path: where to write, with the suffix of a container.
        num_frames: frames of two fields.
        in_one_packet: whether a packet holds both fields of a frame.
        skip: fields that are left out behind the first.
    """
    units = list(field_packets(num_frames))
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(units))
    count = 2 if in_one_packet else 1
    with av.open(str(raw)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number in range(0, len(units), count):
            if 0 < number <= skip:
                continue
            packet = av.Packet(b"".join(units[number : number + count]))
            packet.pts = packet.dts = number
            packet.duration = count
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 50), stream, number == 0
            container.mux(packet)
    return path
