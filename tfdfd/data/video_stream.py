"""Opening a video file with PyAV and running its decoder, with every failure told in terms of the file."""

from __future__ import annotations

import importlib.util
import io
import stat
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Discard, Disposition

from tfdfd.clip import ClipError

MAX_SIDE = 16384
"""Pixels; a header that claims more is taken for damage, not for a picture to make room for."""
MAX_PIXELS = 2**26
"""Pixels in one frame (8192 x 8192), for the same reason."""
NUM_THREADS = 2
"""Threads of a decoder; more help little, since clips are read beside other work."""
_MOST_DEMUX_ERRORS = 64
"""After so many damaged places in a file the rest of it is left unread."""
_PHOTOGRAPHS = ("heic", "heix", "heim", "heis", "mif1", "avif")
"""Brands of mp4's cousin that holds photographs; videos in several layers have others."""
_ENCRYPTED = "its video is encrypted ({}), so it cannot be decoded: give a copy without encryption"


def _accept_unknown_side_data() -> None:
    """Have PyAV pass over kinds of side data that it does not know.

    `frame.side_data` raises ValueError for all of a frame's side data where FFmpeg delivers a kind that PyAV's enum
    lacks: PyAV 18.1's ends at 27, FFmpeg 8.1 sends 29 (EXIF) and 31 (3D reference displays).
    """

    def unknown(kind: type[SideDataType], value: object) -> SideDataType | None:
        if not isinstance(value, int):
            return None
        member = object.__new__(kind)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        return member

    SideDataType._missing_ = classmethod(unknown)  # type: ignore[method-assign, assignment]


_accept_unknown_side_data()


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file and give its container and its main video stream, cover pictures left aside.

    Args:
        path: a video file or a still picture.

    Yields:
        PyAV's container and video stream.

    Raises:
        ClipError: if it is no file, there is no video stream, or its header claims frames of absurd size.
    """
    require_regular_file(path)
    # "file:" keeps a colon or a percent sign in a name from being read as a protocol or a pattern.
    with _opened(path) as container:
        streams = [video for video in container.streams.video if not is_cover(video)]
        if not streams:
            kinds = sorted({"a cover picture" if s.type == "video" else s.type for s in container.streams})
            raise ClipError(f"{path}: no video stream, only {' and '.join(kinds) or 'nothing'}; give a video file")
        best = container.streams.best("video")
        stream: Any = best if best in streams else streams[0]
        if stream.codec_context is None:
            raise ClipError(f"{path}: its video is in no codec that can be read here; convert it, or copy it anew")
        if "enc_key_id" in stream.metadata:
            raise ClipError(f"{path}: {_ENCRYPTED.format('ContentEncryption')}")
        width, height = stream.codec_context.width, stream.codec_context.height
        if min(width, height) < 1 and _is_animated_webp(path):
            raise ClipError(f"{path}: an animated WebP, which is not decoded here: convert it to mp4")
        if min(width, height) < 1:
            raise ClipError(f"{path}: its header gives no usable frame size; it is damaged or no video")
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            raise ClipError(
                f"{path}: its header claims frames of {width} x {height} pixels; at most {MAX_SIDE} a side and "
                f"{MAX_PIXELS} in all are read, so the header is damaged or the video must be made smaller"
            )
        # In a file that is cut off, the next packet of another stream may lie behind the end and hide those before it.
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        yield container, stream


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file; a photograph in tiles, as phones write HEIC, is put together first."""
    container: Any
    with av.open(f"file:{path}") as container:
        # FFmpeg marks each tile as a part of something that PyAV does not show; a thumbnail may lie beside them.
        num_tiles = sum(bool(video.disposition & Disposition.dependent) for video in container.streams.video)
        if num_tiles < 2 or container.metadata.get("major_brand") not in _PHOTOGRAPHS:
            yield container
            return
    with av.open(_put_together(path, num_tiles)) as container:
        yield container


