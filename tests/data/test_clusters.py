"""Embeddings to people, on vectors whose people are known."""

import numpy as np
import pytest
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_info, threadpool_limits

from tfdfd.data import clusters
from tfdfd.data.agreement import agreement
from tfdfd.data.clusters import find_people, map_eps, principal_components_of, tsne_map
from tfdfd.faces.identity import unit_vectors


def people_of(sizes, *, seed=0, spread=0.05):
    """Vectors of so many tracks a person, 0.05 apart or so, people 1 apart; and whose each is."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(sizes)), sizes)
    centres = unit_vectors(rng.normal(size=(len(sizes), 128)))
    noise = unit_vectors(rng.normal(size=(len(who), 128)))
    return unit_vectors(centres[who] + spread * noise), who


@pytest.mark.parametrize("cluster_on", ["pca", "tsne"])
def test_people_who_lie_apart_are_found_whole(cluster_on):
    vectors, who = people_of([1, 2, 5, 9, 14, 30])
    found = find_people(vectors, cluster_on=cluster_on)
    assert found.num_people == 6
    assert agreement(found.person, who).purity == agreement(found.person, who).completeness == 1
    assert found.is_alone.tolist() == (who == 0).tolist()
    assert (np.diff(np.bincount(found.person)) <= 0).all()  # the most seen first


@pytest.mark.parametrize(("threads_from", "threads"), [(2000, {1}), (0, {2})])
def test_a_map_of_few_points_is_drawn_by_one_thread_which_waits_for_nobody(monkeypatch, threads_from, threads):
    seen = []

    class Watched(TSNE):
        def fit_transform(self, X, y=None):
            seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp")
            return np.zeros((len(X), 2))

    monkeypatch.setattr(clusters, "TSNE", Watched)
    monkeypatch.setattr(clusters, "_THREADS_FROM", threads_from)
    with threadpool_limits(2):
        tsne_map(people_of([3, 4])[0], seed=0)
    assert set(seen) == threads


def test_who_is_near_nobody_is_a_person_of_their_own():
    found = find_people(np.eye(4, dtype=np.float32))
    assert sorted(found.person) == [0, 1, 2, 3]
    assert found.is_alone.all()


def test_a_map_joins_nobody_who_is_far_in_truth():
    vectors, _ = people_of([1] * 40)
    assert find_people(vectors, cluster_on="tsne").num_people == 40


def test_a_smaller_eps_parts_what_a_larger_one_joins():
    vectors, _ = people_of([20], spread=0.1)
    assert find_people(vectors, eps=0.3).num_people == 1
    assert find_people(vectors, eps=0.02).num_people == 20


def test_a_fake_between_two_people_does_not_join_them():
    a, b = np.eye(2, dtype=np.float32)
    between = unit_vectors(np.linspace(a, b, 12)[1:-1])  # 0.13 to 0.16 apart: a chain from a to b
    vectors = np.concatenate([[a, a, b, b], between])
    is_fake = np.array([False] * 4 + [True] * 10)
    assert find_people(vectors).num_people == 1
    found = find_people(vectors, is_fake=is_fake)
    assert found.person[0] == found.person[1] != found.person[2] == found.person[3]
    assert found.person[4] == found.person[0]
    assert found.person[-1] == found.person[2]
    assert found.person[8] not in found.person[:4]


def test_a_fake_of_one_face_joins_only_who_is_very_near():
    real = np.array([[1, 0], [1, 0]], np.float32)
    near = unit_vectors(np.array([[1, 0.24]]))
    vectors, is_fake = np.concatenate([real, near]), np.array([False, False, True])
    assert find_people(vectors, is_fake=is_fake, num_faces=np.array([5, 5, 5])).num_people == 1
    assert find_people(vectors, is_fake=is_fake, num_faces=np.array([5, 5, 1])).num_people == 2


def test_where_all_are_fakes_they_are_put_together():
    vectors, who = people_of([3, 4])
    found = find_people(vectors, is_fake=np.ones(7, bool))
    assert agreement(found.person, who).completeness == 1


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("cluster_on", ["pca", "tsne"])
def test_few_tracks_are_no_trouble(count, cluster_on):
    vectors, _ = people_of([count])
    found = find_people(vectors, cluster_on=cluster_on)
    # A map of few points shows islands where nothing is; that is why it is not what such data are clustered on.
    assert 1 <= found.num_people <= (1 if cluster_on == "pca" else count)
    assert found.tsne is not None
    assert found.tsne.shape == (count, 2)


def test_no_tracks_are_no_people():
    assert find_people(np.zeros((0, 128), np.float32)).num_people == 0


def test_the_same_seed_draws_the_same_map():
    components = principal_components_of(people_of([10, 10])[0])
    np.testing.assert_array_equal(tsne_map(components, seed=1), tsne_map(components, seed=1))


def test_a_map_twice_as_large_has_twice_the_radius():
    components = np.arange(20.0)[:, None] * 0.1
    drawn = np.concatenate([components, components], axis=1).astype(np.float32)
    assert map_eps(components, drawn * 2, 0.2) == pytest.approx(2 * map_eps(components, drawn, 0.2), rel=1e-5)


@pytest.mark.parametrize("wrong", [{"cluster_on": "umap"}, {"eps": 0}])
def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        find_people(np.eye(3, dtype=np.float32), **wrong)


def test_purity_and_completeness():
    known = np.array(list("aaabbb"))
    assert agreement(np.array([0, 0, 0, 1, 1, 1]), known) == agreement(np.array([5, 5, 5, 2, 2, 2]), known)
    assert agreement(np.zeros(6, int), known).purity == 0.5
    assert agreement(np.zeros(6, int), known).completeness == 1
    assert agreement(np.arange(6), known).purity == 1
    assert agreement(np.arange(6), known).completeness == pytest.approx(2 / 6)
