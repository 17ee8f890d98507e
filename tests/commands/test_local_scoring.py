"""Scoring put together from a real export, the real detector and rendered clips."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from tests.painted_faces import redness_model
from tfdfd.clip import Clip, TfdfdError
from tfdfd.commands.console import make_console
from tfdfd.commands.inputs import newest_model
from tfdfd.commands.local_scoring import begin_scoring, check_model, make_local_scorer
from tfdfd.data.demo import render_demo
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.extraction import extract_clip, extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn_weights import mtcnn_settings
from tfdfd.models.scoring import ScoringRule

CONFIG = ExtractionConfig(places=3, crop_size=32, margin=0.2)
RULE = ScoringRule(aggregation="median", temperature=2.0, threshold=0.4)


def fingerprint(**changed):
    made = extraction_fingerprint(CONFIG, mtcnn_settings(), {"num_places": CONFIG.places})
    made.preprocessing.update(changed)
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "red"
    return redness_model(folder, folder, rule=RULE, fingerprint=fingerprint())


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return sorted(render_demo(tmp_path_factory.mktemp("demo") / "clips", num_clips=4, num_frames=12).rglob("*.mp4"))[:2]


@pytest.fixture(scope="module")
def scorer(model):
    return make_local_scorer(model, make_console(), keep_crops=True)


def test_a_clip_scores_as_by_the_store_and_the_rule(scorer, clips):
    faces = extract_clip(Clip("a", clips[0]), PyAvFrameSource(), scorer.detector, CONFIG)
    assert faces.tracks
    is_face = np.stack([track.is_face for track in faces.tracks])
    logits, _ = scorer.model.explain(np.stack(faces.crops), is_face)
    expected = RULE.score_logits(logits, is_face, np.zeros(len(is_face), int), 1)[0]
    scored = scorer.score(clips[0])
    assert scored.clip_score == pytest.approx(expected, abs=1e-6)
    assert scored.is_fake == (expected >= 0.4)
    np.testing.assert_array_equal(scored.windows[0].tracks[0].crops, faces.crops[0])


def test_reading_ahead_of_the_model_changes_nothing(scorer, model, clips):
    begun, scored = begin_scoring(clips, model.parent, make_console())
    assert begun.model.folder == model
    for one, other in zip(scored, scorer.score_all(clips), strict=True):
        assert one.clip_score == other.clip_score
        assert one.windows[0].tracks[0].crops is None


def test_a_model_of_faces_found_otherwise_is_refused_or_accepted_aloud(scorer, capsys):
    other = SimpleNamespace(fingerprint=fingerprint(detector=mtcnn_settings() | {"scale_factor": 0.5}))
    with pytest.raises(TfdfdError, match="scale_factor"):
        check_model(other, scorer.detector, CONFIG, make_console(), accept_mismatch=False)
    check_model(other, scorer.detector, CONFIG, make_console(), accept_mismatch=True)
    assert "accepted" in capsys.readouterr().out


def test_a_model_of_ready_made_crops_without_a_margin_cannot_score_clips(tmp_path):
    (tmp_path / "1" / "assets.extra").mkdir(parents=True)
    (tmp_path / "1" / "saved_model.pb").touch()
    (tmp_path / "1" / "assets.extra" / "fingerprint.json").write_text(fingerprint(margin="not declared").to_json())
    with pytest.raises(TfdfdError, match="--crop-margin"):
        begin_scoring([tmp_path / "a.mp4"], tmp_path, make_console())


def test_an_asset_that_contradicts_the_graph_is_found_out(model, tmp_path):
    shutil.copytree(model, tmp_path / "1")
    (tmp_path / "1" / "assets.extra" / "fingerprint.json").write_text(fingerprint(margin=0.7).to_json())
    with pytest.raises(TfdfdError, match="otherwise than the model itself"):
        make_local_scorer(tmp_path, make_console())


def test_which_model_is_taken_where_none_is_named_is_said_on_stderr(tmp_path, capsys):
    for number, name in enumerate(("new/1", "old/3")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").touch()
        os.utime(tmp_path / name / "saved_model.pb", (1000 - number, 1000 - number))
    assert newest_model(tmp_path) == tmp_path / "new" / "1"
    out, err = capsys.readouterr()
    assert out == ""
    assert f"taking {tmp_path / 'new' / '1'}, written last of 2 in {tmp_path}/" in err
