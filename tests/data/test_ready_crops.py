"""Ready-made crops go into a store one a clip byte for byte, or several a clip as one track in order of name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tfdfd.clip import OK, TfdfdError
from tfdfd.commands.console import run_command
from tfdfd.commands.prepare import main as prepare
from tfdfd.data.crop_landmarks import LANDMARKS_FILE, landmarks_in_crops
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import read_strip

SIZE = 32


def paint(path: Path, grey: int, *, size: int = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (grey,) * 3).save(path)


def frames_of_deepfakebench(folder: Path, *, frames: int = 3) -> Path:
    """Two clips whose n-th frame is n times 20 grey; the fake has one frame more."""
    for number in range(frames):
        paint(folder / f"original_sequences/youtube/c23/frames/183/{number:03}.png", 20 * number)
    for number in range(frames + 1):
        paint(folder / f"manipulated_sequences/Deepfakes/c23/frames/183_253/{number:03}.png", 20 * number)
    return folder


def prepared(data: Path, store: Path, *flags: str) -> FaceStore:
    assert run_command(prepare, ["--data", str(data), "--store", str(store), *flags]) == 0
    return FaceStore.open(store)


def greys_of(store: FaceStore, clip_id: str) -> list[int]:
    """The grey of each place of a clip, -1 where there is no face."""
    [track] = [row for row in store.tracks().to_dict("records") if row["clip_id"] == clip_id]
    crops = read_strip(store.folder / track["strip"], num_places=store.num_places)
    means = np.rint(crops.mean(axis=(1, 2, 3)) / 20).astype(int) * 20
    return np.where(np.asarray(track["is_face"], bool), means, -1).tolist()


def test_a_folder_of_frames_is_one_track_in_order_of_name(tmp_path):
    store = prepared(frames_of_deepfakebench(tmp_path / "data"), tmp_path / "store", "--places", "4")
    assert greys_of(store, "youtube/c23/183") == [0, 20, 40, -1]
    assert greys_of(store, "Deepfakes/c23/183_253") == [0, 20, 40, 60]
    assert store.manifest().set_index("clip_id").loc["Deepfakes/c23/183_253", "original"] == "youtube/c23/183"


def test_more_frames_than_places_are_spread_over_the_clip(tmp_path):
    store = prepared(frames_of_deepfakebench(tmp_path / "data", frames=6), tmp_path / "store", "--places", "3")
    assert greys_of(store, "youtube/c23/183") == [20, 60, 100]


def test_rows_of_faces_csv_in_any_order_are_ordered_by_name(tmp_path):
    for number in (2, 10, 1):
        paint(tmp_path / f"a_{number}.png", 20 * number)
    paint(tmp_path / "b.png", 0)
    rows = [f"a_{number}.png,a,REAL," for number in (10, 2, 1)] + ["b.png,b,FAKE,a"]
    (tmp_path / "faces.csv").write_text("\n".join(["path,clip_id,label,original", *rows]))
    store = prepared(tmp_path, tmp_path / "store", "--places", "4")
    assert greys_of(store, "a") == [20, 40, 200, -1]
    assert greys_of(store, "b") == [0, -1, -1, -1]


def test_a_finished_store_has_nothing_to_do_and_a_changed_folder_is_done_again(tmp_path, capfd):
    data = frames_of_deepfakebench(tmp_path / "data")
    prepared(data, tmp_path / "store", "--places", "4")
    capfd.readouterr()
    prepared(data, tmp_path / "store", "--places", "4")
    assert "2 of 2 clips are done" in capfd.readouterr().out
    paint(data / "original_sequences/youtube/c23/frames/183/003.png", 100)
    store = prepared(data, tmp_path / "store", "--places", "4")
    assert greys_of(store, "youtube/c23/183") == [0, 20, 40, 100]


def test_a_frame_that_cannot_be_used_leaves_its_place_empty_and_is_said(tmp_path, capfd):
    data = frames_of_deepfakebench(tmp_path / "data")
    frames = data / "original_sequences/youtube/c23/frames/183"
    (frames / "001.png").write_bytes(b"no picture")
    for picture in (data / "manipulated_sequences/Deepfakes/c23/frames/183_253").iterdir():
        picture.write_bytes(b"")
    store = prepared(data, tmp_path / "store", "--places", "4")
    assert greys_of(store, "youtube/c23/183") == [0, -1, 40, -1]
    assert f"1 of 3 pictures are left out, the first: {frames / '001.png'}" in " ".join(capfd.readouterr().out.split())
    clips = store.clips().set_index("clip_id")
    assert clips["status"].to_dict() == {"youtube/c23/183": OK, "Deepfakes/c23/183_253": "failed"}
    assert "none of 4 pictures" in clips.loc["Deepfakes/c23/183_253", "reason"]


def test_frames_that_are_turned_by_exif_are_stored_upright(tmp_path):
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[: SIZE // 2] = 200  # the upper half, which the turn brings to the right
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "c").mkdir()
    Image.fromarray(picture).save(tmp_path / "c" / "1.jpg", exif=exif, quality=95)
    (tmp_path / "faces.csv").write_text("path,clip_id,label\nc,c,REAL\n")
    store = prepared(tmp_path, tmp_path / "store", "--places", "1")
    crop = read_strip(store.folder / store.tracks()["strip"].iat[0], num_places=1)[0]
    assert crop[:, SIZE // 2 + 4 :].min() > 150
    assert crop[:, : SIZE // 2 - 4].max() < 50


def test_one_crop_a_clip_is_taken_byte_for_byte(tmp_path):
    paint(tmp_path / "a.jpg", 100)
    (tmp_path / "faces.csv").write_text("path,clip_id,label\na.jpg,a,REAL\n")
    store = prepared(tmp_path, tmp_path / "store")
    assert store.num_places == 1
    assert store.fingerprint.preprocessing["strip_codec"] == "as delivered"
    assert (store.folder / store.tracks()["strip"].iat[0]).read_bytes() == (tmp_path / "a.jpg").read_bytes()


def test_crops_that_would_bleed_into_each_other_are_refused(tmp_path, capfd):
    paint(tmp_path / "c" / "1.png", 0, size=30)
    (tmp_path / "faces.csv").write_text("path,clip_id,label\nc,c,REAL\n")
    assert run_command(prepare, ["--data", str(tmp_path), "--store", str(tmp_path / "store")]) == 1
    assert "multiple of 8" in capfd.readouterr().err


def test_places_change_nothing_for_one_crop_a_clip(tmp_path, capfd):
    paint(tmp_path / "a.jpg", 100)
    (tmp_path / "faces.csv").write_text("path,clip_id,label\na.jpg,a,REAL\n")
    assert run_command(prepare, ["--data", str(tmp_path), "--store", str(tmp_path / "store"), "--places", "4"]) == 1
    assert "--places" in capfd.readouterr().err


def test_landmarks_of_frames_are_kept_place_by_place(tmp_path):
    store = prepared(frames_of_deepfakebench(tmp_path / "data"), tmp_path / "store", "--places", "4")
    strips = store.tracks()["strip"].tolist()
    marks = np.arange(2 * 4 * 10, dtype=np.float32).reshape(2, 40)
    sizes = [(store.folder / strip).stat().st_size for strip in strips]
    table = pd.DataFrame({"strip": strips, "bytes": sizes, "landmarks_xy": marks.tolist()})
    table.to_parquet(store.folder / LANDMARKS_FILE)

    def refuse(parts):
        raise AssertionError("all are known")

    found = landmarks_in_crops(store, store.tracks(), watch=refuse)
    assert found.shape == (2, 4, 5, 2)
    row = store.tracks()["clip_id"].tolist().index("youtube/c23/183")
    np.testing.assert_array_equal(found[row, :3].reshape(3, 10), marks[row].reshape(4, 10)[:3])
    assert np.isnan(found[row, 3]).all()


def test_a_store_of_frames_needs_the_same_rule_as_before(tmp_path):
    store = tmp_path / "store"
    paint(tmp_path / "one" / "a.png", 0)
    (tmp_path / "one" / "faces.csv").write_text("path,clip_id,label\na.png,a,REAL\n")
    prepared(tmp_path / "one", store)
    with pytest.raises(TfdfdError, match="strip_codec"):
        prepare(["--data", str(frames_of_deepfakebench(tmp_path / "data")), "--store", str(store), "--places", "1"])
