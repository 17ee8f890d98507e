"""Calibration: what was done to scores is found again, and thresholds against trying them all."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from tfdfd.evaluation.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, choose_threshold, fit_temperature


def calibrated_logits(rng, count):
    """Return logits and labels of which exactly as many are fake as the logits say."""
    logits = rng.normal(size=count) * 2
    return logits, (rng.random(count) < expit(logits)).astype(int)


def scores_of(logits):
    return lambda temperature: expit(logits / temperature)


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 12.0])
def test_scores_that_were_made_too_sure_by_a_factor_give_it_back(factor):
    logits, labels = calibrated_logits(np.random.default_rng(0), 50_000)
    assert fit_temperature(labels, scores_of(logits * factor)) == pytest.approx(factor, rel=0.03)


def test_no_other_temperature_has_a_lower_loss():
    logits, labels = calibrated_logits(np.random.default_rng(1), 300)
    scores_at = scores_of(logits * 2.5)

    def loss_at(temperature):
        return log_loss(labels, scores_at(temperature))

    found = fit_temperature(labels, scores_at)
    best = min(np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 2000), key=loss_at)
    assert found == pytest.approx(best, rel=4e-3)


def test_the_deepest_of_several_valleys_is_found():
    # A loss with a wide valley at 0.2, and a narrow one at 4 that is deeper.
    def scores_at(temperature):
        depth = 0.2 * np.exp(-0.5 * np.log(temperature / 0.2) ** 2) + 0.3 * np.exp(-15 * np.log(temperature / 4) ** 2)
        return np.array([0.5 - depth, 0.5 + depth])

    assert fit_temperature(np.array([0, 1]), scores_at) == pytest.approx(4, rel=1e-3)


def test_scores_that_separate_the_classes_are_never_too_sure():
    labels = np.array([0, 0, 1, 1])
    assert fit_temperature(labels, scores_of(np.array([-0.2, -0.1, 0.1, 0.2]))) == MIN_TEMPERATURE


def test_scores_that_are_wrong_more_often_than_right_are_never_unsure_enough():
    labels = np.array([0, 0, 1, 1])
    assert fit_temperature(labels, scores_of(np.array([2.0, 1.0, -1.0, -2.0]))) == MAX_TEMPERATURE


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_calibrates_nothing(label):
    labels = np.full(3, label)
    with pytest.raises(ValueError, match="needs real and fake clips"):
        fit_temperature(labels, scores_of(np.zeros(3)))
    with pytest.raises(ValueError, match="needs real and fake clips"):
        choose_threshold(labels, np.full(3, 0.5))


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="not NaN"):
        fit_temperature(np.array([0, 1]), lambda temperature: np.array([0.5, np.nan]))


def test_the_threshold_of_separable_scores_is_the_middle_of_the_gap():
    assert choose_threshold(np.array([0, 1, 0, 1]), np.array([0.1, 0.5, 0.2, 0.9])) == pytest.approx(0.35)


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    # Between 0.1 and 0.2, and between 0.7 and 0.8, three of four clips are right, and none does better.
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.7, 0.8])
    assert choose_threshold(labels, scores) == pytest.approx(0.75)
    assert choose_threshold(1 - labels[::-1], 1 - scores[::-1]) == pytest.approx(0.25)


def test_classes_weigh_the_same_however_many_clips_they_have():
    # Calling everything fake would be right for 90 of 100 clips.
    labels = np.repeat([0, 1, 1], [10, 40, 50])
    scores = np.repeat([0.2, 0.2, 0.6], [10, 40, 50])
    assert choose_threshold(labels, scores) == pytest.approx(0.4)


@pytest.mark.parametrize(("score", "expected"), [(0.0, 0.5), (0.3, 0.65), (0.8, 0.4), (1.0, 0.5)])
def test_scores_that_are_all_the_same_still_get_a_threshold(score, expected):
    assert choose_threshold(np.array([0, 1]), np.full(2, score)) == pytest.approx(expected)


def test_trying_every_threshold_finds_none_better_and_none_as_good_nearer_to_a_half():
    rng = np.random.default_rng(2)
    for _ in range(200):
        labels = np.concatenate([[0, 1], rng.integers(2, size=rng.integers(1, 20))])
        scores = (0.2 * labels + 0.8 * rng.random(len(labels))).round(1)
        distinct = np.unique(np.concatenate([[0, 1], scores]))
        quality = {
            threshold: ((scores >= threshold)[labels == 1].mean() + (scores < threshold)[labels == 0].mean()) / 2
            for threshold in (distinct[:-1] + distinct[1:]) / 2
        }
        best = [threshold for threshold, value in quality.items() if value > max(quality.values()) - 1e-9]
        assert choose_threshold(labels, scores) == pytest.approx(min(best, key=lambda value: abs(value - 0.5)))


def test_scores_that_no_temperature_moves_keep_the_one_that_changes_nothing():
    assert fit_temperature(np.array([0, 1]), lambda temperature: np.full(2, 0.4)) == 1.0
