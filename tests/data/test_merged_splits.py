"""What several models know, merged: nothing that one was trained on is left to validate by."""

import pandas as pd

from tfdfd.data.merged_splits import merge_splits


def recorded(*rows):
    """Rows of clip id, original and split."""
    table = pd.DataFrame(rows, columns=["clip_id", "original", "split"])
    return table.assign(donor="", folder="f")[["clip_id", "original", "donor", "folder", "split"]]


def sides(*tables):
    merged = merge_splits(tables)
    assert list(merged.columns) == ["clip_id", "original", "donor", "folder", "split"]
    return dict(zip(merged["clip_id"], merged["split"], strict=True))


def test_models_of_the_same_split_keep_it():
    table = recorded(("a", "", "train"), ("a_fake", "a", "train"), ("b", "", "val"), ("c", "", "calibration"))
    assert merge_splits([table, table]).equals(table)


def test_a_clip_that_any_model_was_trained_on_is_a_training_clip():
    one = recorded(("a", "", "train"), ("b", "", "val"), ("c", "", "val"))
    other = recorded(("b", "", "train"), ("a", "", "val"), ("c", "", "val"), ("d", "", "val"))
    assert sides(one, other) == {"a": "train", "b": "train", "c": "val", "d": "val"}


def test_what_a_rule_was_fitted_on_is_no_validation_clip_but_training_counts_for_more():
    one = recorded(("a", "", "calibration"), ("b", "", "calibration"), ("c", "", "val"))
    other = recorded(("a", "", "val"), ("b", "", "train"))
    assert sides(one, other) == {"a": "calibration", "b": "train", "c": "val"}


def test_a_fake_of_an_original_that_another_model_was_trained_on_is_no_validation_clip():
    one = recorded(("fake_of_a", "a", "val"), ("other_fake_of_a", "a", "val"), ("fake_of_b", "b", "val"))
    assert sides(one, recorded(("a", "", "train"))) == {
        "fake_of_a": "train", "other_fake_of_a": "train", "fake_of_b": "val", "a": "train",
    }  # fmt: skip


def test_the_same_recording_in_another_compression_is_known_too():
    assert sides(recorded(("youtube/c40/001", "", "val")), recorded(("youtube/c23/001", "", "train"))) == {
        "youtube/c40/001": "train",
        "youtube/c23/001": "train",
    }


def test_where_models_record_another_original_both_count():
    merged = merge_splits([recorded(("x", "a", "val")), recorded(("x", "b", "train")), recorded(("a", "", "val"))])
    assert set(zip(merged["clip_id"], merged["original"], merged["split"], strict=True)) == {
        ("x", "a", "train"), ("x", "b", "train"), ("a", "", "train"),
    }  # fmt: skip


def test_models_that_record_nothing_give_nothing():
    assert len(merge_splits([recorded(), recorded()])) == 0
