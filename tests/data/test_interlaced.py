"""Clips of two fields a frame: fields are paired in the numbering, and no frame that is read looks like a comb."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.filter import Graph

from tests.interlaced_files import (
    HEIGHT,
    INTERLACED,
    WIDTH,
    bar_of_field,
    draw_field,
    left_edges,
    write_fields,
    write_interlaced,
)
from tests.video_files import write_video
from tfdfd.clip import FramePlan
from tfdfd.data.deinterlacing import DEINTERLACED
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.redrawn_clip import redraw_clip
from tfdfd.data.transcoding import reencode_h264
from tfdfd.data.video import probe


def read(path: Path, indices: list[int]) -> np.ndarray:
    return read_frames(path, probe(path), np.array(indices))


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def is_comb(frame: np.ndarray) -> bool:
    """Say whether neighbouring lines show the bar at different places, but for the picture's edges."""
    return bool(np.ptp(left_edges(frame)[4:-4]) > 2)


@pytest.mark.parametrize("first", ["upper", "lower"])
@pytest.mark.parametrize(("kind", "suffix"), [("h264", ".mp4"), ("h264", ".mkv"), ("h264", ".ts"), ("mpeg2", ".ts"),
                                              ("mpeg2", ".mpg"), ("prores", ".mov")])  # fmt: skip
def test_a_frame_of_two_fields_is_shown_as_the_moment_of_its_first(tmp_path, kind, suffix, first):
    path = write_interlaced(tmp_path / f"clip{suffix}", kind, first=first)
    assert is_comb(decoded(path)[10].to_ndarray(format="rgb24"))
    info = probe(path)
    assert (info.num_frames, info.width, info.height, info.is_interlaced) == (20, WIDTH, HEIGHT, True)
    frames = read(path, list(range(20)))
    assert not any(is_comb(frame) for frame in frames)
    edges = np.array([np.median(left_edges(frame)) for frame in frames])
    np.testing.assert_allclose(edges, [bar_of_field(2 * number) for number in range(20)], atol=1)


@pytest.mark.parametrize("kind", sorted(INTERLACED))
def test_frames_are_those_of_the_filter_run_over_the_whole_clip(tmp_path, kind):
    path = write_interlaced(tmp_path / ("clip.mov" if kind == "prores" else "clip.ts"), kind)
    frames = decoded(path)
    graph: Any = Graph()
    nodes = graph.add_buffer(template=frames[0], time_base=frames[0].time_base), graph.add("bwdif", "mode=send_frame")
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    for frame in [*frames, None]:
        graph.push(frame)
    whole = [graph.vpull().to_ndarray(format="rgb24") for _ in frames]
    np.testing.assert_array_equal(read(path, list(range(20))), whole)


@pytest.mark.parametrize("suffix", [".ts", ".mp4"])
def test_a_frame_is_the_same_whichever_others_are_read(tmp_path, suffix):
    path = write_interlaced(tmp_path / f"clip{suffix}", "mpeg2", num_frames=90)
    info, chosen = probe(path), [0, 1, 13, 40, 41, 88, 89]
    assert info.packet_pts is not None
    assert not info.numbered_by_decoding
    every = read(path, list(range(90)))
    np.testing.assert_array_equal(read(path, chosen), every[chosen])
    for index in chosen:  # far apart, what lies between is passed over
        np.testing.assert_array_equal(read(path, [index])[0], every[index])


def test_it_is_said_of_interlaced_clips_alone(tmp_path):
    interlaced, plain = write_interlaced(tmp_path / "fields.mp4"), write_video(tmp_path / "plain.mp4")
    source = PyAvFrameSource()
    assert source.read(interlaced, FramePlan(5)).warnings == (DEINTERLACED,)
    assert source.read(plain, FramePlan(5)).warnings == ()
    assert not probe(plain).is_interlaced


def test_whole_frames_in_a_stream_that_may_hold_fields_stay_as_they_are(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "fake-interlaced=1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    expected = [frame.to_ndarray(format="rgb24") for frame in decoded(path)]
    frames = PyAvFrameSource().read(path, FramePlan(12))
    np.testing.assert_array_equal(frames.frames, expected)
    assert probe(path).is_interlaced
    assert frames.warnings == ()


def test_what_is_drawn_or_encoded_again_is_no_comb(tmp_path):
    path = write_interlaced(tmp_path / "clip.ts", "mpeg2")
    reencode_h264(path, tmp_path / "again.mp4", crf=10)
    redraw_clip(path, probe(path), tmp_path / "drawn.mp4", lambda frame, _: frame)
    for made in ("again.mp4", "drawn.mp4"):
        frames = [frame.to_ndarray(format="rgb24") for frame in decoded(tmp_path / made)]
        assert len(frames) == 20
        assert not any(is_comb(frame) for frame in frames)


@pytest.mark.parametrize("in_one_packet", [False, True])
@pytest.mark.parametrize("suffix", [".ts", ".mp4", ".mkv"])
def test_two_fields_are_one_frame_whether_or_not_they_share_a_packet(tmp_path, suffix, in_one_packet):
    path = write_fields(tmp_path / f"clip{suffix}", in_one_packet=in_one_packet)
    info = probe(path)
    assert (info.num_frames, info.width, info.height) == (20, WIDTH, HEIGHT)
    assert not info.numbered_by_decoding
    np.testing.assert_allclose((info.pts - info.pts[0]) * info.time_base_seconds, np.arange(20) / 25, atol=1e-3)
    frames = read(path, list(range(20)))
    edges = [np.median(left_edges(frame)) for frame in frames]
    assert edges == [bar_of_field(2 * number) for number in range(20)]
    assert not any(is_comb(frame) for frame in frames)
    # The lines of the field that is shown first are kept as they were coded.
    luma = decoded(path)[7].to_ndarray()[:HEIGHT]
    np.testing.assert_array_equal(luma[::2], draw_field(14))


def test_one_field_alone_leaves_the_numbering_to_the_decoder(tmp_path):
    path = write_fields(tmp_path / "clip.ts", skip=1)  # the second field of the first frame is lost
    info = probe(path)
    assert info.numbered_by_decoding
    assert info.num_frames == len(decoded(path))
    assert len(read(path, list(range(info.num_frames)))) == info.num_frames


def write_hevc_fields(path: Path) -> Path:
    params = {"x265-params": "interlace=tff:log-level=none:pools=1", "preset": "ultrafast"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=50, options=params)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT // 2, "yuv420p"
        for number in range(20):
            field = np.repeat(draw_field(number)[..., None], 3, axis=2)
            frame = av.VideoFrame.from_ndarray(field, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_single_fields_of_hevc_are_shown_at_their_full_height(tmp_path):
    path = write_hevc_fields(tmp_path / "clip.mp4")
    frames = PyAvFrameSource().read(path, FramePlan(20))
    assert frames.frames.shape == (20, HEIGHT, WIDTH, 3)
    assert [np.median(left_edges(frame)) for frame in frames.frames] == pytest.approx(
        [bar_of_field(number) for number in range(20)], abs=1
    )
    assert any("single fields" in warning for warning in frames.warnings)


@pytest.mark.clips
def test_a_cameras_recording_of_fields_is_read(test_data):
    path = test_data / "field" / "field_coded_h264.mts"
    frames = decoded(path)
    info = probe(path)
    assert (info.num_frames, info.pts.tolist()) == (31, [frame.pts for frame in frames])
    assert not info.numbered_by_decoding
    read_all = PyAvFrameSource().read(path, FramePlan(17))
    assert read_all.frames.shape == (17, 1080, 1920, 3)
    assert read_all.warnings == (DEINTERLACED,)
