"""A folder becomes one table, or a message that says what to do."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.data.layouts import LAYOUTS
from tfdfd.data.manifest import COLUMNS, Manifest, load_manifest


def test_the_table_has_all_columns_whatever_the_layout_knows(tmp_path):
    (tmp_path / "index.csv").write_text("label,clip_id,notes\nREAL,007,x\nFAKE,NA,y\n")
    table = load_manifest(tmp_path / "index.csv").table
    assert tuple(table.columns) == COLUMNS
    assert table["clip_id"].tolist() == ["007", "NA"]
    assert table["label"].dtype == "int64"
    assert table.drop(columns=["clip_id", "label", "dataset"]).eq("").all(axis=None)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(TfdfdError, match=r"nowhere does not exist.*--demo"):
        load_manifest(tmp_path / "nowhere")


def test_an_empty_folder_has_its_own_message(tmp_path):
    with pytest.raises(TfdfdError, match=r"is empty.*--demo"):
        load_manifest(tmp_path)


def test_an_unknown_layout_says_which_were_tried_and_where_one_is(tmp_path):
    (tmp_path / "holiday.mp4").write_bytes(b"")
    (tmp_path / "inside" / "Celeb-real").mkdir(parents=True)
    with pytest.raises(TfdfdError) as error:
        load_manifest(tmp_path)
    message = str(error.value)
    for layout in LAYOUTS.values():
        assert layout.expects in message
    assert "holiday.mp4" in message
    assert "--demo" in message
    assert str(tmp_path / "inside") in message


def test_two_layouts_in_one_folder_are_an_error_that_names_both(tmp_path):
    (tmp_path / "manifest.csv").write_text("clip_id,label\na,REAL\n")
    (tmp_path / "original_sequences").mkdir()
    with pytest.raises(TfdfdError, match=r"(?s)more than one layout.*FaceForensics.*CSV"):
        load_manifest(tmp_path)
    assert len(load_manifest(tmp_path / "manifest.csv")) == 1


def test_a_video_is_no_data_folder(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(TfdfdError, match=r"a\.mp4 is a file"):
        load_manifest(tmp_path / "a.mp4")


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "metadata.json").write_text("{}")
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(TfdfdError, match=r"metadata\.json cannot be read: Permission denied"):
        load_manifest(tmp_path)


def test_a_manifest_checks_itself(tmp_path):
    (tmp_path / "index.csv").write_text("clip_id,label\na,REAL\nb,FAKE\n")
    good = load_manifest(tmp_path / "index.csv")
    with pytest.raises(ValueError, match="unique"):
        Manifest(table=good.table.assign(clip_id="a"), layout="csv", root=tmp_path)
    with pytest.raises(ValueError, match="layout must be one of"):
        Manifest(table=good.table, layout="zip", root=tmp_path)
    with pytest.raises(ValueError, match="has the columns"):
        Manifest(table=pd.DataFrame({"clip_id": ["a"]}), layout="csv", root=tmp_path)


def test_manifest_and_splits_do_not_import_tensorflow():
    code = "import sys, tfdfd.data.manifest, tfdfd.data.splits; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
