"""The decoder sees what the backbone was before each halving, and a face's logit can come from its mask."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tiny_backbone import TINY
from tfdfd.clip import TfdfdError
from tfdfd.models import BACKBONES
from tfdfd.models.backbone import Backbone
from tfdfd.models.batchnorm_folding import fold_batchnorm
from tfdfd.models.clip_scorer import FaceExplainer
from tfdfd.models.face_classifier import backbone_and_head, build_face_classifier
from tfdfd.models.heat_maps import with_heat_maps
from tfdfd.models.segmentation import TOP_SHARE, MaskToLogit, with_skips

SIZE = 32
CROPS = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)


def build_stages(input_size: int, weights: str | None) -> keras.Model:
    """Make a network that halves twice, each time after a normalised convolution."""
    del weights
    layers = keras.layers
    pictures = keras.Input((input_size, input_size, 3))
    x = pictures
    for stage, width in enumerate((8, 16)):
        x = layers.Conv2D(width, 3, strides=2 if stage == 0 else 1, padding="same", name=f"conv_{stage}")(x)
        x = layers.BatchNormalization(name=f"norm_{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool_{stage}")(x)
    return keras.Model(pictures, layers.Conv2D(16, 3, padding="same", name="last")(x), name="stages")


STAGES = Backbone("stages", build_stages, TINY.preprocess, 8, "none.h5", "none")


@pytest.fixture(autouse=True)
def _small_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "stages", STAGES)
    monkeypatch.setitem(BACKBONES, "tiny", TINY)


def classifier(segmentation: str, *, backbone: str = "stages", **changes: object) -> keras.Model:
    values = {"crop_size": SIZE, "weights": "none", "dropout": 0.0} | changes
    return build_face_classifier(backbone=backbone, segmentation=segmentation, **values)  # pyright: ignore[reportArgumentType]


def test_skips_are_the_last_normalised_maps_before_each_halving():
    network = with_skips(build_stages(SIZE, None))
    names = [output._keras_history.operation.name for output in network.outputs]
    assert names == ["norm_0", "norm_1", "last"]
    assert [output.shape[1] for output in network.outputs] == [16, 8, 4]


def test_a_backbone_that_halves_nothing_has_no_skips_and_a_mask_all_the_same():
    model = classifier("second_head", backbone="tiny")
    logits, masks = model(CROPS)
    assert logits.shape == (3, 1)
    assert masks.shape == (3, SIZE - 2, SIZE - 2)


def test_the_second_head_leaves_the_face_s_logit_what_it_was():
    alone, both = classifier("none"), classifier("second_head")
    for layer in alone.layers:
        both.get_layer(layer.name).set_weights(layer.get_weights())
    np.testing.assert_allclose(both(CROPS)[0], alone(CROPS), atol=1e-5)
    assert both(CROPS)[1].shape == (3, 16, 16)


def test_alone_the_face_s_logit_is_the_mean_of_the_most_altered_places():
    model = classifier("alone")
    logits, masks = (value.numpy() for value in model(CROPS))
    highest = np.sort(masks.reshape(3, -1), axis=1)[:, -round(TOP_SHARE * 256) :]
    np.testing.assert_allclose(logits[:, 0], highest.mean(axis=1), rtol=1e-5)


def test_one_altered_place_does_not_decide_and_a_mouth_does():
    masks = np.full((2, 20, 20), -4.0, np.float32)
    masks[0, 5, 5] = 40
    masks[1, 10:15, 6:12] = 4
    one, mouth = MaskToLogit()(masks).numpy()[:, 0]
    assert one < 0
    assert mouth == pytest.approx(4)


@pytest.mark.parametrize("segmentation", ["second_head", "alone"])
def test_heat_maps_are_the_probabilities_of_the_mask_and_folding_changes_nothing(segmentation):
    model = classifier(segmentation)
    logits, masks = (value.numpy() for value in model(CROPS))
    for explained in (with_heat_maps(model), FaceExplainer(fold_batchnorm(model)).network):
        found, maps = (value.numpy() for value in explained(CROPS))
        np.testing.assert_allclose(found, logits, atol=1e-5)
        np.testing.assert_allclose(maps, 1 / (1 + np.exp(-masks)), atol=1e-4)


def test_weights_are_saved_and_read_back_of_the_same_kind_alone(tmp_path):
    model = classifier("second_head")
    model.save_weights(tmp_path / "model.weights.h5")
    again = classifier("second_head", weights=str(tmp_path / "model.weights.h5"), seed=5)
    np.testing.assert_allclose(again(CROPS)[1], model(CROPS)[1], atol=1e-6)
    with pytest.raises(TfdfdError, match="extra"):
        classifier("none", weights=str(tmp_path / "model.weights.h5"))


def test_the_decoder_belongs_to_what_is_trained_while_the_backbone_is_frozen():
    inside, behind = backbone_and_head(classifier("second_head"))
    assert "norm_1" in {layer.name for layer in inside}
    assert {"mask_conv", "mask_conv_1", "logit"} <= {layer.name for layer in behind}


def test_mixed_precision_gives_float32_masks():
    logits, masks = classifier("alone", dtype_policy="mixed_float16")(CROPS)
    assert (logits.dtype, masks.dtype) == ("float32", "float32")


def test_an_unknown_segmentation_is_refused():
    with pytest.raises(TfdfdError, match="segmentation must be one of"):
        classifier("both")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sides"),
    [("xception", [53, 27, 14, 7, 4]), ("efficientnet_b1", [56, 28, 14, 7, 4]), ("convnext_tiny", [28, 14, 7, 3])],
)
def test_every_family_has_skips(name, sides):
    backbone = BACKBONES[name]
    network = backbone.build(112, None)
    if backbone.adapt is not None:
        network = backbone.adapt(network)
    assert [output.shape[1] for output in with_skips(network).outputs] == sides
