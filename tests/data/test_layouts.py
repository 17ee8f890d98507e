"""Each layout is recognised and read as its data set publishes it, and what is wrong with it is named."""

import json

import pytest

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.connected_sets import connected_sets
from tfdfd.data.data_tree import pictures_of
from tfdfd.data.keep_per_person import csv_of
from tfdfd.data.layouts import LAYOUTS, read_testing_list
from tfdfd.data.listed_clips import read_dfdc_metadata
from tfdfd.data.manifest import load_manifest
from tfdfd.data.splits import VAL, split_manifest


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write_dfdc(folder, metadata, *, lacking=()):
    touch(folder, *(name for name in metadata if name not in lacking))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.json").write_text(json.dumps(metadata))


def rows(manifest, *columns):
    table = manifest.table.set_index("clip_id")
    return {clip_id: tuple(table.loc[clip_id, list(columns)]) for clip_id in table.index}


def test_a_link_that_leads_nowhere_is_a_clip_that_is_not_there(tmp_path):
    touch(tmp_path, "real/a.mp4", "fake/b.mp4")
    (tmp_path / "fake/c.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert load_manifest(tmp_path).table["clip_id"].tolist() == ["fake/b", "fake/c", "real/a"]


# --- DFDC ------------------------------------------------------------------------------------------------------


def test_dfdc_gives_label_folder_and_original(tmp_path):
    write_dfdc(tmp_path / "part_0", {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}})
    write_dfdc(tmp_path / "part_1", {"c.mp4": {"label": "FAKE", "original": None}})
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "dfdc"
    assert rows(manifest, "label", "folder", "original", "dataset") == {
        "a": (REAL, "part_0", "", "dfdc"),
        "b": (FAKE, "part_0", "a", "dfdc"),
        "c": (FAKE, "part_1", "", "dfdc"),
    }
    assert manifest.table["path"].tolist()[1] == str(tmp_path / "part_0" / "b.mp4")


def test_one_dfdc_folder_is_a_data_folder(tmp_path):
    write_dfdc(tmp_path / "part_7", {"a.mp4": {"label": "REAL"}})
    assert rows(load_manifest(tmp_path / "part_7"), "folder") == {"a": ("part_7",)}


def test_dfdc_lists_clips_without_file_and_videos_without_entry(tmp_path):
    metadata = {"a.mp4": {"label": "REAL"}, "gone.mp4": {"label": "FAKE", "original": "a.mp4"}}
    write_dfdc(tmp_path / "part_0", metadata, lacking=["gone.mp4"])
    touch(tmp_path, "part_0/extra.mp4", "part_0/._a.mp4", "part_0/notes.txt", "part_1/loose.mov")
    manifest = load_manifest(tmp_path)
    assert manifest.table["clip_id"].tolist() == ["a"]
    [(clip_id, reason)] = manifest.missing
    assert clip_id == "gone"
    assert str(tmp_path / "part_0" / "metadata.json") in reason
    assert manifest.unlisted == (
        str(tmp_path / "part_0" / "extra.mp4"),
        str(tmp_path / "part_1" / "loose.mov"),
    )


