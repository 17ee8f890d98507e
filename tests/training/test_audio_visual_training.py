"""The audio-visual network learns sound, order and faces by the epoch loop; what sees frames one by one cannot."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tests.training.told_apart import EDGES, KINDS, SIZE, build_edges, make_set, painted_material, real_material
from tfdfd.commands.sequence_inputs import sequence_inputs
from tfdfd.data.splits import TRAIN, VAL, Split
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import rows_where
from tfdfd.data.tf_datasets import TF_DATASETS
from tfdfd.data.tracks import scoring_rows, training_table
from tfdfd.evaluation.calibration import fit_temperature
from tfdfd.models import BACKBONES
from tfdfd.models.scoring import ScoringRule
from tfdfd.training.build import classifier_builder
from tfdfd.training.config import TrainConfig
from tfdfd.training.loop import TrainResult, train
from tfdfd.training.sources import FaceTableSource, StripSource

TRAINED = {"face_features": "trained", "batchnorm_momentum": 0.5}
"""Of so few steps BatchNorm must learn its statistics quickly."""


def one_cpu() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0"])


@pytest.fixture(autouse=True)
def edges(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network of faces that is quick, and a file of its weights."""
    monkeypatch.setitem(BACKBONES, "xception", EDGES)
    keras.utils.set_random_seed(1)
    file = tmp_path_factory.mktemp("edges") / "edges.weights.h5"
    build_edges(SIZE, None).save_weights(file)
    return str(file)


def settings(**changes: Any) -> TrainConfig:
    """Return settings for sets that give one or two steps an epoch, too few to say that it no longer gets better."""
    values = {
        "backbone": "audio_visual", "epochs": 16, "batch_size": 12, "learning_rate": 3e-3,
        "schedule": "constant", "patience": 20, "dropout": 0.1, "drop_sound": 0.1,
    }  # fmt: skip
    return TrainConfig(**(values | changes))


def run(run_folder: Path, store: FaceStore, split: Split, config: TrainConfig) -> tuple[TrainResult, str]:
    output = io.StringIO()
    console, strategy = Console(file=output, width=300), one_cpu()
    inputs = sequence_inputs(store, split, config, strategy, console)
    result = train(
        model_builder=inputs.build,
        config=config,
        training=inputs.training,
        validation=inputs.validation,
        strategy=strategy,
        run_folder=run_folder,
        score_clips=ScoringRule(over_tracks="main").clip_scores,
        fingerprint=inputs.about_features,
        console=console,
        fit_temperature=fit_temperature,
    )
    return result, output.getvalue()


def run_by_frames(run_folder: Path, store: FaceStore, split: Split, weights: str) -> TrainResult:
    config = settings(backbone="xception", weights=weights, epochs=3, drop_sound=0.1)
    strategy, clips = one_cpu(), split.table
    table = training_table(store, rows_where(clips, split.sides == TRAIN), main_only=True)
    val_clips = rows_where(clips, split.sides == VAL)
    rows, labels = scoring_rows(store, val_clips), val_clips["label"].to_numpy()
    return train(
        model_builder=classifier_builder(config, SIZE),
        config=config,
        training=FaceTableSource(table, config, TF_DATASETS, strategy, SIZE),
        validation=StripSource(rows, labels, config, TF_DATASETS, strategy, SIZE),
        strategy=strategy,
        run_folder=run_folder,
        score_clips=ScoringRule().clip_scores,
        fingerprint={},
        console=Console(file=io.StringIO()),
    )


def check(tmp_path: Path, kind: str, material: Any, weights: str, **changes: Any) -> None:
    store, split = make_set(tmp_path, kind, material)
    result, output = run(tmp_path / "run", store, split, settings(weights=weights, **changes))
    num_clips = 2 * len(material[0])
    assert f"sound of {num_clips} clips: {num_clips} ok" in output
    assert result.best_figures["val_clip_auc"] == 1.0, output
    assert result.best_value < 0.5 * math.log(2), output
    by_frames = run_by_frames(tmp_path / "frames", store, split, weights)
    if kind == "face":
        return
    # A fake has the frames of a real clip: in their mean both look alike.
    np.testing.assert_allclose(by_frames.history["val_clip_auc"], 0.5, atol=0.13)
    assert by_frames.history["val_clip_log_loss"].min() > 0.99 * math.log(2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_alone_tells_and_a_model_of_frames_does_not(tmp_path: Path, kind: str, edges: str) -> None:
    check(tmp_path, kind, painted_material(), edges)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"over_time": "transformer"}, TRAINED], ids=["transformer", "trained"])
