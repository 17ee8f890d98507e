"""An ensemble is a SavedModel like any other, and gives the mean of what its members say."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.special import expit, logit

from tests.serving.c_api_records import read_requests
from tests.serving.signature_requests import (
    CLIPS,
    CONFIG,
    CROP_SIZE,
    RULE,
    answer_in_python,
    jpeg,
    make_clip,
    small_classifier,
)
from tfdfd.clip import TfdfdError
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.evaluation.comparison import ensembles
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.models.resizing import SquareResizing, resizing_matrix
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.ensemble import write_ensemble
from tfdfd.serving.export import ModelCard, export_saved_model
from tfdfd.serving.saved_model import LoadedModel
from tfdfd.serving.signatures import ABOUT, CROPS, EXPLAIN, FRAMES, JPEG_FACES, JPEG_FRAMES, SIGNATURES

INPUT_SIZE = 32
"""What the second network resizes crops to."""
WEIGHTS, TEMPERATURES = (1.0, 2.0), (0.5, 1.6)


def resizing_classifier() -> keras.Model:
    """Make a network that sees crops at another size than they have, with heat maps of another size."""
    keras.utils.set_random_seed(1)
    crops = keras.Input((CROP_SIZE, CROP_SIZE, 3), dtype="uint8")
    pixels = SquareResizing(size_in=CROP_SIZE, size_out=INPUT_SIZE)(keras.layers.Rescaling(1 / 127.5, -1.0)(crops))
    features = keras.layers.Conv2D(6, 3, strides=2, activation="relu")(pixels)
    features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(crops, keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(0, 3))(features))


def export(folder, classifier, *, rule=RULE, made=None, clips=CLIPS, input_size=CROP_SIZE) -> LoadedModel:
    """Export a network and load it."""
    if made is None:
        made = Fingerprint({"crop_size": CROP_SIZE}, {"num_places": CONFIG.places, "source": "clips"})
    card = ModelCard(
        folder.name, "d", f"net_{folder.name}", input_size, {"of": 1}, {}, {"log_loss": 0.1}, {"epochs": 3}
    )
    version = export_saved_model(
        classifier, rule, made, card, clips, crop_size=made.preprocessing["crop_size"], folder=folder
    )
    return LoadedModel(version)


@pytest.fixture(scope="module")
def classifiers():
    return small_classifier(), resizing_classifier()


@pytest.fixture(scope="module")
def members(classifiers, tmp_path_factory):
    """Two models with all signatures, whose networks and temperatures differ."""
    root = tmp_path_factory.mktemp("members")
    made = extraction_fingerprint(CONFIG, MTCNN(min_face_share=CONFIG.min_face_share).settings, {"num_places": 5})
    rules = [dataclasses.replace(RULE, temperature=temperature) for temperature in TEMPERATURES]
    return [
        export(root / "one", classifiers[0], rule=rules[0], made=made),
        export(root / "two", classifiers[1], rule=rules[1], made=made, input_size=INPUT_SIZE),
    ]


@pytest.fixture(scope="module")
def ensemble(members, tmp_path_factory):
    """Their geometric mean, the second weighing twice."""
    folder = tmp_path_factory.mktemp("ensembles") / "both"
    return LoadedModel(write_ensemble(members, WEIGHTS, "geometric", RULE, folder=folder))


@pytest.fixture(scope="module")
def pair(classifiers, tmp_path_factory):
    """The same two networks without the signatures that take frames, which are quicker to export."""
    root = tmp_path_factory.mktemp("pair")
    return [export(root / name, one) for name, one in zip(("one", "two"), classifiers, strict=True)]


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    return export(tmp_path_factory.mktemp("third") / "three", small_classifier(seed=7))


def mean_of(logits, mean, weights=WEIGHTS, temperatures=TEMPERATURES):
    """Combine logits [members, ...] in NumPy; returns logits."""
    shape = (-1,) + (1,) * (np.ndim(logits) - 1)
    cooled = np.asarray(logits, np.float64) / np.reshape(temperatures, shape)
    shares = np.reshape(weights, shape) / np.sum(weights)
    if mean == "arithmetic":
        return logit((shares * expit(cooled)).sum(0))
    fake, real = np.prod(expit(cooled) ** shares, axis=0), np.prod(expit(-cooled) ** shares, axis=0)
    return logit(fake / (fake + real))


def network_in_python(classifiers, mean="geometric"):
    """Return what both networks together say of crops, computed outside any graph of ours."""

    def network(crops, training):
        return tf.constant(mean_of([one(crops, training=training).numpy() for one in classifiers], mean))

    return network


@pytest.fixture(scope="module")
def answers(classifiers):
    """Clips of one, two and no people, raw and as JPEGs, and what the Python path says of them."""
    network, detector = network_in_python(classifiers), MTCNN(min_face_share=CONFIG.min_face_share)
    clips = [make_clip(seed, people=people) for seed, people in enumerate((1, 2, 0))]
    jpegs = [[jpeg(frame) for frame in clip] for clip in clips]
    decoded = [np.stack([decode(one) for one in clip]) for clip in jpegs]
    return (
        clips,
        [answer_in_python(clip, network, detector) for clip in clips],
        jpegs,
        [answer_in_python(clip, network, detector) for clip in decoded],
    )


def decode(one: bytes) -> np.ndarray:
    return tf.io.decode_jpeg(one, 3, dct_method="INTEGER_ACCURATE").numpy()


def signatures_of(model):
    return tf.saved_model.load(str(model.folder)).signatures


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", [FRAMES, JPEG_FRAMES])
def test_clips_are_scored_as_in_python(ensemble, answers, name, batch):
    clips, of_clips, jpegs, of_jpegs = answers
    signatures = signatures_of(ensemble)
    if name == FRAMES:
        found = signatures[FRAMES](frames=tf.constant(np.stack(clips[:batch])))
    else:
        found = signatures[JPEG_FRAMES](frame_bytes=tf.constant(jpegs[:batch]))
    for row, expected in enumerate((of_clips if name == FRAMES else of_jpegs)[:batch]):
        people = len(expected.is_face)
        assert found["num_people"][row] == people
        assert abs(found["clip_score"][row] - expected.clip_score) < 1e-5
        np.testing.assert_array_equal(found["is_face"][row, :people], expected.is_face)
        np.testing.assert_allclose(found["face_probabilities"][row, :people], expected.face_probabilities, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_people_are_scored_and_explained_as_in_python(ensemble, classifiers, answers, members, batch):
    crops, is_face = (
        np.concatenate([getattr(one, name) for one in answers[1]])[:batch] for name in ("crops", "is_face")
    )
    network, signatures = network_in_python(classifiers), signatures_of(ensemble)

    def logits_of(crops):
        logits = np.zeros(is_face.shape, np.float32)
        logits[is_face] = network(crops[is_face], training=False).numpy()[:, 0]
        return logits

    given = {"crops": tf.constant(crops), "is_face": tf.constant(is_face)}
    jpegs = [
        [jpeg(crop) if there else b"" for crop, there in zip(*row, strict=True)]
        for row in zip(crops, is_face, strict=True)
    ]
    decoded = crops.copy()
    for row, place in zip(*np.nonzero(is_face), strict=True):
        decoded[row, place] = decode(jpegs[row][place])
    for found, logits in (
        (signatures[CROPS](**given), logits_of(crops)),
        (signatures[JPEG_FACES](face_bytes=tf.constant(jpegs)), logits_of(decoded)),
    ):
        probabilities = np.where(is_face, RULE.face_probabilities(logits), 0)
        np.testing.assert_allclose(found["face_probabilities"], probabilities, atol=1e-5)
        rows = np.arange(len(crops))
        np.testing.assert_allclose(found["clip_score"], RULE.score_logits(logits, is_face, rows, len(crops)), atol=1e-5)
    explained = signatures[EXPLAIN](**given)
    np.testing.assert_allclose(explained["face_logits"], logits_of(crops), atol=1e-5)
    large, small = (member.explain(crops, is_face)[1] for member in members)
    assert large.shape[2] > small.shape[2]
    matrix = resizing_matrix(small.shape[2], large.shape[2])
    expected = large / TEMPERATURES[0] / 3 + matrix @ small @ matrix.T / TEMPERATURES[1] * 2 / 3
    np.testing.assert_allclose(explained["heat_maps"], expected, atol=1e-5)


def test_it_has_every_signature_of_the_contract_and_says_of_itself_what_it_is(ensemble):
    signatures = signatures_of(ensemble)
    assert set(signatures) == set(SIGNATURES)
    for name, contract in SIGNATURES.items():
        found = {key: (spec.dtype.name, spec.shape.rank) for key, spec in signatures[name].structured_outputs.items()}
        assert found == {key: (tensor.dtype, len(tensor.shape)) for key, tensor in contract.outputs.items()}
    assert ensemble.rule == RULE
    assert ensemble.crop_size == CROP_SIZE
    assert ensemble.extraction == CONFIG
    assert (ensemble.folder.parent / "serving" / "models.config").is_file()


def test_a_server_can_warm_it_up(ensemble):
    signatures, warmed = signatures_of(ensemble), set()
    for request in read_requests(ensemble.folder / "assets.extra" / "tf_serving_warmup_requests"):
        found = signatures[request.signature](**{name: tf.constant(value) for name, value in request.inputs.items()})
        assert all(value.shape[0] > 0 for value in found.values())
        warmed.add(request.signature)
    assert warmed == set(SIGNATURES)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_both_means_are_those_of_numpy_and_differ(pair, mean, tmp_path):
    model = LoadedModel(write_ensemble(pair, (3.0, 1.0), mean, RULE, folder=tmp_path / mean))
    crops, is_face = noise(), np.ones((2, 3), bool)
    expected = {
        name: mean_of([one.explain(crops, is_face)[0] for one in pair], name, (3, 1), (RULE.temperature,) * 2)
        for name in ("arithmetic", "geometric")
    }
    found, _ = model.explain(crops, is_face)
    np.testing.assert_allclose(found, expected[mean], atol=1e-5)
    assert np.abs(expected["arithmetic"] - expected["geometric"]).max() > 1e-3


def noise():
    """Draw crops of two people, uint8 [2, 3, size, size, 3], each place brighter than the one before."""
    brightest = np.reshape([60, 150, 256], (3, 1, 1, 1))
    return np.random.default_rng(0).integers(0, brightest, (2, 3, CROP_SIZE, CROP_SIZE, 3)).astype(np.uint8)


def test_with_the_rule_mean_the_arithmetic_one_is_that_of_the_clip_scores(pair, tmp_path):
    # What an evaluation of several models reports as their arithmetic mean; the geometric one is of clips there.
    rule = ScoringRule()
    models = [LoadedModel(one.save_with_rule(rule, {}, fitted_on=CLIPS[:0])) for one in pair]
    crops, is_face = noise(), np.array([[True, True, True], [False, True, False]])
    reported = ensembles({model.name: model.score(crops, is_face)[0] for model in models})
    scores = {
        mean: LoadedModel(write_ensemble(models, (1, 1), mean, rule, folder=tmp_path / mean)).score(crops, is_face)[0]
        for mean in ("arithmetic", "geometric")
    }
    np.testing.assert_allclose(scores["arithmetic"], reported["arithmetic mean"], atol=1e-6)
    assert abs(scores["geometric"][0] - reported["geometric mean"][0]) > 1e-4
    np.testing.assert_allclose(scores["geometric"][1], reported["geometric mean"][1], atol=1e-5)  # of one face


def nodes_of(model, op):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = SavedModel.FromString((model.folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    return [node for function in graph.library.function for node in function.node_def if node.op == op]


def test_each_network_and_the_search_for_faces_stand_in_the_graph_once(members, ensemble):
    searches = [
        len(nodes_of(model, "NonMaxSuppressionV5")) + len(nodes_of(model, "CropAndResize")) for model in members
    ]
    assert len(nodes_of(ensemble, "NonMaxSuppressionV5")) + len(nodes_of(ensemble, "CropAndResize")) == searches[0] > 0
    # Only the small networks have a convolution of stride 2.
    strides = [list(node.attr["strides"].list.i) for node in nodes_of(ensemble, "Conv2D")]
    assert strides.count([1, 2, 2, 1]) == len(members)


def test_weights_are_stored_once(members, ensemble):
    def sizes(model):
        stored = tf.train.list_variables(str(model.folder / "variables" / "variables"))
        return sorted(tuple(shape) for name, shape in stored if name.endswith("VARIABLE_VALUE"))

    assert sizes(ensemble) == sorted([*sizes(members[0]), *sizes(members[1])])


def test_plain_tensorflow_gives_the_same_and_knows_every_op(ensemble, answers, tmp_path):
    clips, of_clips, jpegs, _ = answers
    crops, is_face = of_clips[1].crops, of_clips[1].is_face
    requests = {
        CROPS: {"crops": crops, "is_face": is_face},
        EXPLAIN: {"crops": crops, "is_face": is_face},
        JPEG_FACES: {"face_bytes": np.array([[jpeg(crop) for crop in row] for row in crops], object)},
        FRAMES: {"frames": np.stack(clips)},
        JPEG_FRAMES: {"frame_bytes": np.array(jpegs, object)},
        ABOUT: {"ask": np.array([b""], object)},
    }
    flat = {f"{name}/{key}": value for name, inputs in requests.items() for key, value in inputs.items()}
    np.savez(tmp_path / "requests.npz", **flat)
    script = Path(__file__).with_name("plain_scores.py")
    command = [os.environ.get("TFDFD_OTHER_PYTHON") or sys.executable, "-I", script, ensemble.folder]
    subprocess.run([*map(str, command), tmp_path / "requests.npz", tmp_path / "answers.npz"], check=True, cwd=tmp_path)
    found, signatures = np.load(tmp_path / "answers.npz", allow_pickle=True), signatures_of(ensemble)
    for name, given in requests.items():
        for key, value in signatures[name](**{key: tf.constant(value) for key, value in given.items()}).items():
            if value.dtype == tf.string:
                assert found[f"{name}/{key}"].tolist() == value.numpy().tolist()
            else:
                np.testing.assert_allclose(found[f"{name}/{key}"], value, atol=1e-5)
    done = subprocess.run([*map(str, command), "--ops"], capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout)
    assert listed["unknown"] == []
    assert not {op for op in listed["ops"] if "PyFunc" in op}


def test_an_ensemble_of_an_ensemble_counts_each_network_by_its_share(pair, third, tmp_path):
    inner = LoadedModel(write_ensemble(pair, (1, 3), "geometric", third.rule, folder=tmp_path / "inner"))
    outer = LoadedModel(write_ensemble([inner, third], (2, 1), "geometric", RULE, folder=tmp_path / "outer"))
    crops, is_face = noise(), np.array([[True, True, False], [True, False, True]])
    logits = [model.explain(crops, is_face)[0] for model in (*pair, third)]
    # The inner one's rule divides what its members' temperatures have divided.
    temperatures = [RULE.temperature**2, RULE.temperature**2, RULE.temperature]
    expected = mean_of(logits, "geometric", (0.5, 1.5, 1), temperatures)
    np.testing.assert_allclose(outer.explain(crops, is_face)[0], np.where(is_face, expected, 0), atol=1e-5)
    inside = outer.card()["members"][0]
    assert [member["name"] for member in inside["members"]] == ["one", "two"]
    assert outer.fingerprint.provenance["members"]["inner/1"] == {"one/1": "clips", "two/1": "clips"}


def test_another_rule_makes_a_new_version_of_the_same_ensemble(pair, tmp_path):
    first = LoadedModel(write_ensemble(pair, (1, 1), "arithmetic", RULE, folder=tmp_path / "both"))
    rule = ScoringRule(aggregation="median", temperature=3.0)
    second = LoadedModel(first.save_with_rule(rule, {"folders": "f"}, fitted_on=CLIPS[:0]))
    assert (second.folder, second.rule) == (tmp_path / "both" / "2", rule)
    assert second.network_digest == first.network_digest
    assert second.card()["members"] == first.card()["members"]
    crops, is_face = noise(), np.ones((2, 3), bool)
    np.testing.assert_allclose(second.explain(crops, is_face)[0], first.explain(crops, is_face)[0], atol=1e-5)
    probabilities = np.median(expit(first.explain(crops, is_face)[0] / 3), axis=1)
    np.testing.assert_allclose(second.score(crops, is_face)[0], probabilities, atol=1e-5)


def test_the_card_says_of_each_member_what_it_was(members, ensemble):
    card = ensemble.card()
    assert card["name"] == "both"
    assert card["input_size"] == CROP_SIZE  # the largest
    assert card["backbone"] == "net_one, net_two"
    assert card["figures"] == {}  # of its own it has none yet
    assert card["training"] == {"mean": "geometric", "weights": [pytest.approx(1 / 3), pytest.approx(2 / 3)]}
    assert card["data"] == {"train": {"clips": 2}, "val": {"clips": 0}, "calibration": {"clips": 0}}  # b is a fake of a
    for told, member, temperature in zip(card["members"], members, TEMPERATURES, strict=True):
        assert (told["name"], told["version"]) == (member.folder.parent.name, "1")
        assert (told["network_digest"], told["temperature"]) == (member.network_digest, temperature)
        assert (told["training"], told["data"], told["figures"]) == ({"epochs": 3}, {"of": 1}, {"log_loss": 0.1})
    assert [told["weight"] for told in card["members"]] == card["training"]["weights"]


def test_ensembles_that_answer_otherwise_have_other_digests(pair, third, tmp_path):
    def digest(models, weights, mean):
        return LoadedModel(write_ensemble(models, weights, mean, RULE, folder=tmp_path / "e")).network_digest

    cooler = LoadedModel(pair[0].save_with_rule(dataclasses.replace(RULE, temperature=9.0), {}, fitted_on=CLIPS[:0]))
    known = digest(pair, (1, 2), "arithmetic")
    assert digest(pair[::-1], (4, 2), "arithmetic") == known
    for models, weights, mean in (
        (pair, (2, 1), "arithmetic"),
        (pair, (1, 2), "geometric"),
        ([pair[0], third], (1, 2), "arithmetic"),
        ([cooler, pair[1]], (1, 2), "arithmetic"),
    ):
        assert digest(models, weights, mean) != known


def clips_of(**sides):
    return pd.DataFrame(
        {"clip_id": list(sides), "original": "", "donor": "", "folder": "f", "split": list(sides.values())}
    )


def test_a_clip_that_one_member_was_trained_on_is_a_training_clip(classifiers, tmp_path):
    one = export(tmp_path / "one", classifiers[0], clips=clips_of(a="train", b="val", c="val"))
    two = export(tmp_path / "two", classifiers[1], clips=clips_of(b="train", c="val"))
    model = LoadedModel(write_ensemble([one, two], (1, 1), "arithmetic", RULE, folder=tmp_path / "both"))
    clips = model.clips()
    assert dict(zip(clips["clip_id"], clips["split"], strict=True)) == {"a": "train", "b": "train", "c": "val"}


def test_it_is_said_where_no_clip_is_left_to_validate_by(pair, classifiers, tmp_path):
    told = []
    one, two = (
        export(tmp_path / name, classifier, clips=clips_of(a=a, b=b))
        for name, classifier, a, b in (("one", classifiers[0], "train", "val"), ("two", classifiers[1], "val", "train"))
    )
    write_ensemble([one, two], (1, 1), "arithmetic", RULE, folder=tmp_path / "both", say=told.append)
    assert any("no clip is left to validate the ensemble by" in line for line in told)


def refused(models, folder, **options):
    with pytest.raises(TfdfdError) as error:
        write_ensemble(models, [1.0] * len(models), "arithmetic", RULE, folder=folder, **options)
    assert not folder.exists()
    return str(error.value)


def test_a_network_that_is_there_twice_is_refused(pair, third, tmp_path):
    again = LoadedModel(pair[0].save_with_rule(ScoringRule(), {}, fitted_on=CLIPS[:0]))
    assert f"same network is in {pair[0].folder} and in {again.folder}" in refused([*pair, again], tmp_path / "x")
    inner = LoadedModel(write_ensemble(pair, (1, 1), "arithmetic", RULE, folder=tmp_path / "inner"))
    message = refused([inner, third, pair[1]], tmp_path / "x")
    assert f"same network is in {inner.folder} and in {pair[1].folder}" in message
    assert "--weights" in message


def test_members_of_one_name_are_refused(pair, tmp_path):
    other = export(tmp_path / "two", small_classifier(seed=3))
    assert "two members are both called two/1" in refused([*pair, other], tmp_path / "x")


def test_crops_that_were_made_otherwise_are_refused_with_both_values_and_accepted_on_request(pair, tmp_path):
    made = Fingerprint({"crop_size": CROP_SIZE, "alignment": "landmarks"}, {"num_places": 9})
    other = export(tmp_path / "aligned", small_classifier(seed=3), made=made)
    message = refused([pair[0], other], tmp_path / "x")
    assert "alignment: '(not set)' in one/1, 'landmarks' in aligned/1" in message
    assert "--accept-mismatch, to make crops as one/1 has them" in message
    told = []
    models = [pair[0], other]
    folder = tmp_path / "accepted"
    version = write_ensemble(models, (1, 1), "arithmetic", RULE, folder=folder, accept_mismatch=True, say=told.append)
    assert any("'landmarks' in aligned/1" in line for line in told)
    accepted = LoadedModel(version)
    assert accepted.fingerprint.preprocessing == pair[0].fingerprint.preprocessing
    assert accepted.fingerprint.provenance["num_places"] == 9  # the most of any member
    assert "'landmarks' in aligned/1" in accepted.card()["accepted_mismatch"]


def test_crops_of_another_size_are_refused_whatever_is_accepted(pair, tmp_path):
    crops = keras.Input((16, 16, 3), dtype="uint8")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(crops)))
    small = keras.Model(crops, keras.layers.Dense(1)(features))
    other = export(tmp_path / "small", small, made=Fingerprint({"crop_size": 16}, {}))
    message = refused([pair[0], other], tmp_path / "x", accept_mismatch=True)
    assert f"one/1 takes crops of {CROP_SIZE} px, small/1 of 16" in message


def test_a_member_that_keeps_silent_about_its_training_is_refused_beside_one_that_tells(pair, tmp_path):
    silent = export(tmp_path / "silent", small_classifier(seed=3), clips=CLIPS[:0])
    assert "silent/1 does not record which clips it was trained on, and one/1 does" in refused(
        [pair[0], silent], tmp_path / "x"
    )


def test_a_network_that_gives_no_numbers_is_refused(pair, tmp_path):
    broken = small_classifier(seed=3)
    broken.layers[-1].set_weights([np.full((8, 1), np.nan), np.zeros(1)])
    model = export(tmp_path / "broken", broken)
    assert f"{model.folder} gave something that is no number" in refused([pair[0], model], tmp_path / "x")


@pytest.mark.slow
def test_an_xception_an_efficientnet_and_a_convnext_make_one_model(tmp_path):
    """Networks of three families, each with another head and input size, on the same crops of 80 px."""
    options = {
        "xception": {"input_size": 72},
        "efficientnet_b1": {"input_size": 48, "pooling": "max"},
        "convnext_tiny": {"input_size": 32, "hidden_size": 8},
    }
    made = Fingerprint({"crop_size": 80}, {"num_places": 3, "source": "clips"})
    models = [
        export(
            tmp_path / name,
            build_face_classifier(backbone=name, crop_size=80, weights="none", seed=number, **given),
            made=made,
            input_size=given["input_size"],
        )
        for number, (name, given) in enumerate(options.items())
    ]
    ensemble = LoadedModel(write_ensemble(models, (2, 1, 1), "geometric", RULE, folder=tmp_path / "mixed"))
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 80, 80, 3), dtype=np.uint8)
    is_face = np.array([[True, True, True], [True, False, False]])
    said = np.stack([model.explain(crops, is_face)[0] for model in models])
    expected = np.where(is_face, mean_of(said, "geometric", (2, 1, 1), (RULE.temperature,) * 3), 0)
    np.testing.assert_allclose(ensemble.explain(crops, is_face)[0], expected, atol=1e-5)
    assert np.ptp(said[:, is_face], axis=0).min() > 1e-3, "the members differ"
