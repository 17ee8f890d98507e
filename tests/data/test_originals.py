"""Whatever a list calls an original, its fake is never on the other side of a split, and an unknown one is reported."""

from __future__ import annotations

import json
import unicodedata

import pandas as pd
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.data.connected_sets import connected_sets
from tfdfd.data.manifest import COLUMNS, load_manifest
from tfdfd.data.originals import name_key
from tfdfd.data.splits import VAL, split_manifest

NFC = unicodedata.normalize("NFC", "Zoë")
NFD = unicodedata.normalize("NFD", "Zoë")


def table_of(*rows, **columns):
    """Rows of (clip_id, label, original, folder)."""
    table = pd.DataFrame(rows, columns=["clip_id", "label", "original", "folder"]).assign(**columns)
    return table.reindex(columns=list(COLUMNS)).fillna("").astype({"label": "int64"})


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def write_csv(folder, *rows):
    """Write manifest.csv of (clip_id, path, label, original) in folders of its own, and the clips."""
    lines = ["clip_id,path,label,original,folder"]
    for clip_id, path, label, original in rows:
        touch(folder, path)
        lines.append(f"{clip_id},{path},{label},{original},{'reals' if label == 'REAL' else 'fakes'}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


SPELLINGS = [
    ("r0", "r0"),
    ("r0", "r0.mp4"),
    ("r0", "R0"),
    ("r0", "R0.MP4"),
    ("r0", "clips/r0.mp4"),
    ("r0", "clips\\r0.mp4"),
    ("r0", "./r0.mp4"),
    ("r0", " r0 "),
    ("r0.mp4", "r0"),
    ("real/r0", "r0"),
    ("real/r0", "r0.mov"),
    ("real/r0", "elsewhere/real/r0.mp4"),
    ("r0", "/disk/data/real/r0.mp4"),
    (NFC, NFD),
    (NFD, NFC),
    (NFC, f"real/{NFD.upper()}.mp4"),
]


@pytest.mark.parametrize(("clip_id", "original"), SPELLINGS)
def test_no_spelling_parts_a_fake_from_its_original(tmp_path, clip_id, original):
    manifest = load_manifest(
        write_csv(
            tmp_path,
            (clip_id, "clips/r.mp4", "REAL", ""),
            ("other", "clips/other.mp4", "REAL", ""),
            ("f0", "clips/f.mp4", "FAKE", original),
            ("f1", "clips/g.mp4", "FAKE", "other"),
        )
    )
    table = manifest.table
    assert table.set_index("clip_id").loc["f0", "original"] == clip_id
    assert manifest.unknown_originals == ()
    with pytest.raises(TfdfdError, match="parts connected sets"):
        split_manifest(table, val_folders="fakes", seed=0)
    for seed in range(8):
        split = split_manifest(table, val_fraction=0.5, seed=seed)
        sides = dict(zip(split.table["clip_id"], split.sides, strict=True))
        assert sides["f0"] == sides[clip_id] != sides["f1"]


@pytest.mark.parametrize(("clip_id", "original"), SPELLINGS)
def test_a_store_that_holds_the_names_as_they_were_written_is_split_alike(clip_id, original):
    table = table_of(
        (clip_id, 0, "", "a"), ("other", 0, "", "b"), ("f0", 1, original, "a"), ("f1", 1, "other", "b"), compression=""
    )
    sets = dict(zip(table["clip_id"], connected_sets(table), strict=True))
    assert sets["f0"] == sets[clip_id]
    assert sets["other"] == sets["f1"] != sets["f0"]


def test_an_original_may_be_named_by_its_file(tmp_path):
    rows = [("a17", "clips/r0.mp4", "REAL", ""), ("f0", "clips/f.mp4", "FAKE", "r0.mp4")]
    assert load_manifest(write_csv(tmp_path, *rows)).table["original"].tolist() == ["", "a17"]


def test_a_fake_of_the_same_name_is_not_taken_for_the_original(tmp_path):
    rows = [("real/x", "real/x.mp4", "REAL", ""), ("fake/x", "fake/x.mp4", "FAKE", "x.mp4")]
    assert load_manifest(write_csv(tmp_path, *rows)).table["original"].tolist() == ["", "real/x"]


def test_the_folder_decides_among_clips_of_one_name(tmp_path):
    rows = [
        ("a/r0", "a/r0.mp4", "REAL", ""),
        ("b/r0", "b/r0.mp4", "REAL", ""),
        ("f0", "f/f0.mp4", "FAKE", "data/b/r0.mp4"),
    ]
    assert load_manifest(write_csv(tmp_path, *rows)).table["original"].tolist() == ["", "", "b/r0"]


def test_an_ambiguous_name_is_reported_and_its_fake_stays_with_all_that_it_may_mean(tmp_path):
    rows = [
        ("a/r0", "a/r0.mp4", "REAL", ""),
        ("b/r0", "b/r0.mp4", "REAL", ""),
        ("c/r1", "c/r1.mp4", "REAL", ""),
        ("f0", "f/f0.mp4", "FAKE", "r0.mp4"),
    ]
    manifest = load_manifest(write_csv(tmp_path, *rows))
    assert manifest.unknown_originals == ("r0.mp4",)
    [note] = [note for note in manifest.notes if "1 originals are unknown" in note]
    assert "f0" in note
    assert "a/r0, b/r0" in note
    sets = connected_sets(manifest.table)
    assert sets[0] == sets[1] == sets[3] != sets[2]


def test_fakes_of_one_unknown_original_stay_together_in_all_its_spellings(tmp_path):
    rows = [
        ("r", "r.mp4", "REAL", ""),
        *((f"f{i}", f"f{i}.mp4", "FAKE", name) for i, name in enumerate(["gone.mp4", "GONE", "x/gone", "y/gone.mp4"])),
        ("g", "g.mp4", "FAKE", "lost"),
    ]
    manifest = load_manifest(write_csv(tmp_path, *rows))
    assert len(manifest.unknown_originals) == 5
    assert any("5 originals are unknown" in note and "gone.mp4 (of f0)" in note for note in manifest.notes)
    sets = connected_sets(manifest.table).tolist()
    assert len(set(sets[1:5])) == 1
    assert len({sets[0], sets[1], sets[5]}) == 3


def test_originals_in_folders_of_their_own_are_different_recordings():
    table = table_of(("f0", 1, "x/gone", "a"), ("f1", 1, "y/gone", "a"), compression="")
    assert len(set(connected_sets(table))) == 2


def test_every_layout_reports_unknown_originals(tmp_path):
    dfdc = tmp_path / "dfdc" / "part_0"
    touch(dfdc, "a.mp4", "b.mp4")
    listed = {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "gone.mp4"}}
    (dfdc / "metadata.json").write_text(json.dumps(listed))
    touch(tmp_path / "ffpp", "original_sequences/youtube/c23/videos/001.mp4")
    touch(tmp_path / "ffpp", "manipulated_sequences/Deepfakes/c23/videos/183_253.mp4")
    touch(tmp_path / "celeb", "Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0009.mp4")
    for folder, unknown in (("dfdc", "gone"), ("ffpp", "youtube/c23/183"), ("celeb", "Celeb-real/id0_0009")):
        manifest = load_manifest(tmp_path / folder)
        assert manifest.unknown_originals == (unknown,)
        assert any(unknown in note for note in manifest.notes)


