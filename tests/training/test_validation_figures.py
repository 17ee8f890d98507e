"""The figures of an epoch, on scores whose answer is known."""

from __future__ import annotations

import math

import numpy as np

from tests.training.toy_training import mean_of_clip
from tfdfd.training.metrics import MONITOR, area_under_roc, log_loss, validation_figures


def test_a_hand_worked_case() -> None:
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.2, 0.9, 0.6, 0.6])
    expected = -(math.log(0.8) + math.log(0.9) + math.log(0.4) + math.log(0.6)) / 4
    assert math.isclose(log_loss(labels, scores), expected, abs_tol=1e-9)
    assert area_under_roc(labels, scores) == 3.5 / 4  # of the four pairs one is a tie, which counts half


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
