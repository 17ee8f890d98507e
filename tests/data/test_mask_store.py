"""Masks lie beside the faces, are found again, and are refused where they no longer fit."""

from __future__ import annotations

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


def test_a_damaged_record_is_none(masks):
    next((masks.folder / "records").rglob("fake.json")).write_text("{")
    assert masks.record("fake") is None


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