def test_another_compression_of_the_original_is_the_same_recording(tmp_path):
    touch(tmp_path, "original_sequences/youtube/raw/videos/183.mp4", "original_sequences/youtube/raw/videos/253.mp4")
    touch(tmp_path, "original_sequences/youtube/raw/videos/000.mp4")
    touch(tmp_path, "manipulated_sequences/Deepfakes/c40/videos/183_253.mp4")
    manifest = load_manifest(tmp_path)
    assert manifest.unknown_originals == ()
    sets = dict(zip(manifest.table["clip_id"], connected_sets(manifest.table), strict=True))
    assert sets["Deepfakes/c40/183_253"] == sets["youtube/raw/183"] == sets["youtube/raw/253"]
    assert sets["youtube/raw/000"] != sets["youtube/raw/183"]


def test_a_donor_is_matched_as_an_original_is(tmp_path):
    lines = ["clip_id,label,original,donor", "r0,REAL,,", "r1,REAL,,", "r2,REAL,,", "f0,FAKE,R0.mp4,x/R1.mp4"]
    (tmp_path / "index.csv").write_text("\n".join(lines))
    table = load_manifest(tmp_path / "index.csv").table
    assert table["donor"].tolist()[-1] == "r1"
    assert len(set(connected_sets(table)[[0, 1, 3]])) == 1


def test_originals_to_validate_on_may_be_spelled_as_files():
    table = table_of(("a", 0, "", "f"), ("b", 0, "", "f"), ("x", 1, "a", "f"), ("y", 1, "B.mp4", "f"), compression="")
    for named in ("b", "B.mp4", "clips/b.mp4"):
        split = split_manifest(table, val_originals=named, seed=0)
        assert set(split.table["clip_id"][split.sides == VAL]) == {"b", "y"}


@pytest.mark.parametrize(("name", "key"), [("a.b", "a.b"), (".mp4", ".mp4"), ("v1.2.MP4", "v1.2"), ("", "")])
def test_only_the_suffix_of_a_video_or_picture_is_dropped(name, key):
    assert name_key(name) == key
