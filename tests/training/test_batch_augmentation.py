"""MixUp, CutMix, GridMask and RandAugment on faces of one colour each, whose mixtures can be read off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy_training import run_toy, saved_arrays
from tfdfd.training.augmentation import Augmentation
from tfdfd.training.batch_augmentation import BatchAugmentation
from tfdfd.training.config import TrainConfig

SIZE = 32


def plain_faces(levels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(levels[:, None, None, None], (len(levels), SIZE, SIZE, 3)).astype(np.uint8)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE, 3)).astype(np.uint8)


def augment(settings: Augmentation, crops: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int = 0):
    """Augment inside a graph, as the step does; returns arrays."""
    function = tf.function(BatchAugmentation(settings))
    arguments = (tf.constant(crops), tf.constant(labels, tf.float32), tf.constant(weights, tf.float32))
    crops, labels, weights = function(*arguments, tf.constant([seed, 7], tf.int32))
    assert crops.dtype == tf.uint8
    assert crops.shape == arguments[0].shape
    return crops.numpy(), labels.numpy(), weights.numpy()


def halves(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Black real faces and white fake ones: the mean of a mixed picture, over 255, is the share of the fake."""
    labels = (np.arange(count) % 2).astype(np.float32)
    return plain_faces(255 * labels), labels, np.ones(count, np.float32)


def test_a_blended_face_has_the_blend_of_the_labels() -> None:
    crops, labels, _ = augment(Augmentation(mixup=1.0, mixup_alpha=1.0), *halves(64))
    assert np.allclose(labels, crops.mean(axis=(1, 2, 3)) / 255, atol=0.5 / 255 + 1e-5)
    assert (np.abs(labels - np.round(labels)) > 0.05).sum() > 16  # truly between
    assert np.ptp(crops[0]) == 0


def test_a_pasted_rectangle_gives_the_label_of_its_visible_area() -> None:
    crops, labels, _ = augment(Augmentation(cutmix=1.0), *halves(64))
    assert np.allclose(labels, crops.mean(axis=(1, 2, 3)) / 255, atol=1e-5)
    assert set(np.unique(crops)) == {0, 255}
    assert (np.abs(labels - np.round(labels)) > 0.05).sum() > 16


def test_mixup_after_cutmix_still_has_the_right_label() -> None:
    crops, labels, _ = augment(Augmentation(mixup=0.5, cutmix=0.5), *halves(64))
    assert np.allclose(labels, crops.mean(axis=(1, 2, 3)) / 255, atol=0.5 / 255 + 1e-5)


def test_the_loss_of_a_mixed_face_is_the_mixture_of_the_weighted_losses() -> None:
    crops, labels, weights = halves(64)
    weights = np.where(labels == 1, 1.0, 3.0).astype(np.float32)
    mixed, mixed_labels, mixed_weights = augment(Augmentation(mixup=1.0, mixup_alpha=1.0), crops, labels, weights)
    share = mixed.mean(axis=(1, 2, 3)) / 255  # of the fake
    assert np.allclose(mixed_weights, share * 1 + (1 - share) * 3, atol=0.02)
    assert np.allclose(mixed_weights * mixed_labels, share * 1, atol=0.02)


@pytest.mark.parametrize("settings", [Augmentation(mixup=1.0, mixup_alpha=1.0), Augmentation(cutmix=1.0)])
def test_padding_is_neither_mixed_nor_mixed_in(settings: Augmentation) -> None:
    crops, labels, weights = plain_faces(np.full(16, 200)), np.ones(16, np.float32), np.ones(16, np.float32)
    crops = np.where(np.arange(16)[:, None, None, None] < 12, crops, 0).astype(np.uint8)
    weights[12:], labels[12:] = 0, 0
    mixed, mixed_labels, mixed_weights = augment(settings, crops, labels, weights)
    assert np.array_equal(mixed, crops)
    assert np.allclose(mixed_weights, weights)
    assert np.allclose(mixed_labels[:12], 1)


def test_a_batch_of_padding_alone_stays_finite() -> None:
    everything = Augmentation(mixup=0.5, cutmix=0.5, gridmask=1.0, rand_augment=1.0)
    _, labels, weights = augment(everything, plain_faces(np.zeros(4)), np.zeros(4), np.zeros(4))
    assert np.array_equal(labels, np.zeros(4))
    assert np.array_equal(weights, np.zeros(4))


