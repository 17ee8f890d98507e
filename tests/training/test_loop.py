"""The epoch loop on made-up faces: learning, choosing the best, stopping, and going on after a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.toy_training import run_toy, saved_arrays, toy_config, toy_model
from tfdfd.clip import TfdfdError
from tfdfd.training import loop, metrics
from tfdfd.training.config import TrainConfig
from tfdfd.training.metrics import MONITOR
from tfdfd.training.recipes import RECIPES
from tfdfd.training.settings_file import read_settings

REPOSITORY = Path(__file__).parents[2]


def same(one: Path, other: Path) -> bool:
    a, b = saved_arrays(one), saved_arrays(other)
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_toy(folder, epochs=3)
    return folder


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_epoch")
    run_toy(folder, epochs=1)
    return folder


def test_a_fitted_temperature_decides_the_best_epoch_and_stands_in_its_line(tmp_path: Path) -> None:
    plain, _ = run_toy(tmp_path / "plain", epochs=3)
    fitted, output = run_toy(tmp_path / "fitted", epochs=3, fit_temperature=True)
    assert (fitted.history["val_clip_auc"] == plain.history["val_clip_auc"]).all()
    assert (fitted.history[MONITOR] <= plain.history[MONITOR] + 1e-6).all()
    assert fitted.best_value == fitted.history[MONITOR].min()
    assert f"at temperature {fitted.history['temperature'].iloc[-1]:.2f}, clip log loss" in output
    assert "temperature" not in plain.history


def test_a_run_writes_its_files_and_learns(tmp_path: Path) -> None:
    result, output = run_toy(tmp_path, epochs=12, learning_rate=0.03)
    assert result.history["loss"].iloc[-1] < 0.5 * result.history["loss"].iloc[0]
    assert result.best_figures["val_face_auc"] > 0.95
    assert result.best_value == result.history[MONITOR].min()
    assert result.best_epoch == result.history[MONITOR].argmin() + 1
    assert result.best_weights.is_file()
    assert "best: epoch" in output
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["config"]["learning_rate"] == 0.03
    assert config["fingerprint"] == {"margin": 0.3}
    assert {"git_commit", "replicas", "versions", "training", "validation"} <= config.keys()
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
    assert np.allclose([float(row[MONITOR]) for row in rows], result.history[MONITOR])
    assert list((tmp_path / "tensorboard").glob("*/events*"))
    settings = read_settings(tmp_path / "config.toml", {"training": TrainConfig})
    assert TrainConfig(**settings) == toy_config(epochs=12, learning_rate=0.03)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(tmp_path: Path, undisturbed: Path) -> None:
    run_toy(tmp_path / "same", epochs=3)
    run_toy(tmp_path / "other", epochs=3, seed=1)
    assert same(undisturbed, tmp_path / "same")
    assert not same(undisturbed, tmp_path / "other")


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, undisturbed: Path) -> None:
    for kill_at in ((0, 3), (1, 2)):
        script = f"from toy_training import *; run_toy(Path({str(tmp_path)!r}), epochs=3, kill_at={kill_at}, "
        killed = subprocess.run(
            [sys.executable, "-c", script + "checkpoint_minutes=0)"],
            env=os.environ | {"PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{REPOSITORY}"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    (tmp_path / "state.npz.tmp").write_bytes(b"half a file")  # as a kill during a save leaves it
    _, output = run_toy(tmp_path, epochs=3)
    assert "after 1 epochs and 2 steps" in output
    assert same(undisturbed, tmp_path)
    figures = [list(csv.DictReader((folder / "history.csv").open())) for folder in (undisturbed, tmp_path)]
    for row in (*figures[0], *figures[1]):
        assert 0 <= float(row.pop("input_wait")) <= 1  # time that went by, the one thing that may differ
    assert figures[0] == figures[1]


EVERYTHING = {
    "weights": "imagenet",
    "freeze_epochs": 1,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "label_smoothing": 0.1,
    "ema_momentum": 0.9,
    "clip_norm": 0.5,
    "mixup": 0.4,
    "cutmix": 0.4,
    "gridmask": 0.5,
    "rand_augment": 0.5,
    "mixed_precision": "on",
}


@pytest.mark.parametrize(
    "kills",
    [[(1, 2)], pytest.param([(0, 3), (1, 0)], marks=pytest.mark.slow)],
    ids=["after the thaw", "before and at it"],
)
def test_a_run_with_everything_on_goes_on_to_the_same_weights_after_kills(tmp_path: Path, kills: list) -> None:
    builder = toy_model(nested=True)
    run_toy(tmp_path / "undisturbed", model_builder=builder, epochs=3, **EVERYTHING)
    folder = tmp_path / "killed"
    for kill_at in kills:
        arguments = f"epochs=3, kill_at={kill_at}, checkpoint_minutes=0, **{EVERYTHING!r}"
        script = f"from toy_training import *; run_toy(Path({str(folder)!r}), model_builder=toy_model(nested=True), "
        killed = subprocess.run(
            [sys.executable, "-c", f"{script}{arguments})"],
            env=os.environ | {"PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{REPOSITORY}"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    _, output = run_toy(folder, model_builder=builder, epochs=3, **EVERYTHING)
    assert "after 1 epochs and" in output
    assert same(tmp_path / "undisturbed", folder)
    assert any(key.startswith("average") for key in saved_arrays(folder))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains(tmp_path: Path, recipe: str) -> None:
    result, _ = run_toy(tmp_path, **({"epochs": 3} | RECIPES[recipe].get("training", {})))
    assert np.isfinite(result.history["loss"]).all()


def test_a_finished_run_says_so_until_there_are_more_epochs(tmp_path: Path, undisturbed: Path) -> None:
    run_toy(tmp_path, epochs=2)
    before = saved_arrays(tmp_path)
    _, output = run_toy(tmp_path, epochs=2)
    assert "nothing to train" in output
    assert "all 2 epochs are done" in output
    assert all(np.array_equal(before[key], value) for key, value in saved_arrays(tmp_path).items())
    result, _ = run_toy(tmp_path, epochs=3)
    assert len(result.history) == 3
    assert same(undisturbed, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.02}, r"settings\.learning_rate: was 0\.01, is now 0\.02"),
        ({"fingerprint": {"margin": 0.5}}, r"fingerprint\.margin: was 0\.3, is now 0\.5"),
        ({"num_tracks": 11}, r"training\.tracks: was 14, is now 11"),
    ],
)
def test_another_setting_crop_or_face_is_refused_with_both_values(
    undisturbed: Path, changes: dict, message: str
) -> None:
    with pytest.raises(TfdfdError, match=message):
        run_toy(undisturbed, **({"epochs": 3} | changes))


def test_another_network_is_refused(undisturbed: Path) -> None:
    def wider(policy: str):
        import keras

        model = toy_model()(policy)
        return keras.Model(model.input, keras.layers.Dense(1)(model.output))

    with pytest.raises(TfdfdError, match="another network"):
        run_toy(undisturbed, epochs=3, model_builder=wider)


def test_a_broken_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.npz").write_bytes(b"not a state")
    with pytest.raises(TfdfdError, match=r"state\.npz is not a training state"):
        run_toy(tmp_path)


def worsening(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Let validation return these values of the monitor, one an epoch."""
    monkeypatch.setattr(
        loop, "validation_figures", lambda *args: metrics.validation_figures(*args) | {MONITOR: values.pop(0)}
    )


