"""No split parts a fake from its original, and each says what it did or why not."""

import time

import numpy as np
import pandas as pd
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.data.manifest import COLUMNS, load_manifest
from tfdfd.data.splits import TRAIN, VAL, connected_sets, describe_split, split_manifest


def table_of(*rows, **columns):
    """Rows of (clip_id, label, original, folder); further columns by name."""
    table = pd.DataFrame(rows, columns=["clip_id", "label", "original", "folder"]).assign(**columns)
    return table.reindex(columns=list(COLUMNS)).fillna("").astype({"label": "int64"})


def sets_of(table):
    """The connected sets as a set of frozensets of clip ids."""
    groups = table["clip_id"].groupby(connected_sets(table))
    return {frozenset(group) for _, group in groups}


def pairs(count, *, fakes=1, folders=1):
    rows = []
    for i in range(count):
        rows.append((f"r{i}", 0, "", f"f{i % folders}"))
        rows += [(f"r{i}x{j}", 1, f"r{i}", f"f{i % folders}") for j in range(fakes)]
    return table_of(*rows)


def val_ids(split):
    return set(split.table["clip_id"][split.sides == VAL])


def assert_whole(split):
    sides = pd.Series(split.sides).groupby(connected_sets(split.table)).nunique()
    assert (sides == 1).all()


# --- connected sets --------------------------------------------------------------------------------------------


def test_a_fake_is_with_its_original_and_no_one_else():
    table = table_of(("a", 0, "", "f"), ("b", 1, "a", "f"), ("c", 0, "", "f"), ("d", 1, "c", "g"))
    assert sets_of(table) == {frozenset("ab"), frozenset("cd")}


def test_an_absent_original_links_the_fakes_that_name_it():
    table = table_of(("b", 1, "gone", "f"), ("c", 1, "gone", "g"), ("d", 1, "other", "f"))
    assert sets_of(table) == {frozenset("bc"), frozenset("d")}


def test_clips_swapped_with_each_other_are_one_set_in_all_compressions():
    def swap(target, donor, compression):
        return (f"Deepfakes/{compression}/{target}_{donor}", 1, f"youtube/{compression}/{target}", "Deepfakes")

    table = table_of(
        ("youtube/c23/183", 0, "", "youtube"),
        ("youtube/c40/253", 0, "", "youtube"),
        swap("183", "253", "c23"),
        swap("720", "672", "c23"),
        swap("672", "720", "c40"),
        donor=["", "", "youtube/c23/253", "youtube/c23/672", "youtube/c40/720"],
        compression=["c23", "c40", "c23", "c23", "c40"],
    )
    assert sorted(map(len, sets_of(table))) == [2, 3]


def test_a_person_and_the_donor_of_their_face_are_one_set():
    table = table_of(
        ("Celeb-real/id0_0000", 0, "", "Celeb-real"),
        ("Celeb-real/id1_0005", 0, "", "Celeb-real"),
        ("Celeb-synthesis/id0_id1_0000", 1, "Celeb-real/id0_0000", "Celeb-synthesis"),
        ("Celeb-real/id7_0000", 0, "", "Celeb-real"),
        ("YouTube-real/00000", 0, "", "YouTube-real"),
        person=["Celeb-real/id0", "Celeb-real/id1", "Celeb-real/id0", "Celeb-real/id7", ""],
        donor=["", "", "Celeb-real/id1", "", ""],
    )
    assert sorted(map(len, sets_of(table))) == [1, 1, 3]


def test_a_fake_of_unknown_original_goes_with_its_folder():
    table = table_of(("a", 0, "", "f"), ("b", 0, "", "f"), ("x", 1, "", "f"), ("c", 0, "", "g"), ("d", 1, "c", "g"))
    assert sets_of(table) == {frozenset("abx"), frozenset("cd")}


def test_whole_folders_can_be_kept_together():
    table = table_of(("a", 0, "", "f"), ("b", 0, "", "f"), ("c", 1, "a", "g"), ("d", 1, "e", "h"))
    assert len(set(connected_sets(table, whole_folders=True)[:3])) == 1
    assert len(set(connected_sets(table, whole_folders=True))) == 2


def test_an_empty_table_has_no_sets():
    assert connected_sets(table_of()).shape == (0,)


# --- by folders ------------------------------------------------------------------------------------------------


def test_val_folders_takes_names_and_patterns():
    table = pairs(12, folders=12)
    split = split_manifest(table, val_folders="f3, f1?", seed=0)
    assert set(split.table["folder"][split.sides == VAL]) == {"f3", "f10", "f11"}
    assert split.rule == "val_folders=f3, f1?"
    assert set(split.sides) == {TRAIN, VAL}


def test_val_folders_that_match_nothing_lists_the_folders():
    with pytest.raises(TfdfdError, match=r"no folder matches 'part_9'.*f0, f1, f2"):
        split_manifest(pairs(3, folders=3), val_folders="f1,part_9", seed=0)


