"""The whole road of the audio-visual network by its commands: features, training, export, evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from tests.training.told_apart import EDGES, PLACES, SIZE, build_edges, make_set, painted_material
from tfdfd.clip import TfdfdError
from tfdfd.commands import evaluate, features, train
from tfdfd.data.clip_cache import ClipCache, read_arrays
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.models import BACKBONES
from tfdfd.serving.saved_model import LoadedModel


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A quick network in the place of Xception, and a file of its weights."""
    monkeypatch.setitem(BACKBONES, "xception", EDGES)
    keras.utils.set_random_seed(1)
    build_edges(SIZE, None).save_weights(tmp_path / "edges.weights.h5")
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / "edges.weights.h5")


def test_the_whole_road(tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_set(folder, "sound", painted_material())
    same = ["--data", str(folder), "--store", str(folder / "store")]
    crops = ["--places", str(PLACES), "--crop-size", str(SIZE)]
    settings = ["--backbone", "audio_visual", "--weights", weights, "--batch-size", "12", "--learning-rate", "3e-3"]
    others = [
        "--epochs",
        "8",
        "--dropout",
        "0.1",
        "--val-originals",
        "real6,real7,real8,real9",
        "--output",
        "models/av",
    ]
    assert train.main([*same, *crops, *settings, *others]) == 0
    printed = capsys.readouterr().out
    assert "20 of 20 clips are done, 0 to do" in printed
    assert "sound of 20 clips: 20 ok" in printed
    assert "validation: 8 clips, 8 with sound" in printed

    model = LoadedModel(Path("models/av"))
    assert (model.name, model.hears, model.rule.over_tracks) == ("av/1", True, "main")
    figures = model.card()["figures"]
    assert figures["val_clip_auc"] == 1.0  # by the sound, which alone tells
    assert model.card()["backbone"] == "audio_visual (xception)"

    few = ["--replicates", "100", "--mistakes", "1"]
    assert evaluate.main([*same, "--model", "models/av", "--report", "report", *few]) == 0
    assert "sound of 8 clips: 8 ok" in capsys.readouterr().out
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    scores = pd.read_csv("report/scores.csv")
    assert len(scores) == 8
    # The SavedModel, which makes spectrograms in its graph, scores as training did from what it had kept.
    labels, probabilities = scores["label"].to_numpy(), scores["clip_score"].to_numpy()
    loss = -np.log(np.where(labels == 1, probabilities, 1 - probabilities)).mean()
    assert abs(loss - figures["val_clip_log_loss"]) < 2e-3
    assert found["models"]
    with pytest.raises(TfdfdError, match="--robustness disturbs single pictures"):
        evaluate.main([*same, "--model", "models/av", "--report", "report", "--robustness"])


def test_features_are_kept_and_published(tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = make_set(tmp_path, "face", painted_material())
    (tmp_path / "real0.mkv").unlink()
    arguments = ["--store", str(store.folder), "--weights", weights]
    assert features.main(arguments) == 0
    assert "sound of 20 clips: 19 ok, 1 no_file" in capsys.readouterr().out
    path = store.folder / "features/xception/features.parquet"
    table = pd.read_parquet(path).set_index("clip_id")
    assert list(table.columns[:3]) == ["video_embedding", "audio_embedding", "label"]
    assert table["label"].sum() == 10
    assert {len(vector) for vector in table["video_embedding"]} == {16}
    assert table.loc["real0", "audio_embedding"] is None
    assert len(table.loc["real1", "audio_embedding"]) == 128
    assert not np.allclose(table.loc["real1", "video_embedding"], table.loc["fake1", "video_embedding"])
    np.testing.assert_allclose(table.loc["real1", "audio_embedding"], table.loc["fake1", "audio_embedding"], atol=0.02)

    kept = {file: file.stat().st_mtime_ns for file in store.folder.rglob("*.npz")}
    damaged = next(file for file in kept if file.parent.parent.parent.name == "xception")
    damaged.write_bytes(damaged.read_bytes()[:100])
    lacking = next(file for file in kept if file.parent.parent.parent.name == "sounds")
    arrays = read_arrays(lacking)
    np.savez(lacking, **{name: value for name, value in arrays.items() if name != "log_mel"})  # pyright: ignore[reportArgumentType]
    capsys.readouterr()
    assert features.main(arguments) == 0
    made = [file for file, when in kept.items() if file.stat().st_mtime_ns != when]
    assert set(made) == {damaged, lacking}
    assert read_arrays(lacking).keys() == arrays.keys()
    assert re.search(r"ok +│ +20 │", capsys.readouterr().out)
    again = pd.read_parquet(path).set_index("clip_id")
    np.testing.assert_array_equal(again.loc["real3", "video_embedding"], table.loc["real3", "video_embedding"])

    strips = store.tracks()["strip"].tolist()
    (store.folder / strips[0]).unlink()
    (store.folder / strips[1]).write_bytes(b"no picture")
    assert features.main(arguments) == 0
    said = capsys.readouterr().out
    assert re.search(r"ok +│ +18 │\n│ failed +│ +2 │", said)
    assert re.search(r"^2 clips .*fake0, fake1.*`tfdfd prepare`", said, re.MULTILINE)
    assert len(pd.read_parquet(path)) == 18

    with pytest.raises(TfdfdError, match=r"network\.input_size: 16 in this run, 32 in the cache"):
        features.main([*arguments, "--input-size", "16"])
    with pytest.raises(TfdfdError, match="input_size must be at least 1, got 0"):
        features.main([*arguments, "--input-size", "0"])
    other = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(TfdfdError, match=r"choose its backbone .*--face-backbone"):
        features.main([*arguments[:2], "--weights", str(tmp_path / "other.weights.h5")])
    (store.folder / "sounds" / "cache.json").write_text("{")
    with pytest.raises(TfdfdError, match=r"cache.json is not a fingerprint: .* Delete the folder .*sounds"):
        features.main(arguments)


def test_what_sequences_cannot_honour_is_refused(tmp_path: Path, weights: str) -> None:
    make_set(tmp_path, "face", painted_material())
    same = ["--data", str(tmp_path), "--backbone", "audio_visual", "--weights", weights]
    for more, message in (
        (["--input", "dali"], "cannot honour --input dali"),
        (["--stream"], "cannot honour --stream"),
        (["--jpeg", "0.5"], "cannot honour degradation of faces"),
        (["--mixup", "0.5"], "mixup 0.5 cannot be honoured by backbone audio_visual"),
        (["--tracks", "all"], "tracks all cannot be honoured"),
        (["--freeze-epochs", "1"], "freeze_epochs 1 cannot be honoured by .* with face_features frozen"),
        (["--pooling", "max"], "pooling and hidden_size are those of a trained classifier's head"),
    ):
        with pytest.raises(TfdfdError, match=message):
            train.main([*same, *more])
    with pytest.raises(TfdfdError, match="over_time is a setting of backbone audio_visual"):
        train.main(["--data", str(tmp_path), "--over-time", "transformer"])
    with pytest.raises(TfdfdError, match="frozen features of random weights tell nothing"):
        train.main(["--data", str(tmp_path), "--backbone", "audio_visual", "--weights", "none"])


def test_a_cache_is_of_one_fingerprint_and_gives_back_what_is_whole(tmp_path: Path) -> None:
    made = Fingerprint({"size": 1})
    cache = ClipCache.create_or_open(tmp_path / "cache", made, flag="--features")
    assert cache.get("a/b", {"bytes": 3}) is None
    cache.put("a/b", {"bytes": 3}, {"values": np.arange(3)})
    found = cache.get("a/b", {"bytes": 3})
    assert found is not None
    np.testing.assert_array_equal(found["values"], [0, 1, 2])
    assert cache.get("a/b", {"bytes": 4}) is None
    with pytest.raises(TfdfdError, match="size: 2 in this run, 1 in the cache"):
        ClipCache.create_or_open(tmp_path / "cache", Fingerprint({"size": 2}), flag="--features")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("")
    with pytest.raises(TfdfdError, match=r"is not empty and is no cache .* give another --features"):
        ClipCache.create_or_open(tmp_path / "full", made, flag="--features")
