"""A store with masks is trained on and exported, and the heat maps are the masks: the whole road, small."""

from __future__ import annotations

import argparse
import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console

from tests.models.test_segmentation import STAGES
from tests.stores import CROP_SIZE, NUM_PLACES, new_store, track_of, write_clips
from tfdfd.clip import OK, ClipFaces, TfdfdError
from tfdfd.commands.exporting import export_best
from tfdfd.commands.training_inputs import store_sources
from tfdfd.data.degradation import Degradation
from tfdfd.data.manifest import COLUMNS, Manifest
from tfdfd.data.mask_store import ClipMasks, MaskStore
from tfdfd.data.splits import Split
from tfdfd.data.store import FaceStore
from tfdfd.data.tracks import scoring_rows
from tfdfd.evaluation.regions import choose_clips, measure_regions
from tfdfd.evaluation.scores import ScoredClips
from tfdfd.models import BACKBONES
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.saved_model import LoadedModel
from tfdfd.training.build import build_mask_loss, classifier_builder
from tfdfd.training.config import TrainConfig
from tfdfd.training.loop import TrainResult, train
from tfdfd.training.mask_loss import MaskLoss

CLIPS = 12
ALTERED = np.zeros((CROP_SIZE, CROP_SIZE), bool)
ALTERED[4:12, 2:14] = True
"""What is white in every fake."""


@pytest.fixture(autouse=True)
def _small_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Under a name that the settings know.
    monkeypatch.setitem(BACKBONES, "xception", STAGES)