@pytest.mark.parametrize("label", ["UNKNOWN", "real", "", None, 1])
def test_dfdc_label_that_is_neither_real_nor_fake_names_file_clip_and_value(tmp_path, label):
    write_dfdc(tmp_path / "part_0", {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": label}})
    with pytest.raises(TfdfdError) as error:
        load_manifest(tmp_path)
    for part in (str(tmp_path / "part_0" / "metadata.json"), "b.mp4", repr(label), "REAL or FAKE"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a.mp4":\n {"label": REAL}}', "line 2, column 12"),
        ("", "line 1, column 1"),
        ("[1, 2]", "got a list"),
        ('{"a.mp4": "REAL"}', "the label of a.mp4"),
        ('{"a.mp4": {"label": "REAL"}, "a.mp4": {"label": "FAKE"}}', "lists more than once: a.mp4"),
    ],
)
def test_metadata_that_is_not_what_it_should_be_names_file_and_place(tmp_path, text, said):
    file = tmp_path / "metadata.json"
    file.write_text(text)
    with pytest.raises(TfdfdError) as error:
        read_dfdc_metadata(file)
    assert str(file) in str(error.value)
    assert said in str(error.value)


def test_metadata_that_is_not_text_names_the_file(tmp_path):
    (tmp_path / "metadata.json").write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(TfdfdError, match=r"metadata\.json is not JSON"):
        load_manifest(tmp_path)


def test_a_clip_in_two_dfdc_folders_is_an_error_that_lists_both(tmp_path):
    for part in ("part_0", "part_1"):
        write_dfdc(tmp_path / part, {"a.mp4": {"label": "REAL"}})
    with pytest.raises(TfdfdError, match=r"(?s)unique.*part_0/a\.mp4.*part_1/a\.mp4"):
        load_manifest(tmp_path)


def test_dfdc_whose_clips_are_all_missing_says_so(tmp_path):
    write_dfdc(tmp_path / "part_0", {"a.mp4": {"label": "REAL"}}, lacking=["a.mp4"])
    with pytest.raises(TfdfdError, match=r"has no clips.*listed without a file: a"):
        load_manifest(tmp_path)


# --- FaceForensics++ -------------------------------------------------------------------------------------------


def test_ffpp_gives_method_compression_original_and_donor(tmp_path):
    touch(
        tmp_path,
        "original_sequences/youtube/c23/videos/183.mp4",
        "original_sequences/youtube/c40/videos/183.mp4",
        "original_sequences/actors/raw/videos/01__exit_phone_room.mp4",
        "manipulated_sequences/Deepfakes/c40/videos/183_253.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/183_253.mp4",
        "manipulated_sequences/DeepFakeDetection/raw/videos/01_02__exit_phone_room__YVGY8LOK.mp4",
        "manipulated_sequences/FaceSwap/c23/videos/odd name.mp4",
    )
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "ffpp"
    scene = "exit_phone_room"
    found = rows(manifest, "label", "folder", "method", "compression", "original", "donor")
    assert found == {
        "youtube/c23/183": (REAL, "youtube", "", "c23", "", ""),
        "youtube/c40/183": (REAL, "youtube", "", "c40", "", ""),
        f"actors/raw/01__{scene}": (REAL, "actors", "", "raw", "", ""),
        "Deepfakes/c40/183_253": (FAKE, "Deepfakes", "Deepfakes", "c40", "youtube/c40/183", "youtube/c40/253"),
        f"DeepFakeDetection/raw/01_02__{scene}__YVGY8LOK": (
            *(FAKE, "DeepFakeDetection", "DeepFakeDetection", "raw"),
            *(f"actors/raw/01__{scene}", f"actors/raw/02__{scene}"),
        ),
        "FaceSwap/c23/odd name": (FAKE, "FaceSwap", "FaceSwap", "c23", "", ""),
    }


def test_ffpp_of_fakes_alone_loads_for_evaluation(tmp_path):
    touch(tmp_path, "manipulated_sequences/Deepfakes/c23/videos/183_253.mp4")
    assert load_manifest(tmp_path).table["label"].tolist() == [FAKE]


def test_ffpp_without_a_video_says_what_it_expects(tmp_path):
    (tmp_path / "original_sequences" / "youtube" / "c23" / "videos").mkdir(parents=True)
    with pytest.raises(TfdfdError, match=r"has no clips. As FaceForensics"):
        load_manifest(tmp_path)


# --- Celeb-DF --------------------------------------------------------------------------------------------------


def write_celebdf(root, testing_list=None):
    touch(
        root,
        "Celeb-real/id0_0000.mp4",
        "Celeb-real/id1_0003.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
        "YouTube-real/00170.mp4",
    )
    if testing_list is not None:
        (root / "List_of_testing_videos.txt").write_text(testing_list)


def test_celebdf_gives_original_people_and_testing_list_in_which_1_is_real(tmp_path):
    write_celebdf(tmp_path, "1 YouTube-real/00170.mp4\r\n0 Celeb-synthesis/id0_id1_0000.mp4\r\n\r\n")
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "celebdf"
    people = ("Celeb-real/id0", "Celeb-real/id1")
    assert rows(manifest, "label", "original", "person", "donor", "official_split") == {
        "Celeb-real/id0_0000": (REAL, "", people[0], "", "train"),
        "Celeb-real/id1_0003": (REAL, "", people[1], "", "train"),
        "Celeb-synthesis/id0_id1_0000": (FAKE, "Celeb-real/id0_0000", *people, "test"),
        "YouTube-real/00170": (REAL, "", "", "", "test"),
    }


def test_celebdf_without_its_list_has_no_official_split(tmp_path):
    write_celebdf(tmp_path)
    assert set(load_manifest(tmp_path).table["official_split"]) == {""}


def test_celebdf_lists_testing_clips_without_a_file(tmp_path):
    write_celebdf(tmp_path, "1 Celeb-real/id9_0000.mp4\n")
    [(clip_id, reason)] = load_manifest(tmp_path).missing
    assert clip_id == "Celeb-real/id9_0000"
    assert "List_of_testing_videos.txt" in reason


@pytest.mark.parametrize(
    "line", ["0 Celeb-real/id0_0000.mp4", "1 Celeb-synthesis/id0_id1_0000.mp4", "2 YouTube-real/1.mp4", "word"]
)
def test_a_wrong_line_of_the_testing_list_is_named(tmp_path, line):
    file = tmp_path / "list.txt"
    file.write_text(f"1 YouTube-real/00170.mp4\n{line}\n")
    with pytest.raises(TfdfdError, match=r"list\.txt, line 2"):
        read_testing_list(file)


# --- CSV and ready faces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_paths_are_relative_to_it(tmp_path, newline):
    touch(tmp_path, "clips/a.mp4", "clips/b.mp4")
    lines = [
        "clip_id,path,label,original",
        "a,clips/a.mp4,REAL,",
        f"b,{tmp_path}/clips/b.mp4,FAKE,a",
        "NA,clips/no.mp4,FAKE,a",
    ]
    (tmp_path / "my.csv").write_text(newline.join(lines) + newline, newline="")
    manifest = load_manifest(tmp_path / "my.csv")
    assert rows(manifest, "path", "label", "original", "folder", "dataset") == {
        "a": (str(tmp_path / "clips/a.mp4"), REAL, "", "", "csv"),
        "b": (str(tmp_path / "clips/b.mp4"), FAKE, "a", "", "csv"),
    }
    assert [clip_id for clip_id, _ in manifest.missing] == ["NA"]
    assert not manifest.is_faces


def test_a_folder_with_manifest_csv_is_read_by_it(tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "manifest.csv").write_text("clip_id,path,label,folder\na,a.mp4,REAL,mine\n")
    assert rows(load_manifest(tmp_path), "folder") == {"a": ("mine",)}


def test_csv_without_paths_is_an_index(tmp_path):
    (tmp_path / "index.csv").write_text("clip_id,label,original,folder\na,REAL,,f\nb,FAKE,a,f\n")
    manifest = load_manifest(tmp_path / "index.csv")
    assert rows(manifest, "path", "folder") == {"a": ("", "f"), "b": ("", "f")}
    assert manifest.missing == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a CSV table"),
        ("clip_id:label\na:REAL\n", "lacks"),
        ("clip_id,path\na,a.mp4\n", r"lacks \['label'\]"),
        ("clip_id,label\na,REAL\n,\nb,Fakes\n", "line 4: b 'Fakes'"),
        ("clip_id,label\na,REAL\na,FAKE\n", "unique, got a, a"),
        ("clip_id,label\n,REAL\n", "no clip_id"),
        ("clip_id,label\n", "has no clips"),
    ],
)
def test_a_wrong_csv_names_itself_and_the_fault(tmp_path, text, said):
    file = tmp_path / "my.csv"
    file.write_text(text)
    with pytest.raises(TfdfdError, match=said) as error:
        load_manifest(file)
    assert str(file) in str(error.value)


