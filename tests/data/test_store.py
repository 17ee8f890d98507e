"""The face store: written whole or not at all, and the same in whatever order it was filled."""

import dataclasses
import hashlib

import numpy as np
import pandas as pd
import pytest

from tfdfd.clip import FAILED, NO_FACE, OK, PARTIAL, ClipFaces, TfdfdError, Track
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.store import FILE_IS_GONE, LOCK, FaceStore
from tfdfd.data.strips import decode_strip

FINGERPRINT = Fingerprint({"crop_size": 16, "margin": 0.3}, {"source": "test"})


def ok_faces(clip_id, *, tracks=1, value=100):
    is_face = np.array([True, False, True])
    track = Track(is_face, np.ones((3, 4), np.float32), np.ones((3, 5, 2), np.float32), np.ones(3, np.float32))
    crops = np.zeros((3, 16, 16, 3), np.uint8)
    crops[is_face] = value
    return ClipFaces(clip_id, OK, tracks=(track,) * tracks, crops=(crops,) * tracks)


@pytest.fixture
def store(tmp_path):
    return FaceStore.create_or_open(tmp_path / "store", FINGERPRINT, num_places=3)[0]


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_status_is_in_the_index_with_its_reason(store):
    with store.writing():
        store.write(ok_faces("b"), source_bytes=1)
        store.write(ClipFaces("c", NO_FACE, "nobody there"), source_bytes=2)
        store.write(ClipFaces("a", FAILED, "truncated"), source_bytes=3)
    clips = store.clips()
    assert clips["clip_id"].tolist() == ["a", "b", "c"]
    assert clips["status"].tolist() == [FAILED, OK, NO_FACE]
    assert clips["reason"].tolist() == ["truncated", "", "nobody there"]


def test_a_strip_gives_back_its_crops(store):
    with store.writing():
        store.write(ok_faces("Deepfakes/c23/183_253", tracks=2, value=180), source_bytes=1)
    tracks = store.tracks()
    assert tracks["track"].tolist() == [0, 1]
    crops = decode_strip((store.folder / tracks["strip"][1]).read_bytes(), num_places=3)
    assert np.abs(crops[0].astype(int) - 180).max() <= 1
    assert crops[1].max() <= 1


def test_the_store_is_the_same_in_whatever_order_it_was_filled(tmp_path):
    stores = []
    for name, order in (("one", "abc"), ("two", "cab")):
        store, _ = FaceStore.create_or_open(tmp_path / name, FINGERPRINT, num_places=3)
        for clip_id in order:  # `two` is also opened anew for every clip, as after a kill
            with store.writing():
                store.write(ok_faces(clip_id, value=ord(clip_id)), source_bytes=1)
        stores.append(contents(tmp_path / name))
    assert stores[0] == stores[1]


def test_what_a_killed_run_left_is_cleared_and_done_again(store):
    with store.writing():
        store.write(ok_faces("a"), source_bytes=1)
    undisturbed = contents(store.folder)
    record = next((store.folder / "records").rglob("*.json"))
    record.rename(record.with_name(record.name + ".tmp"))  # killed before the rename
    assert not store.holds("a", source_bytes=1)
    with store.writing():
        store.write(ok_faces("a"), source_bytes=1)
    assert contents(store.folder) == undisturbed


def test_done_means_same_file_size_and_every_strip_there(store):
    with store.writing():
        store.write(ok_faces("a"), source_bytes=10)
        store.write(ClipFaces("bad", FAILED, "truncated"), source_bytes=10)
    assert store.holds("a", source_bytes=10)
    assert not store.holds("a", source_bytes=11)
    assert store.holds("bad", source_bytes=10)
    assert not store.holds("bad", source_bytes=10, retry_failed=True)
    next((store.folder / "strips").rglob("*.jpg")).unlink()
    assert not store.holds("a", source_bytes=10)


def test_a_partial_clip_has_faces_and_is_done_until_failed_ones_are_tried_again(store):
    part = dataclasses.replace(ok_faces("a"), status=PARTIAL, reason="1 of 3 chosen frames could not be read")
    with store.writing():
        store.write(part, source_bytes=10)
    assert store.holds("a", source_bytes=10)
    assert not store.holds("a", source_bytes=10, retry_failed=True)
    assert store.clips()["status"].tolist() == [PARTIAL]
    assert len(store.tracks()) == 1


def test_a_clip_done_again_with_fewer_people_leaves_no_strip_behind(store):
    with store.writing():
        store.write(ok_faces("a", tracks=2), source_bytes=1)
        store.write(ok_faces("a", tracks=1), source_bytes=2)
    assert len(list((store.folder / "strips").rglob("*.jpg"))) == 1
    assert len(store.tracks()) == 1


