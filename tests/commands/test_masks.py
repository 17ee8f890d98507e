"""`tfdfd masks` makes what is missing, counts and lists what cannot be made, and writes a page."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.forged_clips import forged, forged_store, mask_iou, textured_frames, true_mask, write_frames
from tests.pages import Page
from tests.stores import new_store
from tfdfd.clip import TfdfdError
from tfdfd.commands.masks import main
from tfdfd.data.mask_store import MaskStore
from tfdfd.data.store import FaceStore
from tfdfd.data.store_records import record_name

CLIPS = {"a": "", "a_forged": "a", "b_forged": "b", "c_forged": "", "d_forged": "d", "d": ""}


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def said_by(*arguments: object) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([str(argument) for argument in arguments]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Original a and its fake; fakes of b, which is not there, of who knows what, and of d, which is another clip."""
    folder, frames = tmp_path_factory.mktemp("clips"), textured_frames()
    write_frames(folder / "a.mp4", frames)
    for name in ("a_forged", "b_forged", "c_forged", "d_forged"):
        write_frames(folder / f"{name}.mp4", forged(frames))
    write_frames(folder / "d.mp4", textured_frames(seed=5))
    forged_store(folder, CLIPS)
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    before = os.environ.pop("TFDFD_DATA", None)
    try:
        return said_by("--store", folder / "store", "--page")
    finally:
        if before is not None:
            os.environ["TFDFD_DATA"] = before


def test_every_fake_is_counted_and_what_has_no_masks_is_listed_with_its_reason(said):
    assert "0 of 4 fakes are done, 4 to do" in said
    assert "4 fakes: 1 ok, 2 no_original, 1 failed; masks of 3 faces" in said
    assert "b_forged: no_original, its original b is not among the clips" in said
    assert "c_forged: no_original, the data do not say which clip it was made from" in said
    assert "d_forged: failed, around the faces" in said


def test_the_masks_are_where_the_fake_was_forged(folder, said):
    masks = MaskStore(FaceStore.open(folder / "store"))
    (row,) = masks.index().query("status == 'ok'").to_dict("records")
    assert row["clip_id"] == "a_forged"
    assert min(mask_iou(mask, true_mask()) for mask in masks.read(row["mask"])) > 0.75


def test_the_page_shows_the_fake_and_lists_the_others(folder, said):
    page = Page((folder / "store" / "masks.html").read_text())
    (clip,) = page.clips("shown")
    assert clip.startswith("a_forged made from a")
    pictures = page.within(page.section("shown"), "img")
    assert [sum(what in picture["alt"] for picture in pictures) for what in ("original,", "fake,", "region,")] == [
        3
    ] * 3
    cells = [cell["text"] for cell in page.within(page.section("without"), "td")]
    assert cells[::3] == ["b_forged", "c_forged", "d_forged"]
    assert cells[1::3] == ["no_original", "no_original", "failed"]


def test_the_same_command_has_nothing_to_do_and_a_lost_strip_is_made_again(folder, said):
    assert "4 of 4 fakes are done, 0 to do" in said_by("--store", folder / "store")
    strip = next((folder / "store" / "masks" / "strips").rglob("*.png"))
    before = strip.read_bytes()
    for damage in (strip.unlink, lambda: strip.write_bytes(before[: len(before) // 2])):
        damage()
        assert "3 of 4 fakes are done, 1 to do" in said_by("--store", folder / "store")
        assert strip.read_bytes() == before


def test_a_damaged_index_is_made_again_and_damaged_records_of_others_are_left_out(folder, said):
    masks = folder / "store" / "masks"
    before = (masks / "masks.parquet").read_bytes()
    (masks / "masks.parquet").write_bytes(before[:100])
    stranger = masks / "records" / "00" / "gone_forged.json"
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_text("{")
    again = said_by("--store", folder / "store", "--page")
    assert "4 of 4 fakes are done, 0 to do" in again
    assert f"1 damaged record is left out, of a fake that is not among the clips: delete {stranger}" in again
    assert (masks / "masks.parquet").read_bytes() == before
    stranger.unlink()


def test_masks_without_their_fingerprint_are_made_anew(folder, said):
    (folder / "store" / "masks" / "masks.json").unlink()
    again = said_by("--store", folder / "store")
    assert "nothing says how they were made: all are made anew" in again
    assert "0 of 4 fakes are done, 4 to do" in again


def test_failed_ones_are_tried_again_when_asked_and_an_original_that_comes_is_used(folder, said, tmp_path):
    assert "3 to do" in said_by("--store", folder / "store", "--retry-failed")
    rows = ["clip_id,path,label,original"]
    rows += [
        f"{name},{folder / name}.mp4,{'FAKE' if 'forged' in name else 'REAL'},{original}"
        for name, original in CLIPS.items()
    ]
    shutil.copy(folder / "a.mp4", folder / "b.mp4")
    shutil.copy(folder / "a.mp4", folder / "e.mp4")
    rows += [f"b,{folder / 'b.mp4'},REAL,", f"e,{folder / 'e.mp4'},FAKE,a"]
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    again = said_by("--store", folder / "store", "--data", tmp_path / "clips.csv")
    assert "1 fake among the clips has no face in the store, so nothing to mask: e" in again
    assert "3 of 4 fakes are done, 1 to do" in again
    assert "2 ok, 1 no_original, 1 failed" in again


def test_two_processes_make_the_same_masks_as_one_quietly_and_a_lost_record_is_not_done(
    folder, said, tmp_path, capfd, monkeypatch
):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)  # set for tests, and inherited
    for name in ("a", "a_forged"):
        shutil.copy(folder / f"{name}.mp4", tmp_path)
    store = forged_store(tmp_path, {"a": "", "a_forged": "a", "b_forged": "b", "l_forged": "a"})
    (store.folder / record_name("l_forged")).unlink()
    both = said_by("--store", store.folder, "--workers", 2)
    assert "1 ok" in both
    assert "the store has lost the record of 1 fake: l_forged. Run `tfdfd prepare` again" in both
    assert MaskStore(store).record("l_forged") is None
    assert "tensorflow" not in capfd.readouterr().err.lower()
    one, two = (
        {path.name: path.read_bytes() for path in (root / "masks" / "strips").rglob("*.png")}
        for root in (folder / "store", store.folder)
    )
    assert two["a_forged.0.png"] == one["a_forged.0.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers", "0"], "--workers must be at least 1"),
        (["--page-clips", "3"], "add --page"),
        (["--page", "--page-clips", "0"], "--page-clips must be at least 1"),
        (["--page", "/"], "--page must be a file"),
    ],
)
def test_flags_that_cannot_be_honoured_are_refused_before_any_work(flags, message):
    with pytest.raises(TfdfdError, match=message):
        main(["--store", "/no/store", *flags])


def test_ready_made_crops_and_a_store_without_fakes_are_refused(tmp_path):
    ready = new_store(tmp_path / "ready", strip_codec="as delivered")
    with pytest.raises(TfdfdError, match="ready-made crops, which do not say what of which frame they show"):
        main(["--store", str(ready.folder)])
    store = forged_store(tmp_path, {"a": ""})
    with pytest.raises(TfdfdError, match="holds no face of the 0 fakes among these 1 clips"):
        main(["--store", str(store.folder)])
    assert np.array_equal(store.clips()["clip_id"], ["a"])
