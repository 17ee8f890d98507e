"""Which faces of a store a run trains on, and which it scores."""

import argparse
from dataclasses import fields

import pandas as pd
import pytest
import tensorflow as tf

from tests.stores import NUM_PLACES, new_store, ok_clip, track_of, write_clips
from tfdfd.clip import TfdfdError
from tfdfd.commands.console import make_console
from tfdfd.commands.train import make_parser
from tfdfd.commands.training_inputs import store_alone, store_sources, stream_sources
from tfdfd.data.degradation import Degradation
from tfdfd.data.manifest import COLUMNS, Manifest
from tfdfd.data.splits import Split
from tfdfd.data.tracks import scoring_rows, training_table
from tfdfd.faces.config import ExtractionConfig
from tfdfd.training.config import TrainConfig

CLIPS = pd.DataFrame(
    {
        "clip_id": ["a", "b", "c", "d"],
        "label": [0, 1, 0, 1],
        "original": ["", "a", "", "c"],
        "split": ["train", "train", "val", "val"],
    }
)


@pytest.fixture
def store(tmp_path):
    """Two people in each fake, the second one seen at one place less."""
    second = track_of((True,) * (NUM_PLACES - 1) + (False,), box=(300, 100, 330, 140))
    store = new_store(tmp_path / "store")
    fakes = [ok_clip(name, track_of(), second) for name in "bd"]
    write_clips(store, [ok_clip("a"), ok_clip("c"), *fakes], [("a", 0, "")])
    return store


def test_main_leaves_out_all_people_but_the_main_one(store):
    assert training_table(store, CLIPS, main_only=True).clip_rows.tolist() == [0, 1, 2, 3]
    everyone = training_table(store, CLIPS, main_only=False)
    assert everyone.clip_rows.tolist() == [0, 1, 1, 2, 3, 3]
    assert everyone.is_face.sum(axis=1).tolist() == [3, 3, 2, 3, 3, 2]
    assert [path.endswith(".1.jpg") for path in everyone.strip_paths] == [False, False, True, False, False, True]


@pytest.mark.parametrize(("tracks", "real", "fake"), [("main", 3, 3), ("all", 3, 5)])
def test_the_setting_changes_the_faces_trained_on_and_not_those_scored(store, tracks, real, fake):
    config = TrainConfig(tracks=tracks, batch_size=2)
    arguments = argparse.Namespace(input="tf.data")
    training, validation = store_sources(
        store,
        Split(CLIPS, "by hand"),
        arguments,
        config,
        Degradation(),
        tf.distribute.get_strategy(),
        store.folder / "run",
        make_console(),
    )
    assert (training.identity["real faces"], training.identity["fake faces"]) == (real, fake)
    assert validation.clip_rows.tolist() == [0, 1, 1]
    assert len(scoring_rows(store, CLIPS)) == 6


def test_the_main_person_is_the_default():
    assert TrainConfig().tracks == "main"
    with pytest.raises(ValueError, match=r"tracks must be one of \['all', 'main'\], got 'first'"):
        TrainConfig(tracks="first")


@pytest.mark.parametrize("flag", [("--workers", "2"), ("--clip-timeout", "60"), ("--ray", "auto")])
def test_flags_of_workers_where_none_work_are_errors(store, tmp_path, monkeypatch, flag):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    store.write_manifest(CLIPS)
    arguments = make_parser().parse_args(["--store", str(store.folder), *flag])
    with pytest.raises(TfdfdError, match="--workers, --clip-timeout, --ray or --decoder needs the clips"):
        store_alone(arguments, ExtractionConfig(), make_console())
    manifest = Manifest(table=CLIPS.reindex(columns=COLUMNS, fill_value=""), layout="csv", root=tmp_path)
    arguments = make_parser().parse_args(["--stream", *flag])
    with pytest.raises(TfdfdError, match="--stream cannot honour --workers, --clip-timeout or --ray"):
        stream_sources(
            manifest,
            Split(CLIPS, "by hand"),
            arguments,
            ExtractionConfig(),
            TrainConfig(),
            Degradation(),
            tf.distribute.get_strategy(),
            make_console(),
        )


