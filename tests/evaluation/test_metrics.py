"""Metrics on hand-worked cases."""

import math

import numpy as np
import pytest

from tfdfd.evaluation.metrics import score_metrics


def test_a_constant_half_costs_log_two_whatever_the_labels():
    figures = score_metrics(np.array([0, 1, 1]), np.full(3, 0.5), threshold=0.5)
    assert figures["log_loss"] == pytest.approx(math.log(2))
    assert figures["auc"] == 0.5
    assert figures["accuracy"] == pytest.approx(2 / 3)  # 0.5 counts as fake


def test_hand_worked_case():
    figures = score_metrics(np.array([0, 1, 0, 1]), np.array([0.2, 0.9, 0.6, 0.5]), threshold=0.5)
    expected = -(math.log(0.8) + math.log(0.9) + math.log(0.4) + math.log(0.5)) / 4
    assert figures["log_loss"] == pytest.approx(expected)
    assert figures["auc"] == pytest.approx(3 / 4)  # of the four pairs only (0.6 real, 0.5 fake) is upside down
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert (figures["count"], figures["real"], figures["fake"]) == (4, 2, 2)


def test_clipping_bounds_what_one_confident_mistake_costs():
    figures = score_metrics(np.array([0, 1]), np.array([1.0, 1.0]), threshold=0.5)
    assert figures["log_loss"] == pytest.approx(-math.log(1e-7) / 2, rel=1e-3)
    assert figures["log_loss_clipped"] == pytest.approx(-(math.log(0.1) + math.log(0.9)) / 2)


def test_one_class_has_no_auc_but_a_log_loss():
    figures = score_metrics(np.ones(2), np.array([0.5, 0.5]), threshold=0.5)
    assert figures["auc"] is None
    assert figures["log_loss"] == pytest.approx(math.log(2))


@pytest.mark.parametrize("scores", [[0.5, float("nan")], [0.5, 1.1], [0.5]])
def test_scores_that_are_no_probabilities_are_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        score_metrics(np.array([0, 1]), np.array(scores), threshold=0.5)


def test_rates_and_precisions_of_a_hand_worked_case():
    labels = np.array([1, 1, 0, 1, 0, 0, 1, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    figures = score_metrics(labels, scores, threshold=0.55)
    # Of four fakes, three lie above 0.55, and one of four real ones.
    assert figures["balanced_accuracy"] == pytest.approx(3 / 4)
    assert figures["equal_error_rate"] == pytest.approx(1 / 4)
    assert figures["precision_at_recall_0.1"] == 1
    assert figures["precision_at_recall_0.5"] == 1
    assert figures["precision_at_recall_0.9"] == pytest.approx(4 / 7)
    assert figures["log_weighted_precision_at_recall_0.5"] == 0
    assert figures["log_weighted_precision_at_recall_0.9"] == pytest.approx(math.log(4 / 304))
    assert figures["average_precision"] == pytest.approx((1 + 1 + 3 / 4 + 4 / 7) / 4)


def test_between_two_thresholds_the_equal_error_rate_lies_on_a_straight_line():
    # At 0.5 nothing but half of the fakes is above; at 0.4 all fakes and both real ones are.
    figures = score_metrics(np.array([1, 1, 0, 0]), np.array([0.5, 0.4, 0.4, 0.4]), threshold=0.5)
    assert figures["equal_error_rate"] == pytest.approx(1 / 3)


def test_a_balanced_prior_weighs_both_classes_alike_however_many_clips_they_have():
    few = score_metrics(np.array([0, 1]), np.array([0.1, 0.6]), threshold=0.5)
    many = score_metrics(np.array([0, 1, 1, 1]), np.array([0.1, 0.6, 0.6, 0.6]), threshold=0.5)
    assert many["log_loss_balanced"] == pytest.approx(few["log_loss"])
    assert many["log_loss"] > many["log_loss_balanced"]


def test_probabilities_that_are_off_by_a_tenth_have_that_calibration_error():
    scores = np.repeat([0.3, 0.8], 10)
    labels = np.concatenate([np.arange(10) < 4, np.arange(10) < 9]).astype(int)  # 0.4 and 0.9 of them are fake
    figures = score_metrics(labels, scores, threshold=0.5)
    assert figures["expected_calibration_error"] == pytest.approx(0.1)
    assert figures["brier_score"] == pytest.approx((4 * 0.7**2 + 6 * 0.3**2 + 9 * 0.2**2 + 0.8**2) / 20)
