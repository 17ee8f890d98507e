"""`tfdfd people` from the command line: painted stores, whose people are known by their colour."""

import re

import numpy as np
import pandas as pd
import pytest

from tests.stores import CROP_SIZE, MARGIN, NUM_PLACES, ok_clip, painted, track_of
from tfdfd.clip import NO_FACE, OK, ClipFaces, TfdfdError
from tfdfd.commands.console import make_console
from tfdfd.commands.known_people import print_people_of_sides, with_known_people
from tfdfd.commands.people import main
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.manifest import COLUMNS, load_manifest
from tfdfd.data.people import read_people
from tfdfd.data.store import FaceStore

COLOURS = {"red": (220, 10, 10), "green": (10, 220, 10), "blue": (10, 10, 220), "yellow": (200, 200, 5)}
EMBEDDER = ["--embedder", "tests.colour_embedder:ColourEmbedder"]


def make_store(folder, rows, *, labels=None):
    """A store of clips: rows of (clip_id, label, original, folder, colour)."""
    made = {"detector": {"detector": "mtcnn"}, "margin": MARGIN, "alignment": "none", "frame_rule": "all"}
    fingerprint = Fingerprint(made | {"crop_size": CROP_SIZE, "strip_codec": "jpeg"}, {"source": str(folder)})
    store, _ = FaceStore.create_or_open(folder / "store", fingerprint, num_places=NUM_PLACES)
    frames = ok_clip("a").frames
    with store.writing():
        for clip_id, _, _, _, colour in rows:
            if colour is None:
                store.write(ClipFaces(clip_id, NO_FACE, "no face", frames=frames), source_bytes=1)
                continue
            track = track_of()
            crops = (painted(track, COLOURS[colour]),)
            store.write(ClipFaces(clip_id, OK, tracks=(track,), crops=crops, frames=frames), source_bytes=1)
    table = pd.DataFrame([row[:4] for row in rows], columns=["clip_id", "label", "original", "folder"])
    table = table.reindex(columns=list(COLUMNS)).fillna("").astype({"label": "int64"})
    for clip_id in table["clip_id"]:
        (folder / f"{clip_id}.mp4").write_bytes(b"clip")
    table = table.assign(path=[str(folder / f"{clip_id}.mp4") for clip_id in table["clip_id"]], dataset="csv")
    store.write_manifest(table if labels is None else table.assign(label=labels))
    return store


ROWS = [
    ("r0", 0, "", "f0", "red"),
    ("r1", 0, "", "f1", "red"),
    ("g0", 0, "", "f0", "green"),
    ("g1", 0, "", "f0", "green"),
    ("b0", 0, "", "f2", "blue"),
    ("r0x", 1, "r0", "f0", "green"),
    ("r1x", 1, "r1", "f1", "red"),
    ("g0x", 1, "g0", "f0", "yellow"),
    ("b0x", 1, "b0", "f2", "blue"),
]


def people_of(store):
    return read_people(store.folder).set_index("clip_id")["person"].to_dict()


def test_people_are_found_split_and_shown(tmp_path, capsys):
    store = make_store(tmp_path, ROWS)
    assert main(["--store", str(store.folder), *EMBEDDER, "--val-fraction", "0.3"]) == 0
    said = capsys.readouterr().out
    assert "finding people among 9 tracks\n" in said
    assert "4 people in 9 tracks of 9 clips: seen more than once 3, the most seen in 3 tracks; seen once 1" in said
    assert re.search(r"people.html: [1-9]\d* KB", said)
    assert "nobody in both" in said
    who = people_of(store)
    assert who["r0"] == who["r1"] == who["r1x"]
    assert who["g0"] == who["g1"] == who["r0x"]
    assert len({who["r0"], who["g0"], who["b0"], who["g0x"]}) == 4
    page = (store.folder / "people" / "people.html").read_text()
    assert page.count("<svg") >= 2
    assert page.count("data:image/jpeg") == 9
    assert "on both sides" in page


def test_a_split_that_parts_a_person_is_refused_after_the_page_is_written(tmp_path):
    store = make_store(tmp_path, ROWS)
    with pytest.raises(TfdfdError, match=r"puts 1 people on both sides.*\n.*training r1, r1x; validation r0"):
        main(["--store", str(store.folder), *EMBEDDER, "--val-folders", "f0"])
    assert (store.folder / "people" / "people.html").is_file()
    # Nobody can be on the training side of f0 but blue: r1 goes, with its fake.
    assert main(["--store", str(store.folder), *EMBEDDER, "--val-folders", "f0", "--drop-parted"]) == 0


def test_a_small_set_that_keeps_everyone_is_a_manifest(tmp_path, capsys):
    store = make_store(tmp_path, ROWS)
    assert main(["--store", str(store.folder), *EMBEDDER, "--keep-per-person", "1"]) == 0
    assert "kept 6 of 9 clips (3 real, 3 fake)" in capsys.readouterr().out
    kept = load_manifest(store.folder / "people" / "kept_1" / "manifest.csv").table
    who = people_of(store)
    assert {who[clip_id] for clip_id in kept["clip_id"]} >= {who["r0"], who["g0"], who["b0"]}


