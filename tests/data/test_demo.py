"""The demo is a DFDC data set: playable clips with sound, fakes beside their originals, altered in the face only."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.data import demo


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.render_demo(tmp_path_factory.mktemp("demo") / "clips", num_clips=6, num_frames=6)


def metadata(folder: Path) -> dict[Path, dict[str, str]]:
    return {
        file.parent / name: entry
        for file in sorted(folder.glob("*/metadata.json"))
        for name, entry in json.loads(file.read_text()).items()
    }


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_metadata_names_every_clip_and_nothing_else(rendered: Path):
    assert set(metadata(rendered)) == set(rendered.glob("*/*.mp4"))
    assert len(metadata(rendered)) == 6


def test_each_folder_has_both_labels_and_each_fake_its_original_beside_it(rendered: Path):
    clips = metadata(rendered)
    for name in demo.FOLDERS:
        assert {entry["label"] for path, entry in clips.items() if path.parent.name == name} == {"REAL", "FAKE"}
    for path, entry in clips.items():
        if entry["label"] == "FAKE":
            assert clips[path.parent / entry["original"]]["label"] == "REAL"
        else:
            assert "original" not in entry


def test_clips_are_h264_420_with_aac_sound(rendered: Path):
    for path in metadata(rendered):
        with av.open(str(path)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (audio.codec_context.name, audio.codec_context.sample_rate) == ("aac", demo.SOUND_RATE)
            assert video.average_rate == demo.FRAMES_PER_SECOND
        assert len(frames_of(path)) == 6


def test_clips_move(rendered: Path):
    frames = frames_of(next(iter(metadata(rendered)))).astype(int)
    assert np.abs(frames[0] - frames[-1]).mean() > 1


def test_a_fake_differs_from_its_original_inside_the_face_only(rendered: Path):
    for path, entry in metadata(rendered).items():
        if entry["label"] == "FAKE":
            original = frames_of(path.parent / entry["original"]).astype(int)
            difference = np.abs(frames_of(path).astype(int) - original).max(axis=-1)[0]
            altered = difference > 20
            assert 0.01 < altered.mean() < 0.12  # a part of the picture, larger than a blemish
            rows, columns = np.nonzero(altered)
            assert np.ptp(rows) < 0.5 * altered.shape[0]
            assert np.ptp(columns) < 0.5 * altered.shape[1]


def test_looks_differ_between_originals():
    looks = {plan.look for plan in demo._plan_clips(24, 2020)}
    assert len(looks) == 8
    assert {look.frame_size for look in looks} == {(320, 360), (384, 320)}
    assert {look.mirrored for look in looks} == {True, False}


def test_the_default_demo_is_a_third_real_in_both_folders():
    plans = list(demo._plan_clips(24, 2020))
    for name in demo.FOLDERS:
        labels = [plan.label for plan in plans if plan.folder == name]
        assert (len(labels), sum(labels)) == (12, 8)


def test_the_same_seed_renders_the_same_files_and_another_does_not(rendered: Path, tmp_path: Path):
    def contents(folder: Path) -> dict[str, bytes]:
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.glob("*/*")}

    again = demo.render_demo(tmp_path / "again", num_clips=6, num_frames=6)
    assert contents(again) == contents(rendered)
    other = demo.render_demo(tmp_path / "other", num_clips=4, num_frames=1, seed=7)
    assert not set(contents(other)) & {name for name in contents(rendered) if name.endswith(".mp4")}


def test_a_finished_demo_is_kept_and_anything_else_is_refused(rendered: Path, tmp_path: Path):
    before = {file: file.stat().st_mtime_ns for file in rendered.rglob("*")}
    assert demo.render_demo(rendered, num_clips=6, num_frames=6) == rendered
    assert {file: file.stat().st_mtime_ns for file in rendered.rglob("*")} == before
    with pytest.raises(TfdfdError, match="other settings"):
        demo.render_demo(rendered, num_clips=8, num_frames=6)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.mp4").touch()
    with pytest.raises(TfdfdError, match="not the demo"):
        demo.render_demo(tmp_path / "mine")
    with pytest.raises(ValueError, match="at least 4"):
        demo.render_demo(tmp_path / "few", num_clips=3)


def test_a_render_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(demo, "_write_mp4", full_disk)
    with pytest.raises(OSError, match="No space"):
        demo.render_demo(tmp_path / "clips", num_clips=4, num_frames=1)
    assert list(tmp_path.iterdir()) == []
