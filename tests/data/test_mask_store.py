"""Masks lie beside the faces, are found again, and are refused where they no longer fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stores import CROP_SIZE, NUM_PLACES, new_store, ok_clip, track_of, write_clips
from tfdfd.clip import OK, TfdfdError
from tfdfd.data.altered_region import RegionSettings
from tfdfd.data.mask_store import NO_ORIGINAL, ClipMasks, MaskStore, track_masks
from tfdfd.data.store import FILE_IS_GONE, FaceStore

MASK = np.zeros((NUM_PLACES, CROP_SIZE, CROP_SIZE), bool)
MASK[0, 4:8] = True
KNOWN = np.array([True, True, False])


@pytest.fixture
def store(tmp_path: Path) -> FaceStore:
    store = new_store(tmp_path / "store")
    labels = [("real", 0, ""), ("fake", 1, "real"), ("orphan", 1, "gone")]
    write_clips(store, [ok_clip("real"), ok_clip("fake", track_of(), track_of()), ok_clip("orphan")], labels)
    return store


@pytest.fixture
def masks(store: FaceStore) -> MaskStore:
    masks = MaskStore(store)
    with store.writing():
        masks.begin()
        made = ClipMasks("fake", OK, masks=(MASK, ~MASK), is_known=(KNOWN, ~KNOWN))
        masks.write(made, fake_bytes=1, original_bytes=7)
        orphan = ClipMasks("orphan", NO_ORIGINAL, "its original gone is not among the clips")
        masks.write(orphan, fake_bytes=1, original_bytes=FILE_IS_GONE)
        masks.rebuild_index()
    return masks


def test_what_was_written_is_read_back_and_stands_in_the_index(masks):
    index = MaskStore(masks.store).index()
    assert index[["clip_id", "status", "track"]].values.tolist() == [
        ["fake", OK, 0],
        ["fake", OK, 1],
        ["orphan", NO_ORIGINAL, 0],
    ]
    assert index["reason"].tolist()[2] == "its original gone is not among the clips"
    assert np.array_equal(masks.read(index["mask"][0]), MASK)
    assert np.array_equal(masks.read(index["mask"][1]), ~MASK)
    assert index["altered_share"][0].tolist() == [0.25, 0, 0]


def test_an_index_that_is_missing_is_made_of_the_records(masks):
    before = masks.index()
    (masks.folder / "masks.parquet").unlink()
    assert masks.index().to_json() == before.to_json()


def test_a_fake_is_done_while_its_files_and_strips_stay_as_they_were(masks):
    assert masks.holds("fake", fake_bytes=1, original_bytes=7)
    assert not masks.holds("fake", fake_bytes=2, original_bytes=7)
    assert not masks.holds("fake", fake_bytes=1, original_bytes=8)
    assert not masks.holds("real", fake_bytes=1, original_bytes=7)
    assert masks.holds("orphan", fake_bytes=1, original_bytes=FILE_IS_GONE)
    assert not masks.holds("orphan", fake_bytes=1, original_bytes=FILE_IS_GONE, retry_failed=True)
    assert not masks.holds("orphan", fake_bytes=1, original_bytes=5), "the original has come"
    next((masks.folder / "strips").rglob("*.png")).unlink()
    assert not masks.holds("fake", fake_bytes=1, original_bytes=7)


@pytest.mark.parametrize("damage", ["{", "[]", "no original_bytes", "another track"])
def test_a_damaged_record_is_none_and_is_left_out_of_an_index_made_anew(masks, damage):
    path = next((masks.folder / "records").rglob("fake.json"))
    record = json.loads(path.read_text())
    if damage == "no original_bytes":
        del record["original_bytes"]
    record["tracks"] = [{"x": 1}] if damage == "another track" else record["tracks"]
    path.write_text(damage if damage in "{[]" else json.dumps(record))
    assert masks.record("fake") is None
    assert not masks.holds("fake", fake_bytes=1, original_bytes=7)
    assert masks.rebuild_index() == [path]
    assert masks.index()["clip_id"].tolist() == ["orphan"]
    (masks.folder / "masks.parquet").unlink()
    with pytest.raises(TfdfdError, match=r"fake.json is damaged .*run `tfdfd masks --store"):
        masks.index()


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_strip_that_was_cut_off_is_made_again(masks, kept):
    strip = next((masks.folder / "strips").rglob("fake.1.png"))
    whole = strip.read_bytes()
    strip.write_bytes(whole[: int(kept * len(whole))])
    assert not masks.holds("fake", fake_bytes=1, original_bytes=7)


@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_index_is_made_of_the_records(masks, kept):
    before, path = masks.index(), masks.folder / "masks.parquet"
    assert masks.has_index
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert not masks.has_index
    assert masks.index().to_json() == before.to_json()


def test_records_without_a_fingerprint_are_not_done_and_go_when_masks_are_begun_anew(masks):
    (masks.folder / "masks.json").unlink()
    found = MaskStore(masks.store)
    assert found.is_of_unknown_make
    assert not found.holds("orphan", fake_bytes=1, original_bytes=FILE_IS_GONE)
    found.begin()
    assert not found.is_of_unknown_make
    assert found.index().empty


def test_a_damaged_fingerprint_says_what_to_do(masks):
    (masks.folder / "masks.json").write_text("{")
    with pytest.raises(TfdfdError, match=r"masks.json is not a fingerprint: .* Delete .*masks and run `tfdfd masks"):
        MaskStore(masks.store)


def test_masks_made_otherwise_are_refused_with_both_values(masks):
    with pytest.raises(TfdfdError, match=r"masks.surely: 9.0 in .*, 2.5 in the masks"):
        MaskStore(masks.store, replace(RegionSettings(), surely=9.0))


def test_masks_of_other_crops_are_refused(masks):
    file = masks.store.folder / "store.json"
    file.write_text(file.read_text().replace('"margin": 0.3', '"margin": 0.5'))
    with pytest.raises(TfdfdError, match=r"crops\.margin"):
        MaskStore(FaceStore.open(masks.store.folder))


def test_real_tracks_are_known_to_be_unaltered_and_fakes_as_their_masks_say(masks):
    tracks = masks.store.tracks(columns=["clip_id", "track"])
    found = track_masks(masks, tracks, (tracks["clip_id"] != "real").to_numpy())
    assert tracks["clip_id"].tolist() == ["fake", "fake", "orphan", "real"]
    assert [bool(path) for path in found.paths] == [True, True, False, False]
    assert found.is_known.tolist() == [KNOWN.tolist(), (~KNOWN).tolist(), [False] * 3, [True] * 3]


def test_masks_older_than_the_faces_are_refused(masks):
    with masks.store.writing():
        masks.store.write(ok_clip("fake", track_of(), track_of()), source_bytes=2)
    tracks = masks.store.tracks(columns=["clip_id", "track"])
    with pytest.raises(TfdfdError, match="such as fake, were found anew since their masks were made"):
        track_masks(masks, tracks, np.ones(len(tracks), bool))


def test_a_store_without_masks_says_how_to_make_them(store):
    with pytest.raises(TfdfdError, match="run `tfdfd masks --store"):
        MaskStore(store).index()


def test_a_prepared_store_stays_as_it_was(masks):
    assert masks.store.clips()["clip_id"].tolist() == ["fake", "orphan", "real"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"status": "fine"}, "status must be one of"),
        ({"status": OK}, "with masks of 0 tracks"),
        ({"status": NO_ORIGINAL}, "a reason belongs to every status but ok"),
    ],
)
def test_masks_check_themselves(values, message):
    with pytest.raises(ValueError, match=message):
        ClipMasks("fake", **values)
