"""Temperature and threshold: what was done to scores is found and undone."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tfdfd.evaluation.calibration import MAX_TEMPERATURE, choose_threshold, fit_temperature


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("factor", [0.4, 1.0, 5.0])
def test_scores_that_were_made_too_sure_give_the_factor_back(factor):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 40_000)
    labels = (rng.random(40_000) < sigmoid(logits)).astype(int)
    found = fit_temperature(labels, lambda temperature: sigmoid(factor * logits / temperature))
    assert found == pytest.approx(factor, rel=0.04)


def test_clips_that_are_all_too_hard_end_at_the_bound():
    labels, logits = np.array([0, 1]), np.array([2.0, -2.0])
    found = fit_temperature(labels, lambda temperature: sigmoid(logits / temperature))
    assert found == pytest.approx(MAX_TEMPERATURE, rel=0.01)


@pytest.mark.parametrize("fit", [lambda labels: fit_temperature(labels, lambda _: np.full(3, 0.5)),
                                 lambda labels: choose_threshold(labels, np.full(3, 0.5))])  # fmt: skip
def test_one_label_alone_is_refused(fit):
    with pytest.raises(ValueError, match="one label"):
        fit(np.ones(3, int))


def test_the_threshold_of_separable_scores_lies_in_the_middle_of_their_gap():
    assert choose_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.9])) == pytest.approx(0.25)


def test_of_equally_good_thresholds_the_one_nearest_a_half_is_chosen():
    # 0.2 and 0.75 each call three of four rightly.
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.6, 0.9])
    assert choose_threshold(labels, scores) == pytest.approx(0.75)
    assert choose_threshold(np.array([0, 1]), np.array([0.7, 0.7])) in (0.0, 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_is_better(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 30)
    labels[:2] = 0, 1
    scores = rng.random(30).round(1)
    chosen = choose_threshold(labels, scores)

    def quality(threshold):
        return balanced_accuracy_score(labels, scores >= threshold)

    assert quality(chosen) == pytest.approx(max(quality(threshold) for threshold in np.linspace(0, 1, 101)))
