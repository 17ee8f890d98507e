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