def name_of(number: int) -> str:
    return f"{'fake' if number % 2 else 'real'}_{number // 2}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    """Noise, white where a fake is altered; of the last fake nothing is known."""
    store = new_store(tmp_path_factory.mktemp("segmentation") / "store")
    rng, track, found = np.random.default_rng(0), track_of(), []
    for number in range(CLIPS):
        crops = rng.integers(0, 120, (NUM_PLACES, CROP_SIZE, CROP_SIZE, 3)).astype(np.uint8)
        if number % 2:
            crops[:, ALTERED] = 250
        found.append(ClipFaces(name_of(number), OK, tracks=(track,), crops=(crops,)))
    write_clips(store, found)
    masks = MaskStore(store)
    with store.writing():
        masks.begin()
        for number in range(1, CLIPS - 2, 2):
            of_track = np.repeat(ALTERED[None], NUM_PLACES, 0)
            made = ClipMasks(name_of(number), OK, masks=(of_track,), is_known=(np.ones(NUM_PLACES, bool),))
            masks.write(made, fake_bytes=1, original_bytes=1)
        masks.rebuild_index()
    return store


def split_of() -> Split:
    names = [name_of(number) for number in range(CLIPS)]
    told = {
        "clip_id": names,
        "label": [int(name.startswith("fake")) for name in names],
        "original": [name.replace("fake", "real") if name.startswith("fake") else "" for name in names],
    }
    table = pd.DataFrame(dict.fromkeys(COLUMNS, "") | told)[list(COLUMNS)]
    return Split(table.assign(split=["val" if number < 4 else "train" for number in range(CLIPS)]), "by hand")


def trained(store: FaceStore, folder: Path, **settings: object) -> tuple[TrainResult, TrainConfig, str]:
    values = {"weights": "none", "epochs": 4, "batch_size": 8, "dropout": 0.0, "patience": 9}
    config = TrainConfig(**(values | {"learning_rate": 0.02, "batchnorm_momentum": 0.5} | settings))  # pyright: ignore[reportArgumentType]
    said = io.StringIO()
    console, strategy = Console(file=said, width=300), tf.distribute.MirroredStrategy(["CPU:0"])
    arguments = argparse.Namespace(input="tf.data")
    training, validation = store_sources(store, split_of(), arguments, config, Degradation(), strategy, folder, console)
    result = train(
        model_builder=classifier_builder(config, CROP_SIZE),
        config=config,
        training=training,
        validation=validation,
        strategy=strategy,
        run_folder=folder,
        score_clips=ScoringRule().clip_scores,
        fingerprint=store.fingerprint.preprocessing,
        console=console,
    )
    return result, config, said.getvalue()


@pytest.mark.parametrize("segmentation", ["second_head", pytest.param("alone", marks=pytest.mark.slow)])
def test_a_trained_network_finds_what_was_altered_and_its_export_says_so(store, tmp_path, segmentation):
    result, config, said = trained(store, tmp_path / "run", segmentation=segmentation)
    assert "masks: known of 9 of 12 fake faces to train on" in said
    assert result.best_figures["val_clip_auc"] == 1
    manifest = Manifest(split_of().table[list(COLUMNS)], "csv", tmp_path)
    # Without a margin the export leaves out the signatures that find faces, which take longest.
    made = {**store.fingerprint.preprocessing, "margin": "not declared"}
    fingerprint = dataclasses.replace(store.fingerprint, preprocessing=made)
    exported = export_best(
        result,
        ScoringRule(),
        fingerprint,
        split_of(),
        config,
        Degradation(),
        tmp_path / "model",
        manifest,
        say=lambda _: None,
    )
    model = LoadedModel(exported)
    assert model.shows_masks
    crops = np.random.default_rng(5).integers(0, 120, (1, 2, CROP_SIZE, CROP_SIZE, 3)).astype(np.uint8)
    crops[0, 1, ALTERED] = 250
    logits, maps = model.explain(crops, np.ones((1, 2), bool))
    assert logits[0, 0] < logits[0, 1]
    found = np.repeat(np.repeat(maps[0] > 0.5, CROP_SIZE // maps.shape[2], 1), CROP_SIZE // maps.shape[2], 2)
    assert found[0].mean() < 0.1
    clips = split_of().table[:4].reset_index(drop=True)  # those that were not trained on
    rows = scoring_rows(store, clips)
    scored = ScoredClips.of(clips, np.array([0, 0, 1, 1]), store, rows, np.zeros(rows.is_face.shape, np.float32))
    compared = choose_clips(scored, MaskStore(store), 4)
    regions = measure_regions(lambda *shown: model.explain(*shown)[1], scored, compared, num_replicates=100)
    assert regions is not None
    assert regions.parts[0].iou > 0.6
    assert regions.false_area is not None
    assert regions.false_area < 0.1
    assert (found[1] & ALTERED).sum() / (found[1] | ALTERED).sum() > 0.6


@pytest.mark.slow
def test_a_run_that_is_gone_on_with_has_the_same_weights_and_other_masks_are_refused(store, tmp_path):
    whole = trained(store, tmp_path / "whole", segmentation="second_head", epochs=2)[0]
    trained(store, tmp_path / "parts", segmentation="second_head", epochs=1)
    parts = trained(store, tmp_path / "parts", segmentation="second_head", epochs=2)[0]
    assert parts.history["loss"].tolist() == whole.history["loss"].tolist()
    with pytest.raises(TfdfdError, match="mask_weight"):
        trained(store, tmp_path / "parts", segmentation="second_head", epochs=2, mask_weight=2.0)


def test_settings_weigh_the_two_losses():
    losses = {
        name: build_mask_loss(TrainConfig(segmentation=name, mask_weight=weight))
        for name, weight in (("none", None), ("second_head", 0.3), ("alone", None))
    }
    assert losses == {"none": None, "second_head": MaskLoss(1.0, 0.3), "alone": MaskLoss(0.0, 1.0)}


def test_a_store_without_masks_and_one_whose_masks_are_gone_or_damaged_stop_before_training(store, tmp_path):
    empty = new_store(tmp_path / "empty")
    write_clips(empty, [])
    with pytest.raises(TfdfdError, match="has no masks: run `tfdfd masks --store"):
        trained(empty, tmp_path / "run", segmentation="alone")
    strip = sorted((store.folder / "masks" / "strips").rglob("fake_3*.png"))[0]
    whole = strip.read_bytes()
    try:
        for damage, says in ((strip.unlink, "No such file"), (lambda: strip.write_bytes(whole[:40]), "cut off")):
            damage()
            with pytest.raises(TfdfdError, match=rf"1 masks of the store .*\n  {strip}: {says}.*\nRun `tfdfd masks`"):
                trained(store, tmp_path / "run", segmentation="alone")
    finally:
        strip.write_bytes(whole)
