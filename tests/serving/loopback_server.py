"""A server on loopback that speaks as TensorFlow Serving does, over gRPC and REST, and fails as it is told to.

Protos, paths, formats, codes and messages are TensorFlow Serving's; behind them stand the signatures of a SavedModel,
or functions. It logs every request, and from which connection it came.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

Arrays = dict[str, np.ndarray]
STATUS_OF = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
CODE_OF = {code.value[0]: code for code in grpc.StatusCode}


class Refused(Exception):
    """The server does not answer."""

    def __init__(self, code: str, message: str, retry_after: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.retry_after = code, message, retry_after


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a prediction."""

    code: str = ""
    """It is refused so."""
    message: str = "told to"
    retry_after: str = ""
    """Header of a refusal over REST."""
    seconds: float = 0.0
    """The answer waits so long."""
    alter: Callable[[Arrays], Arrays] | None = None
    """What becomes of the outputs."""
    body: bytes | None = None
    """What REST answers instead."""
    status: int = 200
    """With this status."""
    cut: bool = False
    """Whether REST hangs up in the middle of the answer."""
    drip_seconds: float = 0.0
    """REST sends a byte of its answer every so often."""


@dataclass(frozen=True)
class Logged:
    """A request that arrived."""

    transport: str
    signature: str
    version: int | None
    label: str
    connection: str
    inputs: Arrays = field(repr=False)

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.inputs.values())))


class SavedModelSignatures:
    """The signatures of a SavedModel."""

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))
        self.inputs = {
            name: {key: spec.dtype.as_numpy_dtype for key, spec in signature.structured_input_signature[1].items()}
            for name, signature in self._loaded.signatures.items()
        }

    def __call__(self, signature: str, inputs: Arrays) -> Arrays:
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        try:
            outputs = self._loaded.signatures[signature](**tensors)
        except (tf.errors.OpError, TypeError, ValueError) as error:
            code = CODE_OF[error.error_code].name if isinstance(error, tf.errors.OpError) else "INVALID_ARGUMENT"
            raise Refused(code, str(error)) from error
        return {name: value.numpy() for name, value in outputs.items()}


class LoopbackServer:
    """Serves models on two ports of loopback; a context manager.

    Args:
        models: of each name the versions, and of each version what answers: it is called with the name of a signature
            and inputs, and its `inputs` name and type those of each signature.
        states: of versions that are not `AVAILABLE`, by name and version.
        labels: of versions.
        max_request_bytes: what gRPC takes at most; over REST the status is 413.
    """

    def __init__(
        self,
        models: Mapping[str, Mapping[int, Any]],
        *,
        states: Mapping[tuple[str, int], str] | None = None,
        labels: Mapping[str, int] | None = None,
        max_request_bytes: int = -1,
    ) -> None:
        self.models, self.states, self.labels = models, dict(states or {}), dict(labels or {})
        self.max_request_bytes = max_request_bytes
        self.log: list[Logged] = []
        self.next_faults: deque[Fault] = deque()
        """One a prediction, in order; `about` is left alone."""
        self.every_fault: Fault | None = None
        """Of every prediction, once there is no next one."""
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def __enter__(self) -> LoopbackServer:
        options = [("grpc.max_receive_message_length", self.max_request_bytes), ("grpc.so_reuseport", 0)]
        self._grpc = grpc.server(ThreadPoolExecutor(16), options=options)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Predictions(self), self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(self), self._grpc)
        self.addresses = {"grpc": f"localhost:{self._grpc.add_insecure_port('localhost:0')}"}
        self._grpc.start()
        self._rest = _HttpServer(("localhost", 0), _Handler)
        self._rest.loopback = self
        self.addresses["rest"] = f"localhost:{self._rest.server_port}"
        threading.Thread(target=self._rest.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.stop(0).wait()
        self._rest.shutdown()
        self._rest.server_close()

    def predictions(self) -> list[Logged]:
        """Return what was asked but for `about`."""
        return [logged for logged in self.log if logged.signature != "about"]

    def connections(self) -> set[str]:
        """Return from where requests came."""
        return {logged.connection for logged in self.log}

    def find(self, name: str, version: int | None, label: str) -> tuple[int, Any]:
        """Return a version and what answers."""
        versions = self.models.get(name, {})
        if label and version is None:
            if label not in self.labels:
                raise Refused("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
            version = self.labels[label]
        there = [number for number in versions if (name, number) not in self.states]
        if not there or version not in (None, *there):
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refused("NOT_FOUND", f"Servable not found for request: {asked}")
        version = max(there) if version is None else version
        return version, versions[version]

    def predict(self, model: Any, signature: str, inputs: Arrays, logged: Logged) -> tuple[Arrays, Fault]:
        """Answer a request, or fail as told."""
        with self._lock:
            self.log.append(logged)
            fault = Fault()
            if signature != "about":
                fault = self.next_faults.popleft() if self.next_faults else (self.every_fault or fault)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if fault.seconds:
                time.sleep(fault.seconds)
            if fault.code:
                raise Refused(fault.code, fault.message, fault.retry_after)
            expected = set(model.inputs[signature])
            if set(inputs) != expected or not inputs:
                raise Refused(
                    "INVALID_ARGUMENT",
                    f"input size does not match signature: {len(inputs)}!={len(expected)} len({{{','.join(inputs)}}})",
                )
            outputs = model(signature, inputs)
            return (fault.alter(outputs) if fault.alter else outputs), fault
        finally:
            with self._lock:
                self._at_once -= 1

    def states_of(self, name: str, version: int | None) -> dict[int, str]:
        """Return the state of each version, or of one."""
        states = {number: self.states.get((name, number), "AVAILABLE") for number in self.models.get(name, {})}
        if version is not None:
            states = {number: state for number, state in states.items() if number == version}
        if not states:
            which = "any versions" if version is None else f"version {version}"
            raise Refused("NOT_FOUND", f"Could not find {which} of model {name}")
        return states


class _Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, server: LoopbackServer) -> None:
        self._server = server

    def Predict(self, request, context):
        spec = request.model_spec
        asked = spec.version.value if spec.HasField("version") else None
        try:
            version, model = self._server.find(spec.name, asked, spec.version_label)
            signature = spec.signature_name or "serving_default"
            if signature not in model.inputs:
                raise Refused("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            logged = Logged("grpc", signature, asked, spec.version_label, context.peer(), inputs)
            outputs, _ = self._server.predict(model, signature, inputs, logged)
        except Refused as refused:
            context.abort(grpc.StatusCode[refused.code], refused.message)
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.version.value = spec.name, version
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, server: LoopbackServer) -> None:
        self._server = server

    def GetModelStatus(self, request, context):
        spec = request.model_spec
        try:
            states = self._server.states_of(spec.name, spec.version.value if spec.HasField("version") else None)
        except Refused as refused:
            context.abort(grpc.StatusCode[refused.code], refused.message)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state in states.items():
            status = response.model_version_status.add()
            status.version = version
            status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state)
        return response