def test_eps_and_the_way_to_cluster_change_what_is_found(tmp_path):
    store = make_store(tmp_path, ROWS)
    main(["--store", str(store.folder), *EMBEDDER, "--eps", "1.6"])
    assert len(set(people_of(store).values())) == 1
    main(["--store", str(store.folder), *EMBEDDER, "--cluster-on", "tsne"])
    assert len(set(people_of(store).values())) >= 4


def test_one_person_is_said_and_cannot_be_split(tmp_path, capsys):
    rows = [(clip_id, label, original, folder, "red") for clip_id, label, original, folder, _ in ROWS]
    store = make_store(tmp_path, rows)
    assert main(["--store", str(store.folder), *EMBEDDER]) == 0
    said = capsys.readouterr().out
    assert "1 person in 9 tracks of 9 clips: seen more than once 1," in said
    assert "all tracks show one person" in said
    assert "--ignore-people" in said
    assert "cannot be split" in said


def test_a_store_without_a_face_says_where_to_look(tmp_path):
    store = make_store(tmp_path, [("a", 0, "", "f0", None)])
    with pytest.raises(TfdfdError, match=r"no clip of the store .* has a face"):
        main(["--store", str(store.folder), *EMBEDDER])


def test_fakes_without_their_originals_are_put_together_by_their_own_faces(tmp_path, capsys):
    store = make_store(tmp_path, [row for row in ROWS if row[1] == 1])
    assert main(["--store", str(store.folder), *EMBEDDER]) == 0
    assert "no clip of the store is real" in capsys.readouterr().out


def test_clips_without_labels_have_people_and_no_sides(tmp_path, capsys):
    store = make_store(tmp_path, ROWS, labels=-1)
    assert main(["--store", str(store.folder), *EMBEDDER]) == 0
    assert "no sides to show" in capsys.readouterr().out
    with pytest.raises(TfdfdError, match="have no labels"):
        main(["--store", str(store.folder), *EMBEDDER, "--keep-per-person", "1"])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--keep-per-person", "0"], "must be at least 1"),
        (["--keep-to", "x.csv"], "add --keep-per-person"),
        (["--eps", "0"], "eps must be above 0"),
        (["--embedder", "nobody"], "the embedder must be one of"),
        (["--drop-parted"], "give one of these"),
        (["--seed", "-1"], "seed must be at least 0 and below"),
        (["--seed", "99999999999999999999"], "seed must be at least 0 and below"),
        *(
            (["--val-fraction", share], "--val-fraction must be above 0 and below 1")
            for share in ["0", "1", "5", "nan", "-0.5"]
        ),
        (["--val-folders", "f9"], "f9"),
        (["--page", "/"], "--page must be a file, / is a folder"),
        (["--page", "/dev/null/page.html"], "cannot write to /dev/null"),
        (["--keep-per-person", "1", "--keep-to", "/dev/null/kept.csv"], "cannot write to /dev/null"),
        (["--keep-per-person", "1", "--keep-to", "/"], "--keep-to must be a file, / is a folder"),
    ],
)
def test_wrong_flags_are_refused_before_any_work(tmp_path, flags, says):
    store = make_store(tmp_path, ROWS)
    with pytest.raises(TfdfdError, match=says):
        main(["--store", str(store.folder), *EMBEDDER, *flags])
    assert not (store.folder / "people").exists()


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(TfdfdError, match="no face store"):
        main(["--store", str(tmp_path)])


def test_a_split_is_told_who_is_known_and_which_clips_came_after(tmp_path, capsys):
    store = make_store(tmp_path, ROWS)
    table, console = store.manifest(), make_console()
    assert with_known_people(table, store.folder, console) is table
    main(["--store", str(store.folder), *EMBEDDER])
    with store.writing():
        store.write(ok_clip("b0", track_of(), track_of()), source_bytes=3)  # a second person
        store.write(ok_clip("late"), source_bytes=1)
    late = pd.concat([table, table.tail(1).assign(clip_id="late")], ignore_index=True)
    told = with_known_people(late, store.folder, console)
    assert told["person"].str.contains("@").tolist() == [True] * 9 + [False]
    said = capsys.readouterr().out
    assert "2 clips have faces that came into the store after its people were found" in said
    assert "b0, late" in said
    assert "two sides" not in said  # what becomes of people on two sides is for the split to say


def test_people_of_other_crops_are_refused_with_both_values(tmp_path):
    store = make_store(tmp_path, ROWS)
    main(["--store", str(store.folder), *EMBEDDER])
    settings = store.folder / "people" / "clusters.json"
    for told, says in (
        (
            settings.read_text().replace(f'"margin": {MARGIN}', '"margin": 0.5'),
            rf"crops\.margin: {MARGIN} in .*, 0\.5 in",
        ),
        ("{}", "does not say in which crops"),
        ("{", "does not say in which crops"),
    ):
        settings.write_text(told)
        with pytest.raises(TfdfdError, match=says) as refused:
            with_known_people(store.manifest(), store.folder, make_console())
        assert f"run `tfdfd people --store {store.folder}` again" in str(refused.value)


def test_the_proof_fails_where_somebody_is_on_both_sides():
    table = pd.DataFrame({"split": ["train", "val"], "person": ["p1;p2", "p2"], "compression": ""})
    with pytest.raises(TfdfdError, match="1 people are on both sides"):
        print_people_of_sides(table, make_console())
    print_people_of_sides(table.assign(person=np.array(["p1", "p2"])), make_console())
