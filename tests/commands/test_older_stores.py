"""Stores that were made by the first track rules go on with them; new ones are made by the rules of now."""

import dataclasses
import json
from io import StringIO

import pytest
from rich.console import Console

from tests.video_files import write_video
from tfdfd.commands.prepare import planned_store, prepare_store
from tfdfd.data.manifest import load_manifest
from tfdfd.data.store import FaceStore
from tfdfd.extraction import extraction_config_of
from tfdfd.faces.config import TRACK_RULES, ExtractionConfig

CONFIG = ExtractionConfig(places=3, crop_size=16)


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips" / "dfdc_train_part_0"
    folder.mkdir(parents=True)
    write_video(folder / "a.mp4", num_frames=6)
    (folder / "metadata.json").write_text(json.dumps({"a.mp4": {"label": "REAL"}}))
    return load_manifest(tmp_path / "clips")


def planned(manifest, folder=None, config=CONFIG):
    path, fingerprint, _ = planned_store(manifest, folder, config, crop_margin=None)
    return path, fingerprint.preprocessing["rules"]


def older_store(manifest, folder=None):
    path, fingerprint, places = planned_store(
        manifest, folder, dataclasses.replace(CONFIG, track_rules=1), crop_margin=None
    )
    assert fingerprint.preprocessing["rules"] == 1
    return FaceStore.create_or_open(path, fingerprint, num_places=places)[0]


def test_a_new_store_is_made_by_the_rules_of_now(manifest):
    assert planned(manifest)[1] == planned(manifest, "mine")[1] == TRACK_RULES


@pytest.mark.parametrize("folder", [None, "mine"])
def test_an_older_store_is_found_and_goes_on_with_its_rules(manifest, folder):
    store = older_store(manifest, folder)
    assert planned(manifest, folder) == (store.folder, 1)
    said = StringIO()
    console = Console(file=said, width=200)
    done = prepare_store(manifest, folder, CONFIG, console, crop_margin=None)
    assert (done.folder, done.fingerprint.preprocessing["rules"]) == (store.folder, 1)
    assert "goes on with the rules" in said.getvalue()
    assert done.clips()["status"].tolist() == ["no_face"]


def test_a_store_of_the_rules_of_now_goes_before_an_older_one(manifest):
    older = older_store(manifest)
    path, fingerprint, places = planned_store(manifest, "new", CONFIG, crop_margin=None)
    newer = FaceStore.create_or_open(path, fingerprint, num_places=places)[0]
    assert planned(manifest, "new") == (newer.folder, TRACK_RULES)
    assert planned(manifest) == (older.folder, 1)


def test_a_model_of_crops_of_the_first_rules_finds_faces_by_the_rules_of_now(manifest):
    assert extraction_config_of(older_store(manifest).fingerprint).track_rules == TRACK_RULES


def test_rules_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="track_rules must be one of"):
        ExtractionConfig(track_rules=3)
