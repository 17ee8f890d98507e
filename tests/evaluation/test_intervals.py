"""Intervals: the weighted figures against scikit-learn's, and how often the truth lies inside."""

import numpy as np
import pytest

from tfdfd.evaluation.intervals import bootstrap_figures, bootstrap_intervals
from tfdfd.evaluation.metrics import METRICS, FigureSettings, score_metrics
from tfdfd.evaluation.ranked_scores import RankedScores

SETTINGS = FigureSettings()


def clustered(rng, num_groups, spread=1.0):
    """Return labels, scores and groups of originals with three fakes each, which share what makes them hard."""
    groups = np.repeat(np.arange(num_groups), 4)
    labels = np.tile([0, 1, 1, 1], num_groups)
    logits = (labels * 2 - 1) + spread * rng.normal(size=num_groups)[groups] + rng.normal(size=len(groups)) * 0.5
    return labels, 1 / (1 + np.exp(-logits)), groups


@pytest.mark.parametrize("num_digits", [1, 2, 16])  # with many ties, some, none
@pytest.mark.parametrize("every_row_alone", [True, False])
def test_the_weighted_figures_are_scikit_learn_s_where_each_group_stands_as_often_as_it_was_drawn(
    num_digits, every_row_alone
):
    rng = np.random.default_rng(num_digits)
    settings = FigureSettings(threshold=0.4, clip_low=0.2, clip_high=0.7)
    for _ in range(20):
        labels, scores, groups = clustered(rng, 15)
        order = rng.permutation(len(labels))
        labels, scores, groups = labels[order], scores[order].round(num_digits), groups[order]
        if every_row_alone:
            groups = np.arange(len(labels))
        ranked = RankedScores(labels, scores, groups, settings)
        times_drawn = rng.integers(0, 4, size=ranked.num_groups)
        found = ranked.figures(times_drawn)
        weights = times_drawn[groups]
        expected = score_metrics(np.repeat(labels, weights), np.repeat(scores, weights), settings)
        assert found.keys() == METRICS.keys()
        for name in METRICS:
            assert found[name] == pytest.approx(expected[name], abs=1e-9), name


def test_the_figures_of_more_scores_than_a_block_holds_are_scikit_learn_s_too():
    labels, scores, groups = clustered(np.random.default_rng(6), 50_000)
    found = RankedScores(labels, scores, groups, SETTINGS).figures(np.ones(50_000, np.int64))
    expected = score_metrics(labels, scores, SETTINGS)
    assert found == pytest.approx({name: expected[name] for name in METRICS}, abs=1e-9)


def test_scores_of_0_and_1_have_scikit_learn_s_figures_too_whatever_the_bounds():
    labels, scores = np.array([0, 1, 1, 0, 1]), np.array([0.0, 1.0, 0.0, 1.0, 0.5])
    settings = FigureSettings(clip_low=0, clip_high=1)
    found = RankedScores(labels, scores, np.arange(5), settings).figures(np.ones(5, np.int64))
    expected = score_metrics(labels, scores, settings)
    assert found == pytest.approx({name: expected[name] for name in METRICS}, abs=1e-9)


