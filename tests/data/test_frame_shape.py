"""Pixels that are not square, and frames that change size: what is round stays round."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video_files import frame_number, red_side, write_video
from tfdfd.clip import FramePlan
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_shape import fitted_size, square_pixels
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.redrawn_clip import redraw_clip
from tfdfd.data.transcoding import reencode_h264
from tfdfd.data.video import probe


def draw_square(width: int, height: int, side: tuple[int, int]) -> np.ndarray:
    """Draw a bright rectangle, as wide and high as given, in the middle of a dark frame."""
    frame = np.full((height, width, 3), 40, np.uint8)
    left, top = (width - side[0]) // 2, (height - side[1]) // 2
    frame[top : top + side[1], left : left + side[0]] = (60, 200, 120)
    return frame


def sides_of_square(frame: np.ndarray) -> tuple[int, int]:
    """Return how wide and high the bright rectangle is."""
    is_bright = frame[..., 1] > 120
    return int(is_bright.any(axis=0).sum()), int(is_bright.any(axis=1).sum())


def write(
    path: Path,
    picture: np.ndarray,
    aspect: Fraction | None,
    *,
    codec: str = "libx264",
    rotation_degrees: float = 0,
    matrix: int | None = None,
    full_range: bool = False,
) -> Path:
    """Write twelve frames of one picture, whose pixels the header calls `aspect` times as wide as high."""
    with av.open(str(path), "w") as container:
        options = {"crf": "4"} if codec == "libx264" else {"qmin": "1", "qmax": "2"}
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if rotation_degrees:
            stream.set_display_rotation(rotation_degrees)
        if matrix is not None:
            context.colorspace, context.color_range = matrix, 2 if full_range else 1
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if matrix is not None:
                frame = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=2 if full_range else 1)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("stored", "aspect", "shown"),
    [
        ((320, 360), Fraction(2), (640, 360)),  # the example
        ((640, 180), Fraction(1, 2), (640, 360)),
        ((720, 576), Fraction(16, 15), (768, 576)),  # PAL
        ((720, 480), Fraction(8, 9), (720, 540)),  # NTSC
        ((1440, 1080), Fraction(4, 3), (1920, 1080)),  # HDV
        ((352, 576), Fraction(32, 11), (1024, 576)),
        ((853, 480), Fraction(1280, 1281), (853, 480)),  # rounded sides of an encoder
        ((640, 360), Fraction(1), (640, 360)),
        ((640, 360), None, (640, 360)),
        ((640, 360), Fraction(100), (640, 360)),
        ((640, 360), Fraction(1, 100), (640, 360)),
        ((321, 241), Fraction(3, 2), (482, 241)),
        ((8192, 8192), Fraction(2), (8192, 4096)),  # wider would be more pixels than are read
        ((10000, 100), Fraction(3), (10000, 34)),
    ],
)
def test_the_short_side_is_enlarged(stored, aspect, shown):
    found = square_pixels(stored[0], stored[1], aspect)
    assert (found.width, found.height) == shown
    is_believed = aspect is not None and Fraction(1, 4) <= aspect <= 4
    assert bool(found.note) == (stored != shown or not (aspect is None or is_believed))


@pytest.mark.parametrize(
    ("size", "into", "fitted"),
    [
        ((640, 360), (320, 180), (320, 180)),
        ((360, 640), (640, 360), (202, 360)),
        ((640, 480), (1280, 720), (960, 720)),
        ((1920, 1088), (1920, 1080), (1920, 1080)),  # coded for shown size: no bars of a few pixels
        ((4000, 2), (100, 100), (100, 1)),
    ],
)
def test_a_frame_fits_with_its_own_shape(size, into, fitted):
    assert fitted_size(size[0], size[1], into) == fitted


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "libx264"), (".mkv", "libx264"), (".ts", "libx264"), (".mov", "libx264"), (".flv", "libx264"),
     (".avi", "mpeg4")],
)  # fmt: skip
@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2)])
def test_a_square_is_a_square(tmp_path, suffix, codec, aspect):
    size, side = ((160, 192), (32, 64)) if aspect > 1 else ((320, 96), (64, 32))
    path = write(tmp_path / f"clip{suffix}", draw_square(*size, side), aspect, codec=codec)
    frames = PyAvFrameSource().read(path, FramePlan(5))
    assert (frames.info.width, frames.info.height) == (320, 192)
    assert frames.frames.shape == (5, 192, 320, 3)
    assert [sides_of_square(frame) for frame in frames.frames] == [(64, 64)] * 5
    assert any("320 x 192" in warning for warning in frames.warnings)


@pytest.mark.parametrize(("matrix", "full_range"), [(None, False), (1, False), (1, True), (5, False)])
def test_the_colours_are_those_of_square_pixels(tmp_path, matrix, full_range):
    square, wide = (
        write(tmp_path / f"{name}.mp4", draw_square(160, 96, (32, 32)), aspect, matrix=matrix, full_range=full_range)
        for name, aspect in (("square", None), ("wide", Fraction(2)))
    )
    middle = [
        read_frames(path, probe(path), np.array([3]))[0, 48, width] for path, width in ((square, 80), (wide, 160))
    ]
    np.testing.assert_array_equal(*middle)


def test_pixels_are_made_square_before_the_frame_is_turned(tmp_path):
    path = write(tmp_path / "clip.mp4", draw_square(160, 192, (32, 64)), Fraction(2), rotation_degrees=90)
    frames = PyAvFrameSource().read(path, FramePlan(5))
    assert frames.info.quarter_turns == 1
    assert frames.frames.shape == (5, 320, 192, 3)
    assert [sides_of_square(frame) for frame in frames.frames] == [(64, 64)] * 5


@pytest.mark.parametrize("aspect", [Fraction(1280, 1281), Fraction(50), Fraction(1)])
def test_what_is_nearly_square_or_absurd_stays_as_it_is_stored(tmp_path, aspect):
    path = write(tmp_path / "clip.mp4", draw_square(160, 96, (32, 32)), aspect)
    frames = PyAvFrameSource().read(path, FramePlan(12))
    np.testing.assert_array_equal(frames.frames, decoded(path))
    assert bool(frames.warnings) == (aspect == 50)


def test_a_still_picture_is_taken_as_its_viewers_show_it(tmp_path):
    from PIL import Image

    path = tmp_path / "photo.png"
    Image.fromarray(draw_square(160, 96, (32, 32))).save(path, dpi=(300, 150))
    assert probe(path).height == 96


def test_what_is_drawn_or_encoded_again_keeps_the_shape(tmp_path):
    path = write(tmp_path / "clip.mp4", draw_square(160, 192, (32, 64)), Fraction(2), rotation_degrees=90)
    redraw_clip(path, probe(path), tmp_path / "drawn.mp4", lambda frame, _: frame)
    assert {sides_of_square(frame) for frame in decoded(tmp_path / "drawn.mp4")} == {(64, 64)}
    assert decoded(tmp_path / "drawn.mp4")[0].shape == (320, 192, 3)
    reencode_h264(path, tmp_path / "again.mp4", crf=4)
    again = PyAvFrameSource().read(tmp_path / "again.mp4", FramePlan(5))
    assert again.frames.shape == (5, 320, 192, 3)
    assert again.warnings == ()
    assert {sides_of_square(frame) for frame in again.frames} == {(64, 64)}


def write_joined(path: Path, *parts: tuple[np.ndarray, Fraction | None]) -> Path:
    """Write a raw H.264 stream of several parts, which change size or shape."""
    with path.open("wb") as whole:
        for number, (picture, aspect) in enumerate(parts):
            whole.write(write(path.with_name(f"part{number}.h264"), picture, aspect).read_bytes())
    return path


def test_a_frame_of_another_size_is_not_stretched(tmp_path):
    path = write_joined(
        tmp_path / "clip.h264",
        (draw_square(320, 192, (64, 64)), Fraction(1)),
        (draw_square(192, 320, (64, 64)), Fraction(1)),  # turned over while recording
        (draw_square(160, 96, (32, 32)), Fraction(1)),
        (draw_square(80, 96, (16, 32)), Fraction(2)),
    )
    frames = PyAvFrameSource().read(path, FramePlan(48))
    assert frames.frames.shape == (48, 192, 320, 3)
    sides = np.array([sides_of_square(frame) for frame in frames.frames]).reshape(4, 12, 2)
    expected = np.array([64, 64 * 192 // 320, 64, 64])[:, None, None]
    assert np.abs(sides - expected).max() <= 1
    upright = frames.frames[15]
    assert (upright[:, :100] < 20).all()
    assert (upright[:, -100:] < 20).all()
    assert (upright[4:20, 150:170] > 30).all()
    assert sum("change size" in warning for warning in frames.warnings) == 3


def test_a_change_of_size_behind_the_frames_that_are_used_is_not_said(tmp_path):
    path = write_joined(
        tmp_path / "clip.h264",
        (draw_square(320, 192, (64, 64)), None),
        (draw_square(192, 320, (64, 64)), None),
    )
    warnings: list[str] = []
    read_frames(path, probe(path), np.array([2, 5]), warnings=warnings)
    assert warnings == []


def test_frames_that_were_read_before_are_the_same(tmp_path):
    path = write_video(tmp_path / "clip.mp4", rotation_degrees=90)
    frames = PyAvFrameSource().read(path, FramePlan(24))
    np.testing.assert_array_equal(np.rot90(frames.frames, -1, axes=(1, 2)), decoded(path))
    assert [frame_number(frame) for frame in np.rot90(frames.frames, -1, axes=(1, 2))] == list(range(24))
    assert {red_side(frame) for frame in frames.frames} == {"left"}
