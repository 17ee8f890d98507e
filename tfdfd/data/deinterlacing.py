"""Frames of two fields that were recorded one after the other, made into pictures of one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import av
from av.filter import Graph

from tfdfd.data.frame_shape import add_source

DEINTERLACED = "interlaced: its frames are deinterlaced (bwdif)"
"""What a person is shown of a clip of which such frames are used."""
_FILTER, _ARGUMENTS = "bwdif", "mode=send_frame:parity=auto:deint=all"
_LEAST_SIZE = (12, 16)
"""Columns and lines: the filter needs 3 and 4 in each plane, and those of colour may be a quarter as large."""
_CODECS_OF_SINGLE_FIELDS = ("hevc",)
"""Their decoders put out each field as a frame of half the height."""


class ShownFrame(NamedTuple):
    """A frame as a player shows it."""

    frame: av.VideoFrame
    is_deinterlaced: bool


def has_two_fields(frame: av.VideoFrame, codec: str) -> bool:
    """Return whether a decoded frame is two fields, line by line."""
    is_large_enough = frame.width >= _LEAST_SIZE[0] and frame.height >= _LEAST_SIZE[1]
    return frame.interlaced_frame and is_large_enough and codec not in _CODECS_OF_SINGLE_FIELDS


def is_single_field(frame: av.VideoFrame, codec: str) -> bool:
    """Return whether a decoded frame is one field: every second line of a picture."""
    return frame.interlaced_frame and codec in _CODECS_OF_SINGLE_FIELDS


def deinterlaced(
    frames: Iterator[av.VideoFrame],
    is_wanted: Callable[[int, av.VideoFrame], bool],
    *,
    codec: str,
    is_interlaced: bool,
) -> Iterator[ShownFrame]:
    """Make pictures of one moment of those wanted frames that are two fields; all others stay as they are.

    A picture keeps the lines of the field that is shown first and gets the others from it and from the frames beside
    it, so it depends on those three frames alone, whichever else are decoded. Numbers and times stay.

    Args:
        frames: in playing order; the neighbours of wanted frames among them, where the clip is interlaced.
        is_wanted: whether a frame is looked at, given its number among `frames` and itself.
        codec: FFmpeg's name.
        is_interlaced: whether the clip says that frames may be two fields.

    Yields:
        As many frames, in the same order; of an interlaced clip each when the next one is decoded.

    Source: FFmpeg's bwdif, after BBC R&D White Paper 004 (Weston's filter) and yadif.
    """
    if not is_interlaced:
        # The stream said that no frame is two fields: one that is all the same has no neighbours to count on.
        for number, frame in enumerate(frames):
            yield _shown(None, frame, None, codec, is_wanted=is_wanted(number, frame))
        return
    before: av.VideoFrame | None = None
    current: av.VideoFrame | None = None
    number = -1
    for number, after in enumerate(frames):
        if current is not None:
            yield _shown(before, current, after, codec, is_wanted=is_wanted(number - 1, current))
        before, current = current, after
    if current is not None:
        yield _shown(before, current, None, codec, is_wanted=is_wanted(number, current))


def _shown(
    before: av.VideoFrame | None,
    frame: av.VideoFrame,
    after: av.VideoFrame | None,
    codec: str,
    *,
    is_wanted: bool,
) -> ShownFrame:
    if not is_wanted or not has_two_fields(frame, codec):
        return ShownFrame(frame, False)
    graph: Any = Graph()
    graph.threads = 1  # a picture is done in milliseconds, threads take as long to begin
    source = add_source(graph, frame)
    graph.link_nodes(source, graph.add(_FILTER, _ARGUMENTS), graph.add("buffersink")).configure()
    before, after = (_if_alike(other, frame) for other in (before, after))
    for one in (before, frame, after):
        if one is not None:
            graph.push(one)
    graph.push(None)
    picture = graph.vpull()
    if before is not None:
        picture = graph.vpull()
    picture.pts = frame.pts  # the filter counts in fields
    return ShownFrame(picture, True)


def _if_alike(other: av.VideoFrame | None, frame: av.VideoFrame) -> av.VideoFrame | None:
    """Return a neighbour if it can go through the same filter."""
    return other if other is not None and _kind_of(other) == _kind_of(frame) else None


def _kind_of(frame: av.VideoFrame) -> tuple[object, ...]:
    return frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range)