def coverage(num_runs):
    """Return how often intervals by originals, and by clips in a fifth of the runs, hold the truth of each figure."""
    rng = np.random.default_rng(0)
    truth = score_metrics(*clustered(rng, 200_000, spread=2)[:2], SETTINGS)
    runs_of = {"originals": num_runs, "clips": num_runs // 5}
    inside = {(name, kind): 0 for name in ("auc", "log_loss", "accuracy") for kind in runs_of}
    for run in range(num_runs):
        labels, scores, groups = clustered(rng, 300, spread=2)
        for kind, drawn in (("originals", groups), ("clips", np.arange(len(groups)))):
            if run < runs_of[kind]:
                found = bootstrap_intervals(labels, scores, drawn, SETTINGS, num_replicates=200, seed=run)
                for name, of_kind in inside:
                    if of_kind == kind:
                        inside[name, kind] += found[name].low <= truth[name] <= found[name].high
    return {(name, kind): count / runs_of[kind] for (name, kind), count in inside.items()}


@pytest.mark.slow
def test_the_truth_lies_in_95_of_100_intervals_and_in_fewer_where_fakes_count_as_facts_of_their_own():
    shares = coverage(1000)
    assert all(0.92 <= share <= 0.98 for (_, kind), share in shares.items() if kind == "originals"), shares
    assert all(shares[name, "clips"] < 0.9 for name in ("log_loss", "accuracy")), shares


def test_the_truth_lies_in_most_intervals_of_a_few_runs():
    shares = coverage(100)  # so few have a standard error of 0.02
    assert all(share >= 0.88 for (_, kind), share in shares.items() if kind == "originals"), shares


def test_labels_that_were_shuffled_have_an_auc_interval_around_a_half():
    rng = np.random.default_rng(1)
    labels, scores, groups = clustered(rng, 200)
    inside = 0
    for _ in range(20):
        found = bootstrap_intervals(rng.permutation(labels), scores, groups, SETTINGS, num_replicates=200)["auc"]
        inside += found.low < 0.5 < found.high
        assert found.high - found.low < 0.15
    assert inside >= 15  # of intervals that hold in 95 of 100 cases


def test_the_same_seed_gives_the_same_intervals_and_another_one_others():
    values = clustered(np.random.default_rng(2), 30)
    first, again, other = (bootstrap_intervals(*values, SETTINGS, num_replicates=50, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_number_of_threads_changes_no_figure():
    ranked = RankedScores(*clustered(np.random.default_rng(3), 3000), SETTINGS)
    one, three = (
        bootstrap_figures([ranked], num_replicates=60, seed=4, num_threads=num_threads) for num_threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)


def test_several_models_are_measured_on_the_same_draws():
    labels, scores, groups = clustered(np.random.default_rng(4), 30)
    one, other = (RankedScores(labels, values, groups, SETTINGS) for values in (scores, scores / 2))
    together = bootstrap_figures([one, other], num_replicates=40, seed=5)
    alone = [bootstrap_figures([ranked], num_replicates=40, seed=5) for ranked in (one, other)]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=1))
    names = list(METRICS)
    assert (together[:, 0, names.index("auc")] == together[:, 1, names.index("auc")]).all()  # halves rank alike
    assert (together[:, 0, names.index("log_loss")] != together[:, 1, names.index("log_loss")]).any()


def test_what_numbers_the_groups_have_does_not_matter():
    labels, scores, groups = clustered(np.random.default_rng(5), 20)
    found, of_others = (
        bootstrap_intervals(labels, scores, numbers, SETTINGS, num_replicates=50) for numbers in (groups, groups * 7)
    )
    assert found == of_others


def test_groups_that_are_not_as_many_as_labels_are_refused():
    with pytest.raises(ValueError, match="as many groups as labels"):
        bootstrap_intervals(np.array([0, 1]), np.array([0.2, 0.7]), np.arange(3), SETTINGS)


def test_of_one_original_nothing_can_be_told():
    found = bootstrap_intervals(np.array([0, 1]), np.array([0.2, 0.7]), np.zeros(2, int), SETTINGS)
    assert found == dict.fromkeys(METRICS)


def test_draws_without_a_figure_are_counted():
    labels, scores = np.array([0, 1, 1]), np.array([0.2, 0.7, 0.9])
    found = bootstrap_intervals(labels, scores, np.arange(3), SETTINGS, num_replicates=400)
    assert found["accuracy"].num_replicates == 400
    # All three draws are fakes in (2/3)^3 of the cases, real in (1/3)^3: 2/3 have both.
    assert 0.6 < found["auc"].num_replicates / 400 < 0.73
