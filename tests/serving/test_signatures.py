"""Every signature gives the scores of the Python path, at any batch size, with every name and type of the contract."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.serving.signature_requests import (
    CONFIG,
    CROP_SIZE,
    NUM_FRAMES,
    RULE,
    answer_in_python,
    jpeg,
    make_clip,
    small_classifier,
)
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.serving.signatures import ABOUT, CROPS, EXPLAIN, FRAMES, JPEG_FACES, JPEG_FRAMES, SIGNATURES

PEOPLE = (1, 2, 0)
BATCHES = (1, 3, 17)
OTHER_PYTHON = "TFDFD_OTHER_PYTHON"
"""Variable that names the Python of an environment with another TensorFlow and NumPy, such as 2.20."""


@pytest.fixture(scope="module")
def folder(small_version):
    return small_version


@pytest.fixture(scope="module")
def signatures(folder):
    loaded = tf.saved_model.load(str(folder))
    yield loaded.signatures
    del loaded


@pytest.fixture(scope="module")
def answers():
    """Clips of one, two and no people, raw and as their JPEGs decode, and what the Python path says of each."""
    network, detector = small_classifier(), MTCNN(min_face_share=CONFIG.min_face_share)
    clips = [make_clip(seed, people=people) for seed, people in enumerate(PEOPLE)]
    jpegs = [[jpeg(frame) for frame in clip] for clip in clips]
    decoded = [np.stack([tf.io.decode_jpeg(one, 3, dct_method="INTEGER_ACCURATE") for one in clip]) for clip in jpegs]
    return (
        clips,
        [answer_in_python(clip, network, detector) for clip in clips],
        jpegs,
        [answer_in_python(clip, network, detector) for clip in decoded],
    )


def rows(values: list, count: int) -> list:
    """Repeat values up to so many."""
    return [values[row % len(values)] for row in range(count)]


def test_the_scenes_have_the_people_they_are_made_of(answers):
    _, expected, _, decoded = answers
    for answer, people in zip(expected, PEOPLE, strict=True):
        assert len(answer.is_face) == people
    assert expected[1].is_face.sum() == 2 * NUM_FRAMES - 1
    scores = [answer.clip_score for answer in expected[:2]]
    assert abs(scores[0] - scores[1]) > 1e-3
    assert [answer.clip_score for answer in decoded] != [answer.clip_score for answer in expected]


def test_names_types_and_ranks_are_the_contract(signatures):
    assert set(signatures) == set(SIGNATURES)
    for name, contract in SIGNATURES.items():
        given = {
            key: (spec.dtype.name, spec.shape.rank)
            for key, spec in signatures[name].structured_input_signature[1].items()
        }
        assert given == {key: (tensor.dtype, len(tensor.shape)) for key, tensor in contract.inputs.items()}
        found = {key: (spec.dtype.name, spec.shape.rank) for key, spec in signatures[name].structured_outputs.items()}
        assert found == {key: (tensor.dtype, len(tensor.shape)) for key, tensor in contract.outputs.items()}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", [FRAMES, JPEG_FRAMES])
def test_clips_are_scored_as_in_python(signatures, answers, name, batch):
    clips, of_clips, jpegs, of_jpegs = answers
    if name == FRAMES:
        found = signatures[FRAMES](frames=tf.constant(np.stack(rows(clips, batch))))
    else:
        found = signatures[JPEG_FRAMES](frame_bytes=tf.constant(rows(jpegs, batch)))
    for row, expected in enumerate(rows(of_clips if name == FRAMES else of_jpegs, batch)):
        people = len(expected.is_face)
        assert found["num_people"][row] == people
        assert found["num_faces"][row] == expected.is_face.sum()
        assert abs(found["clip_score"][row] - expected.clip_score) < 1e-5
        np.testing.assert_array_equal(found["is_face"][row, :people], expected.is_face)
        np.testing.assert_allclose(found["face_probabilities"][row, :people], expected.face_probabilities, atol=1e-5)
        np.testing.assert_allclose(found["boxes"][row, :people], expected.boxes, atol=1e-3)
        assert not found["is_face"][row, people:].numpy().any()
        assert not found["boxes"][row, people:].numpy().any()


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", [CROPS, JPEG_FACES])
def test_people_are_scored_as_in_python(signatures, answers, name, batch):
    network, (_, of_clips, *_) = small_classifier(), answers
    crops = np.concatenate([answer.crops for answer in of_clips])
    is_face = np.concatenate([answer.is_face for answer in of_clips])
    crops, is_face = np.stack(rows(list(crops), batch)), np.stack(rows(list(is_face), batch))
    if name == CROPS:
        found = signatures[CROPS](crops=tf.constant(crops), is_face=tf.constant(is_face))
    else:
        jpegs = [
            [jpeg(crop) if there else b"" for crop, there in zip(*row, strict=True)]
            for row in zip(crops, is_face, strict=True)
        ]
        found = signatures[JPEG_FACES](face_bytes=tf.constant(jpegs))
        for row, place in zip(*np.nonzero(is_face), strict=True):
            crops[row, place] = tf.io.decode_jpeg(jpegs[row][place], 3, dct_method="INTEGER_ACCURATE")
    logits = np.zeros(is_face.shape, np.float32)
    logits[is_face] = network(crops[is_face], training=False).numpy()[:, 0]
    np.testing.assert_allclose(
        found["clip_score"], RULE.score_logits(logits, is_face, np.arange(batch), batch), atol=1e-5
    )
    np.testing.assert_allclose(
        found["face_probabilities"], np.where(is_face, RULE.face_probabilities(logits), 0), atol=1e-5
    )
    np.testing.assert_array_equal(found["num_faces"], is_face.sum(1))


def test_a_clip_without_a_face_answers_no_faces_and_the_stated_score(signatures, answers):
    clips, _, jpegs, _ = answers
    nothing = [[b""] * NUM_FRAMES]
    for found in (
        signatures[FRAMES](frames=tf.constant(clips[2][None])),
        signatures[JPEG_FRAMES](frame_bytes=tf.constant(jpegs[2:3])),
        signatures[JPEG_FRAMES](frame_bytes=tf.constant(nothing)),
        signatures[JPEG_FACES](face_bytes=tf.constant(nothing)),
        signatures[CROPS](
            crops=tf.zeros([1, NUM_FRAMES, CROP_SIZE, CROP_SIZE, 3], tf.uint8),
            is_face=tf.zeros([1, NUM_FRAMES], tf.bool),
        ),
    ):
        assert found["num_faces"].numpy().tolist() == [0]
        np.testing.assert_allclose(found["clip_score"], [RULE.no_evidence_score])


def test_a_batch_of_no_clips_is_answered_with_none(signatures):
    found = signatures[FRAMES](frames=tf.zeros([0, 3, 90, 160, 3], tf.uint8))
    assert {key: value.shape[0] for key, value in found.items()} == dict.fromkeys(SIGNATURES[FRAMES].outputs, 0)
    found = signatures[JPEG_FACES](face_bytes=tf.zeros([0, 3], tf.string))
    assert {key: value.shape[0] for key, value in found.items()} == dict.fromkeys(SIGNATURES[JPEG_FACES].outputs, 0)


def test_clips_of_a_request_may_differ_in_size_and_number_of_frames(signatures, answers):
    clips, _, jpegs, of_jpegs = answers
    large = [jpeg(np.kron(frame, np.ones((2, 2, 1), np.uint8))) for frame in clips[0]]
    short = [*jpegs[1][:2], b"", *jpegs[1][3:]]
    together = signatures[JPEG_FRAMES](frame_bytes=tf.constant([jpegs[0], large, short]))
    alone = [
        signatures[JPEG_FRAMES](frame_bytes=tf.constant([clip]))["clip_score"][0] for clip in (jpegs[0], large, short)
    ]
    np.testing.assert_allclose(together["clip_score"], alone, atol=1e-5)
    assert abs(together["clip_score"][0] - of_jpegs[0].clip_score) < 1e-5
    # The frame that is missing in the middle leaves its place empty, and the others where they are.
    assert together["is_face"][2, 0].numpy().tolist() == [True, True, False, True, True]


def test_it_says_of_itself_what_a_client_must_know(signatures, folder):
    told = signatures[ABOUT](ask=tf.constant(["", "again"]))
    for name in ("scoring_rule", "fingerprint"):
        texts = [json.loads(text) for text in told[name].numpy()]
        assert texts == [json.loads((folder / "assets.extra" / f"{name}.json").read_text())] * 2


def test_the_network_stands_in_the_graph_once(folder):
    # Weights and face search are shared by the signatures: else each of them would make loading slower.
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    # Only the small network has a convolution of stride 2.
    nodes = [node for function in graph.library.function for node in function.node_def if node.op == "Conv2D"]
    assert sum(list(node.attr["strides"].list.i) == [1, 2, 2, 1] for node in nodes) == 1


def test_a_request_of_17_crops_of_200_pixels_and_its_answer_fit_into_4_mb():
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    request, answer = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    request.inputs["crops"].CopyFrom(tf.make_tensor_proto(np.zeros((1, 17, 200, 200, 3), np.uint8)))
    request.inputs["is_face"].CopyFrom(tf.make_tensor_proto(np.ones((1, 17), bool)))
    answer.outputs["face_probabilities"].CopyFrom(tf.make_tensor_proto(np.ones((1, 17), np.float32)))
    assert request.ByteSize() + answer.ByteSize() < 4 * 10**6


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_plain_tensorflow_gives_the_same_without_our_code(signatures, answers, folder, name, plain_answers):
    requests, found = plain_answers
    expected = signatures[name](**{key: tf.constant(value) for key, value in requests[name].items()})
    for key, value in expected.items():
        if value.dtype == tf.string:
            assert found[f"{name}/{key}"].tolist() == value.numpy().tolist()
        else:
            np.testing.assert_allclose(found[f"{name}/{key}"], value, atol=1e-5)


@pytest.fixture(scope="module", params=[None, OTHER_PYTHON])
def plain_answers(request, answers, folder, tmp_path_factory):
    """Requests to every signature, and what a process with TensorFlow and nothing of ours answers."""
    if request.param and not os.environ.get(OTHER_PYTHON):
        pytest.skip(f"{OTHER_PYTHON} names no Python of another TensorFlow")
    python = os.environ[OTHER_PYTHON] if request.param else sys.executable
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
    work = tmp_path_factory.mktemp("plain")
    flat = {f"{name}/{key}": value for name, inputs in requests.items() for key, value in inputs.items()}
    np.savez(work / "requests.npz", **flat)
    script = Path(__file__).with_name("plain_scores.py")
    command = [python, "-I", script, folder, work / "requests.npz", work / "answers.npz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=work)
    assert done.returncode == 0, done.stderr
    return requests, dict(np.load(work / "answers.npz", allow_pickle=True))


def test_every_op_is_one_of_stock_tensorflow(folder):
    # Ops that a plain installation registers; a custom one, or one of Python, is in no server.
    script = Path(__file__).with_name("plain_scores.py")
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(folder), "--ops"], capture_output=True, text=True, check=True
    )
    listed = json.loads(done.stdout)
    assert {"Conv2D", "DecodeJpeg", "CropAndResize", "Assert"} <= set(listed["ops"])
    assert listed["unknown"] == []
    assert not {op for op in listed["ops"] if "PyFunc" in op}


def test_a_cut_ends_a_track_in_the_graph_as_in_python(signatures):
    clip = make_clip(0, people=1)
    clip[2:] = np.where((clip[2:] == 127).all(-1, keepdims=True), 40, clip[2:, ..., ::-1])
    expected = answer_in_python(clip, small_classifier(), MTCNN(min_face_share=CONFIG.min_face_share))
    # Two faces before the cut, three after it, and those of each are one person's.
    assert expected.is_face.tolist() == [[False, False, True, True, True], [True, True, False, False, False]]
    found = signatures[FRAMES](frames=tf.constant(clip[None]))
    assert found["num_people"].numpy().tolist() == [2]
    np.testing.assert_array_equal(found["is_face"][0].numpy(), expected.is_face)
    np.testing.assert_allclose(found["boxes"][0].numpy(), expected.boxes, atol=0.01)
    np.testing.assert_allclose(found["clip_score"].numpy(), [expected.clip_score], atol=1e-5)


def test_a_face_in_one_frame_of_five_is_no_evidence_in_the_graph_either(signatures):
    clip = make_clip(0, people=1)
    clip[1:] = 127
    found = signatures[FRAMES](frames=tf.constant(clip[None]))
    assert found["num_faces"].numpy().tolist() == [0]
    np.testing.assert_allclose(found["clip_score"].numpy(), [RULE.no_evidence_score])
