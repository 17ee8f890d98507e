"""Stores that older versions made: they go on by their own rule, and models take either kind of crops."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.stores import track_of
from tests.video_files import write_video
from tfdfd.clip import OK, PARTIAL, ClipFaces, FramePlan, TfdfdError
from tfdfd.commands.inputs import provenance
from tfdfd.commands.prepare import default_store, planned_store, prepare_store
from tfdfd.data.fingerprint import Fingerprint, of_single_crops, preprocessing_differences
from tfdfd.data.manifest import load_manifest
from tfdfd.data.store import FaceStore, source_bytes
from tfdfd.extraction import extraction_config_of, extraction_fingerprint
from tfdfd.faces.config import SPREAD_BY_COUNT, SPREAD_BY_TIME, ExtractionConfig
from tfdfd.faces.mtcnn_weights import mtcnn_settings

NEW = ExtractionConfig(places=3, crop_size=16)
OLD = replace(NEW, spread=SPREAD_BY_COUNT, track_rules=1)


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in "ab":
        write_video(tmp_path / f"clips/{name}.mp4")
    (tmp_path / "clips/manifest.csv").write_text("clip_id,path,label\na,a.mp4,REAL\nb,b.mp4,FAKE\n")
    return load_manifest(tmp_path / "clips")


def made_by(config, folder) -> FaceStore:
    fingerprint = extraction_fingerprint(config, mtcnn_settings(min_face_share=config.min_face_share), {})
    return FaceStore.create_or_open(folder, fingerprint, num_places=config.places)[0]


def test_the_frame_rule_of_an_older_store_is_the_one_that_it_wrote(tmp_path):
    assert made_by(OLD, tmp_path / "old").fingerprint.preprocessing["frame_rule"] == (
        "nearest the centres of equal segments; of H.264 its reference frames"
    )
    assert OLD.frame_plan == FramePlan(3, by_time=False)
    assert NEW.frame_plan == FramePlan(3, by_time=True)


def test_an_older_store_goes_on_by_its_own_rule_and_a_new_one_by_that_of_now(manifest, tmp_path, monkeypatch):
    made_by(OLD, tmp_path / "old")
    used = []

    def extract(todo, store, config, workers, console, *, run_token, on_clip):
        used.append(config)
        return

    monkeypatch.setattr("tfdfd.commands.prepare.extract_in_workers", extract)
    for folder in ("old", "new"):
        said = io.StringIO()
        prepare_store(manifest, str(tmp_path / folder), NEW, Console(file=said, width=1000))
        assert ("it was made by" in said.getvalue()) == (folder == "old")
    assert used == [OLD, NEW]
    assert FaceStore.open(tmp_path / "new").fingerprint.preprocessing["frame_rule"] == SPREAD_BY_TIME


def test_an_older_store_is_found_where_the_command_left_it(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fresh, _, _ = planned_store(manifest, None, NEW, crop_margin=None)
    settings = mtcnn_settings(min_face_share=OLD.min_face_share)
    path = default_store(manifest, extraction_fingerprint(OLD, settings, provenance(manifest.root)), 3)
    made_by(OLD, path)
    found, fingerprint, _ = planned_store(manifest, None, NEW, crop_margin=None)
    assert found == path != fresh
    assert fingerprint.preprocessing["frame_rule"] == SPREAD_BY_COUNT


def test_whoever_opens_an_older_store_with_another_rule_is_refused(tmp_path):
    made_by(OLD, tmp_path / "old")
    with pytest.raises(TfdfdError, match="frame_rule"):
        made_by(NEW, tmp_path / "old")


def test_a_model_takes_crops_of_either_rule_and_scores_by_that_of_now():
    old, new = (extraction_fingerprint(config, {"min_face_share": 0.1}, {}) for config in (OLD, NEW))
    every = extraction_fingerprint(replace(NEW, every_frames=6), {"min_face_share": 0.1}, {})
    assert of_single_crops(old) == of_single_crops(new)
    assert preprocessing_differences(of_single_crops(every).preprocessing, of_single_crops(new).preprocessing)
    assert extraction_config_of(old, places=3).spread == SPREAD_BY_TIME


def test_sequences_of_every_nth_frame_have_one_rule():
    spreads = (SPREAD_BY_COUNT, SPREAD_BY_TIME)
    made = [extraction_fingerprint(replace(NEW, every_frames=6, spread=spread), {}, {}) for spread in spreads]
    assert made[0] == made[1]
    assert isinstance(made[0], Fingerprint)


def test_a_partial_clip_belongs_to_the_store_like_any_with_faces(manifest, tmp_path):
    store = made_by(NEW, tmp_path / "store")
    crops = (np.zeros((3, 16, 16, 3), np.uint8),)
    track = track_of((True, False, True))
    with store.writing():
        for clip_id, path, status, reason in zip(
            manifest.table["clip_id"], manifest.table["path"], (OK, PARTIAL), ("", "cut off"), strict=True
        ):
            faces = ClipFaces(clip_id, status, reason, tracks=(track,), crops=crops)
            store.write(faces, source_bytes=source_bytes(Path(path)))
    said = io.StringIO()
    prepare_store(manifest, str(store.folder), NEW, Console(file=said, width=1000))
    assert "1 ok, 1 partial" in said.getvalue()
    assert "2 tracks, 4 faces" in said.getvalue()
