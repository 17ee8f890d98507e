"""The SavedModel by TensorFlow's C API, as TensorFlow Serving loads it: its scores are those of the Python path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.run_commands import ROOT
from tests.serving.signature_requests import CROP_SIZE
from tfdfd.serving.saved_model import LoadedModel
from tfdfd.serving.signatures import SIGNATURES


def run_program(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of this folder in a process of its own, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(
        [sys.executable, "-m", f"tests.serving.{module}", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def records(small_version, tmp_path_factory) -> Path:
    """The warm-up records of the version, and two of pixels that all differ, with places that are empty."""
    path = tmp_path_factory.mktemp("records") / "records"
    rng = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in tf.data.TFRecordDataset(str(small_version / "assets.extra/tf_serving_warmup_requests")):
            writer.write(record.numpy())
        for name in ("serving_default", "explain"):
            crops = rng.integers(0, 256, (5, 3, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
            is_face = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]], bool)
            inputs = {"crops": tf.make_tensor_proto(crops), "is_face": tf.make_tensor_proto(is_face)}
            request = {"model_spec": {"name": "small", "signature_name": name}, "inputs": inputs}
            writer.write(PredictionLog(predict_log={"request": request}).SerializeToString())
    return path


@pytest.fixture(scope="module")
def replayed(small_version, records) -> list[dict[str, Any]]:
    done = run_program("c_api_replay", small_version, records)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_process_has_not_imported_tensorflow(replayed):
    assert replayed[-1]["tensorflow_modules"] == []
    assert set(SIGNATURES) <= set(replayed[-1]["signatures"])


def test_every_answer_is_that_of_the_python_path(small_version, records, replayed):
    signatures = tf.saved_model.load(str(small_version)).signatures
    asked = [PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(records))]
    assert len(replayed) == len(asked) + 1
    for log, answer in zip(asked, replayed, strict=False):
        request = log.predict_log.request
        name = request.model_spec.signature_name
        expected = signatures[name](**{key: tf.constant(tf.make_ndarray(v)) for key, v in request.inputs.items()})
        assert answer["signature"] == name
        assert set(answer["outputs"]) == set(expected) == set(SIGNATURES[name].outputs)
        for key, value in expected.items():
            found = answer["outputs"][key]
            if value.dtype == tf.string:
                assert found == [text.decode() for text in value.numpy().flat]
            else:
                # Boxes are pixels of frames up to 1280 wide: as exact in float32 as a score is to 1e-5.
                np.testing.assert_allclose(found, value.numpy(), atol=1e-2 if key == "boxes" else 1e-5, err_msg=key)


def test_scores_are_those_of_the_loaded_model(small_version, records, replayed):
    log = [PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(records))][-2]
    inputs = {key: tf.make_ndarray(value) for key, value in log.predict_log.request.inputs.items()}
    scores, probabilities = LoadedModel(small_version).score(inputs["crops"], inputs["is_face"])
    answer = replayed[-3]["outputs"]
    np.testing.assert_allclose(answer["clip_score"], scores, atol=1e-5)
    np.testing.assert_allclose(answer["face_probabilities"], probabilities, atol=1e-5)
    assert np.ptp(scores) > 1e-3, "the scores differ, so that one cannot stand for another"
    assert answer["num_faces"] == [3, 1, 2, 0, 2]
    assert answer["clip_score"][3] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["frames", "jpeg_frames"])
def test_the_warm_up_of_frames_reaches_the_network(replayed, name):
    (answer,) = [line["outputs"] for line in replayed[:-1] if line["signature"] == name]
    assert answer["num_people"] == [1]
    assert answer["num_faces"][0] >= 2