def test_two_clips_of_one_file_are_an_error(tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "my.csv").write_text("clip_id,path,label\na,a.mp4,REAL\nb,./a.mp4,FAKE\n")
    with pytest.raises(TfdfdError, match="must not be one file"):
        load_manifest(tmp_path / "my.csv")


def test_ready_faces_are_marked_as_faces(tmp_path):
    touch(tmp_path, "part_0/a.jpg", "part_0/b.png")
    (tmp_path / "faces.csv").write_bytes(
        b"path,clip_id,label,original,folder\r\npart_0/a.jpg,a,REAL,,part_0\r\npart_0/b.png,b,FAKE,a,part_0\r\n"
    )
    for given in (tmp_path, tmp_path / "faces.csv"):
        manifest = load_manifest(given)
        assert (manifest.layout, manifest.is_faces, manifest.root) == ("faces", True, tmp_path)
        assert rows(manifest, "label", "original", "folder") == {
            "a": (REAL, "", "part_0"),
            "b": (FAKE, "a", "part_0"),
        }


@pytest.mark.clips
def test_the_real_folders_are_recognised(test_data):
    for folder, layout, clips in (
        ("clips/dfdc", "dfdc", 9),
        ("clips/ffpp", "ffpp", 30),
        ("faces/dfdc", "faces", 10_000),
    ):
        manifest = load_manifest(test_data / folder)
        assert (manifest.layout, len(manifest), manifest.missing, manifest.unlisted) == (layout, clips, (), ())
        assert manifest.layout in LAYOUTS


