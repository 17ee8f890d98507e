"""Metrics on hand-worked cases."""

import math

import numpy as np
import pytest

from tfdfd.evaluation.metrics import FigureSettings, score_metrics

SETTINGS = FigureSettings()


def test_a_constant_half_costs_log_two_whatever_the_labels():
    figures = score_metrics(np.array([0, 1, 1]), np.full(3, 0.5), SETTINGS)
    assert figures["log_loss"] == pytest.approx(math.log(2))
    assert figures["auc"] == 0.5
    assert figures["accuracy"] == pytest.approx(2 / 3)  # 0.5 counts as fake


def test_hand_worked_case():
    figures = score_metrics(np.array([0, 1, 0, 1]), np.array([0.2, 0.9, 0.6, 0.5]), SETTINGS)
    expected = -(math.log(0.8) + math.log(0.9) + math.log(0.4) + math.log(0.5)) / 4
    assert figures["log_loss"] == pytest.approx(expected)
    assert figures["auc"] == pytest.approx(3 / 4)  # of the four pairs only (0.6 real, 0.5 fake) is upside down
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert (figures["count"], figures["real"], figures["fake"]) == (4, 2, 2)


def test_clipping_bounds_what_one_confident_mistake_costs():
    figures = score_metrics(np.array([0, 1]), np.array([1.0, 1.0]), SETTINGS)
    assert figures["log_loss"] == pytest.approx(-math.log(1e-7) / 2, rel=1e-3)
    assert figures["log_loss_clipped"] == pytest.approx(-(math.log(0.1) + math.log(0.9)) / 2)


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.8), (0.25, 1.0)])
def test_the_bounds_of_the_clipped_log_loss_are_the_given_ones(low, high):
    figures = score_metrics(np.array([1, 1]), np.array([0.0, 1.0]), FigureSettings(clip_low=low, clip_high=high))
    assert figures["log_loss_clipped"] == pytest.approx(-(math.log(low) + math.log(high)) / 2, abs=1e-6)


def test_bounds_of_0_and_1_clip_nothing():
    figures = score_metrics(np.array([0, 1]), np.array([1.0, 0.7]), FigureSettings(clip_low=0, clip_high=1))
    assert figures["log_loss_clipped"] == figures["log_loss"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threshold": 1.5}, r"threshold must be in \[0, 1\], got 1.5"),
        ({"threshold": float("nan")}, "threshold must be"),
        ({"clip_low": 0.9}, "low < high <= 1, got 0.9 and 0.9"),
        ({"clip_low": -0.1}, "0 <= low"),
        ({"clip_high": 1.1}, "high <= 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        FigureSettings(**wrong)


def test_the_order_of_the_clips_does_not_matter():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(2, size=50), rng.random(50).round(1)
    order = rng.permutation(50)
    figures, of_others = score_metrics(labels, scores, SETTINGS), score_metrics(labels[order], scores[order], SETTINGS)
    assert figures == pytest.approx(of_others, abs=1e-12)


def test_one_class_has_no_auc_but_a_log_loss():
    figures = score_metrics(np.ones(2), np.array([0.5, 0.5]), SETTINGS)
    assert figures["auc"] is None
    assert figures["log_loss"] == pytest.approx(math.log(2))


@pytest.mark.parametrize("scores", [[0.5, float("nan")], [0.5, 1.1], [0.5]])
def test_scores_that_are_no_probabilities_are_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        score_metrics(np.array([0, 1]), np.array(scores), SETTINGS)


def test_rates_and_precisions_of_a_hand_worked_case():
    labels = np.array([1, 1, 0, 1, 0, 0, 1, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    figures = score_metrics(labels, scores, FigureSettings(threshold=0.55))
    # Of four fakes, three lie above 0.55, and one of four real ones.
    assert figures["balanced_accuracy"] == pytest.approx(3 / 4)
    assert figures["balanced_accuracy"] == pytest.approx((figures["fakes_found"] + 1 - figures["false_alarms"]) / 2)
    assert figures["equal_error_rate"] == pytest.approx(1 / 4)
    assert figures["precision_at_recall_0.1"] == 1
    assert figures["precision_at_recall_0.5"] == 1
    assert figures["precision_at_recall_0.9"] == pytest.approx(4 / 7)
    assert figures["log_weighted_precision_at_recall_0.5"] == 0
    assert figures["log_weighted_precision_at_recall_0.9"] == pytest.approx(math.log(4 / 304))
    assert figures["average_precision"] == pytest.approx((1 + 1 + 3 / 4 + 4 / 7) / 4)


def test_between_two_thresholds_the_equal_error_rate_lies_on_a_straight_line():
    # At 0.5 nothing but half of the fakes is above; at 0.4 all fakes and both real ones are.
    figures = score_metrics(np.array([1, 1, 0, 0]), np.array([0.5, 0.4, 0.4, 0.4]), SETTINGS)
    assert figures["equal_error_rate"] == pytest.approx(1 / 3)


def test_a_balanced_prior_weighs_both_classes_alike_however_many_clips_they_have():
    few = score_metrics(np.array([0, 1]), np.array([0.1, 0.6]), SETTINGS)
    many = score_metrics(np.array([0, 1, 1, 1]), np.array([0.1, 0.6, 0.6, 0.6]), SETTINGS)
    assert many["log_loss_balanced"] == pytest.approx(few["log_loss"])
    assert many["log_loss"] > many["log_loss_balanced"]


def test_probabilities_that_are_off_by_a_tenth_have_that_calibration_error():
    scores = np.repeat([0.3, 0.8], 10)
    labels = np.concatenate([np.arange(10) < 4, np.arange(10) < 9]).astype(int)  # 0.4 and 0.9 of them are fake
    figures = score_metrics(labels, scores, SETTINGS)
    assert figures["expected_calibration_error"] == pytest.approx(0.1)
    assert figures["brier_score"] == pytest.approx((4 * 0.7**2 + 6 * 0.3**2 + 9 * 0.2**2 + 0.8**2) / 20)


def test_shares_of_each_class_that_are_called_fake():
    labels, scores = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1]), np.array([0.9, 0.1, 0.2, 0.3, 0.7, 0.6, 0.1, 0.9, 0.2])
    figures = score_metrics(labels, scores, FigureSettings(threshold=0.5))
    assert figures["fakes_found"] == 3 / 5
    assert figures["false_alarms"] == 1 / 4
