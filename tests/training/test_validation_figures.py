"""The figures of an epoch, on scores whose answer is known."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logit

from tests.training.toy_training import mean_of_clip
from tfdfd.evaluation.calibration import fit_temperature
from tfdfd.training.metrics import MONITOR, TEMPERATURE, area_under_roc, log_loss, validation_figures


def test_a_hand_worked_case() -> None:
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.2, 0.9, 0.6, 0.6])
    expected = -(math.log(0.8) + math.log(0.9) + math.log(0.4) + math.log(0.6)) / 4
    assert math.isclose(log_loss(labels, scores), expected, abs_tol=1e-9)
    assert area_under_roc(labels, scores) == 3.5 / 4  # of the four pairs one is a tie, which counts half


def test_certain_and_wrong_is_finite_and_one_label_has_no_auc() -> None:
    assert math.isclose(log_loss(np.array([1]), np.array([0.0])), -math.log(1e-7))
    assert math.isnan(area_under_roc(np.array([1, 1]), np.array([0.2, 0.4])))


def test_padding_counts_nowhere_and_a_clip_without_a_face_has_its_score() -> None:
    logits = logit(np.array([[0.1, 0.9], [0.8, 0.6]], np.float32))
    is_face = np.array([[True, False], [True, True]])
    figures = validation_figures(
        logits, is_face, np.array([3, 1]), np.array([-1, 1, 0, 0]), mean_of_clip, None
    )  # clip 2 has no track: 0.5
    assert math.isclose(figures[MONITOR], -(math.log(0.7) + math.log(0.5) + math.log(0.9)) / 3, abs_tol=1e-6)
    assert math.isclose(
        figures["val_face_log_loss"], -(math.log(0.9) + math.log(0.8) + math.log(0.6)) / 3, abs_tol=1e-6
    )
    assert figures["val_clip_auc"] == 1.0
    assert figures["val_face_accuracy"] == 1.0
    assert math.isclose(figures["val_clip_accuracy"], 2 / 3)


def test_a_fitted_temperature_undoes_too_much_certainty_and_all_but_the_order_follows_it() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 1)).astype(np.float32)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-honest[:, 0]))).astype(int)  # so that each logit says what is true
    rest = (np.ones_like(honest, bool), np.arange(4000), labels, mean_of_clip)
    plain = validation_figures(honest, *rest, None)
    fitted = validation_figures(3 * honest, *rest, fit_temperature)
    assert math.isclose(fitted[TEMPERATURE], 3, rel_tol=0.05)
    assert math.isclose(fitted[MONITOR], plain[MONITOR], abs_tol=1e-3)
    assert math.isclose(fitted["val_face_log_loss"], plain["val_face_log_loss"], abs_tol=1e-3)
    assert validation_figures(3 * honest, *rest, None)[MONITOR] > 1.2 * fitted[MONITOR]
    assert fitted["val_clip_auc"] == plain["val_clip_auc"]
    assert TEMPERATURE not in plain
