"""A clip encoded anew shows the same frames at the same times, only worse."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.video_files import frame_number, red_side, write_video
from tfdfd.clip import ClipError, FramePlan, TfdfdError
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.transcoding import reencode_h264
from tfdfd.data.video import ProbedVideo, probe


def reencoded(source: Path, *, crf: int = 20) -> tuple[Path, ProbedVideo]:
    target = source.with_name("again.mp4")
    reencode_h264(source, target, crf=crf)
    return target, probe(target)


def frames_of(path: Path) -> np.ndarray:
    info = probe(path)
    return read_frames(path, info, np.arange(info.num_frames))


def seconds_of(info: ProbedVideo) -> np.ndarray:
    """When each frame is shown, from the first one on."""
    return (info.pts - info.pts[0]) * info.time_base_seconds


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("h264", ".mp4"),
        ("h264_444", ".mp4"),
        ("hevc10", ".mp4"),
        ("vp9", ".webm"),
        ("mpeg4", ".avi"),
        ("mjpeg", ".mov"),
    ],
)
def test_every_frame_comes_out_at_its_time(tmp_path: Path, codec: str, suffix: str):
    source = write_video(tmp_path / f"clip{suffix}", codec=codec, num_frames=20, frames_per_second=25)
    target, info = reencoded(source)
    assert (info.codec, info.pixel_format, info.width, info.height) == ("h264", "yuv420p", 64, 48)
    assert not info.numbering_doubt
    before, after = frames_of(source), frames_of(target)
    assert [frame_number(frame) for frame in after] == list(range(20))
    assert np.abs(before.mean(axis=(0, 1, 2)) - after.mean(axis=(0, 1, 2))).max() < 2.5
    assert seconds_of(info) == pytest.approx(np.arange(20) / 25, abs=1e-3)


def test_at_factor_0_every_pixel_stays(tmp_path: Path):
    source = write_video(tmp_path / "clip.mp4", num_frames=5)
    target, _ = reencoded(source, crf=0)
    assert (frames_of(source) == frames_of(target)).all()


def test_the_encoder_chooses_its_key_frames_itself(tmp_path: Path):
    source = write_video(tmp_path / "clip.mp4", num_frames=20, key_frame_interval=5, max_b_frames=0)
    target, _ = reencoded(source)
    with av.open(str(source)) as old, av.open(str(target)) as new:
        numbers = [sum(packet.is_keyframe for packet in container.demux(video=0)) for container in (old, new)]
    assert numbers[0] >= 4
    assert numbers[1] == 1


def test_a_variable_rate_is_kept(tmp_path: Path):
    times = [1.0, 1.04, 1.5, 1.54, 3.0, 3.04]
    source = write_video(tmp_path / "clip.mp4", num_frames=6, times_seconds=times)
    target, info = reencoded(source)
    assert seconds_of(info) == pytest.approx(np.array(times) - 1, abs=1e-4)
    assert [frame_number(frame) for frame in frames_of(target)] == list(range(6))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_clip_that_lies_on_its_side_still_stands_upright(tmp_path: Path, rotation: int):
    source = write_video(tmp_path / "clip.mp4", num_frames=3, rotation_degrees=rotation)
    target, info = reencoded(source)
    assert info.quarter_turns == probe(source).quarter_turns == rotation // 90
    shown = [PyAvFrameSource().read(path, FramePlan(1)).frames[0] for path in (source, target)]
    assert red_side(shown[0]) == red_side(shown[1]) != "top"


def test_an_odd_size_loses_its_last_row_and_column(tmp_path: Path):
    source = write_video(tmp_path / "clip.mp4", codec="h264_444", num_frames=3, width=65, height=49)
    target, info = reencoded(source, crf=5)
    assert (info.width, info.height) == (64, 48)
    assert psnr(frames_of(source)[:, :48, :64], frames_of(target)) > 30


def test_a_still_picture_is_a_clip_of_one_frame(tmp_path: Path):
    Image.new("RGB", (64, 48), (200, 60, 60)).save(tmp_path / "still.png")
    target, info = reencoded(tmp_path / "still.png")
    assert info.num_frames == 1
    assert np.abs(frames_of(target).mean(axis=(0, 1, 2)) - (200, 60, 60)).max() < 3


@pytest.mark.parametrize("matrix", [1, 6])
def test_colours_stay_with_their_matrix(tmp_path: Path, matrix: int):
    source = write_video(tmp_path / "clip.mp4", num_frames=3, matrix=matrix)
    target, info = reencoded(source, crf=5)
    assert info.matrix == probe(source).matrix != ""
    assert np.abs(frames_of(source).mean(axis=(0, 1, 2)) - frames_of(target).mean(axis=(0, 1, 2))).max() < 1


def test_the_sound_is_left_out_and_a_higher_factor_makes_a_smaller_file(tmp_path: Path):
    source = write_video(tmp_path / "clip.mp4", num_frames=8, width=320, height=240, audio=True)
    target, info = reencoded(source, crf=10)
    size = target.stat().st_size
    assert not info.has_audio
    assert reencoded(source, crf=45)[0].stat().st_size < size


def test_a_clip_that_cannot_be_read_is_named_and_leaves_nothing(tmp_path: Path):
    source = write_video(tmp_path / "clip.mp4")
    source.write_bytes(source.read_bytes()[:700])
    with pytest.raises(ClipError, match=r"clip\.mp4"):
        reencode_h264(source, tmp_path / "again.mp4", crf=30)
    with pytest.raises(ClipError, match="no such file"):
        reencode_h264(tmp_path / "none.mp4", tmp_path / "again.mp4", crf=30)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_clip_of_which_hardly_anything_decodes_is_not_encoded(tmp_path: Path):
    source = write_video(tmp_path / "clip.mp4", num_frames=20, key_frame_interval=1)
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for start, size in packets[4:]:
        content[start : start + size] = bytes(size)
    source.write_bytes(content)
    with pytest.raises(ClipError, match=r"clip\.mp4: 4 of 20 frames can be decoded"):
        reencode_h264(source, tmp_path / "again.mp4", crf=30)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_target_that_cannot_be_written_is_no_fault_of_the_clip(tmp_path: Path):
    source = write_video(tmp_path / "clip.mp4", num_frames=3)
    with pytest.raises(TfdfdError, match="cannot write to") as raised:
        reencode_h264(source, tmp_path / "no folder" / "again.mp4", crf=30)
    assert not isinstance(raised.value, ClipError)


def test_a_pyav_without_the_encoder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tfdfd.data.transcoding._ENCODER", "libnone264")
    with pytest.raises(TfdfdError, match="pip install"):
        reencode_h264(write_video(tmp_path / "clip.mp4"), tmp_path / "again.mp4", crf=30)


@pytest.mark.parametrize("crf", [-1, 52])
def test_a_factor_that_x264_does_not_have_is_an_error(tmp_path: Path, crf: int):
    with pytest.raises(ValueError, match="0 to 51"):
        reencode_h264(tmp_path / "clip.mp4", tmp_path / "again.mp4", crf=crf)


@pytest.mark.clips
@pytest.mark.slow
def test_a_real_clip_keeps_its_frames_and_loses_quality(test_data: Path, tmp_path: Path):
    source = test_data / "clips/ffpp/original_sequences/youtube/c23/videos/253.mp4"
    clip = probe(source)
    chosen = np.arange(3, clip.num_frames, 50)
    pictures = read_frames(source, clip, chosen)
    quality = []
    for crf in (30, 40):
        reencode_h264(source, tmp_path / f"{crf}.mp4", crf=crf)
        info = probe(tmp_path / f"{crf}.mp4")
        assert (info.num_frames, info.width, info.height) == (clip.num_frames, clip.width, clip.height)
        assert np.abs(seconds_of(info) - seconds_of(clip)).max() < 1e-4
        quality.append(psnr(pictures, read_frames(tmp_path / f"{crf}.mp4", info, chosen)))
    assert 30 < quality[0] < 45
    assert 25 < quality[1] < quality[0] - 3
