"""A clip drawn on: the same frames at the same times, upright, with its sound, or no file at all."""

import av
import numpy as np
import pytest

from tests.video_files import frame_number, red_side, write_video
from tfdfd.clip import ClipError
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.redrawn_clip import redraw_clip
from tfdfd.data.video import probe


def untouched(frame, index):
    return frame


def redrawn(source, tmp_path, draw=untouched):
    target = tmp_path / "drawn.mp4"
    notes = redraw_clip(source, probe(source), target, draw)
    assert [path.name for path in tmp_path.iterdir() if "drawn" in path.name] == ["drawn.mp4"]
    info = probe(target)
    return info, read_frames(target, info, np.arange(info.num_frames)), notes


def test_every_frame_is_there_at_its_time(tmp_path):
    times = np.cumsum([0, *([0.01, 0.2, 0.035] * 6)]).tolist()
    source = write_video(
        tmp_path / "clip.mkv", codec="h264_444", num_frames=19, times_seconds=times, width=65, height=49
    )
    info, frames, notes = redrawn(source, tmp_path)
    assert [frame_number(frame) for frame in frames] == list(range(19))
    np.testing.assert_allclose((info.pts - info.pts[0]) * info.time_base_seconds, times, atol=2e-3)
    assert (info.width, info.height) == (64, 48)
    assert notes == []


def test_what_is_drawn_is_seen_on_the_frame_that_it_is_drawn_on(tmp_path):
    def black_out_7(frame, index):
        return np.zeros_like(frame) if index == 7 else frame

    _, frames, _ = redrawn(write_video(tmp_path / "clip.mp4"), tmp_path, black_out_7)
    assert [index for index, frame in enumerate(frames) if frame.max() < 30] == [7]


def test_a_turned_clip_is_drawn_and_written_upright(tmp_path):
    source = write_video(tmp_path / "turned.mp4", rotation_degrees=90)
    seen = []
    info, frames, _ = redrawn(source, tmp_path, lambda frame, index: seen.append(frame.copy()) or frame)
    assert (info.width, info.height, info.quarter_turns) == (48, 64, 0)
    assert red_side(seen[0]) == red_side(frames[0])
    assert red_side(frames[0]) == "left", "its top, turned counter-clockwise"


def test_colours_stay(tmp_path):
    source = write_video(tmp_path / "clip.mp4", width=128, height=96)
    _, frames, _ = redrawn(source, tmp_path)
    before = read_frames(source, probe(source), np.arange(24))
    assert np.abs(frames.astype(int) - before).mean() < 3


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.webm", "vp9")])
def test_sound_is_copied(name, codec, tmp_path):
    source = write_video(tmp_path / name, codec=codec, audio=True)
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    info, _, notes = redrawn(source, tmp_path)
    assert info.has_audio
    assert notes == []
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        copied = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    assert len(copied) >= len(packets) - 1  # what is heard before the first picture goes
    assert set(copied) <= set(packets)


def test_a_clip_that_breaks_off_leaves_no_file(tmp_path):
    source = write_video(tmp_path / "clip.mkv", num_frames=40)
    info = probe(source)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(ClipError):
        redraw_clip(source, info, tmp_path / "drawn.mp4", untouched)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]