def test_a_store_without_its_clips_has_nothing_to_decode_and_a_stream_has(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    store.write_manifest(CLIPS)
    arguments = make_parser().parse_args(["--store", str(store.folder), "--decoder", "pyav"])
    with pytest.raises(TfdfdError, match="--decoder needs the clips"):
        store_alone(arguments, ExtractionConfig(), make_console())
    asked = []

    def noted(console, *, gpu, decoder):
        asked.append(decoder)
        raise TfdfdError("far enough")

    monkeypatch.setattr("tfdfd.commands.training_inputs.make_frame_source", noted)
    manifest = Manifest(table=CLIPS.reindex(columns=COLUMNS, fill_value=""), layout="csv", root=tmp_path)
    arguments = make_parser().parse_args(["--stream", "--decoder", "pyav"])
    with pytest.raises(TfdfdError, match="far enough"):
        stream_sources(
            manifest,
            Split(CLIPS.assign(path="a.mp4"), "by hand"),
            arguments,
            ExtractionConfig(),
            TrainConfig(),
            Degradation(),
            tf.distribute.get_strategy(),
            make_console(),
        )
    assert asked == ["pyav"]


OTHER = {
    "places": 5,
    "crop_size": 208,
    "margin": 0.5,
    "min_face_share": 0.1,
    "alignment": "landmarks",
    "detect_every": 2.0,
    "every_frames": 6,
}


@pytest.mark.parametrize("name", [one.name for one in fields(ExtractionConfig) if one.metadata.get("flag", True)])
def test_crops_that_a_store_does_not_hold_cannot_be_made_without_the_clips(store, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFDFD_DATA", raising=False)
    store.write_manifest(CLIPS)
    arguments = make_parser().parse_args(["--store", str(store.folder)])
    assert store_alone(arguments, ExtractionConfig(), make_console()).folder == store.folder
    with pytest.raises(TfdfdError, match=f"--{name.replace('_', '-')} {OTHER[name]}: the store .* was made with"):
        store_alone(arguments, ExtractionConfig(**{name: OTHER[name]}), make_console())


def sources_of(store, clips, config, degradation=Degradation()):  # noqa: B008  frozen
    return store_sources(
        store,
        Split(clips, "by hand"),
        argparse.Namespace(input="tf.data"),
        config,
        degradation,
        tf.distribute.get_strategy(),
        store.folder / "run",
        make_console(),
    )


def test_without_any_fake_real_faces_are_blended_to_train_on_and_to_validate_by(store):
    real = CLIPS[CLIPS["label"] == 0]
    training, validation = sources_of(store, real, TrainConfig(fakes="self_blended", batch_size=2))
    assert training.num_steps(0) == NUM_PLACES  # each of a's faces and its blend, two a batch
    assert validation.clip_labels.tolist() == [0, 1]
    assert validation.clip_rows.tolist() == [0, 1]
    twins = sorted((store.folder / "run" / "validation_blends").iterdir())
    assert [path.name for path in twins] == ["c.0.jpg"]
    written = twins[0].stat().st_mtime_ns
    sources_of(store, real, TrainConfig(fakes="self_blended", batch_size=2))
    assert twins[0].stat().st_mtime_ns == written, "the same command again makes nothing twice"


def test_fakes_are_missed_where_none_are_made(store):
    with pytest.raises(TfdfdError, match="the training side has faces of 1 real and 0 fake tracks"):
        sources_of(store, CLIPS[CLIPS["label"] == 0], TrainConfig(batch_size=2))


def test_pairs_without_originals_stop_before_any_work_and_say_what_to_write(store):
    orphans = CLIPS.assign(original="")
    with pytest.raises(TfdfdError, match="--balance weights or --balance undersample instead"):
        sources_of(store, orphans, TrainConfig(balance="paired", batch_size=2))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"sampling": "one"}, "--sampling one"),
        ({"balance": "paired"}, "--balance paired"),
        ({"fakes": "both"}, "--fakes both"),
        ({"degradation": Degradation(jpeg=0.5)}, "degradation"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(tmp_path, flags, named):
    manifest = Manifest(table=CLIPS.reindex(columns=COLUMNS, fill_value=""), layout="csv", root=tmp_path)
    degradation = flags.pop("degradation", Degradation())
    with pytest.raises(TfdfdError, match=f"--stream cannot honour {named}"):
        stream_sources(
            manifest,
            Split(CLIPS, "by hand"),
            make_parser().parse_args(["--stream"]),
            ExtractionConfig(),
            TrainConfig(**flags),
            degradation,
            tf.distribute.get_strategy(),
            make_console(),
        )
