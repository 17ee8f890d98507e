"""Small clips with sound, written with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.video_files import TIME_BASE, draw_frame, find_encoder


def tone(hertz: float, seconds: float, *, rate: int = 48_000, amplitude: float = 0.5) -> np.ndarray:
    """Return a sine, float32 (samples,)."""
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_clip(
    path: Path,
    sounds: Sequence[tuple[float, np.ndarray]] | None,
    *,
    rate: int = 48_000,
    video_seconds: float = 1.0,
    video_start_seconds: float = 0.0,
    layout: str = "mono",
    codec: str = "pcm_s16le",
    frames: Sequence[np.ndarray] | None = None,
    frames_per_second: int = 30,
) -> Path:
    """Write a clip; with the suffix .mkv sounds lie where they are put to a millisecond.

    Args:
        path: where to write.
        sounds: when each begins, in seconds, and its samples float32 (samples,), the same on all channels; None for a
            file without an audio stream.
        rate: samples a second.
        video_seconds: how long the video is.
        video_start_seconds: when its first frame is shown.
        layout: `mono` or `stereo`.
        codec: of the sound.
        frames: uint8 RGB (height, width, 3) each; left out, numbered ones.
        frames_per_second: of the video.

    Returns:
        The path.
    """
    if frames is None:
        count = round(video_seconds * frames_per_second)
        frames = [draw_frame(number % 256, width=64, height=48) for number in range(count)]
    with av.open(str(path), "w") as container:
        video = container.add_stream(find_encoder("h264"), rate=frames_per_second, options={"preset": "veryfast"})
        video.height, video.width = frames[0].shape[:2]  # pyright: ignore[reportAttributeAccessIssue]
        video.pix_fmt = "yuv420p"  # pyright: ignore[reportAttributeAccessIssue]
        video.codec_context.time_base = TIME_BASE
        audio = None if sounds is None else container.add_stream(codec, rate=rate, layout=layout)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.time_base = TIME_BASE
            frame.pts = round((video_start_seconds + number / frames_per_second) / TIME_BASE)
            container.mux(video.encode(frame))  # pyright: ignore[reportAttributeAccessIssue]
        container.mux(video.encode(None))  # pyright: ignore[reportAttributeAccessIssue]
        for start_seconds, samples in sounds or ():
            for first in range(0, len(samples), 1024):
                part = samples[first : first + 1024]
                part = np.stack([part] * (2 if layout == "stereo" else 1))
                whole = np.round(np.clip(part, -1, 1) * 32767).astype(np.int16)
                packed = whole.T.reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="s16", layout=layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(start_seconds * rate) + first
                container.mux(audio.encode(frame))  # pyright: ignore
        if audio is not None:
            container.mux(audio.encode(None))  # pyright: ignore
    return path