def test_the_plateau_reduces_the_learning_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worsening(monkeypatch, [0.5, 0.6, 0.6, 0.6])
    result, _ = run_toy(tmp_path, epochs=4, plateau_patience=1, plateau_factor=0.5, patience=9)
    assert np.allclose(result.history["learning_rate"], [0.01, 0.01, 0.005, 0.0025])


def test_early_stopping_stops_and_the_best_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worsening(monkeypatch, [0.6, 0.5, 0.7, 0.55, 0.1])
    result, _ = run_toy(tmp_path, epochs=9, patience=2)
    assert len(result.history) == 4
    assert (result.best_epoch, result.best_value) == (2, 0.5)
    assert "no better in 2 epochs" in result.ending
    again, output = run_toy(tmp_path, epochs=9, patience=2)
    assert "nothing to train" in output
    assert again.best_epoch == 2
    more, _ = run_toy(tmp_path, epochs=5, patience=3)
    assert (more.best_epoch, more.best_value) == (5, 0.1)


def test_patience_plateau_and_best_survive_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worsening(monkeypatch, [0.5, 0.6])
    first, _ = run_toy(tmp_path, epochs=2, patience=3, plateau_patience=2)
    best = first.best_weights.read_bytes()
    worsening(monkeypatch, [0.6, 0.55, 0.4])
    second, _ = run_toy(tmp_path, epochs=9, patience=3, plateau_patience=2)
    assert len(second.history) == 4  # one wait before the resume, two after it
    assert np.allclose(second.history["learning_rate"], [0.01, 0.01, 0.01, 0.003])
    assert second.best_value == 0.5
    assert second.best_weights.read_bytes() == best


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    run_toy(tmp_path, epochs=1)
    with pytest.raises(TfdfdError, match=r"lower --learning-rate|Lower --learning-rate"):
        run_toy(tmp_path / "new", epochs=2, learning_rate=1e30, optimizer="sgd")
    assert not (tmp_path / "new" / "state.npz").exists()


