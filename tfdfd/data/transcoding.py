"""A clip encoded anew as H.264, as web sites do with what is uploaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.codec import Codec, UnknownCodecError
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, VideoReformatter

from tfdfd.clip import LEAST_READABLE_SHARE, ClipError, TfdfdError
from tfdfd.data.atomic import TEMPORARY, explain_write_errors
from tfdfd.data.deinterlacing import deinterlaced
from tfdfd.data.frame_shape import FrameFitter
from tfdfd.data.video import ProbedVideo, probe
from tfdfd.data.video_stream import NUM_THREADS, decode_stream, last_problem, naming_errors, open_video

PRESET = "medium"
"""The encoder's own default, so what a bare constant rate factor means to most who name one."""
_ENCODER = "libx264"
# Its result depends on their number, so it is not that of this machine's cores.
_ENCODER_THREADS = 4
# FFmpeg's numbers of colour matrices.
_UNSPECIFIED, _RGB = 2, 0


def require_h264_encoder() -> None:
    """Check that clips can be encoded here.

    Raises:
        TfdfdError: if this PyAV has no libx264.
    """
    try:
        Codec(_ENCODER, "w")
    except UnknownCodecError as error:
        raise TfdfdError(
            f"this PyAV ({av.__version__}) was built without {_ENCODER}, so no clip can be encoded as H.264: install "
            "its wheel, which has it (pip install --force-reinstall --only-binary av av)"
        ) from error


def reencode_h264(source: Path, target: Path, *, crf: int) -> None:
    """Encode a clip anew as H.264 in 8-bit 4:2:0, without its sound.

    Frames are the same, at the same times from the first one on, and as large, but for the last column or row of an odd
    side. Their pixels are square, and two fields are one picture. The quarter turn that a player makes is kept, the
    tags of the colours too. Strength and speed are libx264's own defaults but for the factor.

    Args:
        source: a video file, or a still picture.
        target: the mp4 to write, whatever its suffix; it appears only when it is complete.
        crf: constant rate factor of libx264, 0 (lossless) to 51; its own default is 23.

    Raises:
        ClipError: if less of the clip's frames can be decoded than LEAST_READABLE_SHARE.
        TfdfdError: if this PyAV has no libx264, or the target cannot be written.
        ValueError: if crf is out of its range.
    """
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be 0 to 51, got {crf}")
    require_h264_encoder()
    info = probe(source)
    if min(info.width, info.height) < 2:
        raise ClipError(f"{source}: H.264 needs at least 2 x 2 pixels, it has {info.width} x {info.height}")
    temporary = target.with_name(target.name + TEMPORARY)
    try:
        with explain_write_errors(target.parent):
            _encode(source, info, temporary, crf)
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _encode(source: Path, info: ProbedVideo, target: Path, crf: int) -> None:
    rate = Fraction(info.frames_per_second).limit_denominator(1001) if info.frames_per_second >= 1 else Fraction(25)
    options = {"crf": str(crf), "preset": PRESET, "threads": str(_ENCODER_THREADS)}
    reformatter = VideoReformatter()
    try:
        with av.open(f"file:{target}", "w", format="mp4") as container:
            stream: Any = container.add_stream(_ENCODER, rate=rate, options=options)
            stream.width, stream.height = info.width & ~1, info.height & ~1
            stream.pix_fmt = "yuv420p"
            if info.quarter_turns:
                stream.set_display_rotation(90 * info.quarter_turns)
            is_first = True
            for index, time_base, frame in shown_frames(source, info):
                if is_first:
                    is_first = False
                    stream.codec_context.time_base = time_base
                    _copy_colour_tags(frame, stream.codec_context)
                picture = _fitted(frame, info, reformatter)
                picture.pts, picture.time_base = int(info.pts[index] - info.pts[0]), time_base
                picture.pict_type = PictureType.NONE  # else key frames and the like would be those of the source
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise  # the disk's
        raise ClipError(f"{source}: {_ENCODER} does not take its frames ({error.strerror or error})") from error


def shown_frames(source: Path, info: ProbedVideo) -> Iterator[tuple[int, Fraction, av.VideoFrame]]:
    """Yield the frames of a probed file that can be decoded, in order and as large as `info` says, each with its number
    and the unit of `info.pts`.

    Args:
        source: the file.
        info: what `probe` returned.

    Raises:
        ClipError: if less of them can be decoded than LEAST_READABLE_SHARE.
    """
    number_of = None if info.numbered_by_decoding else {time: number for number, time in enumerate(info.pts.tolist())}
    problems: list[str] = []
    num_shown = 0
    with naming_errors(source), open_video(source) as (container, stream):
        # Raw streams and AVI have no times: there `probe` counts frames at the guessed rate.
        has_times = float(stream.time_base or 0) == info.time_base_seconds
        time_base = stream.time_base if has_times else 1 / Fraction(stream.guessed_rate or stream.average_rate or 1)
        fitter = FrameFitter((info.width, info.height), info.stored_size)
        decoded = decode_stream(container, stream, problems)
        shown = deinterlaced(decoded, lambda *_: True, codec=info.codec, is_interlaced=info.is_interlaced)
        for count, (frame, _) in enumerate(shown):
            number = count if number_of is None else number_of.pop(frame.pts, None)
            if number is not None:
                num_shown += 1
                yield number, time_base, fitter.fit(frame, stream.codec_context)[0]
    if num_shown < LEAST_READABLE_SHARE * info.num_frames:
        raise ClipError(f"{source}: {num_shown} of {info.num_frames} frames can be decoded{last_problem(problems)}")


def _copy_colour_tags(frame: av.VideoFrame, context: Any) -> None:
    """Tag the encoded colours as the clip's are: only their range is converted, to the one that players expect."""
    context.color_range = ColorRange.MPEG
    context.color_primaries = frame.color_primaries
    context.color_trc = frame.color_trc
    context.colorspace = _UNSPECIFIED if frame.colorspace == _RGB else frame.colorspace


def _fitted(frame: av.VideoFrame, info: ProbedVideo, reformatter: VideoReformatter) -> av.VideoFrame:
    """Return a frame in 4:2:0 and in the size that is encoded."""
    width, height = info.width & ~1, info.height & ~1
    if (width, height) != (info.width, info.height):
        # Cut in 4:4:4, where columns and rows of colour are those of brightness, without a change of matrix.
        whole = reformatter.reformat(
            frame, width=info.width, height=info.height, format="yuv444p", dst_color_range=ColorRange.MPEG
        )
        frame = av.VideoFrame.from_ndarray(whole.to_ndarray()[:, :height, :width].copy(), format="yuv444p")
    return reformatter.reformat(
        frame, width=width, height=height, format="yuv420p", dst_color_range=ColorRange.MPEG, threads=NUM_THREADS
    )