# --- what a layout does not take -------------------------------------------------------------------------------


def test_every_video_under_the_root_is_taken_or_listed(tmp_path):
    touch(
        tmp_path,
        "original_sequences/youtube/c23/videos/183.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/183_253.mp4",
        "downloads/extra.mp4",
        "loose.avi",
        ".trash/hidden.mp4",
        "manipulated_sequences/Deepfakes/c23/._183_253.mp4",
    )
    manifest = load_manifest(tmp_path)
    assert manifest.unlisted == (str(tmp_path / "downloads/extra.mp4"), str(tmp_path / "loose.avi"))
    assert len(manifest) == 2


def test_masks_are_no_clips_and_are_counted(tmp_path):
    touch(tmp_path, "original_sequences/youtube/c23/videos/183.mp4")
    touch(tmp_path, *(f"manipulated_sequences/Deepfakes/{folder}/videos/183_253.mp4" for folder in ("c23", "masks")))
    manifest = load_manifest(tmp_path)
    assert (len(manifest), manifest.unlisted) == (2, ())
    assert any("1 videos are masks" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("taken", "left", "said"),
    [
        ("Celeb-real/id0_0000.mp4", "Synthesis/id0_id1_0000.mp4", "no fake clip.*Celeb-synthesis/.*Synthesis/id0_id1"),
        ("Celeb-synthesis/id0_id1_0000.mp4", "YT/1.mp4", "no real clip.*Celeb-real/ and YouTube-real/.*YT/1.mp4"),
        ("manipulated_sequences/Deepfakes/1_2.mp4", "orig/1.mp4", "no real clip.*original_sequences/.*orig/1.mp4"),
    ],
)
def test_a_class_without_a_clip_is_refused_where_videos_are_left_over(tmp_path, taken, left, said):
    touch(tmp_path, taken, left)
    with pytest.raises(TfdfdError, match=said):
        load_manifest(tmp_path)


def test_a_class_without_a_clip_is_said_where_nothing_is_left_over(tmp_path):
    touch(tmp_path, "Celeb-real/id0_0000.mp4")
    assert any("no fake clip" in note and "Celeb-synthesis/" in note for note in load_manifest(tmp_path).notes)


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    touch(tmp_path, "real/a.mp4", "fake/b.mp4")
    (tmp_path / "real" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(load_manifest(tmp_path)) == 2


# --- the same data sets, laid out otherwise ---------------------------------------------------------------------

FFPP_ROWS = {
    "youtube/c23/183": (REAL, "", "c23", ""),
    "Deepfakes/c23/183_253": (FAKE, "Deepfakes", "c23", "youtube/c23/183"),
}


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ("original_sequences/youtube/c23/videos/183.mp4", "manipulated_sequences/Deepfakes/c23/videos/183_253.mp4"),
        ("original_sequences/c23/videos/183.mp4", "manipulated_sequences/Deepfakes/c23/videos/183_253.mp4"),
        ("original_sequences/youtube/hq/183.mp4", "manipulated_sequences/Deepfakes/hq/183_253.mp4"),
        ("Original_Sequences/youtube/C23/Videos/183.MP4", "Manipulated_sequences/Deepfakes/C23/183_253.MP4"),
        ("C23/original/183.mp4", "C23/Deepfakes/183_253.mp4"),
        ("c23/original_sequences/youtube/183.mp4", "c23/manipulated_sequences/Deepfakes/183_253.mp4"),
    ],
)
def test_ffpp_is_the_same_however_it_is_laid_out(tmp_path, real, fake):
    touch(tmp_path, real, fake)
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "ffpp"
    assert rows(manifest, "label", "method", "compression", "original") == FFPP_ROWS
    assert (manifest.unlisted, manifest.unknown_originals) == ((), ())


