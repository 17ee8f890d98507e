"""run_eval.py on painted faces, with a network that sees how red they are."""

import dataclasses
import json
from importlib.resources import files

import jsonschema
import numpy as np
import pandas as pd
import pytest

from tests.browser import look_at
from tests.painted_faces import paint_faces, redness_model
from tfdfd.commands.console import run_command
from tfdfd.commands.evaluate import main
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.extraction import extraction_config_of, extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.saved_model import LoadedModel

SCHEMA = json.loads(files("tfdfd.evaluation").joinpath("metrics.schema.json").read_text())


def test_every_setting_of_the_crops_comes_back_from_the_fingerprint():
    config = ExtractionConfig(
        places=5, crop_size=96, margin=0.1, min_face_share=0.1, alignment="landmarks", detect_every=2.0, every_frames=3
    )
    defaults = ExtractionConfig()
    for field in dataclasses.fields(config):
        if not field.metadata.get("flag", True):
            continue  # rules of now, whatever crops were made by
        assert getattr(config, field.name) != getattr(defaults, field.name), f"set {field.name} in this test too"
    made = extraction_fingerprint(config, {"min_face_share": 0.1}, {"num_places": 5})
    assert extraction_config_of(made) == config
    assert extraction_config_of(made, places=9) == dataclasses.replace(config, places=9)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Painted faces in three folders, and two models of them: a sure one and one that is far too sure."""
    folder = tmp_path_factory.mktemp("evaluate")
    data = paint_faces(folder / "faces", folders=("part_0", "part_1", "part_2"))
    redness_model(folder / "models" / "calm", data, strength=10.0)
    redness_model(folder / "models" / "shrill", data, strength=200.0)
    return folder


def evaluate(job, *options, model="calm", report="report", data="faces"):
    """Run the command in this process; its status."""
    return run_command(
        main,
        [
            *("--data", str(job / data), "--model", str(job / "models" / model)),
            *("--store", str(job / "store"), "--crop-margin", "0.1", "--report", str(job / report)),
            *("--replicates", "100", *map(str, options)),
        ],
    )


def metrics(job, report="report"):
    found = json.loads((job / report / "metrics.json").read_text())
    jsonschema.validate(found, SCHEMA)
    return found


@pytest.fixture(scope="module")
def compared(job):
    """Both models compared, calibrated on part_0."""
    status = evaluate(job, "--model", job / "models" / "shrill", "--calibrate-folders", "part_0", report="compared")
    assert status == 0
    return job / "compared"


def test_figures_are_those_of_the_scores_that_are_written(job):
    assert evaluate(job) == 0
    found = metrics(job)["models"][0]
    scores = pd.read_csv(job / "report" / "scores.csv")
    assert len(scores) == found["all_clips"]["count"] == 72
    assert found["all_clips"]["num_originals"] == 24
    called = scores["clip_score"] >= 0.5
    assert found["all_clips"]["accuracy"] == pytest.approx(float((called == (scores["label"] == 1)).mean()))
    assert found["all_clips"]["fakes_found"] == pytest.approx(float(called[scores["label"] == 1].mean()))
    assert found["all_clips"]["false_alarms"] == pytest.approx(float(called[scores["label"] == 0].mean()))
    low, high = found["all_clips"]["intervals"]["auc"]
    assert low < found["all_clips"]["auc"] < high
    assert set(found["break_downs"]) == {"folder", "method"}
    parquet = pd.read_parquet(job / "report" / "face_scores.parquet")
    assert len(parquet) == 72
    np.testing.assert_allclose(
        parquet["face_probability"], pd.read_csv(job / "report/face_scores.csv")["face_probability"]
    )
    assert len(pd.read_csv(job / "report" / "track_scores.csv")) == 72


def test_the_same_again_writes_the_same_page_and_scores_no_face_twice(job, monkeypatch):
    assert evaluate(job, report="again") == 0
    page = (job / "again" / "report.html").read_bytes()
    monkeypatch.setattr(LoadedModel, "explain", lambda *_: pytest.fail("a face was scored again"))
    assert evaluate(job, "--no-pictures", report="again") == 0  # pictures ask for heat maps
    monkeypatch.undo()
    assert evaluate(job, report="again") == 0
    assert (job / "again" / "report.html").read_bytes() == page


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (("--aggregate", "median"), "aggregation", "median"),
        (("--over-tracks", "max"), "over_tracks", "max"),
        (("--no-face-score", "0.8"), "no_evidence_score", 0.8),
        (("--temperature", "3"), "temperature", 3.0),
        (("--threshold", "0.7"), "threshold", 0.7),
    ],
)
def test_the_rule_is_the_models_but_for_what_is_asked(job, options, name, value):
    assert evaluate(job, *options, "--no-pictures", report="ruled") == 0
    rule = metrics(job, "ruled")["models"][0]["scoring_rule"]
    assert rule == dataclasses.asdict(dataclasses.replace(ScoringRule(), **{name: value}))


def test_clip_bounds_are_those_that_are_asked_for(job):
    assert evaluate(job, "--clip-low", "0.3", "--clip-high", "0.6", "--no-pictures", report="clipped") == 0
    found = metrics(job, "clipped")
    scores = pd.read_csv(job / "clipped" / "scores.csv")
    clipped = scores["clip_score"].clip(0.3, 0.6)
    expected = -np.log(np.where(scores["label"] == 1, clipped, 1 - clipped)).mean()
    assert found["clip_bounds"] == [0.3, 0.6]
    assert found["models"][0]["all_clips"]["log_loss_clipped"] == pytest.approx(expected, abs=1e-6)


def test_calibration_is_fitted_on_its_folders_and_mends_scores_on_the_others(compared):
    found = metrics(compared.parent, "compared")
    calm, shrill = found["models"]
    for model in found["models"]:
        assert model["calibration"]["folders"] == "part_0"
        assert model["all_clips"]["count"] == 48
        assert set(model["break_downs"]["folder"]) == {"part_1", "part_2"}
    # Both see the same and differ in how sure they are: what is fitted takes that away.
    assert shrill["scoring_rule"]["temperature"] == pytest.approx(20 * calm["scoring_rule"]["temperature"], rel=0.05)
    assert shrill["all_clips"]["log_loss"] < shrill["calibration"]["all_clips_before"]["log_loss"] / 2
    assert shrill["all_clips"]["log_loss"] == pytest.approx(calm["all_clips"]["log_loss"], abs=0.01)


def test_models_are_compared_on_the_same_clips(compared):
    found = metrics(compared.parent, "compared")["comparison"]
    (auc,) = [entry for entry in found["differences"] if entry["figure"] == "auc"]
    assert (auc["one"], auc["other"]) == ("calm/1", "shrill/1")
    assert auc["interval"][0] <= 0 <= auc["interval"][1]
    assert found["delong"][0]["p_value"] > 0.05
    assert set(found["ensembles"]) == {"arithmetic mean", "geometric mean"}
    assert sorted(pd.read_csv(compared / "scores.csv")["model"].unique()) == ["calm/1", "shrill/1"]


def test_the_report_reads_well_in_a_browser(compared, tmp_path):
    pictures, charts = look_at(compared / "report.html", tmp_path / "profile")
    assert pictures > 4
    assert charts > 4
    html = (compared / "report.html").read_text()
    for said in ("calm/1", "shrill/1", "part_0", "DeLong", "Grad-CAM", "no original", "--calibrate-folders"):
        assert said.lower() in html.lower(), said


def test_no_pictures_leaves_all_faces_out(job):
    assert evaluate(job, "--no-pictures", report="faceless") == 0
    assert "data:image" not in (job / "faceless" / "report.html").read_text()


def test_mistakes_are_as_many_as_asked_for(job):
    assert evaluate(job, "--mistakes", "2", report="two") == 0
    page = (job / "two" / "report.html").read_text()
    assert page.count("data:image") == 4  # a face and its heat map each


def test_a_rule_that_is_saved_is_the_rule_of_a_new_version(job, capfd):
    data = job / "faces"
    redness_model(job / "models" / "kept", data)
    assert evaluate(job, "--calibrate-folders", "part_1", "--save-rule", "--no-pictures", model="kept", report="k") == 0
    saved = LoadedModel(job / "models" / "kept")
    assert saved.folder.name == "2"
    rule = metrics(job, "k")["models"][0]["scoring_rule"]
    assert dataclasses.asdict(saved.rule) == rule
    assert saved.card()["scoring_rule"]["calibrated"]["folders"] == "part_1"
    assert evaluate(job, "--val-folders", "part_0,part_2", "--no-pictures", model="kept", report="k2") == 0
    again = metrics(job, "k2")["models"][0]
    assert again["scoring_rule"] == rule
    assert again["all_clips"]["log_loss"] == pytest.approx(metrics(job, "k")["models"][0]["all_clips"]["log_loss"])


def said(capfd, job, *options, **places):
    """Run the command, which must end with status 1, and return what it said."""
    assert evaluate(job, *options, **places) == 1
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return out + err


def test_a_report_folder_that_cannot_be_written_is_found_out_before_any_scoring(job, capfd, monkeypatch):
    (job / "in_the_way").write_text("")
    monkeypatch.setattr(LoadedModel, "explain", lambda *_: pytest.fail("scored before looking"))
    assert "cannot write to" in said(capfd, job, report="in_the_way/report")


def test_a_network_that_gives_no_numbers_leaves_no_report(job, capfd):
    redness_model(job / "models" / "broken", job / "faces", strength=float("nan"))
    assert "may hold NaN" in said(capfd, job, model="broken", report="of_broken")
    assert not list((job / "of_broken").glob("*.*"))


def test_missing_strips_leave_no_report_and_are_named(job, capfd, tmp_path):
    data = paint_faces(tmp_path / "faces", folders=("part_0",))
    model = redness_model(tmp_path / "models" / "m", data)
    options = ["--data", str(data), "--model", str(model), "--store", str(tmp_path / "store"), "--crop-margin", "0.1"]
    options += ["--report", str(tmp_path / "report"), "--replicates", "100", "--no-pictures"]
    assert run_command(main, options) == 0
    for strip in (tmp_path / "store").rglob("part_0_3.0.jpg"):
        strip.write_bytes(b"")
    (tmp_path / "report" / "metrics.json").unlink()
    assert run_command(main, options) == 1
    out, err = capfd.readouterr()
    assert "part_0_3.0.jpg" in out + err
    assert not (tmp_path / "report" / "metrics.json").exists()


def test_another_fingerprint_is_refused_with_both_values_and_accepted_on_request(job, capfd):
    other = Fingerprint({"crop_size": 32, "margin": 0.7, "detector": "ready-made crops"}, {"num_places": 1})
    redness_model(job / "models" / "other", job / "faces", fingerprint=other)
    message = said(capfd, job, model="other", report="of_other")
    assert "margin: 0.7 in the model, 0.1 in this run" in message
    assert not list((job / "of_other").glob("*.*"))
    assert evaluate(job, "--accept-mismatch", "--no-pictures", model="other", report="of_other") == 0
    assert "margin: 0.7 in the model, 0.1 in the store" in (job / "of_other" / "report.html").read_text()


def test_a_saved_model_that_is_not_ours_is_refused(job, capfd, tmp_path):
    import tensorflow as tf

    stranger = tf.Module()
    stranger.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(stranger, str(job / "models" / "stranger" / "1"))
    message = said(capfd, job, model="stranger", report="of_stranger")
    assert "no signature ['about', 'explain', 'jpeg_faces']" in message


def test_one_model_twice_is_no_comparison(job, capfd):
    assert "twice" in said(capfd, job, "--model", job / "models" / "calm" / "1", report="twice")


def test_a_rule_out_of_its_range_is_named(job, capfd):
    assert "--no-face-score must be in [0, 1]" in said(capfd, job, "--no-face-score", "1.5", report="x")
    for wrong in ("0", "inf", "nan"):
        assert "--temperature must be above 0" in said(capfd, job, "--temperature", wrong, report="x")
    assert not (job / "x").exists()


def test_clips_that_a_rule_was_fitted_on_are_not_judged_by_it_later(job, capfd):
    redness_model(job / "models" / "fitted", job / "faces")
    arguments = ("--calibrate-folders", "part_1", "--save-rule", "--no-pictures")
    assert evaluate(job, *arguments, model="fitted", report="f") == 0
    assert "was calibrated on 24 of these" in said(capfd, job, "--val-folders", "part_1", model="fitted", report="f2")
    recorded = LoadedModel(job / "models" / "fitted").clips()
    assert set(recorded["split"]) == {"calibration"}
    assert len(recorded) == 24


def test_a_rule_that_is_the_models_own_makes_no_version(job, capfd):
    redness_model(job / "models" / "same", job / "faces")
    assert evaluate(job, "--save-rule", "--aggregate", "mean", "--no-pictures", model="same", report="same") == 0
    assert "no new version is written" in capfd.readouterr().out
    assert sorted(path.name for path in (job / "models" / "same").iterdir()) == ["1", "serving"]


def test_a_model_that_does_not_say_what_it_was_trained_on_proves_nothing(job):
    assert evaluate(job, "--no-pictures", report="unproven") == 0
    assert metrics(job, "unproven")["split"]["num_in_both"] is None
    assert "No original crosses" not in (job / "unproven" / "report.html").read_text()


def test_two_models_of_one_name_are_refused(job, capfd):
    redness_model(job / "elsewhere" / "calm", job / "faces")
    assert "both called calm/1" in said(capfd, job, "--model", job / "elsewhere" / "calm", report="x")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param("clips.csv", "", "clips.csv is damaged", marks=pytest.mark.slow),
        ("clips.csv", "clip_id,original,donor,folder,split\na,,,f,tra", "split one of train, val, calibration"),
        ("model_card.json", "{", "model_card.json is damaged"),
        pytest.param("model_card.json", "[]", "model_card.json is damaged", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_model_is_refused_before_any_work(job, capfd, name, content, expected):
    folder = redness_model(job / "models" / "damaged", job / "faces")
    (folder / "assets.extra" / name).write_text(content)
    assert expected in said(capfd, job, model="damaged", report="x")
    assert not (job / "x").exists()


def test_what_stands_in_the_way_of_a_file_is_found_before_any_scoring(job, capfd):
    (job / "blocked" / "metrics.json").mkdir(parents=True)
    (job / "blocked" / "probe").write_text("a person's own")
    assert "metrics.json is a folder" in said(capfd, job, report="blocked")
    assert sorted(path.name for path in (job / "blocked").iterdir()) == ["metrics.json", "probe"]


def test_the_files_of_an_earlier_run_stay_together_where_a_later_one_fails(job, capfd, monkeypatch):
    assert evaluate(job, "--no-pictures", report="kept") == 0
    before = {path.name: path.read_bytes() for path in (job / "kept").iterdir() if path.is_file()}

    def fail(*_, **__):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("tfdfd.evaluation.report.write_evaluation_page", fail)
    assert "no space left" in said(capfd, job, "--threshold", "0.6", "--no-pictures", report="kept")
    assert {path.name: path.read_bytes() for path in (job / "kept").iterdir() if path.is_file()} == before
    assert not (job / "kept" / "work" / "unfinished").exists()


def test_options_that_would_change_nothing_are_refused(job, capfd):
    assert "add --robustness" in said(capfd, job, "--robustness-clips", "5", report="x")
    assert "--submission is empty" in said(capfd, job, "--submission", "", report="x")
