"""Models on the same clips: who is better, and how sure that is."""

import numpy as np
import pytest

from tfdfd.evaluation.comparison import delong_test, ensembles, paired_differences
from tfdfd.evaluation.intervals import bootstrap_intervals
from tfdfd.evaluation.metrics import METRICS, FigureSettings

SETTINGS = FigureSettings()


def two_models(rng, num_originals, *, better=0.0, shared=0.9):
    """Originals with two fakes each, and two models that mostly find the same clips hard."""
    labels = np.tile([0, 1, 1], num_originals)
    groups = np.repeat(np.arange(num_originals), 3)
    hard = rng.normal(size=len(labels))
    scores = []
    for gain in (0.0, better):
        own = rng.normal(size=len(labels))
        logits = (1.0 + gain) * (2 * labels - 1) + 1.5 * (np.sqrt(shared) * hard + np.sqrt(1 - shared) * own)
        scores.append(1 / (1 + np.exp(-logits)))
    return labels, groups, *scores


def entry(found, figure):
    return next(difference for difference in found if difference.figure == figure)


def test_a_model_does_not_differ_from_itself():
    labels, groups, scores, _ = two_models(np.random.default_rng(0), 40)
    found = paired_differences(labels, {"a": scores, "b": scores}, groups, SETTINGS, num_replicates=100)
    assert [difference.figure for difference in found] == list(METRICS)
    for difference in found:
        assert difference.difference == 0
        assert (difference.interval.low, difference.interval.high) == (0, 0)


def test_a_clearly_better_model_has_an_interval_without_0_and_the_difference_is_other_less_one():
    labels, groups, one, other = two_models(np.random.default_rng(1), 200, better=1.0)
    found = paired_differences(labels, {"worse": one, "better": other}, groups, SETTINGS, num_replicates=200)
    auc, loss = entry(found, "auc"), entry(found, "log_loss")
    assert (auc.one, auc.other) == ("worse", "better")
    assert auc.value_of_other - auc.value_of_one == pytest.approx(auc.difference)
    assert auc.interval.low > 0
    assert loss.interval.high < 0


def test_pairs_tell_more_than_two_figures_apart():
    labels, groups, one, other = two_models(np.random.default_rng(2), 200)
    found = entry(paired_differences(labels, {"a": one, "b": other}, groups, SETTINGS, num_replicates=200), "auc")
    widths = []
    for scores in (one, other):
        alone = bootstrap_intervals(labels, scores, groups, SETTINGS, num_replicates=200)["auc"]
        widths.append(alone.high - alone.low)
    assert found.interval.high - found.interval.low < 0.7 * np.hypot(*widths)


def test_three_models_give_three_pairs_and_one_original_no_interval():
    labels, groups, one, other = two_models(np.random.default_rng(3), 20)
    scores = {"a": one, "b": other, "c": one}
    found = paired_differences(labels, scores, groups, SETTINGS, num_replicates=100)
    pairs = dict.fromkeys((difference.one, difference.other) for difference in found)
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    alone = paired_differences(labels, scores, np.zeros_like(groups), SETTINGS, num_replicates=100)
    assert all(difference.interval is None for difference in alone)


def brute_force_delong(labels, one, other):
    """Return the standard error by the defining kernel: 1 for a right pair, a half for a tie."""
    placements = []
    for scores in (one, other):
        pairs = scores[labels == 1][:, None] - scores[labels == 0][None]
        kernel = np.where(pairs > 0, 1.0, np.where(pairs == 0, 0.5, 0.0))
        placements.append((kernel.mean(axis=1), kernel.mean(axis=0)))
    (fake_one, real_one), (fake_other, real_other) = placements
    s10, s01 = np.cov(fake_one, fake_other), np.cov(real_one, real_other)
    covariance = s10 / len(fake_one) + s01 / len(real_one)
    contrast = np.array([-1.0, 1.0])
    return float(np.sqrt(contrast @ covariance @ contrast)), fake_one.mean(), fake_other.mean()


@pytest.mark.parametrize("digits", [1, 16])  # with ties and without
def test_delong_is_that_of_its_defining_kernel(digits):
    labels, _, one, other = two_models(np.random.default_rng(4), 15, better=0.5)
    one, other = one.round(digits), other.round(digits)
    error, auc_one, auc_other = brute_force_delong(labels, one, other)
    found = delong_test(labels, one, other)
    assert found.standard_error == pytest.approx(error)
    assert (found.auc_of_one, found.auc_of_other) == pytest.approx((auc_one, auc_other))
    assert found.z == pytest.approx((auc_other - auc_one) / error)


def test_delong_is_deceived_5_times_in_100_where_both_models_are_equal():
    rng = np.random.default_rng(5)
    labels = np.arange(120) % 2
    num_runs = 600
    rejected = 0
    for _ in range(num_runs):
        scores = [1 / (1 + np.exp(-(labels + rng.normal(size=120)))) for _ in range(2)]
        rejected += delong_test(labels, *scores).p_value < 0.05
    assert 0.025 < rejected / num_runs < 0.08


def test_equal_models_have_p_1_without_a_warning(recwarn):
    labels, _, one, _ = two_models(np.random.default_rng(6), 10)
    assert delong_test(labels, one, one).p_value == 1.0
    assert not recwarn
    with pytest.raises(ValueError, match="one label"):
        delong_test(np.ones(3, int), one[:3], one[:3])


def test_ensembles_worked_by_hand():
    found = ensembles({"a": np.array([0.5, 0.9, 1.0]), "b": np.array([0.8, 0.9, 0.0])})
    np.testing.assert_allclose(found["arithmetic mean"], [0.65, 0.9, 0.5])
    # Odds of 1 and 4: their geometric mean is 2.
    np.testing.assert_allclose(found["geometric mean"], [2 / 3, 0.9, 0.5])
    with pytest.raises(ValueError, match="at least two"):
        ensembles({"a": np.array([0.5])})
