"""The means of networks equal those computed by hand, at any size of logits."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tfdfd.models.ensemble import MEANS, MeanOfNetworks, Member

IS_FACE = tf.constant([[True, True, False]])
CROPS = tf.zeros([1, 3, 4, 4, 3], tf.uint8)


def network(logits, maps=((0.0,),)):
    """Return what says the same of every picture: these logits, and one map for each face."""

    def explain(crops, is_face):
        values = tf.where(is_face, tf.constant([logits], tf.float32), 0.0)
        pictures = tf.where(is_face[..., None, None], tf.constant(maps, tf.float32), 0.0)
        return {"face_logits": values, "heat_maps": pictures}

    return explain


def member(logits, maps=((0.0,),), **options):
    return Member(network(logits, maps), np.shape(maps), **options)


def probabilities(mean, *members):
    return expit(MeanOfNetworks(members, mean)(CROPS, IS_FACE)["face_logits"].numpy())[0]


def logits_of(*values):
    """Return the logits of two probabilities, and of a place without a face."""
    return [*np.log(values) - np.log1p(-np.array(values)), 0.0]


def test_the_arithmetic_mean_is_that_of_the_probabilities():
    found = probabilities("arithmetic", member(logits_of(0.2, 0.5)), member(logits_of(0.8, 0.7)))
    np.testing.assert_allclose(found, [0.5, 0.6, 0.5], atol=1e-6)


def test_the_geometric_mean_treats_fake_and_real_alike():
    found = probabilities("geometric", member(logits_of(0.2, 0.5)), member(logits_of(0.8, 0.9)))
    # Of 0.5 and 0.9: sqrt(0.45) against sqrt(0.05), so 3 to 1.
    np.testing.assert_allclose(found, [0.5, 0.75, 0.5], atol=1e-6)


@pytest.mark.parametrize(("mean", "expected"), [("arithmetic", 0.25 * 0.2 + 0.75 * 0.8), ("geometric", 2 / 3)])
def test_only_the_ratios_of_weights_count(mean, expected):
    # 0.2 and 0.8 are odds of 1 to 4 and 4 to 1: weighted 1 to 3, 4^(1/2) to 1.
    for scale in (1.0, 0.01, 700.0):
        one, other = member(logits_of(0.2, 0.2), weight=scale), member(logits_of(0.8, 0.8), weight=3 * scale)
        np.testing.assert_allclose(probabilities(mean, one, other)[:2], expected, atol=1e-6)


@pytest.mark.parametrize("mean", sorted(MEANS))
def test_each_member_is_cooled_by_its_own_temperature(mean):
    hot = member(np.multiply(4.0, logits_of(0.2, 0.6)), temperature=4.0)
    np.testing.assert_allclose(probabilities(mean, hot, member(logits_of(0.2, 0.6)))[:2], [0.2, 0.6], atol=1e-6)


@pytest.mark.parametrize("mean", sorted(MEANS))
def test_members_that_agree_are_believed_however_sure_they_are(mean):
    for logit in (-1000.0, -30.0, 30.0, 1000.0):
        logits = MeanOfNetworks([member([logit] * 3), member([logit] * 3)], mean)(CROPS, IS_FACE)["face_logits"]
        np.testing.assert_allclose(logits[0], [logit, logit, 0.0], rtol=1e-6)


def test_members_that_are_sure_of_the_opposite_leave_it_open():
    for mean in MEANS:
        np.testing.assert_allclose(probabilities(mean, member([1000.0] * 3), member([-1000.0] * 3)), 0.5)
    # In the arithmetic mean one that is sure counts for its weight, in the geometric one for as much as it is sure.
    sure, opposed = member([1000.0] * 3), member([-20.0] * 3)
    np.testing.assert_allclose(probabilities("arithmetic", sure, opposed)[:2], 0.5, atol=1e-6)
    np.testing.assert_allclose(probabilities("geometric", sure, opposed)[:2], 1.0)


@pytest.mark.parametrize("mean", sorted(MEANS))
def test_both_means_equal_numpy_on_many_faces(mean):
    rng = np.random.default_rng(0)
    logits, weights, temperatures = rng.normal(0, 6, (4, 3)), rng.uniform(0.1, 3, 4), rng.uniform(0.3, 3, 4)
    members = [
        member(row, weight=float(weight), temperature=float(temperature))
        for row, weight, temperature in zip(logits, weights, temperatures, strict=True)
    ]
    cooled, shares = (logits / temperatures[:, None])[:, :2], (weights / weights.sum())[:, None]
    if mean == "arithmetic":
        expected = (shares * expit(cooled)).sum(0)
    else:
        fake, real = (np.prod(share**shares, axis=0) for share in (expit(cooled), expit(-cooled)))
        expected = fake / (fake + real)
    np.testing.assert_allclose(probabilities(mean, *members)[:2], expected, atol=1e-5)


def test_heat_maps_are_averaged_at_the_size_of_the_largest():
    small = member([1.0, 1.0, 0.0], [[8.0, 8.0], [8.0, 8.0]], temperature=2.0, weight=3.0)
    large = member([1.0, 1.0, 0.0], np.arange(9.0).reshape(3, 3), weight=1.0)
    maps = MeanOfNetworks([small, large], "geometric")(CROPS, IS_FACE)["heat_maps"]
    expected = 0.75 * 8 / 2 + 0.25 * np.arange(9.0).reshape(3, 3)
    np.testing.assert_allclose(maps[0, :2], [expected, expected], atol=1e-5)
    assert not maps[0, 2].numpy().any()  # no face


def test_maps_are_enlarged_along_the_right_axis():
    upright = member([0.0] * 3, [[0.0], [4.0]])  # two high, one wide: the lower half speaks for fake
    lying = member([0.0] * 3, [[0.0, 2.0]])
    maps = MeanOfNetworks([upright, lying], "arithmetic")(CROPS, IS_FACE)["heat_maps"]
    np.testing.assert_allclose(maps[0, 0], [[0.0, 1.0], [2.0, 3.0]], atol=1e-6)


def test_what_is_no_ensemble_is_refused():
    with pytest.raises(ValueError, match="at least two members, got 1"):
        MeanOfNetworks([member([0.0] * 3)], "arithmetic")
    with pytest.raises(ValueError, match=r"\['arithmetic', 'geometric'\], got 'harmonic'"):
        MeanOfNetworks([member([0.0] * 3)] * 2, "harmonic")
    for name in ("weight", "temperature"):
        with pytest.raises(ValueError, match=f"{name} must be above 0 and finite, got 0.0"):
            member([0.0] * 3, **{name: 0.0})
