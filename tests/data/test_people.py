"""The table of people of a store, and what a split makes of it."""

import numpy as np
import pandas as pd
import pytest

from tests.data.test_splits import assert_whole, sets_of, table_of, val_ids
from tfdfd.clip import TfdfdError
from tfdfd.data.clusters import find_people
from tfdfd.data.merged_splits import merge_splits
from tfdfd.data.people import people_of_sides, people_table, read_people, unknown_people, with_people, write_people
from tfdfd.data.splits import TRAIN, VAL, split_manifest
from tfdfd.data.track_embeddings import FOLDER, TrackEmbeddings

RED, BLUE = np.eye(3, dtype=np.float32)[:2]


def embedded(*rows, failed=()):
    """Rows of (clip_id, track, vector)."""
    table = pd.DataFrame([row[:2] for row in rows], columns=["clip_id", "track"])
    return TrackEmbeddings(
        table.assign(num_faces=5, num_aligned=5), np.stack([row[2] for row in rows]), failed=tuple(failed)
    )


def people(*rows, failed=()):
    found = embedded(*rows, failed=failed)
    return people_table(found, find_people(found.vectors))


def seen(**clips):
    """A table of people by hand: clip id to names."""
    rows = [(clip_id, track, name) for clip_id, names in clips.items() for track, name in enumerate(names.split())]
    return pd.DataFrame(rows, columns=["clip_id", "track", "person"])


def test_the_same_person_has_one_name_and_others_another():
    table = people(("a", 0, RED), ("b", 0, BLUE), ("c", 0, RED), ("c", 1, BLUE), ("d", 0, RED))
    names = table["person"].tolist()
    assert names[0] == names[2] == names[4] != names[1] == names[3]
    assert names[0].startswith("p00000@")  # the most seen


def test_people_of_other_clusters_are_never_taken_for_these():
    one = people(("a", 0, RED), ("b", 0, BLUE))
    other = people(("a", 0, RED), ("b", 0, RED))
    assert set(one["person"]).isdisjoint(other["person"])
    assert people(("b", 0, BLUE), ("a", 0, RED))["person"].tolist() != []


def test_a_track_that_could_not_be_embedded_is_a_person_of_its_own():
    table = people(("a", 0, RED), ("c", 0, RED), failed=[("b", 0, "no strip")])
    assert table["clip_id"].tolist() == ["a", "b", "c"]
    assert table["person"].nunique() == 2
    assert table["is_alone"].tolist() == [False, True, False]
    assert np.isnan(table["pca_x"][1])


def test_the_table_is_read_back_as_it_was_written(tmp_path):
    table = people(("a", 0, RED), ("b", 0, BLUE))
    assert read_people(tmp_path) is None
    write_people(tmp_path, table, {"eps": 0.24})
    pd.testing.assert_frame_equal(read_people(tmp_path), table)


@pytest.mark.parametrize("content", [b"no parquet", b"", b"PAR1", None])
def test_a_damaged_table_is_refused_and_says_what_to_do(tmp_path, content):
    write_people(tmp_path, people(("a", 0, RED)), {})
    path = tmp_path / FOLDER / "people.parquet"
    if content is None:
        pd.DataFrame({"clip_id": ["a"]}).to_parquet(path)
    else:
        path.write_bytes(content)
    with pytest.raises(TfdfdError, match=r"people.parquet .*run `tfdfd people --store"):
        read_people(tmp_path)


def test_the_manifest_names_all_people_of_a_clip_and_keeps_whom_it_named():
    table = table_of(("a", 0, "", "f"), ("b", 0, "", "f"), ("c", 0, "", "f")).assign(person=["", "id1", ""])
    told = with_people(table, seen(a="p1 p2", b="p1"))["person"].tolist()
    assert told == ["p1;p2", "id1;p1", ""]
    again = with_people(with_people(table, seen(a="p1 p2", b="p1")), seen(a="p1 p2", b="p1"))["person"].tolist()
    assert again == told


def test_clips_that_came_after_are_known_to_be_unknown():
    tracks = seen(a="x x", b="x", c="x")
    assert unknown_people(tracks, seen(a="p1 p2", d="p1")).tolist() == ["b", "c"]
    assert unknown_people(tracks, seen(a="p1", b="p1", c="p1")).tolist() == ["a"], "its second track came after"


