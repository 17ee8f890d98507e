"""The commands say how a data folder was read, and --compression reaches it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.test_ready_crops import frames_of_deepfakebench, paint
from tfdfd.clip import FAKE, TfdfdError
from tfdfd.commands.console import run_command
from tfdfd.commands.evaluate import main as evaluate
from tfdfd.commands.people import main as people
from tfdfd.commands.prepare import main as prepare
from tfdfd.commands.train import make_parser
from tfdfd.commands.training_inputs import manifest_of, store_alone
from tfdfd.data.connected_sets import connected_sets
from tfdfd.data.manifest import load_manifest
from tfdfd.data.store import FaceStore
from tfdfd.faces.config import ExtractionConfig


def said(capfd) -> str:
    out, err = capfd.readouterr()
    return " ".join((out + err).split())


def test_prepare_says_what_it_did_not_take_and_which_originals_are_unknown(tmp_path, capfd):
    data = frames_of_deepfakebench(tmp_path / "data")
    (data / "original_sequences/youtube/c23/frames/183").rename(data / "original_sequences/youtube/c23/frames/000")
    (data / "loose").mkdir()
    (data / "loose" / "clip.mp4").write_bytes(b"")
    assert run_command(prepare, ["--data", str(data), "--store", str(tmp_path / "store"), "--places", "4"]) == 0
    message = said(capfd)
    assert "1 videos under" in message
    assert "loose/clip.mp4" in message
    assert "1 originals are unknown" in message
    assert "youtube/c23/183 (of Deepfakes/c23/183_253)" in message


def test_prepare_takes_one_compression(tmp_path):
    data = frames_of_deepfakebench(tmp_path / "data")
    paint(data / "original_sequences/youtube/c40/frames/183/000.png", 0)
    paint(data / "manipulated_sequences/Deepfakes/c40/frames/183_253/000.png", 0)
    flags = ["--data", str(data), "--store", str(tmp_path / "store"), "--compression", "c40"]
    assert run_command(prepare, flags) == 0
    clips = FaceStore.open(tmp_path / "store").clips()
    assert sorted(clips["clip_id"]) == ["Deepfakes/c40/183_253", "youtube/c40/183"]


def test_eval_refuses_a_compression_that_is_not_there_before_it_loads_a_model(tmp_path):
    data = frames_of_deepfakebench(tmp_path / "data")
    with pytest.raises(TfdfdError, match=r"--compression raw.*c23 \(2 clips\)"):
        evaluate(["--data", str(data), "--model", str(tmp_path / "none"), "--compression", "raw"])


def test_a_store_alone_refuses_compression_and_matches_the_names_that_it_holds(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    data = frames_of_deepfakebench(tmp_path / "data")
    assert run_command(prepare, ["--data", str(data), "--store", "store", "--places", "4"]) == 0
    store = FaceStore.open(tmp_path / "store")
    data.rename(tmp_path / "gone")
    arguments = make_parser().parse_args(["--store", "store", "--compression", "c23"])
    with pytest.raises(TfdfdError, match="--compression needs the clips"):
        store_alone(arguments, ExtractionConfig(), None)  # pyright: ignore[reportArgumentType]
    # As an older version wrote them.
    table = load_manifest(tmp_path / "gone").table
    store.write_manifest(table.assign(original=np.where(table["label"] == FAKE, "YouTube/c23/183.mp4", "")))
    manifest = manifest_of(store)
    assert "youtube/c23/183" in set(manifest.table["original"])
    assert manifest.has_frames
    assert len(set(connected_sets(manifest.table))) == 1


def test_people_says_which_originals_are_unknown(tmp_path, capfd):
    data = frames_of_deepfakebench(tmp_path / "data")
    assert run_command(prepare, ["--data", str(data), "--store", str(tmp_path / "store"), "--places", "4"]) == 0
    store = FaceStore.open(tmp_path / "store")
    store.write_manifest(store.manifest().assign(original="gone"))
    capfd.readouterr()
    run_command(people, ["--store", str(store.folder), "--embedder", "no.such:thing"])
    assert "1 originals are unknown" in said(capfd)
