"""The scoring rule on faces whose right score is obvious."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdfd.models.scoring import ScoringRule

# Clip 0 has two tracks (main 0.9, other 0.1), clip 1 one track with a padded place, clip 2 nothing.
PROBABILITIES = np.array([[0.8, 1.0], [0.1, 0.1], [0.4, 0.0]], np.float32)
IS_FACE = np.array([[True, True], [True, True], [True, False]])
CLIP_ROWS = np.array([0, 0, 1])


def scores(rule):
    return rule.clip_scores(PROBABILITIES, IS_FACE, CLIP_ROWS, 3)


def test_default_is_the_mean_over_real_faces_and_then_over_tracks():
    np.testing.assert_allclose(scores(ScoringRule()), [0.5, 0.4, 0.5], atol=1e-6)


@pytest.mark.parametrize(("over_tracks", "expected"), [("mean", 0.5), ("max", 0.9), ("main", 0.9)])
def test_track_rule_decides_between_two_people(over_tracks, expected):
    assert scores(ScoringRule(over_tracks=over_tracks))[0] == pytest.approx(expected)


def test_main_track_is_the_first_row_of_a_clip_wherever_other_clips_stand():
    rule = ScoringRule(over_tracks="main")
    rows = np.array([1, 0, 1])
    assert rule.clip_scores(PROBABILITIES, IS_FACE, rows, 2) == pytest.approx([0.1, 0.9])


def test_no_evidence_score_is_what_the_rule_says():
    assert scores(ScoringRule(no_evidence_score=0.25))[2] == 0.25
    without = ScoringRule(no_evidence_score=0.25).clip_scores(PROBABILITIES, np.zeros_like(IS_FACE), CLIP_ROWS, 3)
    np.testing.assert_array_equal(without, [0.25] * 3)


def test_temperature_draws_probabilities_to_one_half():
    logit = tf.constant([2.0])
    hot, plain = ScoringRule(temperature=2.0), ScoringRule()
    assert hot.face_probabilities(logit).numpy() == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert plain.face_probabilities(logit).numpy() == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_what_stands_at_padded_places_is_ignored():
    filled = PROBABILITIES.copy()
    filled[2, 1] = 1.0
    rule = ScoringRule()
    np.testing.assert_array_equal(rule.clip_scores(filled, IS_FACE, CLIP_ROWS, 3), scores(rule))


def test_a_rule_survives_json():
    rule = ScoringRule(over_tracks="max", no_evidence_score=0.1, temperature=1.5, threshold=0.7)
    assert ScoringRule.from_json(rule.to_json()) == rule
    with pytest.raises(ValueError, match="got also"):
        ScoringRule.from_json('{"agregation": "mean"}')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aggregation", "avg"),
        ("over_tracks", "min"),
        ("no_evidence_score", 1.5),
        ("threshold", -0.1),
        ("temperature", 0.0),
        ("no_evidence_score", float("nan")),
    ],
)
def test_a_value_out_of_its_range_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(ScoringRule(), **{name: value})
