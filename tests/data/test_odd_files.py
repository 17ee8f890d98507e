"""Files as phones, browsers and old programs write them: read whole, or refused by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.stream import Disposition
from PIL import Image, ImageOps

from tests.heic_files import write_tiled_heic
from tests.video_files import draw_frame, find_encoder, red_side, write_video
from tfdfd.clip import ClipError, FramePlan
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.transcoding import reencode_h264
from tfdfd.data.video import probe

_KEY = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


def read(path: Path) -> np.ndarray:
    return PyAvFrameSource().read(path, FramePlan(1)).frames[0]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photograph_with_exif_stands_as_other_programs_show_it(orientation, tmp_path):
    path = tmp_path / "e.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    Image.fromarray(draw_frame(7, width=128, height=96)).save(path, exif=exif, quality=95)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    frame = read(path)
    assert frame.shape == shown.shape
    assert red_side(frame) == red_side(shown)
    assert np.abs(frame.astype(int) - shown).mean() < 3


@pytest.mark.parametrize("orientation", [2, 4, 5, 7])
def test_a_mirrored_photograph_is_turned_and_said_to_be_mirrored(orientation, tmp_path):
    path = tmp_path / "e.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(draw_frame(7, width=128, height=96)).save(path, exif=exif, quality=95)
    shown = np.asarray(ImageOps.mirror(ImageOps.exif_transpose(Image.open(path))))
    frames = PyAvFrameSource().read(path, FramePlan(1))
    assert np.abs(frames.frames[0].astype(int) - shown).mean() < 3
    assert "mirror" in frames.warnings[0]


@pytest.mark.clips
def test_a_video_in_two_views_reads(test_data):
    info = probe(test_data / "field" / "spatial.mp4")
    assert (info.codec, info.num_frames, info.quarter_turns, info.warnings) == ("hevc", 10, 0, ())


def test_a_photograph_in_tiles_is_read_whole(tmp_path):
    pytest.importorskip("pi_heif")
    picture = draw_frame(7, width=200, height=150)
    frame = read(write_tiled_heic(tmp_path / "a.heic", picture))
    assert frame.shape == picture.shape
    assert np.abs(frame.astype(int) - picture).mean() < 3


def test_without_the_library_a_photograph_in_tiles_is_refused_by_name(tmp_path, monkeypatch):
    path = write_tiled_heic(tmp_path / "a.heic", draw_frame(7, width=200, height=150))
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pi_heif" else find_spec(name))
    monkeypatch.setattr(Image, "open", _not_an_image)
    with pytest.raises(ClipError, match=r"a\.heic: a HEIC photograph in 12 tiles, .* pip install pi-heif"):
        probe(path)


def _not_an_image(path: Path) -> Image.Image:
    raise OSError(f"cannot identify {path}")


def test_an_animated_webp_is_refused_by_name_and_a_still_one_read(tmp_path):
    pictures = [Image.fromarray(draw_frame(number, width=64, height=48)) for number in range(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=40)
    pictures[0].save(tmp_path / "s.webp", lossless=True)
    with pytest.raises(ClipError, match=r"a\.webp: an animated WebP"):
        probe(tmp_path / "a.webp")
    assert read(tmp_path / "s.webp").shape == (48, 64, 3)


def test_sound_with_a_cover_is_called_that(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000)
        cover = container.add_stream(find_encoder("mjpeg"), rate=1)
        assert isinstance(cover, av.VideoStream)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(draw_frame(7, width=64, height=48), format="rgb24")
        container.mux([*cover.encode(picture.reformat(format="yuvj420p")), *cover.encode(None)])
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 48000
        container.mux([*sound.encode(silence), *sound.encode(None)])
    with pytest.raises(ClipError, match="no video stream, only a cover picture and audio"):
        probe(path)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_an_encrypted_mp4_is_called_encrypted(flags, tmp_path):
    path = write_video(tmp_path / "a.mp4", container_options={"movflags": flags, **_KEY})
    with pytest.raises(ClipError, match=r"a\.mp4: its video is encrypted"):
        probe(path)


def test_an_encrypted_matroska_file_is_called_encrypted(tmp_path):
    path = write_video(tmp_path / "a.mkv")
    path.write_bytes(_with_encryption(path.read_bytes()))
    with pytest.raises(ClipError, match=r"a\.mkv: its video is encrypted \(ContentEncryption\)"):
        probe(path)


def _with_encryption(data: bytes) -> bytes:
    """Declare the only track of a Matroska file to be encrypted; the room is taken from padding before it."""
    encryption = _element("47e1", b"\x05") + _element("47e2", b"\x07")
    encoding = _element("5033", b"\x01") + _element("5035", encryption)
    encodings = _element("6d80", _element("6240", encoding))
    segment = next(start for kind, start, _, _ in _elements(data, 0, len(data)) if kind == "18538067")
    (_, _, body, end) = next(_elements(data, segment, len(data)))
    parts = {kind: (start, body, end) for kind, start, body, end in _elements(data, body, end)}
    (void, _, void_end), (tracks, tracks_body, tracks_end) = parts["ec"], parts["1654ae6b"]
    (entry,) = (data[at:stop] for kind, _, at, stop in _elements(data, tracks_body, tracks_end) if kind == "ae")
    new = data[void_end:tracks] + _element("1654ae6b", _element("ae", entry + encodings))
    padding = tracks_end - void - len(new) - 9
    return data[:void] + b"\xec\x01" + padding.to_bytes(7, "big") + bytes(padding) + new + data[tracks_end:]


def _element(kind: str, content: bytes) -> bytes:
    return bytes.fromhex(kind) + (len(content) | 0x4000).to_bytes(2, "big") + content


def _elements(data: bytes, start: int, end: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield kind, start, start of the content and end of the EBML elements in a stretch."""
    while start < end:
        num_kind = 9 - data[start].bit_length()
        at = start + num_kind
        num_size = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + num_size], "big") & ((1 << 7 * num_size) - 1)
        body = at + num_size
        yield data[start:at].hex(), start, body, body + size
        start = body + size


@pytest.mark.parametrize("codec", ["h264", "mpeg4", "mjpeg"])
@pytest.mark.parametrize("frames_per_second", [25, 30])
def test_a_second_of_avi_is_a_second(codec, frames_per_second, tmp_path):
    # Copied, as `ffmpeg -c copy` does: the stream keeps its fine clock, of which AVI makes the average rate.
    source = write_video(tmp_path / "a.mp4", codec=codec, num_frames=60, frames_per_second=frames_per_second)
    path = tmp_path / "a.avi"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        start_codes = BitStreamFilterContext("h264_mp4toannexb" if codec == "h264" else "null", old.streams.video[0])
        for original in old.demux(video=0):
            for packet in start_codes.filter(original if original.dts is not None else None):
                packet.stream = copy
                new.mux(packet)
    info = probe(path)
    seconds = info.pts * info.time_base_seconds
    assert info.num_frames == 60
    np.testing.assert_allclose(seconds[-1] - seconds[0], 59 / frames_per_second, rtol=0.02)
    assert (info.cut_off, info.warnings) == ("", ())
    reencode_h264(path, tmp_path / "again.mp4", crf=30)
    again = probe(tmp_path / "again.mp4")
    np.testing.assert_allclose(again.pts[-1] * again.time_base_seconds, 59 / frames_per_second, rtol=0.02)
