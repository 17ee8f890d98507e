"""Frames read a group at a time: as all at once, with an end where the time is up."""

import numpy as np
import pytest

from tests.video_files import frame_number, write_video
from tfdfd.clip import ClipError
from tfdfd.data import frame_reading
from tfdfd.data.frame_reading import read_frames, read_groups
from tfdfd.data.video import probe
from tfdfd.data.video_stream import decode_stream

GROUPS = [np.array([2, 5, 9]), np.array([30]), np.array([40, 59])]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", num_frames=60)


def shown(frames):
    return [frame_number(frame) for frame in frames]


def test_groups_are_what_reading_each_alone_gives(path):
    info = probe(path)
    groups = list(read_groups(path, info, GROUPS))
    for group, indices in zip(groups, GROUPS, strict=True):
        assert group.indices.tolist() == shown(group.frames) == indices.tolist()
        np.testing.assert_array_equal(group.frames, read_frames(path, info, indices))


def test_a_group_is_handed_out_before_the_next_is_read(path, monkeypatch):
    decoded = []

    def counting(*arguments, **options):
        for frame in decode_stream(*arguments, **options):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(frame_reading, "decode_stream", counting)
    groups = read_groups(path, probe(path), GROUPS)
    next(groups)
    assert len(decoded) <= 10
    groups.close()
    assert len(decoded) <= 10


def test_where_the_time_is_up_what_is_there_is_handed_out_and_nothing_more(path):
    info = probe(path)
    groups = list(read_groups(path, info, GROUPS, is_time_up=lambda num_read: num_read == 2))
    assert [shown(group.frames) for group in groups] == [[2, 5]]
    assert groups[0].indices.tolist() == [2, 5]
    (nothing,) = read_groups(path, info, GROUPS, is_time_up=lambda num_read: True)
    assert nothing.frames.shape == (0, 48, 64, 3)


def test_a_group_that_cannot_be_read_says_so_and_the_others_are_there(path, monkeypatch):
    def without_30(*arguments, **options):
        yield from (frame for frame in decode_stream(*arguments, **options) if frame.pts != info.pts[30])

    info = probe(path)
    monkeypatch.setattr(frame_reading, "decode_stream", without_30)
    first, missing, last = read_groups(path, info, GROUPS)
    assert isinstance(missing, ClipError)
    assert "frame 30 of 60" in str(missing)
    assert [shown(group.frames) for group in (first, last)] == [[2, 5, 9], [40, 59]]


def test_a_file_that_ends_early_fails_for_each_group_that_is_not_there(path, monkeypatch):
    def cut_off(*arguments, **options):
        yield from (frame for frame in decode_stream(*arguments, **options) if frame.pts < info.pts[20])

    info = probe(path)
    monkeypatch.setattr(frame_reading, "decode_stream", cut_off)
    assert [isinstance(group, ClipError) for group in read_groups(path, info, GROUPS)] == [False, True, True]


@pytest.mark.parametrize("groups", [[[]], [[3, 4], []], [[5], [4]], [[60]], [[-1]]])
def test_groups_must_ascend_within_the_clip(groups, path):
    with pytest.raises(ValueError, match="ascend strictly"):
        list(read_groups(path, probe(path), [np.array(group, np.int64) for group in groups]))