def test_val_folders_that_part_a_set_list_both_sides_bounded():
    rows = [("a", 0, "", "real"), *((f"x{i:02}", 1, "a", "fake") for i in range(30))]
    with pytest.raises(TfdfdError) as error:
        split_manifest(table_of(*rows), val_folders="real", seed=0)
    message = str(error.value)
    assert "training side (30 clips): x00, x01" in message
    assert "x09 and 20 more" in message
    assert "x10" not in message
    assert "validation side (1 clips): a" in message


# --- by originals ----------------------------------------------------------------------------------------------

SWAPPED = table_of(
    ("youtube/c23/183", 0, "", "youtube"),
    ("youtube/c23/253", 0, "", "youtube"),
    ("youtube/c23/720", 0, "", "youtube"),
    ("Deepfakes/c23/183_253", 1, "youtube/c23/183", "Deepfakes"),
    ("Deepfakes/c23/253_183", 1, "youtube/c23/253", "Deepfakes"),
    ("Deepfakes/c23/720_672", 1, "youtube/c23/720", "Deepfakes"),
    donor=["", "", "", "youtube/c23/253", "youtube/c23/183", "youtube/c23/672"],
    compression="c23",
)


@pytest.mark.parametrize("named", ["183,253", "youtube/c23/183, 253"])
def test_val_originals_take_their_fakes_along(named):
    split = split_manifest(SWAPPED, val_originals=named, seed=0)
    assert {clip_id.rsplit("/", 1)[-1] for clip_id in val_ids(split)} == {"183", "253", "183_253", "253_183"}


def test_an_original_without_those_it_was_swapped_with_says_which_to_name():
    with pytest.raises(TfdfdError) as error:
        split_manifest(SWAPPED, val_originals="183,720", seed=0)
    message = str(error.value)
    assert "Name also 253" in message
    assert "training side (2 clips): youtube/c23/253, Deepfakes/c23/253_183" in message
    assert "validation side (2 clips): youtube/c23/183, Deepfakes/c23/183_253" in message


def test_an_absent_original_can_be_named():
    table = table_of(("x", 1, "gone", "f"), ("y", 1, "a", "f"), ("a", 0, "", "f"), ("b", 0, "", "f"))
    split = split_manifest(table, val_originals="gone,b", seed=0)
    assert val_ids(split) == {"x", "b"}


def test_a_fake_of_unknown_original_follows_the_originals_of_its_folder():
    table = table_of(("a", 0, "", "f"), ("x", 1, "", "f"), ("c", 0, "", "g"), ("d", 1, "c", "g"))
    assert val_ids(split_manifest(table, val_originals="a", seed=0)) == {"a", "x"}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("184", "no original '184' among 3. Near it: 183"),
        ("183_253", "is a fake; name its original youtube/183"),
        (" , ", "must name something"),
    ],
)
def test_a_wrong_original_is_explained(named, said):
    with pytest.raises(TfdfdError, match=said):
        split_manifest(SWAPPED, val_originals=named, seed=0)


def test_a_stem_of_two_originals_asks_for_the_whole_id():
    table = table_of(("p/1", 0, "", "p"), ("q/1", 0, "", "q"), ("x", 1, "p/1", "p"), ("y", 1, "q/1", "q"))
    with pytest.raises(TfdfdError, match="any of p/1, q/1"):
        split_manifest(table, val_originals="1", seed=0)
    assert val_ids(split_manifest(table, val_originals="p/1", seed=0)) == {"p/1", "x"}


# --- by fraction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_val_fraction_is_met_in_whole_sets_with_both_labels_alike(fraction):
    table = pairs(200, fakes=4)
    split = split_manifest(table, val_fraction=fraction, seed=3)
    assert_whole(split)
    counts = describe_split(split.table)
    assert abs(counts.loc[VAL, "clips"] / 1000 - fraction) < 0.01
    assert counts.loc[VAL, "fake"] == 4 * counts.loc[VAL, "real"]


def test_the_same_seed_gives_the_same_sides_in_any_order_of_rows_and_another_seed_others():
    table = pairs(50, fakes=2)
    first = val_ids(split_manifest(table, val_fraction=0.2, seed=1))
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)
    assert val_ids(split_manifest(shuffled, val_fraction=0.2, seed=1)) == first
    assert val_ids(split_manifest(table, val_fraction=0.2, seed=2)) != first


@pytest.mark.parametrize("seed", range(5))
def test_few_sets_still_leave_both_labels_on_both_sides(seed):
    table = table_of(
        ("a", 0, "", ""),
        ("b", 0, "", ""),
        ("c", 0, "", ""),
        ("x", 1, "c", ""),
        ("y", 1, "gone", "g"),
        ("z", 1, "c", ""),
    )
    split = split_manifest(table, val_fraction=0.2, seed=seed)
    assert_whole(split)
    assert (describe_split(split.table)[["real", "fake"]] > 0).all(axis=None)


