"""Damage to mp4 files: what disks, networks, tools and attackers do to them, each kind at a place drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta"}
_TABLES = (b"stsz", b"stts", b"stco", b"stsc", b"stss", b"ctts", b"elst")
_TIMES = (b"mvhd", b"mdhd", b"tkhd", b"elst")
_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Box(NamedTuple):
    """A box of an mp4 file."""

    kind: bytes
    start: int
    size: int
    parents: tuple[int, ...]
    """Where the boxes around it start."""

    @property
    def body(self) -> int:
        """Where its content starts."""
        return self.start + 8

    @property
    def end(self) -> int:
        """Where the next box starts."""
        return self.start + self.size


def boxes_of(data: bytes, start: int = 0, end: int | None = None, parents: tuple[int, ...] = ()) -> Iterator[Box]:
    """Yield the boxes of a sound mp4 file, those inside others too, in the order of the file."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        assert size >= 8, "only plain boxes are written here"
        box = Box(data[start + 4 : start + 8], start, size, parents)
        yield box
        if box.kind in _CONTAINERS:
            yield from boxes_of(data, box.body, box.end, (*parents, start))
        start = box.end


def cut_out(source: Path, path: Path, *, num_frames: int, moov_first: bool) -> Path:
    """Copy the first frames of a clip, and the sound beside them, into an mp4 of its own without decoding them."""
    options = {"movflags": "faststart"} if moov_first else {}
    with av.open(str(source)) as old, av.open(str(path), "w", options=options) as new:
        video = old.streams.video[0]
        kept = [video, *old.streams.audio[:1]]
        copies = {stream.index: new.add_stream_from_template(stream) for stream in kept}
        count = 0
        for packet in old.demux(kept):
            if packet.dts is None:
                continue
            if packet.stream.index == video.index:
                count += 1
                if count > num_frames:
                    break
            packet.stream = copies[packet.stream.index]
            new.mux(packet)
    return path


def lose_frames(path: Path, numbers: list[int]) -> None:
    """Overwrite frames of a clip in which each is a key frame, so that they do not decode."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    packets.sort(key=lambda packet: packet.pts)
    data = bytearray(path.read_bytes())
    for number in numbers:
        packet = packets[number]
        data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)


def cut(path: Path, share: float) -> Path:
    """Leave a clip's first frames alone, the last of them in part."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    position, size = packets[int(len(packets) * share)]
    path.write_bytes(path.read_bytes()[: position + size // 2])
    return path


Damage = Callable[[bytearray, np.random.Generator], bytes]


def _boxes(data: bytes, *kinds: bytes) -> list[Box]:
    return [box for box in boxes_of(bytes(data)) if box.kind in kinds]


def _one_box(data: bytes, rng: np.random.Generator, *kinds: bytes) -> Box:
    found = _boxes(data, *kinds)
    return found[rng.integers(len(found))]


def _number(rng: np.random.Generator) -> bytes:
    drawn = _NUMBERS[rng.integers(len(_NUMBERS))] if rng.random() < 0.7 else int(rng.integers(2**32))
    return drawn.to_bytes(4, "big")


def _cut_at(low: float, high: float) -> Damage:
    def damage(data: bytearray, rng: np.random.Generator) -> bytes:
        return bytes(data[: int(len(data) * rng.uniform(low, high))])

    return damage


def _cut_in_header(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(1, 200)])


def _cut_few_bytes(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: -rng.integers(1, 64)])


def _flipped(data: bytearray, rng: np.random.Generator, start: int, end: int, most: int) -> bytes:
    for _ in range(rng.integers(1, most + 1)):
        data[rng.integers(start, end)] ^= 1 << rng.integers(8)
    return bytes(data)


def _flip_in(*kinds: bytes, most: int) -> Damage:
    def damage(data: bytearray, rng: np.random.Generator) -> bytes:
        box = _one_box(data, rng, *kinds)
        return _flipped(data, rng, box.body, box.end, most)

    return damage


def _parameter_sets(data: bytes) -> tuple[int, int]:
    """Return where the decoder's settings start and end, SPS and PPS."""
    (stsd,) = (box for box in _boxes(data, b"stsd") if b"avcC" in data[box.body : box.end])
    at = bytes(data).index(b"avcC", stsd.body, stsd.end)
    return at + 4, at - 4 + int.from_bytes(data[at - 4 : at], "big")