# --- splits ----------------------------------------------------------------------------------------------------


def six_pairs():
    """Six originals with a fake each, in three folders."""
    rows = [(f"r{i}", 0, "", f"f{i % 3}") for i in range(6)] + [(f"x{i}", 1, f"r{i}", f"f{i % 3}") for i in range(6)]
    return table_of(*rows)


def test_clips_of_one_person_are_one_set_with_their_fakes():
    table = with_people(six_pairs(), seen(r0="p1", r1="p1 p2", r2="p2", x5="p3", r4="p3"))
    assert frozenset(["r0", "x0", "r1", "x1", "r2", "x2"]) in sets_of(table)
    assert frozenset(["r5", "x5", "r4", "x4"]) in sets_of(table)
    assert frozenset(["r3", "x3"]) in sets_of(table)


def test_a_split_by_share_keeps_each_person_on_one_side():
    table = with_people(six_pairs(), seen(r0="p1", r1="p1", r2="p2", r3="p2", x4="p2"))
    split = split_manifest(table, val_fraction=0.34, seed=0)
    assert_whole(split)
    sides = people_of_sides(split.table)
    assert sides[TRAIN] | sides[VAL] == {"p1", "p2"}
    assert not sides[TRAIN] & sides[VAL]


@pytest.mark.parametrize("chosen", [{"val_folders": "f2"}, {"val_originals": "r2,r5"}])
def test_folders_that_part_a_person_are_refused_with_people_clips_and_what_to_do(chosen):
    table = with_people(six_pairs(), seen(r0="p1", r2="p1", r5="p2"))
    with pytest.raises(TfdfdError, match=r"puts 1 people on both sides") as error:
        split_manifest(table, **chosen, seed=0)
    assert "p1: training r0; validation r2" in str(error.value)
    assert "--drop-parted" in str(error.value)


@pytest.mark.parametrize("chosen", [{"val_folders": "f2"}, {"val_originals": "r2,r5"}])
def test_drop_parted_leaves_out_those_who_cross_with_their_fakes_and_no_more(chosen):
    table = with_people(six_pairs(), seen(r0="p1", x1="p1", r2="p1", r3="p2", r5="p3"))
    split = split_manifest(table, **chosen, seed=0, drop_parted=True)
    assert set(split.table["clip_id"]) == {"r2", "r3", "r4", "r5", "x2", "x3", "x4", "x5"}
    assert val_ids(split) == {"r2", "x2", "r5", "x5"}
    assert_whole(split)
    assert any("4 training clips (2 real, 2 fake) are left out" in note for note in split.notes)


def test_drop_parted_leaves_nothing_out_where_nobody_crosses():
    table = with_people(six_pairs(), seen(r0="p1", r1="p1"))
    split = split_manifest(table, val_folders="f2", seed=0, drop_parted=True)
    assert len(split.table) == 12


def test_drop_parted_without_folders_or_originals_is_refused():
    with pytest.raises(TfdfdError, match="give one of these"):
        split_manifest(six_pairs(), val_fraction=0.3, seed=0, drop_parted=True)


def test_a_donor_named_as_a_person_counts_as_seen():
    """As in Celeb-DF: the fake shows the face of id2."""
    table = table_of(("a", 0, "", "f0"), ("b", 0, "", "f1"), ("xa", 1, "a", "f0"), ("xb", 1, "b", "f1"))
    table = table.assign(person=["id1", "id2", "id1", "id2"], donor=["", "", "id2", "id9"])
    with pytest.raises(TfdfdError, match="id2: training xa; validation b, xb"):
        split_manifest(table, val_folders="f1", seed=0)


def test_one_person_in_all_clips_cannot_be_split():
    table = with_people(six_pairs(), seen(**{f"r{i}": "p1" for i in range(6)}))
    with pytest.raises(TfdfdError, match="1 connected sets"):
        split_manifest(table, val_fraction=0.3, seed=0)


def test_merged_records_keep_a_person_whom_one_model_trained_on_from_validation():
    def record(split, clip_id):
        row = {"clip_id": clip_id, "original": "", "donor": "", "person": "p1", "folder": "f", "split": split}
        return pd.DataFrame([row])

    merged = merge_splits([record("train", "a"), record("val", "b")])
    assert merged["split"].tolist() == ["train", "train"]
