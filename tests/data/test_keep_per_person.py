"""A small training set that keeps everyone."""

import numpy as np
import pandas as pd
import pytest

from tests.data.test_people import seen
from tests.data.test_splits import table_of
from tfdfd.data.keep_per_person import csv_of, keep_per_person
from tfdfd.data.manifest import load_manifest


def many():
    """Ten real clips of p1, two of p2, one of p3 beside p4; four fakes of each by two methods."""
    people = {f"r{i}": "p1" for i in range(10)} | {"s0": "p2", "s1": "p2", "t0": "p3 p4"}
    rows = [(clip, 0, "", "f") for clip in people]
    methods = [""] * len(rows)
    for clip in list(people):
        for fake in range(4):
            rows.append((f"{clip}x{fake}", 1, clip, "f"))
            methods.append(f"m{fake % 2}")
            people[f"{clip}x{fake}"] = f"alone{clip}{fake}"
    return table_of(*rows, method=methods), seen(**people)


def kept(count, *, seed=0, shuffled=False):
    table, people = many()
    if shuffled:
        table = table.iloc[::-1].reset_index(drop=True)
    return table[keep_per_person(table, people, count=count, seed=seed)]


def test_of_each_person_so_many_real_clips_and_fakes_are_kept():
    rows = kept(2)
    real = rows[rows["label"] == 0]["clip_id"].str[0].value_counts()
    fake = rows[rows["label"] == 1]["clip_id"].str[0].value_counts()
    assert real.to_dict() == {"r": 2, "s": 2, "t": 1}
    assert fake.to_dict() == {"r": 2, "s": 2, "t": 2}


def test_fakes_are_made_from_kept_clips_by_several_methods():
    rows = kept(2)
    fakes = rows[rows["label"] == 1]
    assert set(fakes["original"]) <= set(rows["clip_id"])
    assert set(fakes[fakes["clip_id"].str[0] == "r"]["method"]) == {"m0", "m1"}


def test_the_choice_follows_from_the_seed_and_not_from_the_order_of_rows():
    assert set(kept(2)["clip_id"]) == set(kept(2, shuffled=True)["clip_id"])
    assert any(set(kept(2)["clip_id"]) != set(kept(2, seed=seed)["clip_id"]) for seed in range(1, 5))


def test_everyone_is_kept_also_who_is_seen_beside_others_only():
    table = table_of(*[(f"a{i}", 0, "", "f") for i in range(8)])
    people = seen(**{f"a{i}": f"p1 by{i}" for i in range(8)})
    rows = table[keep_per_person(table, people, count=1, seed=0)]
    assert len(rows) == 8  # each bystander is in one clip alone


def test_fakes_of_absent_originals_go_by_the_originals_name():
    table = table_of(("x0", 1, "gone", "f"), ("x1", 1, "gone", "f"), ("x2", 1, "", "f"), ("a", 0, "", "f"))
    people = seen(x0="q0", x1="q1", x2="q2", a="p1")
    assert sorted(table[keep_per_person(table, people, count=1, seed=0)]["clip_id"].str[0]) == ["a", "x", "x"]


def test_a_clip_without_a_face_is_never_kept():
    table = table_of(("a", 0, "", "f"), ("b", 0, "", "f"))
    assert keep_per_person(table, seen(a="p1"), count=1, seed=0).tolist() == [True, False]


def test_a_count_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        keep_per_person(*many(), count=0, seed=0)


def test_the_csv_is_read_as_a_manifest(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    table = table_of(("a", 1, "r", "f"), method="swap", person="p1;p2").assign(path=str(tmp_path / "a.mp4"))
    csv_of(table).to_csv(tmp_path / "manifest.csv", index=False)
    read = load_manifest(tmp_path).table
    pd.testing.assert_frame_equal(read, table.assign(dataset="csv"), check_dtype=False)
    assert np.asarray(read["label"]).tolist() == [1]
