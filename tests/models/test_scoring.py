"""The scoring rule on faces whose right score is obvious."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import trim_mean

from tfdfd.models.aggregation import AGGREGATIONS
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


def aggregated(name, probabilities, is_face=None):
    """Aggregate one track, in a graph."""
    row = np.array([probabilities], np.float32)
    mask = np.ones_like(row, bool) if is_face is None else np.array([is_face])
    return float(tf.function(AGGREGATIONS[name])(tf.constant(row), tf.constant(mask))[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", 0.5),
        ("geometric", (0.1 * 0.2 * 0.4 * 0.8 * 1.0) ** 0.2),
        ("median", 0.4),
        ("confident", 0.5),
        ("trimmed_mean", (0.2 + 0.4 + 0.8) / 3),
    ],
)
def test_each_aggregation_of_five_faces_worked_by_hand(name, expected):
    assert aggregated(name, [0.8, 0.1, 1.0, 0.4, 0.2]) == pytest.approx(expected, abs=1e-6)


def test_the_mean_of_logits_weighs_sure_faces_more_than_the_mean():
    odds = [1.0, 1.0, 64.0]  # their geometric mean is 4
    assert aggregated("logit_mean", [o / (1 + o) for o in odds]) == pytest.approx(0.8, abs=1e-5)
    assert aggregated("logit_mean", [1.0, 0.0]) == pytest.approx(0.5, abs=1e-3)  # neither is infinite


def test_an_even_median_lies_between_the_two_in_the_middle():
    assert aggregated("median", [0.9, 0.1, 0.3, 0.5]) == pytest.approx(0.4)


@pytest.mark.parametrize("count", range(1, 18))
def test_the_trimmed_mean_is_that_of_scipy(count):
    faces = np.random.default_rng(count).random(count).astype(np.float32)
    assert aggregated("trimmed_mean", faces) == pytest.approx(trim_mean(faces, 0.2), abs=1e-6)


def test_the_confident_rule_looks_at_the_sure_faces_alone_where_there_are_enough():
    assert aggregated("confident", [0.9] * 12 + [0.1] * 5) == pytest.approx(0.9)
    assert aggregated("confident", [0.9] * 11 + [0.1] * 6) == pytest.approx((9.9 + 0.6) / 17)  # 11 are not above 11
    assert aggregated("confident", [0.9] * 12 + [0.1] * 20) == pytest.approx((10.8 + 2) / 32)  # of 32, 13 are needed
    assert aggregated("confident", [0.9] * 13 + [0.1] * 19) == pytest.approx(0.9)
    assert aggregated("confident", [0.1] * 16 + [0.7]) == pytest.approx(0.1)
    assert aggregated("confident", [0.1] * 15 + [0.7] * 2) == pytest.approx((1.5 + 1.4) / 17)  # 0.88 is not above 0.9


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_padding_changes_no_aggregation_and_equal_faces_give_their_value(name):
    assert aggregated(name, [0.7, 0.7, 0.7]) == pytest.approx(0.7, abs=1e-5)
    faces = [0.9, 0.2, 0.4]
    padded = aggregated(name, [0.9, 1.0, 0.2, 0.0, 0.4], [True, False, True, False, True])
    assert padded == pytest.approx(aggregated(name, faces), abs=1e-6)


def test_logits_are_scored_as_their_probabilities():
    logits = np.array([[0.0, 3.0], [-2.0, 9.0], [1.0, 0.0]], np.float32)
    rule = ScoringRule(temperature=2.0, over_tracks="max")
    probabilities = rule.face_probabilities(tf.constant(logits)).numpy()
    expected = rule.clip_scores(probabilities, IS_FACE, CLIP_ROWS, 3)
    np.testing.assert_array_equal(rule.score_logits(logits, IS_FACE, CLIP_ROWS, 3), expected)


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
