"""Export, reload, compare: the SavedModel gives the scores of the network it came from."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.models.heat_maps import with_heat_maps
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import ModelCard, export_saved_model
from tfdfd.serving.saved_model import LoadedModel
from tfdfd.serving.versions import newest_version, versions

RULE = ScoringRule(no_evidence_score=0.4, temperature=2.0)
FINGERPRINT = Fingerprint({"crop_size": 16}, {"num_places": 3})
CLIPS = pd.DataFrame(
    {
        "clip_id": ["a", "b"],
        "original": ["", "a"],
        "donor": "",
        "person": ["p00001@x", "p00001@x;p00002@x"],
        "folder": "f",
        "split": ["train", "val"],
    }
)


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    crops = keras.Input((16, 16, 3), dtype="uint8")
    features = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 127.5, -1.0)(crops))
    features = keras.layers.BatchNormalization()(features)
    features = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(features))
    return keras.Model(crops, keras.layers.Dense(1)(features))


def export(classifier, folder):
    card = ModelCard("n", "d", "small", 16, {}, {}, {"log_loss": 0.1}, {})
    return export_saved_model(classifier, RULE, FINGERPRINT, card, CLIPS, crop_size=16, folder=folder)


@pytest.fixture(scope="module")
def model(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    export(classifier, folder)
    return LoadedModel(folder)


@pytest.fixture(scope="module")
def batch():
    crops = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16, 3), dtype=np.uint8)
    is_face = np.array([[True, True, True], [True, False, False], [False, True, True], [False, False, False]])
    return crops, is_face


def test_scores_are_those_of_the_network_and_the_rule(classifier, model, batch):
    crops, is_face = batch
    scores, probabilities = model.score(crops, is_face)
    logits = classifier(crops.reshape(-1, 16, 16, 3), training=False).numpy().reshape(4, 3)
    expected = np.where(is_face, 1 / (1 + np.exp(-logits / 2.0)), 0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    means = [expected[row][is_face[row]].mean() for row in range(3)]
    np.testing.assert_allclose(scores, [*means, 0.4], atol=1e-5)


def test_batch_size_and_neighbours_change_nothing(model, batch):
    crops, is_face = batch
    together, _ = model.score(crops, is_face)
    alone = [model.score(crops[row : row + 1], is_face[row : row + 1])[0][0] for row in range(4)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_what_stands_at_padded_places_changes_nothing(model, batch):
    crops, is_face = batch
    blackened = np.where(is_face[..., None, None, None], crops, 0)
    np.testing.assert_allclose(model.score(crops, is_face)[0], model.score(blackened, is_face)[0], atol=1e-6)


def test_a_batch_without_any_face_and_an_empty_batch_are_answered(model, batch):
    crops, _ = batch
    np.testing.assert_allclose(model.score(crops, np.zeros((4, 3), bool))[0], 0.4)
    assert model.score(crops[:0], np.zeros((0, 3), bool))[0].shape == (0,)


def test_it_carries_rule_fingerprint_card_and_clips(model):
    assert model.rule == RULE
    assert model.fingerprint == FINGERPRINT
    assert model.card()["figures"] == {"log_loss": 0.1}
    assert model.clips().to_dict("list") == CLIPS.to_dict("list")
    assert model.crop_size == 16


def test_signature_names_and_types_are_the_contract(model):
    signature = tf.saved_model.load(str(model.folder)).signatures["serving_default"]
    inputs = {name: (spec.dtype, spec.shape.rank) for name, spec in signature.structured_input_signature[1].items()}
    assert inputs == {"crops": (tf.uint8, 5), "is_face": (tf.bool, 2)}
    outputs = {name: (spec.dtype, spec.shape.rank) for name, spec in signature.structured_outputs.items()}
    assert outputs == {"clip_score": (tf.float32, 1), "face_probabilities": (tf.float32, 2), "num_faces": (tf.int32, 1)}


def test_each_export_is_a_new_version_and_leaves_nothing_else(classifier, tmp_path):
    (tmp_path / "unfinished-1").mkdir()  # left by a killed export
    first, second = export(classifier, tmp_path), export(classifier, tmp_path)
    assert [first.name, second.name] == ["1", "2"]
    assert versions(tmp_path) == [1, 2]
    assert newest_version(tmp_path) == second
    assert newest_version(first) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "serving"]


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(TfdfdError, match="holds no SavedModel"):
        LoadedModel(tmp_path)


def test_a_newest_version_without_a_model_is_named_and_an_older_one_not_taken(tmp_path):
    model = tmp_path / "models" / "x"
    (model / "1").mkdir(parents=True)
    (model / "1" / "saved_model.pb").touch()
    (model / "2").mkdir()
    with pytest.raises(TfdfdError, match=r"x/2, the newest version, holds no SavedModel .*older version: .*x/1$"):
        newest_version(model)
    (model / "3").symlink_to(tmp_path / "away")
    with pytest.raises(TfdfdError, match=r"x/3, the newest version, is a link that leads nowhere.*x/1$"):
        newest_version(model)
    with pytest.raises(TfdfdError, match=r"x/3 is a link that leads nowhere \(to .*away\)"):
        newest_version(model / "3")
    with pytest.raises(TfdfdError, match=r"x has no version 9: it has 1, 2$"):
        newest_version(model / "9")
    with pytest.raises(TfdfdError, match=r"models/y: no such folder: .*models/ holds the model x$"):
        newest_version(tmp_path / "models" / "y")
    assert newest_version(model / "1") == model / "1"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda variables: shutil.rmtree(variables), "holds no weights"),
        (lambda variables: (variables / "variables.index").unlink(), "holds no weights"),
        (lambda variables: cut_off(next(variables.glob("variables.data*"))), "cut off or damaged; copy it anew"),
        (lambda variables: cut_off(variables / "variables.index"), "cut off or damaged; copy it anew"),
    ],
)
def test_a_model_that_was_copied_in_part_is_said_to_be(model, tmp_path, damage, message):
    shutil.copytree(model.folder, tmp_path / "1")
    damage(tmp_path / "1" / "variables")
    with pytest.raises(TfdfdError, match=message) as raised:
        LoadedModel(tmp_path)
    assert str(tmp_path / "1") in str(raised.value)
    assert "experimental_io_device" not in str(raised.value)


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_model_of_someone_else_is_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.f)
    with pytest.raises(TfdfdError, match="not exported by tfdfd"):
        LoadedModel(tmp_path)


def test_a_heat_map_is_the_gradient_of_grad_cam_before_its_relu(classifier, model, batch):
    crops, is_face = batch
    logits, maps = model.explain(crops, is_face)
    pooling = next(layer for layer in classifier.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    features_of = keras.Model(classifier.input, pooling.input)
    head = classifier.layers[-1]
    features = features_of(crops[0], training=False)
    with tf.GradientTape() as tape:
        tape.watch(features)
        logit = head(tf.reduce_mean(features, axis=(1, 2)))
    weights = tf.reduce_sum(tape.gradient(logit, features), axis=(1, 2))  # Grad-CAM's, summed over the places
    expected = tf.reduce_sum(features * weights[:, None, None], -1)
    np.testing.assert_allclose(maps[0], expected, atol=1e-5)
    np.testing.assert_allclose(maps[0].mean(axis=(1, 2)) + head.bias.numpy(), logits[0], atol=1e-5)
    assert not maps[~is_face].any()
    assert not logits[~is_face].any()


def test_heat_maps_need_pooling_and_one_unit_at_the_end():
    crops = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(crops)
    with pytest.raises(ValueError, match=r"global pooling, average, max or both.*got Flatten"):
        with_heat_maps(keras.Model(crops, keras.layers.Dense(1)(flat)))
    with pytest.raises(ValueError, match="one unit"):
        with_heat_maps(keras.Model(crops, keras.layers.Dense(2)(flat)))


def test_another_rule_makes_a_new_version_of_the_same_network(classifier, batch, tmp_path):
    first = LoadedModel(export(classifier, tmp_path / "small"))
    rule = ScoringRule(aggregation="median", no_evidence_score=0.2, temperature=0.5, threshold=0.7)
    second = LoadedModel(first.save_with_rule(rule, {"folders": "part_3"}, fitted_on=CLIPS[:0]))
    assert second.folder == tmp_path / "small" / "2"
    assert second.rule == rule
    assert second.fingerprint == first.fingerprint
    assert second.clips().equals(first.clips())
    assert second.card() == {**first.card(), "scoring_rule": {"folders": "part_3", "network_of_version": "1"}}
    assert second.network_digest == first.network_digest
    crops, is_face = batch
    logits, maps = first.explain(crops, is_face)
    for found, expected in zip(second.explain(crops, is_face), (logits, maps), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    scores, _ = second.score(crops, is_face)
    np.testing.assert_allclose(scores, rule.score_logits(logits, is_face, np.arange(4), 4), atol=1e-5)
    third = LoadedModel(second.save_with_rule(RULE, {}, fitted_on=CLIPS[:0]))  # from a version that was made so itself
    np.testing.assert_allclose(third.score(crops, is_face)[0], first.score(crops, is_face)[0], atol=1e-5)


def test_clips_that_a_rule_was_fitted_on_are_recorded_but_for_those_of_the_training(classifier, tmp_path):
    model = LoadedModel(export(classifier, tmp_path / "small"))  # trained on a, validated on b
    fitted_on = pd.DataFrame({"clip_id": ["a", "b", "c"], "original": "", "donor": "", "folder": "f", "label": 0})
    recorded = LoadedModel(model.save_with_rule(RULE, {}, fitted_on=fitted_on)).clips()
    assert dict(zip(recorded["clip_id"], recorded["split"], strict=True)) == {
        "a": "train",
        "b": "calibration",
        "c": "calibration",
    }


def test_networks_of_the_same_weights_that_scale_pixels_otherwise_are_told_apart(classifier, tmp_path):
    def scaled(factor, name):
        keras.utils.set_random_seed(0)
        crops = keras.Input((16, 16, 3), dtype="uint8")
        features = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(factor, name="r")(crops))
        return LoadedModel(export(keras.Model(crops, keras.layers.Dense(1, name="d")(features)), tmp_path / name))

    assert scaled(1 / 255, "one").network_digest != scaled(1 / 512, "other").network_digest
