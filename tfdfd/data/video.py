"""Probing video files with PyAV: what a file holds, and which of its frames to take.

Frames are numbered in the order in which a player shows them. The number of a frame comes from the times of the
file's packets wherever the container stores such times, else from decoding the file once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from tfdfd.clip import ClipError, VideoInfo
from tfdfd.data.announced import Announced, why_cut_off
from tfdfd.data.deinterlacing import has_two_fields, is_single_field
from tfdfd.data.frame_shape import square_pixels
from tfdfd.data.h264 import is_idr, is_reference, length_size_of
from tfdfd.data.h264_fields import FieldPairs
from tfdfd.data.video_stream import (
    decode_packet,
    decode_stream,
    is_cover,
    is_flush,
    is_shown,
    last_problem,
    naming_errors,
    open_video,
    packets_of,
    read_orientation,
)

_PQ, _HLG = 16, 18
_INTERLACED = (2, 3, 4, 5)
"""FFmpeg's numbers of field orders in which a frame is two fields."""
_OF_SINGLE_FIELDS = 0.75
"""Width of a pixel over its height, from which on a single field is taken to say that of the whole frame."""
_FULL_RANGE = 2
# FFmpeg's numbers; 2 is "unspecified".
_MATRIX_NAMES = {0: "rgb", 1: "bt709", 2: "", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc", 10: "bt2020c"}
# Containers that store when each frame is shown. AVI and raw streams store no such time, or the wrong one.
_TIMED_CONTAINERS = {"mov", "matroska", "mpegts", "flv"}


@dataclass(frozen=True)
class ProbedVideo(VideoInfo):
    """VideoInfo with what decides how the frames are read."""

    numbered_by_decoding: bool = False
    """Whether frame i is the i-th that the decoder puts out, for files whose packets carry no usable times."""
    numbering_doubt: str = ""
    """Why a decoder that numbers frames by itself may disagree with us; empty where none should."""
    matrix: str = ""
    """FFmpeg's name of the colour matrix, e.g. `bt709`; empty where the file does not say."""
    is_interlaced: bool = False
    """Whether frames may be two fields: the first one is, or the stream says so."""
    stored_width: int = 0
    """Of the first frame as it is decoded, before its pixels are made square; 0 where that is `width`."""
    stored_height: int = 0
    """The height likewise."""
    is_full_range: bool = False
    """Whether black is 0 and white 255, not 16 and 235."""
    coded_width: int = 0
    """Width in pixels of what the decoder decodes, before it is cropped to the frame: whole blocks; 0 if not known."""
    coded_height: int = 0
    """The height likewise: 1088 of most 1080p clips."""
    warnings: tuple[str, ...] = ()
    """What a person should know of the file, e.g. HDR or a mirror image."""
    cut_off: str = ""
    """How much of the file is missing; empty where all that its header announces is there."""
    packet_pts: np.ndarray | None = field(default=None, repr=False)
    """int64, shape (packets,): when each packet's frame is shown, in the order of the file; None where it is not known,
    or frames are numbered by decoding."""
    is_start: np.ndarray | None = field(default=None, repr=False)
    """bool, shape (packets,): whether decoding can begin with a packet; None as packet_pts."""

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the first frame as it is decoded."""
        return self.stored_width or self.width, self.stored_height or self.height

    @property
    def has_square_pixels(self) -> bool:
        """Whether frames are used as large as they are decoded."""
        return self.stored_size == (self.width, self.height)


class _Packet(NamedTuple):
    """What one packet says of the frame in it."""

    pts: int | None
    is_key: bool
    is_shown: bool
    is_reference: bool
    is_start: bool
    is_second_field: bool
    """Whether the packet before it holds the other field of its frame, whose time it has."""


def choose_frame_indices(num_frames: int, *, num_places: int, is_reference: np.ndarray | None = None) -> np.ndarray:
    """Choose frames near the centres of equal segments of a clip: reference frames, where a segment has one.

    Frames that no other leans on can be left out of decoding, which saves a third of it; a wanted one cannot. So the
    reference frame nearest to the centre is taken (the earlier of two), in each segment that has one, which is
    at most half a segment off.

    Args:
        num_frames: frames in the clip, at least 1.
        num_places: frames to choose, at least 1; a shorter clip uses each frame once and leaves places empty.
        is_reference: bool, shape (num_frames,): whether others lean on a frame; None where it is not known.

    Returns:
        int64 array, shape (num_places,), ascending, each in [0, num_frames), or -1 where empty (at the end).

    Raises:
        ValueError: if num_frames or num_places is below 1.

    Source: segment sampling of temporal segment networks, arXiv:1608.00859.
    """
    if num_frames < 1 or num_places < 1:
        raise ValueError(f"num_frames and num_places must be at least 1, got {num_frames} and {num_places}")
    indices = np.full(num_places, -1, np.int64)
    if num_frames < num_places:
        indices[:num_frames] = np.arange(num_frames)
    else:
        indices[:] = (2 * np.arange(num_places) + 1) * num_frames // (2 * num_places)
        if is_reference is not None:
            move_to_references(indices, is_reference)
    return indices


def move_to_references(indices: np.ndarray, is_reference: np.ndarray) -> None:
    """Move each index, in place, to the nearest reference frame that is nearer to it than to its neighbours.

    Args:
        indices: int64, shape (n,), ascending, each in [0, num_frames).
        is_reference: bool, shape (num_frames,).
    """
    halfway = (indices[:-1] + indices[1:] + 1) // 2
    bounds = np.concatenate([[0], halfway, [len(is_reference)]])
    for place, (first, end) in enumerate(itertools.pairwise(bounds.tolist())):
        references = np.flatnonzero(is_reference[first:end]) + first
        if len(references):
            indices[place] = references[np.argmin(np.abs(references - indices[place]))]


def probe(path: Path) -> ProbedVideo:
    """Read what a video file holds; of its pictures only the first is decoded, for rotation and fields.

    Args:
        path: a video file, or a still picture, which is a clip of one frame.

    Returns:
        The facts of the file's main video stream.

    Raises:
        ClipError: if the file is missing, empty, encrypted, no video, of absurd size, less of it is there than
            LEAST_READABLE_SHARE, or none of it decodes.
    """
    path = Path(path)
    with naming_errors(path), open_video(path) as (container, stream):
        context = stream.codec_context
        packets: list[_Packet] = []
        first: av.VideoFrame | None = None
        problems: list[str] = []
        num_listed = 0
        codec = stream.codec.canonical_name
        length_size = length_size_of(context.extradata)
        pairs = FieldPairs(context.extradata, length_size)
        for packet in packets_of(container, stream, problems):
            num_listed += not is_flush(packet)
            if packet.size:
                packets.append(_packet_of(packet, codec, length_size, pairs, packets[-1:]))
            if first is None:
                first = next(iter(decode_packet(packet, problems)), None)
        family = container.format.name.split(",")[0]
        announced = Announced.by(container, stream)
        num_videos = sum(not is_cover(video) for video in container.streams.video)
        has_audio = bool(container.streams.audio)
        pixel_format, profile = context.pix_fmt or "", context.profile or ""
        time_base = float(stream.time_base or 0)
        frames_per_second = float(stream.average_rate or 0)
        guessed_rate = float(stream.guessed_rate or 0)
        counted_by_container = stream.frames
        coded_width, coded_height = context.coded_width, context.coded_height
        # Those who show pictures take their pixels for square.
        is_picture = family.endswith("_pipe") or family == "image2"
        pixel_aspect = None if is_picture else stream.sample_aspect_ratio or context.sample_aspect_ratio
        is_interlaced = context.field_order in _INTERLACED or pairs.may_be_interlaced
    if first is None:
        raise ClipError(
            f"{path}: none of its {len(packets)} packets of {codec or 'unknown'} video decodes{last_problem(problems)}"
        )

    pts, references, doubt = None, None, "it has fields without their other field"
    if not pairs.has_lone_field:
        pts, references, doubt = _shown_times([packet for packet in packets if not packet.is_second_field])
    numbered_by_decoding = pts is None or family not in _TIMED_CONTAINERS
    seconds: np.ndarray | None = None
    if pts is None or numbered_by_decoding:
        references = None
        pts, has_times = _count_by_decoding(path)
        doubt = doubt or f"the {family} container stores no time for each frame"
        if not has_times:
            # The average rate of H.264 in AVI counts ticks of a clock that may run at several a frame.
            frames_per_second = guessed_rate or frames_per_second
            listed = [packet.pts for packet in packets if packet.pts is not None]
            if listed and family in _TIMED_CONTAINERS:
                seconds = (
                    np.sort(np.array(listed, np.float64)) * time_base
                )  # some repeat, and tell the end all the same
            time_base = 1 / frames_per_second if frames_per_second else 1.0
            if seconds is None:
                # A damaged frame has no number, and takes its time all the same.
                num_paired = sum(packet.is_second_field for packet in packets)
                seconds = np.arange(max(num_listed - num_paired, len(pts))) * time_base
    if not doubt and num_videos > 1:
        doubt = f"the file has {num_videos} video streams"
    if not doubt and counted_by_container not in (0, len(pts)):
        doubt = f"the container counts {counted_by_container} frames, its packets show {len(pts)}"

    quarter_turns, warnings = read_orientation(first)
    if is_single_field(first, codec):
        warnings.append("coded as single fields: each is shown as a frame, its lines enlarged")
        # An encoder may have called its lines twice as high already.
        pixel_aspect = (pixel_aspect or Fraction(1)) / (2 if (pixel_aspect or 1) > _OF_SINGLE_FIELDS else 1)
    shape = square_pixels(first.width, first.height, pixel_aspect)
    warnings += [shape.note] if shape.note else []
    is_hdr = first.color_trc in (_PQ, _HLG)
    if is_hdr:
        name = "PQ" if first.color_trc == _PQ else "HLG"
        warnings.append(f"HDR ({name}): shown in 8-bit RGB without tone mapping, so its colours are approximate")
    with naming_errors(path):
        seconds = pts * time_base if seconds is None else seconds
        cut_off = why_cut_off(path, announced, num_packets=num_listed, seconds=seconds)
    return ProbedVideo(
        codec=codec,
        profile=profile,
        pixel_format=pixel_format or first.format.name,
        width=shape.width,
        height=shape.height,
        num_frames=len(pts),
        pts=pts,
        time_base_seconds=time_base,
        frames_per_second=frames_per_second,
        quarter_turns=quarter_turns,
        has_audio=has_audio,
        is_hdr=is_hdr,
        numbered_by_decoding=numbered_by_decoding,
        numbering_doubt=doubt,
        matrix=_MATRIX_NAMES.get(first.colorspace, str(first.colorspace)),
        is_interlaced=is_interlaced or has_two_fields(first, codec),
        stored_width=first.width,
        stored_height=first.height,
        is_full_range=first.color_range == _FULL_RANGE or first.format.name.startswith("yuvj"),
        coded_width=coded_width,
        coded_height=coded_height,
        warnings=tuple(warnings),
        cut_off=cut_off,
        is_reference=references if codec == "h264" else None,
        packet_pts=None if numbered_by_decoding else np.array([packet.pts for packet in packets], np.int64),
        is_start=None if numbered_by_decoding else np.array([packet.is_start for packet in packets], np.bool_),
    )


def _packet_of(packet: Any, codec: str, length_size: int | None, pairs: FieldPairs, before: list[_Packet]) -> _Packet:
    """Say what a packet holds, given the one before it, if any."""
    if codec != "h264":
        return _Packet(packet.pts, packet.is_keyframe, is_shown(packet), True, packet.is_keyframe, False)
    data = memoryview(packet)
    is_second = pairs.is_second(data)
    return _Packet(
        before[-1].pts if is_second else packet.pts,
        packet.is_keyframe,
        is_shown(packet),
        is_reference(data, length_size),
        # A key frame of H.264 may be one from which pictures only recover bit by bit.
        packet.is_keyframe and is_idr(data, length_size) and not is_second,
        is_second,
    )


def _shown_times(packets: list[_Packet]) -> tuple[np.ndarray | None, np.ndarray | None, str]:
    """Work out when each shown frame is shown.

    Returns:
        The times, int64, ascending, and whether others lean on the frame shown then, or None twice where packets
        cannot tell; and why a decoder may number otherwise.
    """
    first_key = next((row for row, packet in enumerate(packets) if packet.is_key), None)
    if first_key is None or any(packet.pts is None for packet in packets):
        return None, None, "its packets have no key frame or no times"
    times = np.array([packet.pts for packet in packets], np.int64)
    # A stream cut out of a longer one may begin with frames that lean on a picture before the cut.
    has_reference = (np.arange(len(packets)) >= first_key) & (times >= times[first_key])
    is_shown = np.array([packet.is_shown for packet in packets]) & has_reference
    order = np.argsort(times[is_shown], kind="stable")
    shown = times[is_shown][order]
    references = np.array([packet.is_reference for packet in packets])[is_shown][order]
    if not len(shown) or (np.diff(shown) == 0).any():
        return None, None, "its packets repeat times or show nothing"
    if not is_shown.all():
        return (
            shown,
            references,
            f"{len(times) - len(shown)} of {len(times)} packets are not shown (edit list, hidden frames, cut)",
        )
    if shown[0] < 0:
        return shown, references, "it begins before time 0"
    return shown, references, ""


def _count_by_decoding(path: Path) -> tuple[np.ndarray, bool]:
    """Decode a whole file to number its frames; return their times, int64, and whether these are real times."""
    problems: list[str] = []
    with naming_errors(path), open_video(path) as (container, stream):
        times = [frame.pts for frame in decode_stream(container, stream, problems)]
    if not times:
        raise ClipError(f"{path}: none of its frames decodes{last_problem(problems)}")
    known = np.array([time for time in times if time is not None], np.int64)
    if len(known) == len(times) and (np.diff(known) > 0).all():
        return known, True
    return np.arange(len(times), dtype=np.int64), False
