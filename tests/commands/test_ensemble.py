"""`tfdfd ensemble` on networks that see how red a face is, and what takes the model that it writes."""

import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.painted_faces import NO_CLIPS, paint_faces, redness_model
from tests.run_commands import run
from tfdfd.clip import TfdfdError
from tfdfd.commands import evaluate, score
from tfdfd.commands.console import run_command
from tfdfd.commands.ensemble import MEAN_NAMES, agreed_rule, main
from tfdfd.data.demo import render_demo
from tfdfd.data.manifest import load_manifest
from tfdfd.evaluation.config import RuleValues
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.models.ensemble import MEANS
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.saved_model import LoadedModel


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Painted faces in three folders, and two models: one trained on part_0, one on part_1."""
    folder = tmp_path_factory.mktemp("ensemble")
    data = paint_faces(folder / "faces", folders=("part_0", "part_1", "part_2"), originals=4)
    clips = load_manifest(data / "faces.csv").table[["clip_id", "original", "donor", "folder"]]
    for name, strength, trained, rule in (
        ("calm", 10.0, "part_0", ScoringRule(threshold=0.6)),
        ("shrill", 100.0, "part_1", ScoringRule(threshold=0.6, temperature=4.0)),
    ):
        split = clips.assign(split=np.where(clips["folder"] == trained, "train", "val"))
        redness_model(folder / "models" / name, data, strength=strength, trained_on=split, rule=rule)
    return folder


def combine(job, *options, models=("calm", "shrill"), output="both"):
    """Run the command in this process; its status."""
    folders = [str(job / "models" / name) for name in models]
    return run_command(main, [*folders, "--output", str(job / "models" / output), *options])


def said(capfd, job, *options, **places):
    """Run the command, which must end with status 1, and return what it said."""
    assert combine(job, *options, **places) == 1
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return out + err


def test_the_names_that_help_lists_are_those_of_the_means():
    assert tuple(MEANS) == MEAN_NAMES


@pytest.fixture(scope="module")
def both(job):
    assert combine(job) == 0
    return LoadedModel(job / "models" / "both")


def logits(model):
    """What a model says of a face of redness 0.6."""
    crop = np.full((1, 1, 32, 32, 3), 128, np.uint8)
    crop[..., 0] = 153
    return float(model.explain(crop, np.ones((1, 1), bool))[0][0, 0])


CALM, SHRILL = 10 * 0.1, 100 * 0.1 / 4
"""Logits of redness 0.6, after the temperatures."""


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def test_by_default_it_is_the_arithmetic_mean_of_all_alike(both):
    expected = (sigmoid(CALM) + sigmoid(SHRILL)) / 2
    assert sigmoid(logits(both)) == pytest.approx(expected, abs=1e-5)
    assert both.rule == ScoringRule(threshold=0.6)  # the members' but for the temperature, which is in their logits


def test_mean_and_weights_are_those_that_are_asked_for(job):
    assert combine(job, "--mean", "geometric", "--weights", "0.5,1.5", output="asked") == 0
    assert logits(LoadedModel(job / "models" / "asked")) == pytest.approx((CALM + 3 * SHRILL) / 4, abs=1e-4)


def test_the_rule_that_is_asked_for_is_written(job):
    asked = ["--aggregate", "median", "--over-tracks", "max", "--no-face-score", "0.8", "--temperature", "3"]
    assert combine(job, *asked, "--threshold", "0.7", output="ruled") == 0
    assert LoadedModel(job / "models" / "ruled").rule == ScoringRule("median", "max", 0.8, 3.0, 0.7)


def ruled(name, **values):
    """A model of which only the rule is looked at."""
    return SimpleNamespace(name=name, rule=ScoringRule(**values))


def test_the_rule_is_the_members_with_temperature_1_but_for_what_is_set():
    members = [ruled("a/1", threshold=0.6, temperature=2.0), ruled("b/1", threshold=0.6, temperature=4.0)]
    assert agreed_rule(members, RuleValues()) == ScoringRule(threshold=0.6)
    for option, field, value in (
        ("aggregate", "aggregation", "median"),
        ("over_tracks", "over_tracks", "max"),
        ("no_face_score", "no_evidence_score", 0.8),
        ("temperature", "temperature", 3.0),
        ("threshold", "threshold", 0.7),
    ):
        expected = dataclasses.replace(ScoringRule(threshold=0.6), **{field: value})
        assert agreed_rule(members, RuleValues(**{option: value})) == expected


@pytest.mark.parametrize(
    ("field", "value", "option", "listed"),
    [
        ("threshold", 0.3, "threshold", "threshold: 0.5 in a/1, 0.3 in b/1, 0.5 in c/1 (--threshold)"),
        (
            "aggregation",
            "median",
            "aggregate",
            "aggregation: 'mean' in a/1, 'median' in b/1, 'mean' in c/1 (--aggregate)",
        ),
        (
            "over_tracks",
            "max",
            "over_tracks",
            "over_tracks: 'mean' in a/1, 'max' in b/1, 'mean' in c/1 (--over-tracks)",
        ),
        (
            "no_evidence_score",
            0.1,
            "no_face_score",
            "no_evidence_score: 0.5 in a/1, 0.1 in b/1, 0.5 in c/1 (--no-face-score)",
        ),
    ],
)
def test_rules_that_differ_are_refused_until_one_is_stated(field, value, option, listed):
    members = [ruled("a/1"), ruled("b/1", **{field: value}), ruled("c/1")]
    with pytest.raises(TfdfdError, match=re.escape(listed)):
        agreed_rule(members, RuleValues())
    assert getattr(agreed_rule(members, RuleValues(**{option: value})), field) == value


@pytest.fixture(scope="module")
def odd(job):
    """A third model, with another threshold."""
    return redness_model(job / "models" / "odd", job / "faces", strength=50.0, rule=ScoringRule(threshold=0.3))


@pytest.mark.usefixtures("odd")
def test_members_of_different_rules_make_no_ensemble(job, capfd):
    assert "0.6 in calm/1, 0.3 in odd/1 (--threshold)" in said(capfd, job, models=("calm", "odd"), output="none")
    assert not (job / "models" / "none").exists()


def test_it_is_evaluated_on_the_clips_that_no_member_was_trained_on(job, both, capfd):
    models = [option for name in ("calm", "shrill", "both") for option in ("--model", str(job / "models" / name))]
    options = ["--data", str(job / "faces"), "--store", str(job / "store"), "--crop-margin", "0.1"]
    options += ["--report", str(job / "report"), "--replicates", "100", "--no-pictures"]
    assert run_command(evaluate.main, [*options, *models[-2:]]) == 0
    assert "scoring the 12 validation clips that the model records, of 36 here" in capfd.readouterr().out
    assert set(pd.read_csv(job / "report" / "scores.csv")["folder"]) == {"part_2"}
    assert run_command(evaluate.main, [*options, *models[-2:], "--val-folders", "part_0"]) == 1
    assert "was trained on 12 of these 12 clips" in capfd.readouterr().err
    assert run_command(evaluate.main, [*options, *models, "--val-folders", "part_2"]) == 0
    scores = pd.read_csv(job / "report" / "scores.csv").pivot(index="clip_id", columns="model", values="clip_score")
    np.testing.assert_allclose(scores["both/1"], (scores["calm/1"] + scores["shrill/1"]) / 2, atol=1e-5)


@pytest.mark.slow
def test_a_rule_fitted_to_it_is_the_rule_of_a_new_version(job):
    assert combine(job, output="kept") == 0
    options = ["--data", str(job / "faces"), "--store", str(job / "store"), "--crop-margin", "0.1"]
    options += ["--report", str(job / "k"), "--replicates", "100", "--no-pictures", "--save-rule", "--threshold", "0.7"]
    assert run_command(evaluate.main, [*options, "--model", str(job / "models" / "kept")]) == 0
    saved = LoadedModel(job / "models" / "kept")
    assert (saved.folder.name, saved.rule.threshold) == ("2", 0.7)
    assert logits(saved) == pytest.approx(logits(LoadedModel(job / "models" / "kept" / "1")), abs=1e-5)


@pytest.mark.slow
def test_video_files_are_scored_by_it(tmp_path, capfd):
    config = ExtractionConfig(crop_size=32, places=3)
    settings = MTCNN(min_face_share=config.min_face_share).settings
    made = extraction_fingerprint(config, settings, {"num_places": config.places})
    models = [
        str(redness_model(tmp_path / name, tmp_path, strength=strength, fingerprint=made))
        for name, strength in (("one", 2.0), ("two", 9.0))
    ]
    assert run_command(main, [*models, "--output", str(tmp_path / "both")]) == 0
    clip = next((render_demo(tmp_path / "demo", num_clips=4, num_frames=6) / "dfdc_train_part_0").glob("*.mp4"))
    found = []
    for model in (*models, tmp_path / "both"):
        capfd.readouterr()
        assert run_command(score.main, [str(clip), "--model", str(model), "--json"]) == 0
        found.append(json.loads(capfd.readouterr().out.strip().splitlines()[-1])["clip_score"])
    assert found[2] == pytest.approx((found[0] + found[1]) / 2, abs=1e-5)
    assert abs(found[0] - found[1]) > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "1"], "one number for each of the 2 models, got 1: '1'"),
        (["--weights", "1,2,3"], "one number for each of the 2 models, got 3"),
        (["--weights", "1,much"], "must be numbers with commas between, such as 1,2.5, got '1,much'"),
        (["--weights", "1,0"], "at least 1e-06 of their sum each, got '1,0': leave a model out"),
        (["--weights", "1,-2"], "must be above 0, finite and at least 1e-06 of their sum each, got '1,-2'"),
        (["--weights", "1,nan"], "finite and at least 1e-06 of their sum each, got '1,nan'"),
        (["--weights", "1e308,1e308"], "of their sum each, got '1e308,1e308'"),
        (["--weights", "5,1e9"], "of their sum each, got '5,1e9'"),
        (["--threshold", "7"], "--threshold must be in [0, 1], got 7.0"),
        (["--temperature", "0"], "--temperature must be above 0 and finite, got 0.0"),
    ],
)
def test_values_that_make_no_sense_are_refused(job, capfd, options, message):
    assert message in said(capfd, job, *options, output="none")
    assert not (job / "models" / "none").exists()


def test_one_model_alone_is_told_what_to_do_with_it(job, capfd):
    message = said(capfd, job, models=("calm",), output="none")
    assert "needs at least two models" in message
    assert "tfdfd score --model" in message


def test_what_is_no_model_is_named(job, capfd, tmp_path):
    assert f"{tmp_path} holds no SavedModel" in said(capfd, job, models=("calm", tmp_path), output="none")


def test_the_same_model_twice_is_refused(job, capfd):
    assert "the same network is in" in said(capfd, job, models=("calm", "shrill", "calm/1"), output="none")


def test_versions_of_one_network_are_told_apart_from_models_whose_rules_differ(job, odd, capfd):
    LoadedModel(odd).save_with_rule(ScoringRule(threshold=0.2), {}, fitted_on=NO_CLIPS)
    assert "the same network is in" in said(capfd, job, models=("odd/1", "odd/2"), output="none")


def test_it_does_not_become_a_version_of_a_member(job, capfd):
    assert "holds the member" in said(capfd, job, output="calm")
    assert "is a version of a model" in said(capfd, job, output="calm/1")
    assert not (job / "models" / "calm" / "2").exists()


def test_crops_made_otherwise_are_refused_and_accepted_on_request(job, capfd, tmp_path):
    made = LoadedModel(job / "models" / "calm").fingerprint
    wide = dataclasses.replace(made, preprocessing={**made.preprocessing, "margin": 0.7})
    clips = load_manifest(job / "faces" / "faces.csv").table.assign(split="train")
    rule = ScoringRule(threshold=0.6)
    other = redness_model(tmp_path / "wide", job / "faces", trained_on=clips, rule=rule, fingerprint=wide, strength=3.0)
    assert "margin: 0.1 in calm/1, 0.7 in wide/1" in said(capfd, job, models=("calm", other), output="none")
    assert combine(job, "--accept-mismatch", models=("calm", other), output="accepted") == 0
    assert "margin: 0.1 in calm/1, 0.7 in wide/1" in capfd.readouterr().out


def test_help_loads_no_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow is loaded for --help')")
    done = run("tfdfd", "ensemble", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--weights" in done.stdout
