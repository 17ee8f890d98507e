"""Masks are learned where they are known, and the epoch loop trains a network with masks as any other."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdfd.training.config import TrainConfig
from tfdfd.training.mask_loss import MaskLoss
from tfdfd.training.step import make_score_step, make_train_step

SIZE, SIDE = 16, 8
LOSS = MaskLoss(face_weight=1.0, mask_weight=1.0)
RNG = np.random.default_rng(0)


def masks_of(where: np.ndarray) -> np.ndarray:
    """Masks uint8 (n, SIZE, SIZE, 1) of bool (n, SIDE, SIDE)."""
    return np.repeat(np.repeat(where, 2, 1), 2, 2)[..., None].astype(np.uint8) * 255


def test_the_right_mask_costs_little_the_wrong_one_much_and_an_empty_one_is_right_where_nothing_is():
    where = np.zeros((2, SIDE, SIDE), bool)
    where[0, 2:6, 2:6] = True
    smooth = masks_of(where)
    logits = np.where(where, 12.0, -12.0).astype(np.float32)
    right, wrong = LOSS.of_masks(logits, smooth).numpy(), LOSS.of_masks(-logits, smooth).numpy()
    assert right.max() < 0.9
    assert wrong.min() > 5
    assert right[1] < 1e-3


def test_the_loss_falls_as_the_mask_comes_nearer():
    where = np.zeros((1, SIDE, SIDE), bool)
    where[0, 2:6, 2:6] = True
    losses = [
        float(LOSS.of_masks(scale * np.where(where, 1.0, -1.0).astype(np.float32), masks_of(where))[0])
        for scale in (-2, 0, 2)
    ]
    assert losses == sorted(losses, reverse=True)


def model_of_masks() -> keras.Model:
    crops = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(crops)
    x = keras.layers.AveragePooling2D(2)(x)
    masks = keras.layers.Reshape((SIDE, SIDE))(keras.layers.Conv2D(1, 1, name="masks")(x))
    return keras.Model(crops, [keras.layers.Dense(1, name="face")(keras.layers.GlobalAveragePooling2D()(x)), masks])


def batch_of(count: int, *, known: float = 1.0) -> tuple[Any, ...]:
    """White where altered; fakes have an altered half, real faces none."""
    labels = (np.arange(count) % 2).astype(np.float32)
    where = np.zeros((count, SIDE, SIDE), bool)
    where[labels == 1, :, : SIDE // 2] = True
    masks = masks_of(where)
    crops = np.where(masks > 0, 255, np.random.default_rng(1).integers(0, 100, (count, SIZE, SIZE, 3))).astype(np.uint8)
    arrays = (
        crops,
        labels,
        np.ones(count, np.float32),
        np.zeros(count, np.int32),
        masks,
        np.full(count, known, np.float32),
    )
    return tuple(map(tf.constant, arrays))


def trained(mask_loss: MaskLoss, *, known: float = 1.0, steps: int = 40) -> tuple[keras.Model, list[float]]:
    keras.utils.set_random_seed(0)
    strategy = tf.distribute.get_strategy()
    model = model_of_masks()
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, strategy, 8, mask_loss=mask_loss)
    losses = [float(step(batch_of(8, known=known))[0][0]) for _ in range(steps)]
    return model, losses


def told(model: keras.Model, batch: tuple[Any, ...]) -> float:
    """Share of pixels that the mask of a model has right."""
    return float(np.mean((model(batch[0])[1].numpy() > 0) == (batch[4].numpy()[:, ::2, ::2, 0] > 0)))


def test_a_network_learns_masks_and_labels_together():
    model, losses = trained(LOSS)
    batch = batch_of(16)
    assert losses[-1] < 0.5 * losses[0]
    assert told(model, batch) > 0.95
    assert np.mean((model(batch[0])[0].numpy()[:, 0] > 0) == batch[1].numpy()) == 1


def test_masks_that_are_not_known_teach_nothing():
    before = trained(LOSS, steps=0)[0].get_layer("masks").get_weights()
    after = trained(LOSS, known=0.0, steps=5)[0].get_layer("masks").get_weights()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_alone_the_face_s_own_loss_teaches_nothing_and_a_weight_counts():
    faces = trained(MaskLoss(0.0, 1.0), steps=5)[0].get_layer("face").get_weights()
    np.testing.assert_array_equal(faces[0], trained(LOSS, steps=0)[0].get_layer("face").get_weights()[0])
    once, twice = (trained(MaskLoss(0.0, weight), steps=1)[1][0] for weight in (1.0, 2.0))
    assert twice == pytest.approx(2 * once)


def test_scoring_takes_the_logits_of_faces_alone():
    strategy = tf.distribute.get_strategy()
    model = model_of_masks()
    crops = RNG.integers(0, 256, (2, 3, SIZE, SIZE, 3)).astype(np.uint8)
    is_face = np.ones((2, 3), bool)
    logits, _, _ = make_score_step(model, strategy)((tf.constant(crops), tf.constant(is_face), tf.range(2)))
    np.testing.assert_allclose(logits.numpy().reshape(-1, 1), model(crops.reshape(6, SIZE, SIZE, 3))[0], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_weight": 0.5}, "mask_weight changes nothing with segmentation none"),
        ({"mask_weight": 0.5, "segmentation": "alone"}, "mask_weight changes nothing with segmentation alone"),
        ({"mask_weight": 0.0, "segmentation": "second_head"}, "mask_weight must be above 0"),
        ({"segmentation": "second_head", "mixup": 0.5}, "alter crops without their masks"),
        ({"segmentation": "alone", "fakes": "self_blended"}, "leaves no fake whose altered region is known"),
        ({"segmentation": "alone", "hidden_size": 8}, "leave out pooling and hidden_size"),
        ({"segmentation": "masks"}, "segmentation must be one of"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)
