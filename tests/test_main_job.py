"""The main job on rendered clips, as a person runs it: store, training on two replicas, export, evaluation, score."""

import json
import shutil

import pandas as pd
import pytest

from tests.run_commands import run
from tfdfd.data.demo import render_demo

pytestmark = pytest.mark.filterwarnings("ignore")

TINY = (
    *("--weights", "none", "--crop-size", "72", "--epochs", "1", "--batch-size", "16", "--logical-cpus", "2"),
    "--fit-temperature",
    *("--store", "store", "--output", "saved_models/tiny"),
)
SPLIT = ("--val-folders", "dfdc_train_part_1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with six clips and one broken file, and what run_train.py leaves of them."""
    folder = tmp_path_factory.mktemp("job")
    render_demo(folder / "clips", num_clips=8)
    part = folder / "clips" / "dfdc_train_part_1"
    (part / "textual.mp4").write_text("this is no video")
    metadata = json.loads((part / "metadata.json").read_text())
    metadata["textual.mp4"] = {"label": "FAKE", "split": "train"}
    metadata["absent.mp4"] = {"label": "REAL", "split": "train"}
    (part / "metadata.json").write_text(json.dumps(metadata))
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    return run("run_train.py", "--data", "clips", *SPLIT, *TINY, cwd=folder)


def test_it_trains_exports_and_says_what_it_did(trained, folder):
    assert trained.returncode == 0, trained.stdout
    for said in (
        "training on 2 logical CPU replicas",
        "clips are named but not there",
        "textual: failed",
        "dfdc_train_part_1",
        "batches come from",
        "exported saved_models/tiny/1",
    ):
        assert said in trained.stdout
    assert (folder / "saved_models/tiny/1/saved_model.pb").is_file()
    assert (folder / "runs/tiny/history.csv").is_file()
    rule = json.loads((folder / "saved_models/tiny/1/assets.extra/scoring_rule.json").read_text())
    history = pd.read_csv(folder / "runs/tiny/history.csv")
    assert rule["temperature"] == pytest.approx(history["temperature"].iloc[-1])
    assert rule["temperature"] != 1
    card = json.loads((folder / "saved_models/tiny/1/assets.extra/model_card.json").read_text())
    assert card["training"]["fit_temperature"] is True
    assert card["degradation"]["jpeg_quality"] == 30
    settings = (folder / "runs/tiny/config.toml").read_text()
    assert "[training]\n" in settings
    assert "\n[crops]\n" in settings
    assert "\ncrop_size = 72\n" in settings


def test_the_same_command_again_does_nothing_twice(trained, folder):
    again = run("run_train.py", "--data", "clips", *SPLIT, *TINY, cwd=folder)
    assert again.returncode == 0, again.stdout
    assert "9 of 9 clips are done, 0 to do" in again.stdout
    assert "absent" in again.stdout
    assert "nothing to train" in again.stdout
    assert sorted(path.name for path in (folder / "saved_models/tiny").iterdir()) == ["1", "serving"]


def test_a_resume_with_other_settings_lists_both_values(trained, folder):
    other = run("run_train.py", "--data", "clips", *SPLIT, *TINY, "--learning-rate", "0.5", cwd=folder)
    assert other.returncode == 1
    assert "learning_rate: was 0.0001, is now 0.5" in other.stdout
    assert "Traceback" not in other.stdout


def test_evaluation_writes_one_row_a_clip_with_its_status(trained, folder):
    done = run("run_eval.py", "--data", "clips", "--store", "store", "--report", "report", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "scoring the 5 validation clips that the model records" in done.stdout
    assert "1 clips had no evidence (0 without a face, 1 failed): scored 0.5" in done.stdout
    scores = pd.read_csv(folder / "report/scores.csv")
    assert len(scores) == 5
    assert scores.set_index("clip_id").loc["textual", ["status", "clip_score"]].tolist() == ["failed", 0.5]
    (metrics,) = json.loads((folder / "report/metrics.json").read_text())["models"]
    assert metrics["all_clips"]["count"] == 5
    assert metrics["clips_with_faces"]["count"] == 4
    assert metrics["statuses"] == {"ok": 4, "partial": 0, "no_face": 0, "failed": 1}
    assert "1 clip that could not be read: scored 0.5 by the rule" in (folder / "report/report.html").read_text()


@pytest.mark.slow
def test_clips_of_the_training_are_refused_without_a_flag(trained, folder):
    arguments = ("--data", "clips", "--store", "store", "--val-folders", "dfdc_train_part_0", "--report", "leak")
    refused = run("run_eval.py", *arguments, cwd=folder)
    assert refused.returncode == 1
    assert "was trained on 4 of these 4 clips" in refused.stdout
    assert not (folder / "leak").exists()


def test_a_store_made_otherwise_is_refused_with_both_values(trained, folder):
    other = run(
        "tfdfd", "prepare", "--data", "clips", "--store", "store", "--crop-size", "72", "--margin", "0.1", cwd=folder
    )
    assert other.returncode == 1
    assert "margin: 0.1 in this run, 0.3 in the store store" in other.stdout


@pytest.mark.slow
def test_training_goes_on_from_a_store_whose_clips_are_gone(trained, folder, tmp_path):
    shutil.copytree(folder / "store", tmp_path / "store")
    manifest = pd.read_parquet(tmp_path / "store/manifest.parquet")
    manifest["path"] = [f"/gone/{clip_id}.mp4" for clip_id in manifest["clip_id"]]
    manifest.to_parquet(tmp_path / "store/manifest.parquet")
    strips = sorted((tmp_path / "store/strips").rglob("*.jpg"))
    done = run("run_train.py", *SPLIT, *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "labels and faces come from the store" in done.stdout
    assert sorted((tmp_path / "store/strips").rglob("*.jpg")) == strips
    assert (tmp_path / "saved_models/tiny/1/saved_model.pb").is_file()


def test_a_folder_without_labels_is_scored_into_a_submission(trained, folder, tmp_path):
    unlabelled = tmp_path / "test_videos"
    (unlabelled / "inner").mkdir(parents=True)
    clips = [path for path in sorted((folder / "clips/dfdc_train_part_1").glob("*.mp4")) if path.stem != "textual"]
    shutil.copy(clips[0], unlabelled / "one.mp4")
    shutil.copy(clips[1], unlabelled / "inner" / "two.mp4")
    (unlabelled / "broken.mp4").write_text("this is no video")
    model = folder / "saved_models/tiny"
    done = run("run_eval.py", "--data", unlabelled, "--model", model, "--submission", "s.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 clips had no evidence, scored 0.5" in done.stdout
    table = pd.read_csv(tmp_path / "s.csv")
    assert list(table.columns) == ["filename", "label"]
    assert table["filename"].tolist() == ["broken.mp4", "inner/two.mp4", "one.mp4"]
    assert table["label"][0] == 0.5
    assert table["label"].between(0, 1).all()
    assert not (tmp_path / "reports").exists()
    refused = run("run_eval.py", "--data", unlabelled, "--model", model, "--submission", "s.csv", "--save-rule",
                  "--threshold", "0.4", cwd=tmp_path)  # fmt: skip
    assert refused.returncode == 1
    assert "cannot honour --save-rule" in refused.stdout


@pytest.mark.slow
def test_robustness_scores_clips_again_and_draws_the_curves(trained, folder):
    arguments = ("--data", "clips", "--store", "store", "--report", "robust", "--robustness", "--robustness-clips", "2")
    done = run("run_eval.py", *arguments, cwd=folder)
    assert done.returncode == 0, done.stdout
    (metrics,) = json.loads((folder / "robust/metrics.json").read_text())["models"]
    points = metrics["robustness"]
    assert {point["corruption"] for point in points} >= {"jpeg", "blur", "noise", "downscale", "frame_rate", "h264"}
    assert [point["level"] for point in points if point["corruption"] == "h264"] == [0, 1, 2, 3, 4, 5]
    assert all(point["num_clips"] == 2 for point in points)
    assert "h264" in (folder / "robust/report.html").read_text()


def test_score_answers_for_each_file(trained, folder):
    clip = next(path for path in sorted((folder / "clips/dfdc_train_part_1").glob("*.mp4")) if path.stem != "textual")
    broken = folder / "clips/dfdc_train_part_1/textual.mp4"
    done = run("tfdfd", "score", clip, broken, "--json", cwd=folder)
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines] == ["ok", "failed"]
    assert 0 <= lines[0]["clip_score"] <= 1
    assert lines[1]["clip_score"] is None


@pytest.mark.slow
def test_streaming_trains_without_a_store(folder, tmp_path):
    arguments = ("--weights", "none", "--crop-size", "72", "--epochs", "1", "--batch-size", "16", "--logical-cpus", "2")
    done = run("run_train.py", "--data", folder / "clips", *SPLIT, *arguments, "--stream", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "stores").exists()
    assert (tmp_path / "saved_models/clips/1/saved_model.pb").is_file()
