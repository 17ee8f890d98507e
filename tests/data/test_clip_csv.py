"""A CSV is read as spreadsheets export it where it is unambiguous, and what was read otherwise is said."""

from __future__ import annotations

import unicodedata

import pytest

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.manifest import load_manifest

ROWS = [("clip_id", "path", "label", "original"), ("a", "clips/a.mp4", "REAL", ""), ("Zoë", "clips/b.mp4", "FAKE", "a")]


def write(folder, content, *, name="my.csv"):
    for clip in ("a", "b"):
        (folder / "clips").mkdir(exist_ok=True)
        (folder / "clips" / f"{clip}.mp4").write_bytes(b"")
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def text_of(delimiter=",", newline="\n"):
    return newline.join(delimiter.join(row) for row in ROWS) + newline


def labels_of(manifest):
    return dict(zip(manifest.table["clip_id"], manifest.table["label"], strict=True))


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_and_delimiters(tmp_path, encoding, said, delimiter):
    manifest = load_manifest(write(tmp_path, text_of(delimiter, "\r\n").encode(encoding)))
    assert labels_of(manifest) == {"a": REAL, "Zoë": FAKE}
    assert manifest.table["original"].tolist() == ["", "a"]
    notes = " ".join(manifest.notes)
    assert (said in notes) if said else ("read as" not in notes)
    assert ("separated by" in notes) == (delimiter != ",")


def test_excels_line_of_the_delimiter_is_no_row(tmp_path):
    assert len(load_manifest(write(tmp_path, "sep=;\r\n" + text_of(";")))) == 2


def test_the_header_alone_chooses_the_delimiter(tmp_path):
    file = write(tmp_path, "clip_id,label,person\na,REAL,p1;p2;p3;p4\nb,FAKE,p1\n")
    assert load_manifest(file).table["person"].tolist() == ["p1;p2;p3;p4", "p1"]


@pytest.mark.parametrize(
    ("real", "fake"),
    [("real", "fake"), (" Real ", "FAKE "), ("0", "1"), ("0.0", "1.0"), ("FALSE", "TRUE"), ("REAL", "1")],
)
def test_labels(tmp_path, real, fake):
    manifest = load_manifest(write(tmp_path, f"clip_id,label\na,{real}\nb,{fake}\n"))
    assert labels_of(manifest) == {"a": REAL, "b": FAKE}
    assert any("FAKE" in note for note in manifest.notes) == (fake.strip().lower() != "fake")


def test_numbers_that_seem_to_mean_the_opposite_are_refused(tmp_path):
    with pytest.raises(TfdfdError, match="1 seems to mean real") as error:
        load_manifest(write(tmp_path, "clip_id,label,original\na,1,\nb,0,a\n"))
    assert "Write REAL and FAKE" in str(error.value)


@pytest.mark.parametrize("label", ["2", "maybe", "", "original"])
def test_another_label_is_refused_with_its_line(tmp_path, label):
    with pytest.raises(TfdfdError, match=f"line 3: b '{label}'"):
        load_manifest(write(tmp_path, f"clip_id,label\na,REAL\nb,{label}\n"))


@pytest.mark.parametrize("header", ["Clip_ID,Path,LABEL", " clip id , File Path ,Label", "CLIP,filename,Labels"])
def test_headers_in_any_letters_and_usual_words(tmp_path, header):
    manifest = load_manifest(write(tmp_path, f"{header}\na,clips/a.mp4,REAL\nb,clips/b.mp4,FAKE\n"))
    assert labels_of(manifest) == {"a": REAL, "b": FAKE}
    assert manifest.missing == ()


def test_is_fake_is_a_label(tmp_path):
    manifest = load_manifest(write(tmp_path, "filename,is_fake\nclips/a.mp4,false\nclips/b.mp4,true\n"))
    assert labels_of(manifest) == {"clips/a": REAL, "clips/b": FAKE}
    assert sum("is read as" in note for note in manifest.notes) == 2


def test_two_columns_of_one_meaning_are_refused(tmp_path):
    with pytest.raises(TfdfdError, match="more than one column label"):
        load_manifest(write(tmp_path, "clip_id,label,Label\na,REAL,FAKE\n"))


def test_without_clip_ids_clips_are_named_by_their_paths(tmp_path):
    manifest = load_manifest(write(tmp_path, "path,label,original\nclips/a.mp4,REAL,\nclips/b.mp4,FAKE,a.mp4\n"))
    assert manifest.table["clip_id"].tolist() == ["clips/a", "clips/b"]
    assert manifest.table["original"].tolist() == ["", "clips/a"]
    assert any("no column clip_id" in note for note in manifest.notes)


def test_backslashes_are_folders_where_no_such_file_is_there(tmp_path):
    manifest = load_manifest(write(tmp_path, "path,label\nclips\\a.mp4,REAL\n.\\clips\\b.mp4,FAKE\n"))
    assert manifest.table["path"].tolist() == [str(tmp_path / "clips" / name) for name in ("a.mp4", "b.mp4")]
    assert manifest.table["clip_id"].tolist()[0] == "clips/a"
    assert any("2 paths have \\" in note for note in manifest.notes)


def test_a_file_name_may_have_a_backslash(tmp_path):
    (tmp_path / "odd\\name.mp4").write_bytes(b"")
    manifest = load_manifest(write(tmp_path, "clip_id,path,label\na,odd\\name.mp4,REAL\n"))
    assert manifest.table["path"].tolist() == [str(tmp_path / "odd\\name.mp4")]


def test_names_on_disk_in_other_letters_and_accents_are_found_and_said(tmp_path):
    name = unicodedata.normalize("NFD", "Zoë.MP4")
    (tmp_path / name).write_bytes(b"")
    manifest = load_manifest(write(tmp_path, f"clip_id,path,label\na,{unicodedata.normalize('NFC', 'zoë.mp4')},REAL\n"))
    assert manifest.table["path"].tolist() == [str(tmp_path / name)]
    assert any("other letters" in note for note in manifest.notes)


def test_a_path_that_is_not_there_is_named_as_it_was_tried(tmp_path):
    with pytest.raises(TfdfdError) as error:
        load_manifest(write(tmp_path, "clip_id,path,label\na,C:\\clips\\a.mp4,REAL\n"))
    assert str(tmp_path / "C:/clips/a.mp4") in str(error.value)


def test_empty_rows_at_the_end_are_none(tmp_path):
    assert len(load_manifest(write(tmp_path, text_of() + ",,,\n\n,,,\n"))) == 2


def test_a_header_without_labels_says_what_it_has(tmp_path):
    with pytest.raises(TfdfdError, match=r"lacks \['label', 'clip_id'\].*semicolons") as error:
        load_manifest(write(tmp_path, "clip_id:path:kind\na:b:c\n"))
    assert "clip_id:path:kind" in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    with pytest.raises(TfdfdError, match="none of UTF-8, UTF-16 and Windows-1252"):
        load_manifest(write(tmp_path, b"clip_id,label\n\x81\x8d,REAL\n"))


def test_videos_that_manifest_csv_does_not_name_are_listed(tmp_path):
    file = write(tmp_path, "clip_id,path,label\na,clips/a.mp4,REAL\n", name="manifest.csv")
    assert load_manifest(tmp_path).unlisted == (str(tmp_path / "clips/b.mp4"),)
    assert load_manifest(file).unlisted == ()
