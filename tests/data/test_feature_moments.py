"""What is gathered clip by clip brings each feature to mean 0 and deviation 1."""

from __future__ import annotations

import numpy as np
import pytest

from tfdfd.data.feature_moments import FeatureMoments


def moments_of(*clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moments = FeatureMoments()
    for clip in clips:
        moments.add(clip)
    return moments.moments()


def test_they_are_those_of_all_faces_however_many_a_clip_has() -> None:
    rng = np.random.default_rng(0)
    clips = [rng.normal((5, 0.1, -3), (2, 0.5, 1), (number, 3)).astype(np.float16) for number in (1, 17, 40, 0)]
    mean, deviation = moments_of(*clips)
    every = np.concatenate(clips).astype(np.float64)
    np.testing.assert_allclose(mean, every.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(deviation, every.std(axis=0), atol=1e-6)
    assert mean.dtype == deviation.dtype == np.float32


def test_a_feature_that_says_nothing_is_not_blown_up() -> None:
    features = np.array([[0, 1, 3], [0, -1, 3.0001]], np.float32)
    _, deviation = moments_of(features)
    np.testing.assert_allclose(deviation, [0.01 / 3**0.5, 1, 0.01 / 3**0.5], rtol=1e-4)


def test_faces_that_are_all_alike_are_only_moved() -> None:
    mean, deviation = moments_of(np.full((4, 2), 7, np.float16))
    np.testing.assert_array_equal(mean, [7, 7])
    np.testing.assert_array_equal(deviation, [1, 1])


def test_without_a_face_there_are_none() -> None:
    with pytest.raises(ValueError, match="moments are those of faces"):
        moments_of()
