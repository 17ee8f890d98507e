"""Warm-up records: one at least for each signature, in a form and of a size that a server loads."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.serving.c_api_records import read_requests
from tfdfd.serving.bundle import MAX_BATCH_ROWS
from tfdfd.serving.signatures import SIGNATURES
from tfdfd.serving.warmup import MAX_RECORDS, ROWS, portrait_face, portrait_frame, write_warmup


def write(path: Path, *, has_frames: bool = True, places: int = 17, crop_size: int = 200) -> Path:
    write_warmup(path, model_name="small", crop_size=crop_size, places=places, has_frames=has_frames)
    return path


def requests_of(path: Path) -> list:
    logs = [PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    assert all(log.WhichOneof("log_type") == "predict_log" for log in logs)
    return [log.predict_log.request for log in logs]


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("warmup") / "records")


@pytest.mark.parametrize("has_frames", [True, False])
def test_every_signature_of_the_export_is_warmed_and_no_other(tmp_path, has_frames):
    requests = requests_of(write(tmp_path / "r", has_frames=has_frames, places=2, crop_size=16))
    expected = {name for name, signature in SIGNATURES.items() if has_frames or signature.in_every_export}
    assert {request.model_spec.signature_name for request in requests} == expected
    assert {request.model_spec.name for request in requests} == {"small"}
    assert len(requests) <= MAX_RECORDS


def test_inputs_are_those_of_the_signature(records):
    for request in requests_of(records):
        declared = SIGNATURES[request.model_spec.signature_name].inputs
        assert set(request.inputs) == set(declared)
        for name, tensor in declared.items():
            proto = request.inputs[name]
            assert tf.dtypes.as_dtype(proto.dtype).name == tensor.dtype
            assert len(proto.tensor_shape.dim) == len(tensor.shape)


def test_each_row_shows_the_network_a_face_and_one_place_is_empty(records):
    for request in requests_of(records):
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        if "is_face" in inputs:
            assert inputs["is_face"].all()
        if "face_bytes" in inputs:
            sizes = [Image.open(BytesIO(jpeg)).size if jpeg else None for jpeg in inputs["face_bytes"][0]]
            assert Counter(sizes) == {(200, 200): 16, None: 1}


def test_no_request_has_more_rows_than_the_server_joins(records):
    rows = {proto.tensor_shape.dim[0].size for request in requests_of(records) for proto in request.inputs.values()}
    assert rows == set(ROWS)
    assert max(rows) <= MAX_BATCH_ROWS


def test_the_same_arguments_give_the_same_bytes_and_few_of_them(records, tmp_path):
    assert write(tmp_path / "again").read_bytes() == records.read_bytes()
    assert records.stat().st_size < 5 * 2**20


def test_a_track_of_one_place_has_its_face(tmp_path):
    for request in requests_of(write(tmp_path / "r", places=1, crop_size=16, has_frames=False)):
        for proto in request.inputs.values():
            value = tf.make_ndarray(proto)
            assert request.model_spec.signature_name == "about" or all(value.flat), "no place is empty"


def test_the_reader_without_tensorflow_reads_the_same(records):
    expected = requests_of(records)
    found = list(read_requests(records))
    assert [request.signature for request in found] == [request.model_spec.signature_name for request in expected]
    for request, other in zip(found, expected, strict=True):
        for name, proto in other.inputs.items():
            np.testing.assert_array_equal(request.inputs[name], tf.make_ndarray(proto))


def test_the_portrait_fills_the_frame_from_edge_to_edge_and_keeps_its_shape():
    wide = portrait_frame(90, 160)
    assert wide.shape == (90, 160, 3)
    assert (wide[:, :35] == 128).all()
    assert wide[:, 35:125].std() > 20
    np.testing.assert_array_equal(portrait_frame(160, 90)[35:125], wide[:, 35:125])
    assert portrait_face(64).std() > 20
