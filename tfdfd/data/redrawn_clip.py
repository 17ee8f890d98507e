"""A clip encoded anew with something drawn on every frame, and its sound as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from tfdfd.clip import ClipError
from tfdfd.data.atomic import TEMPORARY, explain_write_errors
from tfdfd.data.frame_source import turn_upright
from tfdfd.data.transcoding import require_h264_encoder, shown_frames
from tfdfd.data.video import ProbedVideo
from tfdfd.data.video_stream import NUM_THREADS

Draw = Callable[[np.ndarray, int], np.ndarray]
"""From an upright frame, uint8 RGB (height, width, 3), and its number to what is shown in its place, of that size."""

_SOUNDS = ("aac", "mp3", "ac3", "eac3", "alac", "opus")
"""Codecs that an mp4 holds as they are."""
_OPTIONS = {"crf": "20", "preset": "veryfast"}
_BT709 = 1


def redraw_clip(source: Path, info: ProbedVideo, target: Path, draw: Draw) -> list[str]:
    """Write a clip as H.264 with something drawn on every frame, upright, at the times that the frames had.

    Args:
        source: a video file.
        info: what `probe` returned of it.
        target: the mp4 to write; it appears only when it is complete.
        draw: draws on a frame.

    Returns:
        What a person should know, such as that the sound was left out.

    Raises:
        ClipError: if the clip cannot be read to its end, or is too small for H.264.
        TfdfdError: if this PyAV has no libx264, or the target cannot be written.
    """
    require_h264_encoder()
    if min(info.width, info.height) < 2:
        raise ClipError(f"{source}: H.264 needs at least 2 x 2 pixels, it has {info.width} x {info.height}")
    temporary = target.with_name(target.name + TEMPORARY)
    try:
        with explain_write_errors(target.parent):
            notes = _encode(source, info, temporary, draw)
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return notes


def _encode(source: Path, info: ProbedVideo, target: Path, draw: Draw) -> list[str]:
    rate = Fraction(info.frames_per_second).limit_denominator(1001) if info.frames_per_second >= 1 else Fraction(25)
    first_seconds = float(info.pts[0]) * info.time_base_seconds
    try:
        with av.open(f"file:{target}", "w", format="mp4", options={"movflags": "faststart"}) as container:
            stream: Any = container.add_stream("libx264", rate=rate, options=dict(_OPTIONS))
            stream.pix_fmt = "yuv420p"
            with ExitStack() as stack:
                sound = stack.enter_context(_Sound(source, container, first_seconds)) if info.has_audio else None
                drawn = stack.enter_context(closing(_drawn(source, info, draw)))
                is_first = True
                for index, time_base, picture in drawn:
                    if is_first:
                        is_first = False
                        stream.width, stream.height = picture.width, picture.height
                        context = stream.codec_context
                        context.time_base, context.color_range = time_base, ColorRange.MPEG
                        context.colorspace = context.color_primaries = context.color_trc = _BT709
                    picture.pts, picture.time_base = int(info.pts[index] - info.pts[0]), time_base
                    if sound is not None:
                        sound.copy_until(float(picture.pts * time_base))
                    container.mux(stream.encode(picture))
                if sound is not None:
                    sound.copy_until(float("inf"))
            container.mux(stream.encode(None))
            return [] if sound is None else sound.notes
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise  # the disk's
        raise ClipError(f"{source}: libx264 does not take its frames ({error.strerror or error})") from error


def _drawn(source: Path, info: ProbedVideo, draw: Draw) -> Generator[tuple[int, Fraction, av.VideoFrame]]:
    to_rgb, to_yuv = VideoReformatter(), VideoReformatter()
    for index, time_base, frame in shown_frames(source, info):
        rgb = to_rgb.reformat(frame, width=info.width, height=info.height, format="rgb24", threads=NUM_THREADS)
        upright = draw(turn_upright(rgb.to_ndarray()[None], info.quarter_turns)[0], index)
        height, width = (side & ~1 for side in upright.shape[:2])  # 4:2:0 takes pixels in pairs
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(upright[:height, :width]), format="rgb24")
        yield (
            index,
            time_base,
            to_yuv.reformat(
                picture,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                threads=NUM_THREADS,
            ),
        )


class _Sound:
    """The sound of a file, copied beside the pictures that are drawn; a context manager.

    Args:
        source: a file with sound.
        container: gets it.
        first_seconds: when the first picture is shown: the sound moves to the beginning as the pictures do.
    """

    def __init__(self, source: Path, container: Any, first_seconds: float) -> None:
        self.notes: list[str] = []
        self._container, self._first_seconds = container, first_seconds
        self._waiting: Any = None
        self._source = av.open(f"file:{source}")
        stream = self._source.streams.audio[0]
        name = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
        if name in _SOUNDS:
            self._copy = container.add_stream_from_template(stream)
            self._packets = self._source.demux(stream)
        else:
            self.notes.append(f"its sound is left out: no {name} in an mp4")
            self._packets = iter(())

    def __enter__(self) -> _Sound:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def copy_until(self, seconds: float) -> None:
        """Write what is heard up to a time, seconds from the first picture on."""
        while (packet := self._waiting or self._next_packet()) is not None:
            self._waiting = packet
            if float(packet.dts * packet.time_base) - self._first_seconds > seconds:
                return
            self._waiting = None
            shift = round(self._first_seconds / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, self._copy
            if packet.dts >= 0:
                self._container.mux(packet)

    def _next_packet(self) -> Any:
        try:
            return next((packet for packet in self._packets if packet.dts is not None), None)
        except FFmpegError as error:
            self.notes.append(f"its sound ends early ({error.strerror or error})")
            self._packets = iter(())
            return None
