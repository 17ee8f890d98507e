"""The figures of an epoch, on scores whose answer is known."""

from __future__ import annotations

import math

import numpy as np
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from tests.training.toy_training import mean_of_clip
from tfdfd.training.metrics import MONITOR, area_under_roc, log_loss, validation_figures


def test_they_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 200), rng.integers(1, 20, 200) / 20  # with ties
    assert math.isclose(log_loss(labels, scores), sklearn_log_loss(labels, scores), abs_tol=1e-9)
    assert math.isclose(area_under_roc(labels, scores), float(roc_auc_score(labels, scores)), abs_tol=1e-9)


def test_certain_and_wrong_is_finite_and_one_label_has_no_auc() -> None:
    assert math.isclose(log_loss(np.array([1]), np.array([0.0])), -math.log(1e-7))
    assert math.isnan(area_under_roc(np.array([1, 1]), np.array([0.2, 0.4])))


def test_padding_counts_nowhere_and_a_clip_without_a_face_has_its_score() -> None:
    probabilities = np.array([[0.1, 0.9], [0.8, 0.6]], np.float32)
    is_face = np.array([[True, False], [True, True]])
    figures = validation_figures(
        probabilities, is_face, np.array([3, 1]), np.array([-1, 1, 0, 0]), mean_of_clip
    )  # clip 2 has no track: 0.5
    assert math.isclose(figures[MONITOR], -(math.log(0.7) + math.log(0.5) + math.log(0.9)) / 3, abs_tol=1e-6)
    assert math.isclose(
        figures["val_face_log_loss"], -(math.log(0.9) + math.log(0.8) + math.log(0.6)) / 3, abs_tol=1e-6
    )
    assert figures["val_clip_auc"] == 1.0
    assert figures["val_face_accuracy"] == 1.0
    assert math.isclose(figures["val_clip_accuracy"], 2 / 3)