def _put_together(path: Path, num_tiles: int) -> io.BytesIO:
    """Return a photograph that a file holds in tiles as an uncompressed picture."""
    from PIL import Image

    if importlib.util.find_spec("pi_heif") is not None:
        import pi_heif  # type: ignore[import-not-found]

        pi_heif.register_heif_opener()
    try:
        with Image.open(path) as photograph:
            if max(photograph.size) > MAX_SIDE or photograph.width * photograph.height > MAX_PIXELS:
                width, height = photograph.size
                raise ClipError(f"{path}: its header claims {width} x {height} pixels; at most {MAX_PIXELS} are read")
            picture = io.BytesIO()
            photograph.convert("RGB").save(picture, "bmp")
    except (OSError, ValueError, RuntimeError, EOFError, Image.DecompressionBombError) as error:
        if importlib.util.find_spec("pi_heif") is None:
            raise ClipError(
                f"{path}: a HEIC photograph in {num_tiles} tiles, which needs pi-heif to be put together: "
                "pip install pi-heif, or convert it to JPEG"
            ) from error
        raise ClipError(f"{path}: a photograph in {num_tiles} tiles that cannot be put together ({error})") from error
    picture.seek(0)
    return picture


def _is_animated_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def require_regular_file(path: Path) -> None:
    """Refuse what is no file before it is opened: to open a pipe waits until somebody writes into it.

    Raises:
        ClipError: if it is a folder, a pipe, a socket or a device.
        OSError: if it is not there.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a socket or a device"
        raise ClipError(f"{path}: not a file but {kind}; give a video file")


@contextmanager
def naming_errors(path: Path) -> Iterator[None]:
    """Turn what PyAV raises on a file into a ClipError that names the file and says what was seen.

    Args:
        path: the file that the enclosed code reads; only calls of PyAV belong inside.

    Raises:
        ClipError: in place of PyAV's own errors, OSError, ValueError and MemoryError.
    """
    try:
        yield
    except (FFmpegError, OSError, ValueError, MemoryError) as error:
        raise ClipError(f"{path}: {_explain(path, error)}") from error


def is_cover(stream: Any) -> bool:
    """Whether a video stream is only the cover picture of a recording."""
    return bool(stream.disposition & Disposition.attached_pic)


def is_shown(packet: Any) -> bool:
    """Whether a player shows the packet's frame: not cut away by an edit list, no hidden frame of VP8."""
    if packet.is_discard:
        return False
    return packet.stream.codec.canonical_name != "vp8" or bool(memoryview(packet)[0] & 0x10)


def is_flush(packet: Any) -> bool:
    """Whether a packet is PyAV's sign that the stream has ended; the container holds no such packet."""
    return not packet.size and packet.dts is None


def packets_of(container: Any, stream: Any, problems: list[str]) -> Iterator[Any]:
    """Read the packets of a stream, past places of the file that are damaged.

    Args:
        container: PyAV's container, just opened.
        stream: its video stream.
        problems: receives what the demuxer says of damaged places.

    Yields:
        The packets in the order of the file; the last, empty one flushes the decoder.

    Raises:
        ClipError: if a packet is encrypted.
    """
    for _ in range(_MOST_DEMUX_ERRORS):
        try:
            for packet in container.demux(stream):
                if packet.size and packet.has_sidedata("encryption_info"):
                    raise ClipError(f"{container.name.removeprefix('file:')}: {_ENCRYPTED.format('encv, senc')}")
                yield packet
            return
        except InvalidDataError as error:
            problems.append(error.strerror or str(error))


def decode_packet(packet: Any, problems: list[str]) -> list[av.VideoFrame]:
    """Decode one packet; a damaged one gives no frames and a line in `problems`, and decoding can go on.

    Args:
        packet: a packet of PyAV; the last, empty one flushes the decoder.
        problems: receives what the decoder says of a damaged packet.

    Returns:
        The frames that the decoder puts out now.
    """
    if not packet.size and not is_flush(packet):
        return []  # A frame that was dropped on recording; the decoder would take it for the end.
    try:
        return packet.decode()
    except FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        problems.append(error.strerror or str(error))
        return []


