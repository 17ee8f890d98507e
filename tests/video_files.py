"""Small test videos whose frames say which they are, written with PyAV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

os.environ.setdefault("SVT_LOG", "0")

TIME_BASE = Fraction(1, 60000)  # MPEG-4 knows none finer than 1/65535

# name: (encoders in order of preference, pixel format, options)
CODECS: dict[str, tuple[tuple[str, ...], str, dict[str, str]]] = {
    "h264": (("libx264",), "yuv420p", {"preset": "veryfast", "crf": "8"}),
    "h264_444": (("libx264",), "yuv444p", {"preset": "veryfast", "crf": "8"}),
    "h264_422": (("libx264",), "yuv422p", {"preset": "veryfast", "crf": "8"}),
    "hevc": (("libx265",), "yuv420p", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}),
    "hevc10": (("libx265",), "yuv420p10le", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}),
    "vp8": (("libvpx",), "yuv420p", {"deadline": "realtime", "cpu-used": "8", "b": "2M"}),
    "vp9": (("libvpx-vp9",), "yuv420p", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"}),
    "av1": (("libsvtav1", "libaom-av1"), "yuv420p", {"preset": "12", "crf": "20"}),
    "mjpeg": (("mjpeg",), "yuvj420p", {"qmin": "2", "qmax": "2"}),
    "mpeg4": (("mpeg4",), "yuv420p", {"b": "4M"}),
}


def find_encoder(codec: str) -> str:
    """Return the installed encoder of a codec in CODECS, or skip the test and say which are missing."""
    encoders, _, _ = CODECS[codec]
    for name in encoders:
        try:
            av.codec.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        return name
    pytest.skip(f"this build of PyAV has no encoder for {codec}: tried {list(encoders)}")


def draw_frame(number: int, *, width: int, height: int) -> np.ndarray:
    """Draw frame `number` (0 to 255): two grey halves spell the number, a red band marks the stored top.

    Returns:
        uint8 RGB, shape (height, width, 3).
    """
    frame = np.empty((height, width, 3), np.uint8)
    frame[:, : width // 2] = 20 + 14 * (number % 16)
    frame[:, width // 2 :] = 20 + 14 * (number // 16)
    frame[: height // 4] = (220, 20, 20)
    return frame


def frame_number(frame: np.ndarray) -> int:
    """Read back the number of a frame that `draw_frame` drew, as stored (not rotated)."""
    height, width, _ = frame.shape
    row = slice(height // 2, height - height // 8)
    halves = (frame[row, width // 8 : width * 3 // 8], frame[row, width * 5 // 8 : width * 7 // 8])
    low, high = (round((float(half.mean()) - 20) / 14) for half in halves)
    return 16 * high + low


def red_side(frame: np.ndarray) -> str:
    """Say which side of a frame the red band lies on: `top`, `left`, `bottom` or `right`."""
    red = frame[..., 0].astype(int) - frame[..., 1]
    height, width = red.shape
    sides = {
        "top": red[: height // 5],
        "bottom": red[-(height // 5) :],
        "left": red[:, : width // 5],
        "right": red[:, -(width // 5) :],
    }
    return max(sides, key=lambda side: float(sides[side].mean()))


def write_video(
    path: Path,
    *,
    codec: str = "h264",
    num_frames: int = 24,
    width: int = 64,
    height: int = 48,
    frames_per_second: int = 30,
    times_seconds: Sequence[float] | None = None,
    rotation_degrees: float = 0,
    mirrored: bool = False,
    audio: bool = False,
    max_b_frames: int | None = None,
    key_frame_interval: int = 250,
    transfer: int | None = None,
    matrix: int | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video in which frame i shows number i; the container follows from the path's suffix.

    Args:
        path: where to write.
        codec: a name in CODECS; the test is skipped where no encoder for it is installed.
        num_frames: frames to write, at most 256.
        width: in pixels.
        height: in pixels.
        frames_per_second: rate of a constant-rate video.
        times_seconds: when each frame is shown, ascending; overrides the constant rate.
        rotation_degrees: counter-clockwise turn that the container asks a player for.
        mirrored: whether it also asks for a horizontal mirror image.
        audio: whether to add a second of silence.
        max_b_frames: frames between references, None for the encoder's default.
        key_frame_interval: most frames between two key frames.
        transfer: transfer function to tag, e.g. 16 for PQ; None for no tag.
        matrix: colour matrix to tag, e.g. 1 for BT.709; None for no tag.
        container_options: muxer options, e.g. {"movflags": "faststart"}.

    Returns:
        The path.
    """
    encoder = find_encoder(codec)
    _, pixel_format, options = CODECS[codec]
    if times_seconds is None:
        times_seconds = [i / frames_per_second for i in range(num_frames)]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(encoder, rate=frames_per_second, options=dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.gop_size = key_frame_interval
        context.thread_count = 1
        if max_b_frames is not None:
            context.max_b_frames = max_b_frames
        if transfer is not None:
            context.color_trc = transfer
        if matrix is not None:
            context.colorspace = matrix
        if rotation_degrees or mirrored:
            stream.set_display_rotation(rotation_degrees, hflip=mirrored)
        silence = (
            container.add_stream("libopus" if path.suffix in (".webm", ".mkv") else "aac", rate=48000)
            if audio
            else None
        )
        for number in range(num_frames):
            picture = draw_frame(number, width=width, height=height)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            frame.time_base = TIME_BASE
            frame.pts = round(times_seconds[number] / TIME_BASE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if silence is not None:
            assert isinstance(silence, av.AudioStream)
            for start in range(0, 48000, 960):
                sound = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = 48000, start, Fraction(1, 48000)
                container.mux(silence.encode(sound))
            container.mux(silence.encode(None))
    return path


def remux(source: Path, path: Path, *, shift_seconds: float = 0, skip_packets: int = 0, hidden: int = -1) -> Path:
    """Copy a video's packets into another file, as a cutting tool does.

    Args:
        source: a video without audio.
        path: where to write; an mp4 gets an edit list for what lies before time 0.
        shift_seconds: added to every time; negative to cut away a beginning that players still need to decode.
        skip_packets: packets left out at the beginning, key frames too.
        hidden: packet of a VP8 stream that is marked as never shown.

    Returns:
        The path.
    """
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as old, av.open(str(path), "w", options=options) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        shift = round(shift_seconds / stream.time_base)
        for number, packet in enumerate(old.demux(stream)):
            if packet.size and number >= skip_packets:
                data = bytearray(bytes(packet))
                if number == hidden:
                    data[0] &= ~0x10
                moved = av.Packet(bytes(data))
                moved.pts, moved.dts = packet.pts + shift, packet.dts + shift
                moved.time_base, moved.is_keyframe, moved.stream = packet.time_base, packet.is_keyframe, copy
                new.mux(moved)
    return path