def test_gridmask_blackens_squares_and_leaves_labels_alone() -> None:
    white, labels, weights = plain_faces(np.full(32, 255)), np.linspace(0, 1, 32), np.linspace(1, 2, 32)
    masked, same_labels, same_weights = augment(Augmentation(gridmask=1.0), white, labels, weights)
    assert set(np.unique(masked)) == {0, 255}
    black = (masked == 0).mean(axis=(1, 2, 3))
    assert (black > 0).sum() > 24
    assert black.max() < 0.6
    assert np.allclose(same_labels, labels)
    assert np.allclose(same_weights, weights)
    larger, *_ = augment(Augmentation(gridmask=1.0, gridmask_ratio=1.0), white, labels, weights)
    assert (larger == 0).mean() > (masked == 0).mean() + 0.05


def test_rand_augment_alters_faces_and_leaves_labels_alone() -> None:
    crops, labels, weights = noise(64), np.linspace(0, 1, 64), np.ones(64)
    changed, same_labels, _ = augment(Augmentation(rand_augment=1.0), crops, labels, weights)
    assert np.allclose(same_labels, labels)
    is_changed = np.array([not np.array_equal(one, other) for one, other in zip(crops, changed, strict=True)])
    assert is_changed.mean() > 0.8
    weak, *_ = augment(Augmentation(rand_augment=1.0, rand_augment_magnitude=0.01), crops, labels, weights)
    once, *_ = augment(Augmentation(rand_augment=1.0, rand_augment_layers=1), crops, labels, weights)
    distance = [np.abs(other.astype(float) - crops).mean() for other in (changed, weak, once)]
    assert distance[1] < distance[0]
    assert distance[2] < distance[0]


@pytest.mark.parametrize("name", ["mixup", "cutmix", "gridmask", "rand_augment"])
def test_the_share_of_faces_is_kept_and_the_seed_decides(name: str) -> None:
    crops, labels, weights = noise(200), (np.arange(200) % 2).astype(np.float32), np.ones(200)
    quarter = [augment(Augmentation(**{name: 0.25}), crops, labels, weights, seed)[0] for seed in (0, 0, 1)]
    assert np.array_equal(quarter[0], quarter[1])
    assert not np.array_equal(quarter[0], quarter[2])
    altered = (quarter[0] != crops).any(axis=(1, 2, 3)).mean()
    assert 0.1 < altered < 0.35


def test_a_resumed_run_draws_the_same(tmp_path: Path) -> None:
    run_toy(tmp_path / "whole", epochs=2, mixup=0.5, gridmask=0.5, rand_augment=0.5)
    run_toy(tmp_path / "parts", epochs=1, mixup=0.5, gridmask=0.5, rand_augment=0.5)
    run_toy(tmp_path / "parts", epochs=2, mixup=0.5, gridmask=0.5, rand_augment=0.5)
    whole, parts = saved_arrays(tmp_path / "whole"), saved_arrays(tmp_path / "parts")
    assert all(np.array_equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 1.5}, "mixup must be at least 0 and at most 1, got 1.5"),
        ({"mixup": 0.6, "cutmix": 0.6}, "at most 1 together"),
        ({"mixup": 0.6, "batch_size": 1}, "need at least 2 faces a batch"),
        ({"mixup_alpha": 0.3}, "mixup_alpha changes nothing with mixup 0"),
        ({"cutmix": 0.5, "cutmix_alpha": 0.0}, "cutmix_alpha must be above 0"),
        ({"gridmask_ratio": 0.5}, "gridmask_ratio changes nothing with gridmask 0"),
        ({"gridmask": 0.5, "gridmask_ratio": 1.5}, "gridmask_ratio must be above 0 and at most 1"),
        ({"rand_augment_layers": 3}, "rand_augment_layers changes nothing with rand_augment 0"),
        ({"rand_augment": 0.5, "rand_augment_magnitude": 2.0}, "rand_augment_magnitude must be above 0 and at most 1"),
    ],
)
def test_settings_that_cannot_be_honoured_are_an_error(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)
