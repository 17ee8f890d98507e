"""People of real clips: each way to make a fake of FaceForensics++ is handled as docs/people.md says."""

import importlib.util

import pytest

from tfdfd.commands.people import main
from tfdfd.commands.prepare import main as prepare
from tfdfd.data.manifest import load_manifest
from tfdfd.data.people import read_people, with_people
from tfdfd.data.splits import connected_sets
from tfdfd.data.tables import values

pytestmark = [
    pytest.mark.clips,
    pytest.mark.skipif(
        importlib.util.find_spec("face_recognition_models") is None, reason="the extra `people` is not installed"
    ),
]
ORIGINALS = "original_sequences/youtube/c23/videos"
FAKES = "manipulated_sequences/{}/c23/videos"


@pytest.fixture(scope="module")
def store(test_data, tmp_path_factory):
    """Originals 183 and 253, and 183 with the face of 253 by four methods; five places keep it quick."""
    folder = tmp_path_factory.mktemp("people")
    videos = test_data / "clips" / "ffpp"
    rows = [f"{name},{videos / ORIGINALS / name}.mp4,REAL,," for name in ("183", "253")]
    for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        rows.append(f"{method},{videos / FAKES.format(method)}/183_253.mp4,FAKE,183,253")
    (folder / "clips.csv").write_text("\n".join(["clip_id,path,label,original,donor", *rows]) + "\n")
    assert prepare(["--data", str(folder / "clips.csv"), "--store", str(folder / "store"), "--places", "5"]) == 0
    return folder / "store"


def test_a_swapped_face_is_the_donors_and_a_reenacted_one_the_targets(store):
    assert main(["--store", str(store)]) == 0
    who = read_people(store).query("track == 0").set_index("clip_id")["person"].to_dict()
    assert who["183"] != who["253"]
    assert who["Deepfakes"] == who["FaceSwap"] == who["253"]
    assert who["Face2Face"] == who["NeuralTextures"] == who["183"]


def test_both_people_of_a_swap_and_the_fake_are_one_set(store):
    main(["--store", str(store)])
    table = with_people(load_manifest(store.parent / "clips.csv").table, read_people(store))
    # The face alone tells it too, where no name does.
    for known in (table, table.assign(donor="")):
        assert len(set(connected_sets(known))) == 1
    assert values(table, "person")[0] != ""
