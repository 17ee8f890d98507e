"""The shape of frames: pixels that are not square, and frames that are not as large as a clip's first.

What is done to a clip stands among the warnings of its record, not in the fingerprint of a store: clips of square
pixels and one size, so nearly all, are read as they were before it was done, and their stores stay usable.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.filter import Graph

from tfdfd.data.video_stream import MAX_PIXELS, MAX_SIDE

MOST_STRETCHED = 4
"""Longest pixel, as a multiple of its other side, that a header is believed: formats in use have up to 2.9."""
NEARLY = 0.01
"""Share of a side by which a shape may be off without being changed: encoders that round sides write 1280:1281."""


class SquarePixels(NamedTuple):
    """How frames are shown in square pixels."""

    width: int
    """Of a frame in square pixels."""
    height: int
    note: str
    """What a person should know; empty where frames stay as they are, as the file asks for."""


def square_pixels(width: int, height: int, aspect: Fraction | None) -> SquarePixels:
    """Choose the size of a clip's frames in square pixels.

    The side that is too short is enlarged, to an even number, so that no pixel is lost; where that would be too large,
    the other side is made smaller.

    Args:
        width: of a stored frame, in pixels.
        height: of a stored frame, in pixels.
        aspect: width of a stored pixel over its height, as the file says; None where it does not.
    """
    as_stored = SquarePixels(width, height, "")
    if aspect is None or aspect <= 0 or max(aspect, 1 / aspect) <= 1 + NEARLY:
        return as_stored
    if max(aspect, 1 / aspect) > MOST_STRETCHED:
        return as_stored._replace(note=f"pixels of {aspect.numerator}:{aspect.denominator} are taken for square")
    size = (_even(width * aspect), height) if aspect > 1 else (width, _even(height / aspect))
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        size = (width, _even(height / aspect)) if aspect > 1 else (_even(width * aspect), height)
    note = (
        f"pixels of {aspect.numerator}:{aspect.denominator}: frames of {width} x {height} are shown as "
        f"{size[0]} x {size[1]}"
    )
    return SquarePixels(*size, note)


def fitted_size(width: float, height: float, into: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a frame that is scaled to fit into another, with its own shape.

    Args:
        width: of the frame in square pixels.
        height: of the frame in square pixels.
        into: width and height that it must fit into.

    Returns:
        Width and height, one of which is that of `into`; both, where the shapes are nearly the same.
    """
    scale = min(into[0] / width, into[1] / height)
    sides = zip((width * scale, height * scale), into, strict=True)
    fitted_width, fitted_height = (
        whole if side >= whole * (1 - NEARLY) else max(1, round(side)) for side, whole in sides
    )
    return fitted_width, fitted_height


class FrameFitter:
    """Brings frames of a clip to one size, without stretching what they show.

    Frames as large as the first are scaled to square pixels; others are scaled to fit and get black bars.

    Args:
        size: width and height of all frames, in square pixels.
        first_size: width and height of the first frame, as decoded.
    """

    def __init__(self, size: tuple[int, int], first_size: tuple[int, int]) -> None:
        self._size, self._first_size = size, first_size
        self._graphs: dict[tuple[Any, ...], Any] = {}
        self._aspects: dict[tuple[int, int], float] = {}

    def fit(self, frame: av.VideoFrame, context: Any) -> tuple[av.VideoFrame, str]:
        """Return a frame in the size of all, its format and colours kept, and what a person should know of that.

        Args:
            frame: as decoded.
            context: of its decoder, which knows the shape of the pixels of frames that are of another size.
        """
        size, fitted, note = (frame.width, frame.height), self._size, ""
        if size != self._first_size:
            fitted = fitted_size(size[0] * self._aspect_of(size, context), size[1], self._size)
            sizes = [f"{width} x {height}" for width, height in (size, self._size)]
            note = f"its frames change size: those of {sizes[0]} are scaled to fit {sizes[1]}, with their own shape"
        if size == fitted == self._size:
            return frame, note
        graph = self._graph(frame, fitted)
        graph.push(frame)
        return graph.vpull(), note

    def _aspect_of(self, size: tuple[int, int], context: Any) -> float:
        """Return the shape of the pixels of frames of another size than the first."""
        if size not in self._aspects and (context.width, context.height) == size:
            aspect = float(context.sample_aspect_ratio or 1)
            self._aspects[size] = aspect if 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED else 1.0
        return self._aspects.get(size, 1.0)

    def _graph(self, frame: av.VideoFrame, fitted: tuple[int, int]) -> Any:
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, fitted)
        if key not in self._graphs:
            graph: Any = Graph()
            graph.threads = 1
            nodes = [add_source(graph, frame)]
            nodes.append(graph.add("scale", f"{fitted[0]}:{fitted[1]}:flags=bicubic"))
            if fitted != self._size:
                nodes.append(graph.add("pad", f"{self._size[0]}:{self._size[1]}:-1:-1"))
            graph.link_nodes(*nodes, graph.add("buffersink")).configure()
            self._graphs[key] = graph
        return self._graphs[key]


def add_source(graph: Any, like: av.VideoFrame) -> Any:
    """Add to a graph of filters what takes frames like this one, the tags of their colours too.

    Without these (PyAV's `add_buffer` gives none) filters bring all colours to one matrix, and take away the tags.
    """
    return graph.add(
        "buffer",
        video_size=f"{like.width}x{like.height}",
        pix_fmt=like.format.name,
        pixel_aspect="1/1",
        time_base="1/1000",  # any: the times of frames go through as they are
        colorspace=str(int(like.colorspace)),
        range=str(int(like.color_range)),
    )


def _even(side: float | Fraction) -> int:
    return max(2, 2 * round(side / 2))