class _HttpServer(ThreadingHTTPServer):
    loopback: LoopbackServer
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _WHICH = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
    server: _HttpServer

    def do_GET(self) -> None:
        match = re.fullmatch(self._WHICH, self.path)
        if not match:
            return self._send(400, {"error": f"Malformed request: GET {self.path}"})
        try:
            states = self.server.loopback.states_of(match[1], int(match[2]) if match[2] else None)
        except Refused as refused:
            return self._refuse(refused)
        fine = {"error_code": "OK", "error_message": ""}
        listed = [{"version": str(version), "state": state, "status": fine} for version, state in states.items()]
        return self._send(200, {"model_version_status": listed})

    def do_POST(self) -> None:
        loopback = self.server.loopback
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        try:
            if 0 <= loopback.max_request_bytes < length:
                return self._send(413, {"error": "Request Entity Too Large"})
            match = re.fullmatch(self._WHICH + ":predict", self.path)
            if not match:
                return self._send(400, {"error": f"Malformed request: POST {self.path}"})
            asked = int(match[2]) if match[2] else None
            _, model = loopback.find(match[1], asked, match[3] or "")
            request = json.loads(body)
            signature = request.get("signature_name", "serving_default")
            if signature not in model.inputs:
                raise Refused("INVALID_ARGUMENT", f'Serving signature name: "{signature}" not found in signature def')
            inputs = _inputs_of(request, model.inputs[signature])
            peer = f"{self.client_address[0]}:{self.client_address[1]}"
            logged = Logged("rest", signature, asked, match[3] or "", peer, inputs)
            outputs, fault = loopback.predict(model, signature, inputs, logged)
        except Refused as refused:
            return self._refuse(refused)
        values = {name: _json_of(value) for name, value in outputs.items()}
        if "inputs" in request:
            answer: Any = {"outputs": values}
        else:
            answer = {
                "predictions": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
            }
        return self._send(fault.status, answer, fault=fault)

    def _refuse(self, refused: Refused) -> None:
        headers = {"Retry-After": refused.retry_after} if refused.retry_after else {}
        self._send(STATUS_OF[refused.code], {"error": refused.message}, headers)

    def _send(
        self, status: int, answer: Any, headers: Mapping[str, str] | None = None, fault: Fault | None = None
    ) -> None:
        fault = fault or Fault()
        body = json.dumps(answer).encode() if fault.body is None else fault.body
        self.close_connection = fault.cut or fault.drip_seconds > 0
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if fault.cut:
                self.wfile.write(body[: len(body) // 2])
            elif fault.drip_seconds:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(fault.drip_seconds)
            else:
                self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client has hung up, as it may

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log is `LoopbackServer.log`."""


def _inputs_of(request: dict[str, Any], types: Mapping[str, Any]) -> Arrays:
    """Return the inputs of a request in the row or the column format."""
    if "instances" in request:
        instances = request["instances"]
        if not instances:
            raise Refused("INVALID_ARGUMENT", "No values in instances.")
        columns = {name: [row[name] for row in instances] for name in instances[0]}
    else:
        columns = request["inputs"]
    if unknown := set(columns) - set(types):
        raise Refused("INVALID_ARGUMENT", f"JSON object: does not have named input: {sorted(unknown)[0]}")
    try:
        return {
            name: np.array(_decoded(column) if types[name] is object else column, types[name])
            for name, column in columns.items()
        }
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", f"Encountered list at unexpected size: {error}") from error


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(part) for part in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return value.encode() if isinstance(value, str) else value


def _json_of(value: np.ndarray) -> list[Any]:
    if value.dtype == object:
        return [part.decode() if isinstance(part, bytes) else _json_of(part) for part in value]
    return value.tolist()