def _flip_in_parameter_sets(data: bytearray, rng: np.random.Generator) -> bytes:
    start, end = _parameter_sets(data)
    return _flipped(data, rng, start, end, 4)


def _samples(data: bytes) -> list[int]:
    """Return where the video's NAL units start, by their length prefixes, as far as one chunk goes."""
    (stbl,) = (box for box in _boxes(data, b"stbl") if b"avcC" in data[box.body : box.end])
    (stco,) = (box for box in _boxes(data, b"stco") if stbl.start in box.parents)
    (stsz,) = (box for box in _boxes(data, b"stsz") if stbl.start in box.parents)
    at = int.from_bytes(data[stco.body + 8 : stco.body + 12], "big")
    end = at + int.from_bytes(data[stsz.body + 12 : stsz.body + 16], "big")
    starts = []
    while at < end:
        starts.append(at)
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return starts


def _flip_in_slice_headers(data: bytearray, rng: np.random.Generator) -> bytes:
    start = _samples(data)[-1]
    return _flipped(data, rng, start + 4, start + 16, 4)


def _wrong_unit_length(data: bytearray, rng: np.random.Generator) -> bytes:
    starts = _samples(data)
    start = starts[rng.integers(len(starts))]
    data[start : start + 4] = _number(rng)
    return bytes(data)


def _wrong_entries(*kinds: bytes) -> Damage:
    """Numbers in a table that point, count or last wrongly."""

    def damage(data: bytearray, rng: np.random.Generator) -> bytes:
        box = _one_box(data, rng, *kinds)
        words = np.arange(box.body + 8, box.end - 3, 4)
        for at in rng.choice(words, size=rng.integers(1, min(len(words), 8) + 1), replace=False):
            data[at : at + 4] = _number(rng)
        return bytes(data)

    return damage


def _wrong_count(data: bytearray, rng: np.random.Generator) -> bytes:
    box = _one_box(data, rng, *_TABLES)
    at = box.body + (8 if box.kind == b"stsz" else 4)
    data[at : at + 4] = _number(rng)
    return bytes(data)


def _wrong_time(data: bytearray, rng: np.random.Generator) -> bytes:
    box = _one_box(data, rng, *_TIMES)
    at = box.body + 4 * rng.integers(1, 6)
    data[at : at + 4] = _number(rng)
    return bytes(data)


def _wrong_frame_size(data: bytearray, rng: np.random.Generator) -> bytes:
    """Another width and height in the track's header, or in the description of its samples."""
    if rng.random() < 0.5:
        box = _one_box(data, rng, b"tkhd")
        data[box.end - 8 : box.end] = _number(rng) + _number(rng)
    else:
        at = bytes(data).index(b"avc1", _boxes(data, b"moov")[0].start) + 28
        data[at : at + 4] = _number(rng)[2:] + _number(rng)[2:]
    return bytes(data)


def _wrong_turn(data: bytearray, rng: np.random.Generator) -> bytes:
    box = _one_box(data, rng, b"tkhd")
    for at in range(box.end - 44, box.end - 8, 4):
        data[at : at + 4] = _number(rng)
    return bytes(data)


def _wrong_box_size(data: bytearray, rng: np.random.Generator) -> bytes:
    every = list(boxes_of(bytes(data)))
    box = every[rng.integers(len(every))]
    data[box.start : box.start + 4] = _number(rng)
    return bytes(data)


def _other_kind(data: bytearray, rng: np.random.Generator) -> bytes:
    """Another codec's name, or a box renamed so that it is not found."""
    if rng.random() < 0.5:
        at = bytes(data).index(b"avc1", _boxes(data, b"moov")[0].start)
        names = (b"hvc1", b"mp4v", b"vp09", b"av01", b"jpeg", b"raw ", b"????")
        data[at : at + 4] = names[rng.integers(len(names))]
    else:
        every = list(boxes_of(bytes(data)))
        box = every[rng.integers(len(every))]
        data[box.start + 4 : box.body] = b"free"
    return bytes(data)


