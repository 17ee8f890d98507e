"""Intervals: the weighted figures against scikit-learn's, and how often the truth lies inside."""

import numpy as np
import pytest

from tfdfd.evaluation.intervals import RankedScores, bootstrap_intervals
from tfdfd.evaluation.metrics import METRICS, score_metrics


def clustered(rng, num_groups, spread=1.0):
    """Return labels, scores and groups of originals with three fakes each, which share what makes them hard."""
    groups = np.repeat(np.arange(num_groups), 4)
    labels = np.tile([0, 1, 1, 1], num_groups)
    logits = (labels * 2 - 1) + spread * rng.normal(size=num_groups)[groups] + rng.normal(size=len(groups)) * 0.5
    return labels, 1 / (1 + np.exp(-logits)), groups


@pytest.mark.parametrize("num_digits", [1, 2, 16])  # with many ties, some, none
def test_the_weighted_figures_are_scikit_learn_s_where_each_row_stands_as_often_as_its_weight(num_digits):
    rng = np.random.default_rng(num_digits)
    for _ in range(20):
        labels, scores, _ = clustered(rng, 15)
        scores = scores.round(num_digits)
        weights = rng.integers(0, 4, size=len(labels))
        ranked = RankedScores(labels, scores, threshold=0.4)
        found = ranked.figures(weights[ranked.order].astype(float))
        expected = score_metrics(np.repeat(labels, weights), np.repeat(scores, weights), threshold=0.4)
        assert found.keys() == METRICS.keys()
        for name in METRICS:
            assert found[name] == pytest.approx(expected[name], abs=1e-9), name


def test_a_figure_that_needs_both_classes_is_not_a_number_where_one_is_missing():
    ranked = RankedScores(np.array([0, 1]), np.array([0.2, 0.7]), threshold=0.5)
    found = ranked.figures(np.array([1.0, 0.0]))
    assert {name for name, value in found.items() if np.isnan(value)} == {
        name for name, (_, needs_both) in METRICS.items() if needs_both
    }


def test_the_truth_lies_in_95_of_100_intervals_and_in_fewer_where_fakes_count_as_facts_of_their_own():
    rng = np.random.default_rng(0)
    truth = score_metrics(*clustered(rng, 200_000)[:2], threshold=0.5)
    names = ("auc", "log_loss", "accuracy")
    inside = {(name, kind): 0 for name in names for kind in ("originals", "clips")}
    num_runs = 250
    for run in range(num_runs):
        labels, scores, groups = clustered(rng, 100)
        for kind, drawn in (("originals", groups), ("clips", np.arange(len(groups)))):
            found = bootstrap_intervals(labels, scores, drawn, threshold=0.5, num_replicates=200, seed=run)
            for name in names:
                inside[name, kind] += found[name].low <= truth[name] <= found[name].high
    shares = {key: count / num_runs for key, count in inside.items()}
    assert all(0.92 <= shares[name, "originals"] <= 0.98 for name in names), shares
    assert all(shares[name, "clips"] < 0.92 for name in ("log_loss", "accuracy")), shares


def test_labels_that_were_shuffled_have_an_auc_interval_around_a_half():
    rng = np.random.default_rng(1)
    labels, scores, groups = clustered(rng, 200)
    inside = 0
    for _ in range(20):
        found = bootstrap_intervals(rng.permutation(labels), scores, groups, threshold=0.5, num_replicates=200)["auc"]
        inside += found.low < 0.5 < found.high
        assert found.high - found.low < 0.15
    assert inside >= 15  # of intervals that hold in 95 of 100 cases


def test_the_same_seed_gives_the_same_intervals_and_another_one_others():
    values = clustered(np.random.default_rng(2), 30)
    first, again, other = (
        bootstrap_intervals(*values, threshold=0.5, num_replicates=50, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_of_one_original_nothing_can_be_told():
    found = bootstrap_intervals(np.array([0, 1]), np.array([0.2, 0.7]), np.zeros(2, int), threshold=0.5)
    assert found == dict.fromkeys(METRICS)


def test_draws_without_a_figure_are_counted():
    labels, scores = np.array([0, 1, 1]), np.array([0.2, 0.7, 0.9])
    found = bootstrap_intervals(labels, scores, np.arange(3), threshold=0.5, num_replicates=400)
    assert found["accuracy"].num_replicates == 400
    # All three draws are fakes in (2/3)^3 of the cases, real in (1/3)^3: 2/3 have both.
    assert 0.6 < found["auc"].num_replicates / 400 < 0.73
