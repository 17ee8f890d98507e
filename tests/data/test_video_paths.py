"""Names of videos: files, folders and patterns, each file once, and an error for what names nothing."""

from pathlib import Path

import pytest

from tfdfd.clip import TfdfdError
from tfdfd.data.video_paths import find_videos


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.mp4", "a.MOV", "notes.txt", "inner/c.webm", "inner/._c.webm", "empty/x.txt", "[odd].mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*names):
    return [str(path) for path in find_videos(names).paths]


def test_folders_are_walked_for_video_files(folder):
    assert found(".") == ["[odd].mp4", "a.MOV", "b.mp4", "inner/c.webm"]


def test_a_link_that_leads_nowhere_is_not_passed_over(folder):
    Path("gone.mp4").symlink_to(folder / "nowhere.mp4")
    assert "gone.mp4" in found(".")


def test_what_is_left_out_of_folders_is_told(folder):
    assert list(map(str, find_videos(["."]).left_out)) == ["empty/x.txt", "notes.txt"]
    assert list(map(str, find_videos([".", "notes.txt"]).left_out)) == ["empty/x.txt"]
    assert not find_videos(["b.mp4", "**/*"]).left_out


def test_patterns_that_no_shell_expanded_are_expanded(folder):
    assert found("*.mp4") == ["[odd].mp4", "b.mp4"]
    assert found("**/*") == ["[odd].mp4", "a.MOV", "b.mp4", "inner/c.webm"]
    assert found("inn*") == ["inner/c.webm"]


def test_a_file_is_taken_at_its_word_whatever_it_is_called(folder):
    assert found("notes.txt", "[odd].mp4") == ["notes.txt", "[odd].mp4"]


def test_each_file_comes_once_in_the_order_of_the_names(folder):
    Path("link.mp4").symlink_to(folder / "b.mp4")
    assert found("inner", "b.mp4", "*.mp4", str(folder / "b.mp4"), "link.mp4") == ["inner/c.webm", "b.mp4", "[odd].mp4"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("gone.mp4", "gone.mp4: no such file"), ("empty", "folder empty has no video"), ("*.avi", "pattern \\*.avi")],
)
def test_a_name_of_nothing_is_an_error_that_names_it(name, said, folder):
    with pytest.raises(TfdfdError, match=said):
        find_videos(["b.mp4", name])