def test_ffpp_as_on_kaggle(tmp_path):
    root = tmp_path / "FaceForensics++_C23"
    methods = ("Deepfakes", "Face2Face", "FaceShifter", "FaceSwap", "NeuralTextures")
    touch(root, "original/183.mp4", "original/253.mp4", *(f"{method}/183_253.mp4" for method in methods))
    touch(root, "DeepFakeDetection/01_02__meeting_serious__YVGY8LOK.mp4", "csv/FF++_Metadata.csv")
    manifest = load_manifest(root)
    found = rows(manifest, "label", "folder", "original", "donor")
    assert (manifest.layout, len(found), manifest.unlisted) == ("ffpp", 8, ())
    assert found["youtube/c23/183"] == (REAL, "youtube", "", "")
    for method in methods:
        assert found[f"{method}/c23/183_253"] == (FAKE, method, "youtube/c23/183", "youtube/c23/253")
    assert found["DeepFakeDetection/c23/01_02__meeting_serious__YVGY8LOK"][2] == "actors/c23/01__meeting_serious"


def test_ffpp_methods_without_a_compression(tmp_path):
    touch(tmp_path, "original_sequences/youtube/183.mp4", "manipulated_sequences/FaceSwap/videos/183_253.mp4")
    assert rows(load_manifest(tmp_path), "label", "compression", "original") == {
        "youtube/183": (REAL, "", ""),
        "FaceSwap/183_253": (FAKE, "", "youtube/183"),
    }


def test_ffpp_in_several_compressions_says_that_all_are_taken_and_takes_one_on_demand(tmp_path):
    for compression in ("c23", "c40"):
        touch(tmp_path, f"original_sequences/youtube/{compression}/videos/183.mp4")
        touch(tmp_path, f"manipulated_sequences/Deepfakes/{compression}/videos/183_253.mp4")
    everything = load_manifest(tmp_path)
    assert len(everything) == 4
    assert any("c23 (2 clips), c40 (2 clips)" in note and "--compression" in note for note in everything.notes)
    chosen = load_manifest(tmp_path, compression="c40")
    assert set(chosen.table["clip_id"]) == {"youtube/c40/183", "Deepfakes/c40/183_253"}
    assert chosen.notes == ()
    with pytest.raises(TfdfdError, match=r"--compression raw.*c23 \(2 clips\)"):
        load_manifest(tmp_path, compression="raw")


@pytest.mark.parametrize("holder", ["", "videos/"])
def test_celebdf_with_folders_of_videos_other_letters_and_nested_fakes(tmp_path, holder):
    touch(tmp_path, f"Celeb-real/{holder}id0_0000.mp4", f"Youtube-real/{holder}00170.mp4")
    touch(tmp_path, f"celeb-synthesis/{holder}id0_id1_0000.mp4", f"celeb-synthesis/SimSwap/{holder}id0_id2_0000.mp4")
    (tmp_path / "List_of_testing_videos.txt").write_text(
        "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
    )
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "celebdf"
    assert rows(manifest, "label", "method", "original", "official_split") == {
        "Celeb-real/id0_0000": (REAL, "", "", "train"),
        "YouTube-real/00170": (REAL, "", "", "test"),
        "Celeb-synthesis/id0_id1_0000": (FAKE, "Celeb-synthesis", "Celeb-real/id0_0000", "test"),
        "Celeb-synthesis/SimSwap/id0_id2_0000": (
            FAKE,
            "Celeb-synthesis/SimSwap",
            "Celeb-real/id0_0000",
            "train",
        ),
    }
    assert (manifest.missing, manifest.unlisted) == ((), ())