def _zero_range(data: bytearray, rng: np.random.Generator) -> bytes:
    start = rng.integers(len(data))
    end = min(len(data), start + rng.integers(16, len(data) // 4))
    data[start:end] = bytes(end - start)
    return bytes(data)


def _without_part(data: bytearray, rng: np.random.Generator) -> bytes:
    start = rng.integers(len(data))
    del data[start : start + rng.integers(1, 5000)]
    return bytes(data)


def _with_garbage_inside(data: bytearray, rng: np.random.Generator) -> bytes:
    at = rng.integers(len(data))
    return bytes(data[:at]) + rng.bytes(rng.integers(1, 5000)) + bytes(data[at:])


def _with_garbage_behind(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data) + rng.bytes(rng.integers(1, 200_000))


def _doubled_box(data: bytearray, rng: np.random.Generator) -> bytes:
    every = [box for box in boxes_of(bytes(data)) if box.kind != b"mdat"]
    box = every[rng.integers(len(every))]
    return _resized(data, box, data[box.start : box.end] * 2)


def _lost_box(data: bytearray, rng: np.random.Generator) -> bytes:
    every = list(boxes_of(bytes(data)))
    return _resized(data, every[rng.integers(len(every))], b"")


def _resized(data: bytearray, box: Box, content: bytes) -> bytes:
    """Put other content in a box's place and tell the boxes around it."""
    for start in box.parents:
        size = int.from_bytes(data[start : start + 4], "big") + len(content) - box.size
        data[start : start + 4] = size.to_bytes(4, "big")
    data[box.start : box.end] = content
    return bytes(data)


def _noise_behind_header(data: bytearray, rng: np.random.Generator) -> bytes:
    keep = rng.integers(0, 64)
    return bytes(data[:keep]) + rng.bytes(len(data) - keep)


DAMAGES: dict[str, Damage] = {
    "cut in its header": _cut_in_header,
    "cut in the first half": _cut_at(0.01, 0.5),
    "cut in the second half": _cut_at(0.5, 0.99),
    "lacks its last bytes": _cut_few_bytes,
    "bits flipped in the index": _flip_in(b"moov", most=20),
    "bits flipped in sample tables": _flip_in(*_TABLES, most=8),
    "bits flipped in pictures": _flip_in(b"mdat", most=200),
    "bits flipped in parameter sets": _flip_in_parameter_sets,
    "bits flipped in slice headers": _flip_in_slice_headers,
    "wrong length of a unit": _wrong_unit_length,
    "wrong sample sizes": _wrong_entries(b"stsz"),
    "wrong sample times": _wrong_entries(b"stts", b"ctts"),
    "wrong sample places": _wrong_entries(b"stco", b"stsc"),
    "wrong key frames or edits": _wrong_entries(b"stss", b"elst"),
    "wrong counts": _wrong_count,
    "wrong durations": _wrong_time,
    "wrong frame size": _wrong_frame_size,
    "wrong turn": _wrong_turn,
    "wrong box size": _wrong_box_size,
    "another name": _other_kind,
    "zeroed range": _zero_range,
    "lacks a part": _without_part,
    "garbage inside": _with_garbage_inside,
    "garbage behind": _with_garbage_behind,
    "a box twice": _doubled_box,
    "a box lost": _lost_box,
    "noise": _noise_behind_header,
}


def write_damaged(sources: list[Path], folder: Path, *, count: int, seed: int) -> list[Path]:
    """Write damaged variants of sound mp4 files, every kind of damage in turn; the same seed gives the same files.

    Args:
        sources: mp4 files with H.264 video, taken in turn.
        folder: where to write; made anew.
        count: files to write.
        seed: of all that is drawn.

    Returns:
        The files, named by number and damage.
    """
    folder.mkdir()
    kinds = list(DAMAGES)
    paths = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        source = sources[number // len(kinds) % len(sources)]
        sound = source.read_bytes()
        path = folder / f"{number:03d} {kind}.mp4"
        rng, damaged = np.random.default_rng([seed, number]), sound
        while damaged == sound:  # a wrong number may happen to be the right one
            damaged = DAMAGES[kind](bytearray(sound), rng)
        path.write_bytes(damaged)
        paths.append(path)
    return paths
