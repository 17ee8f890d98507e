"""Which clips are scored, and that nothing that a model was trained on slips in."""

import pandas as pd
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.commands.console import make_console
from tfdfd.commands.evaluated_clips import choose_clips
from tfdfd.data.manifest import COLUMNS


class Model:
    """A model that records which clips it was trained and validated on."""

    def __init__(self, *clips):
        self._clips = pd.DataFrame(clips, columns=["clip_id", "original", "donor", "folder", "split"])

    def clips(self):
        return self._clips


def manifest(*rows):
    """Rows of clip id, label, original and folder."""
    table = pd.DataFrame(rows, columns=["clip_id", "label", "original", "folder"])
    return table.reindex(columns=list(COLUMNS)).fillna({name: "" for name in COLUMNS if name != "label"})


TWO_FOLDERS = manifest(
    ("a", 0, "", "one"), ("a_fake", 1, "a", "one"), ("b", 0, "", "two"), ("b_fake", 1, "b", "two"),
    ("c", 0, "", "three"), ("c_fake", 1, "c", "three"),
)  # fmt: skip


def choose(table, *models, **options):
    defaults = {"val_folders": None, "calibrate_folders": None, "include_train": False}
    return choose_clips(table, models or [Model()], **(defaults | options), console=make_console())


def test_without_folders_the_clips_that_the_model_validated_on_are_scored():
    model = Model(("a", "", "", "one", "train"), ("b", "", "", "two", "val"), ("b_fake", "b", "", "two", "val"))
    chosen = choose(TWO_FOLDERS, model)
    assert chosen.table["clip_id"].tolist() == ["b", "b_fake"]
    assert (chosen.num_train_originals, chosen.num_originals, chosen.num_in_both) == (1, 1, 0)


def test_a_fake_whose_original_was_trained_on_is_refused():
    model = Model(("a", "", "", "one", "train"))
    with pytest.raises(TfdfdError, match=r"trained on 1 of these 4 clips.*b_fake"):
        choose(manifest(*[
            ("b", 0, "", "two"), ("b_fake", 1, "a", "two"), ("c", 0, "", "three"), ("c_fake", 1, "c", "three"),
        ]), model)  # fmt: skip


def test_a_clip_that_shows_somebody_who_was_trained_on_is_refused():
    model = Model(("a", "", "", "one", "train"))
    model._clips["person"] = "p1@x;p2@x"
    table = manifest(("b", 0, "", "two"), ("b_fake", 1, "b", "two"))
    assert len(choose(table.assign(person=["p3@x", ""]), model).table) == 2
    with pytest.raises(TfdfdError, match=r"somebody seen in them, the first: b\."):
        choose(table.assign(person=["p3@x;p2@x", ""]), model)


def test_an_original_whose_fake_was_trained_on_is_refused_in_any_compression():
    model = Model(("Deepfakes/c23/001_002", "youtube/c23/001", "youtube/c23/002", "f", "train"))
    table = manifest(("youtube/c40/002", 0, "", "f"), ("x", 1, "y", "f"))
    with pytest.raises(TfdfdError, match="youtube/c40/002"):
        choose(table, model)


def test_it_is_enough_that_one_of_several_models_was_trained_on_a_clip():
    seen, other = Model(("b", "", "", "two", "train")), Model(("z", "", "", "f", "train"))
    with pytest.raises(TfdfdError, match="trained on"):
        choose(TWO_FOLDERS, other, seen, val_folders="two")


def test_include_train_scores_them_all_the_same_and_counts_them():
    chosen = choose(TWO_FOLDERS, Model(("b", "", "", "two", "train")), val_folders="two", include_train=True)
    assert chosen.num_in_both == 1


def test_a_donor_that_was_trained_on_counts_as_crossing_too():
    table = manifest(("a", 0, "", "one"), ("a_fake", 1, "a", "one")).assign(donor=["", "z"])
    model = Model(("z", "", "", "f", "train"))
    with pytest.raises(TfdfdError, match="a_fake"):
        choose(table, model)
    assert choose(table, model, include_train=True).num_in_both == 1


def test_no_flag_calibrates_on_what_was_trained_on():
    model = Model(("a", "", "", "one", "train"))
    with pytest.raises(TfdfdError, match="was trained on 2 of these 2"):
        choose(TWO_FOLDERS, model, val_folders="two", calibrate_folders="one", include_train=True)


def test_clips_that_chose_the_best_epoch_are_counted_and_silence_proves_nothing():
    model = Model(("b", "", "", "two", "val"), ("b_fake", "b", "", "two", "val"), ("q", "", "", "f", "train"))
    assert choose(TWO_FOLDERS, model).num_chosen_by == 2
    silent = choose(TWO_FOLDERS)
    assert (silent.num_train_originals, silent.num_in_both) == (None, None)


def test_folders_to_calibrate_on_are_not_among_those_that_figures_are_of():
    chosen = choose(TWO_FOLDERS, calibrate_folders="one")
    assert chosen.table["clip_id"][chosen.is_calibration].tolist() == ["a", "a_fake"]
    assert chosen.num_originals == 2


def test_folders_for_both_are_refused():
    with pytest.raises(TfdfdError, match="share 2 clips"):
        choose(TWO_FOLDERS, val_folders="one,two", calibrate_folders="one")


def test_an_original_and_its_fake_on_two_sides_are_refused():
    table = manifest(
        ("a", 0, "", "one"), ("b_fake", 1, "b", "one"), ("b", 0, "", "two"), ("a2", 1, "", "two"),
    )  # fmt: skip
    with pytest.raises(TfdfdError, match=r"parts connected sets[\s\S]*calibration side[\s\S]*evaluation side"):
        choose(table, val_folders="two", calibrate_folders="one")


@pytest.mark.parametrize("options", [{"val_folders": "real"}, {"val_folders": "one", "calibrate_folders": "real"}])
def test_folders_of_one_label_are_refused(options):
    table = manifest(("r", 0, "", "real"), ("a", 0, "", "one"), ("a_fake", 1, "a", "one"))
    with pytest.raises(TfdfdError, match="are real: most figures compare"):
        choose(table, **options)


def test_a_folder_that_is_not_there_is_named_with_its_flag():
    with pytest.raises(TfdfdError, match="--calibrate-folders: no folder matches 'four'"):
        choose(TWO_FOLDERS, calibrate_folders="four")