@pytest.mark.parametrize("part", ["dfdc_train_part_0/dfdc_train_part_0", "train/dfdc_train_part_0/dfdc_train_part_0"])
def test_dfdc_in_the_folders_of_its_zip_files(tmp_path, part):
    write_dfdc(tmp_path / part, {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}})
    manifest = load_manifest(tmp_path)
    assert rows(manifest, "label", "folder", "original") == {
        "a": (REAL, "dfdc_train_part_0", ""),
        "b": (FAKE, "dfdc_train_part_0", "a"),
    }
    assert (manifest.missing, manifest.unlisted) == ((), ())


@pytest.mark.parametrize("holder", ["", "videos/", "test/"])
def test_the_labels_of_dfdcs_test_set(tmp_path, holder):
    touch(tmp_path, f"{holder}a.mp4", f"{holder}b.mp4", f"{holder}c.mp4")
    (tmp_path / "labels.csv").write_text("filename,label\na.mp4,0\nb.mp4,1\ngone.mp4,1\n")
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "dfdc"
    assert rows(manifest, "label", "folder") == {"a": (REAL, tmp_path.name), "b": (FAKE, tmp_path.name)}
    assert [clip_id for clip_id, _ in manifest.missing] == ["gone"]
    assert manifest.unlisted == (str(tmp_path / holder / "c.mp4"),)


def test_train_parts_and_the_test_set_of_dfdc_are_one_data_set(tmp_path):
    write_dfdc(tmp_path / "train" / "part_0", {"a.mp4": {"label": "REAL"}})
    touch(tmp_path, "test/b.mp4")
    (tmp_path / "test" / "labels.csv").write_text("filename,label\nb.mp4,1\n")
    assert rows(load_manifest(tmp_path), "label", "folder") == {"a": (REAL, "part_0"), "b": (FAKE, "test")}


@pytest.mark.parametrize("holder", ["", "videos/"])
def test_the_preview_of_dfdc(tmp_path, holder):
    real, fake = "643825/643825_A_003.mp4", "643825/643825_A/1255229_643825_A_003.mp4"
    touch(tmp_path, f"original_videos/{holder}{real}", f"method_A/{holder}{fake}")
    people = {"target_id": 643825, "swapped_id": 1255229}
    listed = {
        f"original_videos/{real}": {"label": "real", "set": "train", "augmentations": [], **people, "swapped_id": None},
        f"method_A/{fake}": {"label": "fake", "set": "test", "augmentations": ["fps_15"], **people},
        "method_B/9/9_C/1_9_C_001.mp4": {"label": "fake", "set": "train", "augmentations": [], **people},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(listed))
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "dfdc_preview"
    columns = ("label", "folder", "method", "original", "person", "donor", "official_split")
    assert rows(manifest, *columns) == {
        "original_videos/643825_A_003": (REAL, "original_videos", "", "", "actor 643825", "", "train"),
        "method_A/1255229_643825_A_003": (
            *(FAKE, "method_A", "method_A", "original_videos/643825_A_003"),
            *("actor 643825", "actor 1255229", "test"),
        ),
    }
    assert [clip_id for clip_id, _ in manifest.missing] == ["method_B/1_9_C_001"]


@pytest.mark.parametrize("label", ["maybe", None, 1])
def test_a_wrong_label_of_the_preview_is_named(tmp_path, label):
    (tmp_path / "dataset.json").write_text(json.dumps({"method_A/1.mp4": {"label": label}}))
    with pytest.raises(TfdfdError, match=r"dataset\.json.*method_A/1\.mp4 must be real or fake"):
        load_manifest(tmp_path)


def test_real_beside_fake(tmp_path):
    touch(tmp_path, "real/183.mp4", "Real/sub/9.mp4", "fake/183_253.mp4", "fake/FaceSwap/183.mp4", "fake/other.mp4")
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "real_fake"
    assert rows(manifest, "label", "folder", "original") == {
        "real/183": (REAL, "", ""),
        "Real/sub/9": (REAL, "sub", ""),
        "fake/183_253": (FAKE, "", "real/183"),
        "fake/FaceSwap/183": (FAKE, "FaceSwap", "real/183"),
        "fake/other": (FAKE, "", ""),
    }
    assert any("2 fakes are named after a real clip" in note for note in manifest.notes)