def test_one_connected_set_cannot_be_split_and_says_why():
    table = table_of(("a", 0, "", "f"), ("b", 0, "", "f"), ("x", 1, "", "f"))
    with pytest.raises(TfdfdError, match=r"3 clips form 1 connected sets.*1 fakes of unknown original"):
        split_manifest(table, val_fraction=0.5, seed=0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1, float("nan")])
def test_a_fraction_must_leave_two_sides(fraction):
    with pytest.raises(TfdfdError, match="above 0 and below 1"):
        split_manifest(pairs(4), val_fraction=fraction, seed=0)


# --- the default -----------------------------------------------------------------------------------------------


def test_without_options_the_published_list_is_used():
    split = split_manifest(pairs(4).assign(official_split=["test"] * 2 + ["train"] * 6), seed=0)
    assert val_ids(split) == {"r0", "r0x0"}
    assert split.rule == "official_split=test"
    assert "published testing list" in split.notes[0]


@pytest.mark.parametrize(
    ("listed", "why"), [({"r0", "r1x0"}, "parts 2 connected sets"), ({"YouTube"}, "validation has no fake clip")]
)
def test_a_published_list_that_cannot_serve_gives_way_and_says_why(listed, why):
    table = pd.concat([pairs(10), table_of(("YouTube", 0, "", "y"))], ignore_index=True)
    official = np.where(table["clip_id"].isin(listed), "test", "train")
    split = split_manifest(table.assign(official_split=official), seed=0)
    assert why in split.notes[0]
    assert split.rule == "val_fraction=0.2"
    assert_whole(split)


def test_without_options_whole_folders_are_held_out_where_that_can_be():
    split = split_manifest(pairs(100, folders=10), seed=0)
    assert describe_split(split.table)["folders"].tolist() == [8, 2]
    assert "whole folders" in split.notes[0]
    name, _, folders = split.rule.partition("=")
    assert name == "val_folders"
    assert val_ids(split_manifest(split.table, val_folders=folders, seed=9)) == val_ids(split)


# --- every way -------------------------------------------------------------------------------------------------


def test_two_ways_at_once_are_refused():
    with pytest.raises(TfdfdError, match=r"Give one of.*--val-folders f0 and --val-fraction 0\.2"):
        split_manifest(pairs(4), val_folders="f0", val_fraction=0.2, seed=0)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ("real", r"training 2 clips \(1 real, 1 fake\); validation 1 clips \(1 real, 0 fake\)"),
        ("*", r"training 0 clips \(0 real, 0 fake\)"),
    ],
)
def test_an_empty_or_one_label_side_is_refused_with_counts(folders, said):
    table = table_of(("a", 0, "", "real"), ("b", 0, "", "f"), ("x", 1, "b", "f"))
    with pytest.raises(TfdfdError, match=said):
        split_manifest(table, val_folders=folders, seed=0)


def test_data_of_one_label_is_refused_for_training():
    with pytest.raises(TfdfdError, match=r"the data gives all clips 2 clips \(2 real, 0 fake\)"):
        split_manifest(table_of(("a", 0, "", "f"), ("b", 0, "", "g")), seed=0)


def test_fakes_that_nothing_links_are_announced():
    table = table_of(("a", 0, "", ""), ("b", 0, "", ""), ("x", 1, "", ""), ("y", 1, "", ""))
    split = split_manifest(table, val_fraction=0.5, seed=0)
    assert any("2 fakes have neither" in note for note in split.notes)


def test_the_description_counts_each_side():
    split = split_manifest(pairs(12, fakes=3, folders=12), val_folders="f1?", seed=0)
    described = describe_split(split.table)
    assert described.loc[VAL].to_dict() == {
        "clips": 8,
        "real": 2,
        "fake": 6,
        "folders": 2,
        "sets": 2,
        "folder_names": "f10, f11",
    }
    assert described.loc[TRAIN, "folder_names"].endswith("and 5 more")


# --- real material ---------------------------------------------------------------------------------------------


@pytest.mark.clips
def test_the_clips_of_issue_2_split_as_it_says(test_data):
    ffpp = load_manifest(test_data / "clips/ffpp").table
    assert describe_split(split_manifest(ffpp, val_originals="183,253", seed=0).table)["clips"].tolist() == [20, 10]
    dfdc = load_manifest(test_data / "clips/dfdc").table
    split = split_manifest(dfdc, val_folders="dfdc_train_part_28", seed=0)
    assert describe_split(split.table)["clips"].tolist() == [6, 3]


@pytest.mark.clips
@pytest.mark.parametrize("options", [{"val_folders": "dfdc_train_part_4?"}, {"val_fraction": 0.2}, {}])
def test_the_dfdc_index_loads_checks_and_splits_in_3_seconds(test_data, options):
    # Processor time, so that a busy machine does not fail it.
    start = time.process_time()
    manifest = load_manifest(test_data / "dfdc_index.csv")
    split = split_manifest(manifest.table, **options, seed=0)
    assert time.process_time() - start < 3
    assert len(manifest) == 119_146
    assert_whole(split)
    assert 0.15 < (split.sides == VAL).mean() < 0.25