def decode_stream(
    container: Any,
    stream: Any,
    problems: list[str],
    *,
    wanted_pts: Container[int | None] | None = None,
    runs: Sequence[tuple[int, int]] | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode a stream from its beginning, on NUM_THREADS threads.

    Args:
        container: PyAV's container, just opened.
        stream: its video stream.
        problems: receives what the decoder says of damaged packets.
        wanted_pts: if given, frames at other times are left out where no frame leans on them, which saves a third
            of the time. Only for H.264, which marks such frames reliably: in HEVC they may serve higher layers.
        runs: if given, first and end of the packets to decode, as `packet_runs.runs_to_decode` returns them; the
            packets between are only read, which is all that is saved by seeking in a file that was probed just now.

    Yields:
        Frames in the order in which they are shown.
    """
    context = stream.codec_context
    context.thread_count = NUM_THREADS
    context.thread_type = "AUTO"
    left = iter(runs or ())
    run = next(left, None)
    number = -1
    packet = None
    for packet in packets_of(container, stream, problems):
        number += packet.size > 0
        if run is not None and packet.size and number >= run[1]:
            # What the decoder still holds comes out before it begins anew.
            yield from _drain(context, problems)
            run = next(left, None)
            if run is None:
                return
        if run is not None and number < run[0]:
            continue
        if wanted_pts is not None:
            needed = packet.pts is None or packet.pts in wanted_pts
            context.skip_frame = "DEFAULT" if needed else "NONREF"
        yield from decode_packet(packet, problems)
    if packet is None or not is_flush(packet):
        yield from _drain(context, problems)


def _drain(context: Any, problems: list[str]) -> list[av.VideoFrame]:
    try:
        return context.decode(None)
    except FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        problems.append(error.strerror or str(error))
        return []
    finally:
        context.flush_buffers()


def last_problem(problems: list[str]) -> str:
    """Return the decoder's last complaint as the end of a sentence, empty if it had none."""
    return f" (the decoder says: {problems[-1]})" if problems else ""


def _explain(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    try:
        if not path.exists():
            return "a link that leads nowhere" if path.is_symlink() else "no such file"
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as unreadable:
        return f"cannot be read: {unreadable.strerror}"
    if not size:
        return "the file is empty (0 bytes); copy it anew"
    if isinstance(error, MemoryError):
        return "its frames do not fit into memory"
    seen = f"{size} bytes that begin with {head!r}"
    if head[4:8] == b"ftyp":
        return f"an mp4 or mov file without a usable index, so probably cut off ({reason}; {seen}); copy it anew"
    return f"not a readable video ({reason}; {seen})"


def read_orientation(frame: av.VideoFrame) -> tuple[int, list[str]]:
    """Read how a frame wants to be turned.

    Args:
        frame: a decoded frame; its side data holds the container's display matrix.

    Returns:
        Counter-clockwise quarter turns that show it upright, 0 to 3, and warnings of what is not done.
    """
    side_data: Any = frame.side_data
    entry = side_data.get(SideDataType.DISPLAYMATRIX)
    if entry is None:
        return 0, []
    matrix = np.frombuffer(bytes(entry), np.int32)
    a, b, c, d = (float(matrix[i]) for i in (0, 1, 3, 4))
    warnings = []
    if a * d - b * c < 0:
        # Faces are as good in a mirror: only the turn that is left when the mirror is taken away is applied.
        warnings.append("the file asks for a mirror image; it is shown unmirrored")
        a = -a
    clockwise_degrees = float(np.degrees(np.arctan2(b, a)))
    quarters = round(clockwise_degrees / 90)
    if abs(clockwise_degrees - 90 * quarters) > 1:
        warnings.append(f"the file asks for a turn of {clockwise_degrees:.0f} degrees; only quarter turns are done")
        return 0, warnings
    return -quarters % 4, warnings