def test_one_batch_can_be_learned_by_heart(tmp_path: Path) -> None:
    result, _ = run_toy(tmp_path, epochs=25, num_tracks=3, batch_size=8, patience=99, plateau_patience=99)
    assert result.history["loss"].iloc[-1] < 0.05
    assert result.history["accuracy"].iloc[-1] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"balance": "none"},
        {"balance": "undersample"},
        {"balance": "paired"},
        {"sampling": "one"},
        {"mirror": False},
        {"optimizer": "sgd"},
        {"batch_size": 6},
        {"steps_per_epoch": 2},
        {"mixed_precision": "on"},
        {"optimizer": "adamw"},
        {"schedule": "cosine"},
        {"schedule": "constant", "warmup_epochs": 0.5},
        {"label_smoothing": 0.1},
        {"clip_norm": 0.1},
        {"mixup": 0.5},
        {"cutmix": 0.5},
        {"gridmask": 0.5},
        {"rand_augment": 0.5},
    ],
)
def test_each_setting_changes_the_weights(tmp_path: Path, one_epoch: Path, change: dict) -> None:
    run_toy(tmp_path, epochs=1, **change)
    assert not same(one_epoch, tmp_path)


def test_the_share_of_waiting_for_input_is_told(tmp_path: Path) -> None:
    result, output = run_toy(tmp_path / "quick", epochs=1)
    waited, _ = run_toy(tmp_path / "slow", epochs=1, seconds_per_batch=0.2)
    shares = [run.history["input_wait"].iloc[0] for run in (result, waited)]
    assert 0 <= shares[0] < shares[1] <= 1  # of a busy machine's quick batches are waited for too
    assert f"{result.history['input_wait'].iloc[0]:.0%} of training waiting for input" in output


def test_a_profile_is_written_of_the_steps_asked_for(tmp_path: Path) -> None:
    run_toy(tmp_path, epochs=1, profile_steps="2,3")
    assert len(list((tmp_path / "tensorboard/plugins/profile").glob("*/*.xplane.pb"))) == 1
    _, output = run_toy(tmp_path / "late", epochs=1, profile_steps="4,9")
    assert "profile_steps 4,9: only 5 steps were trained" in output
    run_toy(tmp_path / "late", epochs=2)  # which profiles nothing, and may
    assert len(list((tmp_path / "late/tensorboard/plugins/profile").glob("*/*.xplane.pb"))) == 1


def test_steps_per_epoch_ends_the_epoch_early(tmp_path: Path) -> None:
    result, _ = run_toy(tmp_path, epochs=1, steps_per_epoch=2)
    with np.load(tmp_path / "state.npz") as file:
        assert file["optimizer00000"].item() == 2
    assert len(result.history) == 1


def test_a_full_disk_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(TfdfdError, match=r"cannot write to .*run"):
        run_toy(tmp_path / "run")