@pytest.mark.parametrize("kind", KINDS)
def test_so_does_a_transformer_and_a_network_trained_as_a_whole(
    tmp_path: Path, kind: str, changes: dict, edges: str
) -> None:
    check(tmp_path, kind, painted_material(), edges, **changes)


@pytest.mark.slow
@pytest.mark.clips
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_the_same_of_real_faces_and_voices(tmp_path: Path, kind: str, edges: str, test_data: Path) -> None:
    check(tmp_path, kind, real_material(test_data), edges, epochs=12)


@pytest.mark.slow
def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path: Path, edges: str) -> None:
    store, split = make_set(tmp_path, "sound", painted_material())
    whole, _ = run(tmp_path / "whole", store, split, settings(weights=edges, epochs=2))
    run(tmp_path / "parts", store, split, settings(weights=edges, epochs=1))
    parts, output = run(tmp_path / "parts", store, split, settings(weights=edges, epochs=2))
    assert "after 1 epochs" in output
    for name in ("loss", "val_clip_log_loss"):
        np.testing.assert_array_equal(parts.history[name], whole.history[name])


def test_clips_without_sound_are_counted_and_masked(tmp_path: Path, edges: str) -> None:
    store, split = make_set(tmp_path, "face", painted_material())
    (tmp_path / "real0.mkv").unlink()
    (tmp_path / "fake1.mkv").write_bytes(b"no clip")
    output = io.StringIO()
    console = Console(file=output, width=300)
    inputs: Any = sequence_inputs(store, split, settings(weights=edges), one_cpu(), console)
    text = output.getvalue()
    assert "18 ok, 1 no_file, 1 failed" in text or "18 ok, 1 failed, 1 no_file" in text
    assert "real0: no_file" in text
    assert "training: 12 clips, 10 with sound" in text
    batch, *_ = next(inputs.training.iterator(0, 0))
    rows = inputs.training._rows(0)
    paths = [inputs.training.table.sound_paths[track] for track in rows.tracks]
    for row, (path, deaf) in enumerate(zip(paths, rows.is_deaf, strict=True)):
        assert batch["is_sound"][row].numpy().any() == (bool(path) and not deaf)


def test_frozen_features_are_brought_to_the_spread_of_the_training_faces(tmp_path: Path, edges: str) -> None:
    store, split = make_set(tmp_path, "face", painted_material())
    console = Console(file=io.StringIO())
    whole: Any = sequence_inputs(store, split, settings(weights=edges, sequence_share=1.0), one_cpu(), console)
    (inputs, _, weights, _), norm = next(whole.training.iterator(0, 0)), whole.build("float32").get_layer("face_norm")
    assert weights.numpy().all()
    assert len(weights) == 12
    faces = inputs["faces"].numpy()[inputs["is_face"].numpy()]
    np.testing.assert_allclose(norm.mean, faces.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(norm.deviation, np.maximum(faces.std(axis=0), norm.deviation.numpy().min()), atol=1e-5)
    assert (norm.deviation.numpy() > 0).all()


def test_features_of_another_network_are_refused_with_both_values(tmp_path: Path, edges: str) -> None:
    from tfdfd.clip import TfdfdError

    store, split = make_set(tmp_path, "face", painted_material())
    console = Console(file=io.StringIO())
    sequence_inputs(store, split, settings(weights=edges), one_cpu(), console)
    other = tmp_path / "other.weights.h5"
    build_edges(SIZE, None).save_weights(other)
    with pytest.raises(TfdfdError, match=r"network\.weights_digest: '\w+' in this run, '\w+' in the cache"):
        sequence_inputs(store, split, settings(weights=str(other)), one_cpu(), console)
