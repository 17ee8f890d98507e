"""Comparison of models: DeLong's test against its definition, paired intervals against what must be so."""

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from tfdfd.evaluation.comparison import delong_test, ensembles, paired_differences
from tfdfd.evaluation.intervals import Interval, bootstrap_intervals
from tfdfd.evaluation.metrics import METRICS, FigureSettings, score_metrics

SETTINGS = FigureSettings()


def two_models(rng, num_groups, *, better=0.0):
    """Return labels, scores of two models that find the same clips hard, and groups of an original with two fakes."""
    groups = np.repeat(np.arange(num_groups), 3)
    labels = np.tile([0, 1, 1], num_groups)
    shared = labels + rng.normal(size=num_groups)[groups] + rng.normal(size=len(groups))
    one, other = (
        expit(shared + extra * (2 * labels - 1) + 0.3 * rng.normal(size=len(groups))) for extra in (0.0, better)
    )
    return labels, {"one": one, "other": other}, groups


def found_for(figure, differences):
    (found,) = (entry for entry in differences if entry.figure == figure)
    return found


def brute_force_delong(labels, one, other):
    """Return both AUCs and the variance of their difference by the kernel that defines them, pair by pair."""

    def kernel(fake, real):
        return 1.0 if fake > real else 0.5 if fake == real else 0.0

    fakes, reals = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    wins = np.array([[[kernel(scores[f], scores[r]) for r in reals] for f in fakes] for scores in (one, other)])
    of_fakes, of_reals = np.cov(wins.mean(axis=2)), np.cov(wins.mean(axis=1))
    covariance = of_fakes / len(fakes) + of_reals / len(reals)
    return wins.mean(axis=(1, 2)), covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]


def test_delong_is_what_its_kernel_says_pair_by_pair_with_ties_too():
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 1, 0])
    one = np.array([0.9, 0.8, 0.4, 0.6, 0.4, 0.3, 0.6, 0.2, 0.1])
    other = np.array([0.7, 0.7, 0.7, 0.2, 0.7, 0.2, 0.5, 0.9, 0.3])
    aucs, variance = brute_force_delong(labels, one, other)
    found = delong_test(labels, one, other)
    assert [found.auc_of_one, found.auc_of_other] == pytest.approx(aucs, abs=1e-12)
    assert found.difference == pytest.approx(aucs[1] - aucs[0], abs=1e-12)
    assert found.standard_error == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert found.z == pytest.approx(found.difference / found.standard_error)
    assert found.auc_of_one == pytest.approx(score_metrics(labels, one, SETTINGS)["auc"], abs=1e-12)


def test_p_counts_both_tails_and_is_the_same_for_both_orders():
    rng = np.random.default_rng(0)
    labels, scores, _ = two_models(rng, 200, better=0.1)
    found = delong_test(labels, scores["one"], scores["other"])
    assert found.p_value == pytest.approx(2 * norm.sf(abs(found.z)), abs=1e-12)
    back = delong_test(labels, scores["other"], scores["one"])
    assert (back.difference, back.z, back.p_value) == pytest.approx((-found.difference, -found.z, found.p_value))


def test_delong_finds_a_difference_in_5_of_100_pairs_of_equal_models():
    rng = np.random.default_rng(1)
    num_runs, found = 2000, 0
    for _ in range(num_runs):
        labels = np.repeat([0, 1], 60)
        shared = labels + rng.normal(size=120)
        one, other = (expit(shared + rng.normal(size=120)) for _ in range(2))
        found += delong_test(labels, one, other).p_value < 0.05
    assert 0.04 < found / num_runs < 0.065


