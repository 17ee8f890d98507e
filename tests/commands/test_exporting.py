"""The network that a run is exported as is the one that it trained, whatever was chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tiny_backbone import TINY
from tfdfd.commands.exporting import export_best
from tfdfd.data.degradation import Degradation
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.manifest import COLUMNS, Manifest
from tfdfd.data.splits import Split
from tfdfd.models import BACKBONES
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.saved_model import LoadedModel
from tfdfd.training.build import classifier_builder
from tfdfd.training.config import TrainConfig
from tfdfd.training.loop import TrainResult

SIZE = 16


@pytest.mark.parametrize(
    "choices",
    [{}, {"pooling": "max"}, {"pooling": "avg_max", "hidden_size": 3}, {"input_size": 12, "hidden_size": 5}],
    ids=["default", "max", "avg_max_hidden", "resized_hidden"],
)
def test_the_exported_network_is_the_one_that_was_trained(
    choices: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, "xception", TINY)  # under a name that the settings know
    config = TrainConfig(backbone="xception", weights="none", seed=4, **choices)
    trained = classifier_builder(config, SIZE)("float32")
    best = tmp_path / "best.weights.h5"
    trained.save_weights(best)
    names = {layer.name for layer in trained.layers}
    assert {f"{kind}_pooling" for kind in config.pooling.split("_")} <= names
    assert ("hidden" in names) == (config.hidden_size is not None)

    clips = pd.DataFrame("", index=range(2), columns=[*COLUMNS, "split"])
    clips = clips.assign(clip_id=["a", "b"], label=[0, 1], split=["train", "val"])
    folder = export_best(
        TrainResult(1, 0.5, {"log_loss": 0.5}, pd.DataFrame(), best, "all epochs"),
        ScoringRule(),
        Fingerprint({"crop_size": SIZE}, {"num_places": 1}),
        Split(clips, "val_folders=f"),
        config,
        Degradation(),
        tmp_path / "model",
        Manifest(clips[list(COLUMNS)], "csv", tmp_path),
        say=lambda _: None,
    )
    crops = np.random.default_rng(0).integers(0, 256, (4, 1, SIZE, SIZE, 3), dtype=np.uint8)
    logits, _ = LoadedModel(folder).explain(crops, np.ones((4, 1), bool))
    np.testing.assert_allclose(np.ravel(logits), np.ravel(trained(crops[:, 0], training=False)), atol=1e-5)
    assert LoadedModel(folder).card()["training"]["pooling"] == config.pooling
