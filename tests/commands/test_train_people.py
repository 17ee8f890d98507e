"""run_train.py splits by the people whom `tfdfd people` found in its store."""

import pytest

from tests.commands.test_people import EMBEDDER, ROWS, make_store
from tfdfd.clip import TfdfdError
from tfdfd.commands import train
from tfdfd.commands.people import main as find_people
from tfdfd.data.splits import VAL


class SplitMade(Exception):
    """Ends a run once it has its split."""


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    store = make_store(tmp_path, ROWS)
    assert find_people(["--store", str(store.folder), *EMBEDDER]) == 0
    return store


def split_of(store, monkeypatch, *flags):
    def stop(split, console):
        train.print_people_of_sides(split.table, console)
        raise SplitMade(split)

    monkeypatch.setattr(train, "print_split", stop)
    common = ["--store", str(store.folder), "--weights", "none", "--input-size", "71"]
    with pytest.raises(SplitMade) as made:
        train.main([*common, *flags])
    return made.value.args[0]


def test_folders_that_part_a_person_stop_training_unless_told_otherwise(store, monkeypatch, capsys):
    with pytest.raises(TfdfdError, match=r"puts 1 people on both sides"):
        split_of(store, monkeypatch, "--val-folders", "f0")
    dropped = split_of(store, monkeypatch, "--val-folders", "f0", "--drop-parted")
    assert set(dropped.table["clip_id"]) == {row[0] for row in ROWS} - {"r1", "r1x"}
    assert "nobody in both" in capsys.readouterr().out
    ignoring = split_of(store, monkeypatch, "--val-folders", "f0", "--ignore-people")
    assert len(ignoring.table) == len(ROWS)


def test_a_split_by_share_keeps_people_together_and_does_not_change_the_stores_manifest(store, monkeypatch):
    before = store.manifest()
    split = split_of(store, monkeypatch, "--val-fraction", "0.3")
    sides = dict(zip(split.table["clip_id"], split.sides, strict=True))
    assert sides["r0"] == sides["r1"] == sides["r0x"] == sides["g0"]  # r0x shows the face of g0
    assert VAL in sides.values()
    assert store.manifest().equals(before)