@pytest.mark.parametrize("scores", [[0.2, 0.6, 0.4, 0.9, 0.6], [0.1, 0.2, 0.7, 0.8, 0.9]])  # the second one perfect
def test_identical_scores_have_a_p_of_1_and_no_warning(scores):
    labels = np.array([0, 0, 1, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = delong_test(labels, np.array(scores), np.array(scores))
    assert (found.difference, found.standard_error, found.z, found.p_value) == (0, 0, 0, 1)


def test_a_model_that_is_always_right_differs_from_one_that_is_always_wrong_without_any_doubt():
    labels = np.array([0, 0, 1, 1])
    found = delong_test(labels, 1.0 - labels, labels * 1.0)
    assert (found.difference, found.z, found.p_value) == (1, math.inf, 0)


def test_delong_needs_two_clips_of_each_class():
    with pytest.raises(ValueError, match="at least two clips of each class, got 2 fake and 1 real"):
        delong_test(np.array([0, 1, 1]), np.full(3, 0.5), np.full(3, 0.5))


def test_identical_models_differ_by_exactly_nothing_in_every_draw():
    labels, scores, groups = two_models(np.random.default_rng(2), 40)
    found = paired_differences(labels, {"a": scores["one"], "b": scores["one"]}, groups, SETTINGS, num_replicates=100)
    assert [entry.figure for entry in found] == list(METRICS)
    assert all(entry.difference == 0 for entry in found)
    assert all(entry.interval == Interval(0, 0, 100) for entry in found)


def test_the_difference_is_the_other_less_the_one_and_a_clearly_better_model_excludes_0():
    labels, scores, groups = two_models(np.random.default_rng(3), 150, better=1.0)
    found = paired_differences(labels, scores, groups, SETTINGS, num_replicates=200)
    auc, loss = found_for("auc", found), found_for("log_loss", found)
    assert auc.value_of_one == score_metrics(labels, scores["one"], SETTINGS)["auc"]
    assert auc.difference == auc.value_of_other - auc.value_of_one
    assert auc.interval.low > 0
    assert auc.interval.low < auc.difference < auc.interval.high
    assert loss.interval.high < 0


def test_a_paired_interval_is_narrower_than_that_of_either_model():
    labels, scores, groups = two_models(np.random.default_rng(4), 150)
    paired = found_for("auc", paired_differences(labels, scores, groups, SETTINGS, num_replicates=300)).interval
    for of_model in scores.values():
        alone = bootstrap_intervals(labels, of_model, groups, SETTINGS, num_replicates=300)["auc"]
        # Drawn one by one, a difference would be wider still, by the root of two.
        assert paired.high - paired.low < 0.6 * (alone.high - alone.low)


def test_pairs_come_in_the_order_of_the_names():
    labels, scores, groups = two_models(np.random.default_rng(5), 10)
    three = {"c": scores["one"], "a": scores["other"], "b": scores["one"]}
    found = paired_differences(labels, three, groups, SETTINGS, num_replicates=20)
    pairs = [pair for pair, _ in itertools.groupby(found, key=lambda entry: (entry.one, entry.other))]
    assert pairs == [("c", "a"), ("c", "b"), ("a", "b")]


def test_settings_and_seed_reach_the_differences():
    labels, scores, groups = two_models(np.random.default_rng(6), 30, better=0.3)
    plain, strict, reseeded = (
        paired_differences(labels, scores, groups, settings, num_replicates=50, seed=seed)
        for settings, seed in ((SETTINGS, 0), (FigureSettings(threshold=0.8), 0), (SETTINGS, 1))
    )
    assert found_for("accuracy", plain).difference != found_for("accuracy", strict).difference
    assert found_for("auc", plain) == found_for("auc", strict)
    assert found_for("auc", plain).interval != found_for("auc", reseeded).interval


def test_of_one_original_a_difference_has_no_interval():
    found = paired_differences(
        np.array([0, 1]), {"a": np.array([0.2, 0.7]), "b": np.array([0.6, 0.5])}, np.zeros(2, int), SETTINGS
    )
    assert found_for("auc", found).difference == -1
    assert all(entry.interval is None for entry in found)


def test_of_one_class_a_figure_that_needs_both_has_no_difference():
    scores = {"a": np.array([0.2, 0.7]), "b": np.array([0.6, 0.8])}
    found = paired_differences(np.ones(2, int), scores, np.arange(2), SETTINGS, num_replicates=20)
    auc = found_for("auc", found)
    assert (auc.value_of_one, auc.difference, auc.interval, auc.written()) == (None, None, None, "-")
    assert found_for("accuracy", found).difference == 0.5


def test_a_difference_is_written_with_its_sign_and_interval():
    labels, scores, groups = two_models(np.random.default_rng(7), 50, better=1.0)
    entry = found_for("auc", paired_differences(labels, scores, groups, SETTINGS, num_replicates=50))
    edges = entry.interval
    assert entry.written() == f"+{entry.difference:.4f}  [+{edges.low:.4f}, +{edges.high:.4f}]"


def test_ensembles_of_a_hand_worked_case():
    scores = {"a": np.array([0.5, 0.9, 0.2]), "b": np.array([0.5, 0.5, 0.8])}
    found = ensembles(scores)
    assert found["arithmetic mean"] == pytest.approx([0.5, 0.7, 0.5])
    # sqrt(0.9 * 0.5) / (sqrt(0.9 * 0.5) + sqrt(0.1 * 0.5)) = 3 / 4; 0.2 and 0.8 cancel out.
    assert found["geometric mean"] == pytest.approx([0.5, 0.75, 0.5])


def test_the_geometric_mean_takes_fake_and_real_alike():
    rng = np.random.default_rng(8)
    scores = {name: rng.random(20) for name in "abc"}
    turned = ensembles({name: 1 - of_model for name, of_model in scores.items()})
    assert turned["geometric mean"] == pytest.approx(1 - ensembles(scores)["geometric mean"], abs=1e-12)


def test_models_that_are_both_certain_and_disagree_are_undecided_together():
    found = ensembles({"a": np.array([0.0, 1.0], np.float32), "b": np.array([1.0, 1.0], np.float32)})
    assert found["geometric mean"] == pytest.approx([0.5, 1.0], abs=1e-6)


@pytest.mark.parametrize("scores", [{"a": np.zeros(2)}, {"a": np.zeros(2), "b": np.zeros(3)}])
def test_an_ensemble_needs_two_models_of_the_same_clips(scores):
    with pytest.raises(ValueError, match="needs at least two models"):
        ensembles(scores)
