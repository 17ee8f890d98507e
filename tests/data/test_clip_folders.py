"""A clip that cannot be read fails; a disk of clips that is away is waited for."""

import errno
import os
import threading
import time

import pytest

from tfdfd.clip import Clip, ClipError, TfdfdError
from tfdfd.data.clip_folders import ClipFolders
from tfdfd.data.patience import Patience
from tfdfd.data.store import FILE_IS_GONE


@pytest.fixture
def clip(tmp_path):
    (tmp_path / "clips").mkdir()
    path = tmp_path / "clips/a.mp4"
    path.write_bytes(b"clip")
    return Clip("a", path)


def reader(path):
    def read():
        try:
            return path.read_bytes()
        except OSError as error:
            raised = ClipError(f"{path}: {error.strerror}")
            raised.__cause__ = error
            return raised

    return read


@pytest.mark.parametrize("leaves_a_mount_point", [False, True])
@pytest.mark.parametrize("asks", ["read", "size_of"])
def test_a_folder_that_vanishes_for_a_second_fails_no_clip(clip, tmp_path, leaves_a_mount_point, asks):
    said, folder, away = [], clip.path.parent, tmp_path / "away"
    folders = ClipFolders.of([clip])
    folder.rename(away)
    if leaves_a_mount_point:
        folder.mkdir()

    def come_back():
        time.sleep(1)
        if leaves_a_mount_point:
            folder.rmdir()
        away.rename(folder)

    thread = threading.Thread(target=come_back)
    thread.start()
    patience = Patience(20, said.append)
    if asks == "read":
        assert folders.read(reader(clip.path), clip.path, patience) == b"clip"
    else:
        assert folders.size_of(clip.path, patience) == 4
    thread.join()
    assert said == [
        f"the clips' folder {folder} cannot be reached (it has vanished): trying for 20 seconds",
        f"the clips' folder {folder} can be reached again",
    ]


def test_a_folder_that_stays_away_stops_the_run(clip, tmp_path):
    folders = ClipFolders.of([clip])
    clip.path.parent.rename(tmp_path / "away")
    with pytest.raises(TfdfdError, match=r"clips' folder .* could not be reached"):
        folders.read(reader(clip.path), clip.path, Patience(0.3, lambda _: None))


@pytest.mark.parametrize("other_clips", [0, 1])
def test_a_missing_file_in_a_folder_that_is_there_is_a_failed_clip(clip, other_clips):
    said = []
    folders = ClipFolders.of([clip])
    for number in range(other_clips):
        clip.path.with_name(f"{number}.mp4").write_bytes(b"")
    clip.path.unlink()
    assert isinstance(folders.read(reader(clip.path), clip.path, Patience(20, said.append)), ClipError)
    assert folders.size_of(clip.path, Patience(20, said.append)) == FILE_IS_GONE
    assert not said


def test_a_clip_whose_folder_never_was_there_is_a_failed_clip(tmp_path):
    clip = Clip("a", tmp_path / "nowhere/a.mp4")
    folders = ClipFolders.of([clip])
    assert isinstance(folders.read(reader(clip.path), clip.path, Patience(20)), ClipError)


@pytest.mark.parametrize(("number", "num_reads"), [(errno.EIO, 2), (errno.EINVAL, 1)])
def test_what_may_have_been_the_disk_is_read_once_more(clip, number, num_reads):
    reads = []

    def read():
        reads.append(1)
        error = ClipError("broken")
        error.__cause__ = OSError(number, os.strerror(number))
        return error

    assert isinstance(ClipFolders.of([clip]).read(read, clip.path, Patience(20)), ClipError)
    assert len(reads) == num_reads