@pytest.mark.parametrize("order", ["{side}/{label}", "{label}/{side}"])
def test_train_and_test_with_real_and_fake_in_each(tmp_path, order):
    for side in ("train", "test"):
        for label in ("real", "fake"):
            touch(tmp_path, f"{order.format(side=side, label=label)}/1.mp4")
    manifest = load_manifest(tmp_path)
    fake, real = (f"{order.format(side='test', label=label)}/1" for label in ("fake", "real"))
    found = rows(manifest, "label", "folder", "official_split", "original")
    assert found[real] == (REAL, "test", "test", "")
    assert found[fake] == (FAKE, "test", "test", real)
    assert found[order.format(side="train", label="real") + "/1"] == (REAL, "train", "train", "")
    split = split_manifest(manifest.table, seed=0)
    assert set(split.table["clip_id"][split.sides == VAL]) == {real, fake}


def test_folders_to_validate_and_to_test_on_are_said(tmp_path):
    touch(tmp_path, *(f"{side}/{label}/{side}.mp4" for side in ("train", "val", "test") for label in ("real", "fake")))
    manifest = load_manifest(tmp_path)
    assert sorted(manifest.table["official_split"]) == ["test"] * 2 + ["train"] * 4
    assert any("--val-folders among test, train, val" in note for note in manifest.notes)


def test_fakeavceleb_is_labelled_by_its_picture(tmp_path):
    where = "African/men/id00076"
    touch(
        tmp_path,
        f"RealVideo-RealAudio/{where}/00109.mp4",
        f"RealVideo-FakeAudio/{where}/00109_fake.mp4",
        f"FakeVideo-RealAudio/{where}/00109_1_id00166_faceswap.mp4",
        f"FakeVideo-FakeAudio/{where}/00109_10_id00476_wavtolip.mp4",
    )
    (tmp_path / "meta_data.csv").write_text(
        "source,target1,target2,method,category,type,race,gender,path,\n"
        "id00076,id00476,10,wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,FakeAVCeleb/x\n"
        "id00076,id00476,10,fsgan-wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,again\n"
    )
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "fakeavceleb"
    real, person = f"RealVideo-RealAudio/{where}/00109", "celebrity id00076"
    assert rows(manifest, "label", "method", "original", "person", "donor") == {
        real: (REAL, "", "", person, ""),
        f"FakeVideo-RealAudio/{where}/00109_1_id00166_faceswap": (FAKE, "faceswap", real, person, "celebrity id00166"),
        f"FakeVideo-FakeAudio/{where}/00109_10_id00476_wavtolip": (FAKE, "wav2lip", real, person, "celebrity id00476"),
    }
    assert any("1 clips are set aside" in note and "sound is fake" in note for note in manifest.notes)
    assert manifest.unlisted == ()


def test_deeperforensics_joins_its_target_videos(tmp_path):
    touch(
        tmp_path,
        "manipulated_videos/end_to_end/000_W025.mp4",
        "manipulated_videos/end_to_end_level_1/000_W025.mp4",
        "source_videos/W025/light_up/surprise/camera_down/W025_light_up_surprise_camera_down.mp4",
        "original_sequences/youtube/c23/videos/000.mp4",
    )
    manifest = load_manifest(tmp_path)
    assert manifest.layout == "deeperforensics"
    assert rows(manifest, "label", "method", "original", "person", "donor") == {
        "end_to_end/000_W025": (FAKE, "end_to_end", "youtube/c23/000", "", "actor W025"),
        "end_to_end_level_1/000_W025": (FAKE, "end_to_end_level_1", "youtube/c23/000", "", "actor W025"),
        "source_videos/W025_light_up_surprise_camera_down": (REAL, "", "", "actor W025", ""),
        "youtube/c23/000": (REAL, "", "", "", ""),
    }
    assert any("source videos" in note for note in manifest.notes)
    assert len(set(connected_sets(manifest.table))) == 1


