"""Each layout is recognised and read as its data set publishes it, and what is wrong with it is named."""

import json

import pytest

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.layouts import LAYOUTS, read_testing_list
from tfdfd.data.listed_clips import read_dfdc_metadata
from tfdfd.data.manifest import load_manifest


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