def test_another_preprocessing_is_refused_with_both_values(store):
    other = Fingerprint({"crop_size": 16, "margin": 0.1}, {})
    with pytest.raises(TfdfdError, match=r"margin: 0.1 in this run, 0.3 in the store"):
        FaceStore.create_or_open(store.folder, other, num_places=3)
    _, warning = FaceStore.create_or_open(store.folder, other, num_places=3, accept_mismatch=True)
    assert "0.1 in this run" in warning


def test_another_number_of_places_is_refused(store):
    with pytest.raises(TfdfdError, match="--places 3"):
        FaceStore.create_or_open(store.folder, FINGERPRINT, num_places=4)


def test_a_folder_that_is_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(TfdfdError, match="no face store"):
        FaceStore.create_or_open(tmp_path, FINGERPRINT, num_places=3)
    with pytest.raises(TfdfdError, match=r"tfdfd prepare"):
        FaceStore.open(tmp_path)


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(TfdfdError, match="cannot write to"):
        FaceStore.create_or_open(in_the_way / "store", FINGERPRINT, num_places=3)


def test_one_writer_at_a_time(store):
    other = FaceStore.open(store.folder)
    with store.writing(), pytest.raises(TfdfdError, match="another run is writing"), other.writing():
        pass


def test_who_reads_while_another_writes_sees_what_is_there_and_leaves_no_index(store):
    with store.writing():
        store.write(ok_faces("a"), source_bytes=1)
        assert FaceStore.open(store.folder).clips()["clip_id"].tolist() == ["a"]
        assert FaceStore.open(store.folder).tracks(columns=["track"])["track"].tolist() == [0]
        store.write(ok_faces("b"), source_bytes=1)
        assert not list(store.folder.glob("clips.parquet"))
    assert store.clips()["clip_id"].tolist() == ["a", "b"]


@pytest.mark.parametrize("content", ["", '{"clip_id": "a', "{}", "[]"])
def test_a_damaged_record_is_named_and_its_clip_done_again(store, content):
    with store.writing():
        store.write(ok_faces("a"), source_bytes=1)
    whole = contents(store.folder)
    (path,) = store.folder.glob("records/*/*.json")
    path.write_text(content)
    assert not store.holds("a", source_bytes=1)
    with pytest.raises(TfdfdError, match=f"the record {path} is damaged: delete it"):
        store.rebuild_index()
    with store.writing():
        store.write(ok_faces("a"), source_bytes=1)
    assert contents(store.folder) == whole


def test_the_lock_holds_a_token_of_its_run_and_nothing_afterwards(store):
    tokens = []
    for _ in range(2):
        with store.writing() as token:
            assert (store.folder / LOCK).read_text() == token
        tokens.append(token)
    assert len(set(tokens)) == 2
    assert (store.folder / LOCK).read_text() == ""


def test_a_full_disk_says_what_to_do_and_keeps_what_is_done(store, monkeypatch):
    with store.writing():
        store.write(ok_faces("a"), source_bytes=1)

    def full(*_):
        raise OSError(28, "No space left on device")

    with store.writing():
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(TfdfdError, match="no space left"):
            store.write(ok_faces("b"), source_bytes=1)
        monkeypatch.undo()
    assert store.clips()["clip_id"].tolist() == ["a"]


def test_the_labels_of_a_part_do_not_displace_those_of_the_rest(store):
    labels = pd.DataFrame({"clip_id": ["b", "a"], "label": [1, 0]})
    store.write_manifest(labels)
    store.write_manifest(labels[labels["clip_id"] == "b"].assign(label=0))
    assert store.manifest().to_dict("list") == {"clip_id": ["a", "b"], "label": [0, 0]}


def test_what_was_made_of_a_clip_stays_when_its_file_is_gone(store):
    with store.writing():
        store.write(ok_faces("a"), source_bytes=10)
    assert store.holds("a", source_bytes=FILE_IS_GONE)
    assert not store.holds("b", source_bytes=FILE_IS_GONE)


def test_what_a_killed_or_full_run_left_before_the_store_was_made_is_no_obstacle(tmp_path):
    (tmp_path / "store.json.tmp").write_text("half")
    store, _ = FaceStore.create_or_open(tmp_path, FINGERPRINT, num_places=3)
    assert store.num_places == 3


def test_the_index_of_tracks_can_be_read_in_part(store):
    with store.writing():
        store.write(ok_faces("a", tracks=2), source_bytes=1)
    assert store.tracks(columns=["track", "is_face"]).columns.tolist() == ["track", "is_face"]