def test_wilddeepfake_is_folders_of_pictures(tmp_path):
    for label in ("real", "fake"):
        for side in ("train", "test"):
            touch(tmp_path, *(f"{label}_{side}/0/{label}/{seq}/{frame}.png" for seq in (1, 2) for frame in (1, 2, 10)))
    manifest = load_manifest(tmp_path)
    assert (manifest.layout, manifest.is_faces, manifest.has_frames, len(manifest)) == ("wilddeepfake", True, True, 8)
    found = rows(manifest, "label", "folder", "official_split", "path")
    assert found["fake_test/0/fake/2"] == (FAKE, "fake_test/0/fake", "test", str(tmp_path / "fake_test/0/fake/2"))
    assert [path.name for path in pictures_of(found["fake_test/0/fake/2"][-1])] == ["1.png", "2.png", "10.png"]


def test_the_frames_of_deepfakebench(tmp_path):
    ffpp = tmp_path / "ffpp"
    touch(ffpp, *(f"original_sequences/youtube/c23/frames/183/{n:03}.png" for n in range(3)))
    touch(ffpp, *(f"manipulated_sequences/Deepfakes/c23/frames/183_253/{n:03}.png" for n in range(3)))
    touch(ffpp, "manipulated_sequences/Deepfakes/c23/masks/183_253/000.png")
    manifest = load_manifest(ffpp)
    assert rows(manifest, "label", "method", "compression", "original") == FFPP_ROWS
    assert (manifest.is_faces, manifest.has_frames, manifest.unlisted) == (True, True, ())
    celeb = tmp_path / "celeb"
    touch(celeb, "Celeb-real/frames/id0_0000/000.png", "Celeb-synthesis/frames/id0_id1_0000/000.png")
    assert load_manifest(celeb).table["original"].tolist() == ["", "Celeb-real/id0_0000"]
    dfdc = tmp_path / "dfdc" / "part_0"
    touch(dfdc, "frames/a/000.png", "frames/b/000.png")
    (dfdc / "metadata.json").write_text(json.dumps({"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE"}}))
    manifest = load_manifest(dfdc)
    assert (manifest.table["clip_id"].tolist(), manifest.is_faces) == (["a", "b"], True)


def test_frames_beside_videos_are_counted_and_the_videos_taken(tmp_path):
    for top, stem in (("original_sequences/youtube", "183"), ("manipulated_sequences/Deepfakes", "183_253")):
        touch(tmp_path, f"{top}/c23/videos/{stem}.mp4", f"{top}/c23/frames/{stem}/000.png")
    manifest = load_manifest(tmp_path)
    assert rows(manifest, "label", "method", "compression", "original") == FFPP_ROWS
    assert not manifest.is_faces
    assert any("2 folders of frames" in note for note in manifest.notes)


def test_several_rows_of_faces_csv_are_the_frames_of_a_clip(tmp_path):
    touch(tmp_path, "f/a_2.png", "f/a_10.png", "f/b_1.png", "c/1.png", "c/2.png")
    lines = [
        "path,clip_id,label,original",
        "f/a_10.png,a,REAL,",
        "f/b_1.png,b,FAKE,a",
        "f/a_2.png,a,REAL,",
        "c,c,FAKE,a",
    ]
    (tmp_path / "faces.csv").write_text("\n".join(lines))
    manifest = load_manifest(tmp_path)
    assert manifest.has_frames
    assert manifest.table["clip_id"].tolist() == ["a", "b", "c"]
    frames = [[path.name for path in pictures_of(path)] for path in manifest.table["path"]]
    assert frames == [["a_2.png", "a_10.png"], ["b_1.png"], ["1.png", "2.png"]]
    csv_of(manifest.table).to_csv(tmp_path / "faces.csv", index=False)
    assert load_manifest(tmp_path).table["path"].tolist() == manifest.table["path"].tolist()


def test_frames_of_a_clip_that_disagree_are_refused(tmp_path):
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "faces.csv").write_text("path,clip_id,label\n1.png,a,REAL\n2.png,a,FAKE\n")
    with pytest.raises(TfdfdError, match="clip a must have one label"):
        load_manifest(tmp_path)


def test_a_list_decides_where_folders_would_do_too(tmp_path):
    touch(tmp_path, "real/a.mp4", "fake/b.mp4")
    (tmp_path / "manifest.csv").write_text("clip_id,path,label\nmine,real/a.mp4,FAKE\n")
    manifest = load_manifest(tmp_path)
    assert (manifest.layout, rows(manifest, "label")) == ("csv", {"mine": (FAKE,)})
    assert manifest.unlisted == (str(tmp_path / "fake/b.mp4"),)
