"""Packets that need not be decoded are not, and the frames are the same."""

import numpy as np
import pytest

from tests.video_files import write_video
from tfdfd.data import frame_reading, video_stream
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.packet_runs import MIN_SAVED, runs_to_decode
from tfdfd.data.video import probe

STARTS_EACH_20 = np.arange(100) % 20 == 0


def runs(wanted, pts=None, is_start=STARTS_EACH_20):
    return runs_to_decode(np.arange(100) if pts is None else pts, is_start, np.array(wanted))


def test_a_frame_takes_its_group_of_pictures_up_to_itself():
    assert runs([45]) == [(40, 46)]
    assert runs([40]) == [(40, 41)]
    assert runs([5, 15, 88]) == [(0, 16), (80, 89)]


def test_what_is_hardly_worth_leaving_out_is_decoded():
    assert runs([19 - MIN_SAVED, 25]) == [(0, 20 - MIN_SAVED), (20, 26)]
    assert runs([20 - MIN_SAVED, 25]) == [(0, 26)]


def test_without_key_frames_everything_is_decoded_from_the_beginning():
    assert runs([90], is_start=np.arange(100) < 1) == [(0, 91)]
    assert runs([90], is_start=np.zeros(100, bool)) == [(0, 91)]


def test_a_frame_shown_before_the_key_frame_that_it_follows_leans_on_those_before_too():
    pts = np.arange(100)
    pts[[40, 41, 42]] = [42, 40, 41]  # an open group: two frames come after its key frame and are shown before it
    assert runs([41], pts) == [(20, 43)]
    assert runs([42], pts) == [(40, 41)]


def test_frames_in_no_packet_or_in_two_that_lie_apart_are_left_to_the_decoder():
    assert runs([1000]) is None
    assert runs([7], np.where(np.arange(100) == 50, 7, np.arange(100))) is None


def test_both_fields_of_a_frame_are_decoded():
    found = runs([20], np.arange(100) // 2)
    assert found is not None
    assert found[-1][1] == 42


@pytest.mark.parametrize(
    ("codec", "suffix", "interval"),
    [
        ("h264", ".mp4", 15),
        ("h264", ".ts", 15),
        ("h264", ".mp4", 1),
        ("hevc", ".mp4", 30),
        ("vp9", ".webm", 20),
        ("mjpeg", ".mov", 1),
        ("mpeg4", ".mp4", 12),
    ],
)
def test_frames_are_the_same_as_of_decoding_everything_and_fewer_packets_are_decoded(
    codec, suffix, interval, tmp_path, monkeypatch
):
    path = write_video(tmp_path / f"clip{suffix}", codec=codec, num_frames=120, key_frame_interval=interval)
    info = probe(path)
    assert info.is_start is not None
    assert info.is_start.sum() > 3, "key frames are dense"
    wanted = np.array([3, 31, 62, 119])
    decoded = []
    decode = video_stream.decode_packet
    monkeypatch.setattr(
        video_stream, "decode_packet", lambda packet, problems: decoded.append(packet.pts) or decode(packet, problems)
    )
    passing_over = read_frames(path, info, wanted)
    num_decoded = len(decoded)
    monkeypatch.setattr(frame_reading, "runs_to_decode", lambda *_: None)
    everything = read_frames(path, info, wanted)
    np.testing.assert_array_equal(passing_over, everything)
    assert num_decoded < 0.7 * (len(decoded) - num_decoded)
