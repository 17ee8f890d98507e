"""Asking a TensorFlow Serving over gRPC: one channel, tries with back-off, one deadline over all of them.

Importing this loads TensorFlow, without which the protos of TensorFlow Serving cannot be loaded.
"""

from __future__ import annotations

import json
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfdfd.clip import TfdfdError
from tfdfd.serving.remote_errors import (
    BadAnswerError,
    Refusal,
    ServerError,
    ServerUnreachableError,
    TooLargeError,
    error_of_refusal,
)
from tfdfd.serving.remote_target import Target

# Their classes are made when they are imported, which no type checker sees.
_predict: Any = predict_pb2
_status: Any = get_model_status_pb2

MOST_TRIES = 5
"""gRPC tries no more often, whatever it is told."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_MAX_MESSAGE_BYTES = 2**31 - 1
"""Of a protobuf message, and so of a request."""
_MAX_ANSWER_BYTES = 64 * 2**20
"""gRPC's own 4 MiB would do for scores and boxes of many people; this leaves room for the largest batch."""


class GrpcTransport:
    """Speaks gRPC; may be used by several threads at once.

    A request is tried again after UNAVAILABLE alone, which TensorFlow Serving answers while its batching queue is
    full, and gRPC itself where a connection cannot be made or breaks. Predict changes nothing on the server, so it
    does no harm if a request whose answer was lost is taken twice. RESOURCE_EXHAUSTED is a message too large or
    memory that is not there, and does not pass by itself.

    Messages are not compressed: JPEGs cannot be made smaller, and gzip takes longer over raw crops than a local
    network takes to carry them. No keep-alive pings: every request has its deadline, and a server with default
    settings hangs up on a client that pings more than once in five minutes.

    Args:
        target: the server and model.
        tries: times that a request is tried in all, 1 to MOST_TRIES.
    """

    def __init__(self, target: Target, *, tries: int) -> None:
        if not 1 <= tries <= MOST_TRIES:
            raise TfdfdError(f"over gRPC a request can be tried 1 to {MOST_TRIES} times, got {tries}")
        self._channel = grpc.insecure_channel(target.address, options=_channel_options(tries))
        self._predictions = PredictionServiceStub(self._channel)
        self._models = ModelServiceStub(self._channel)

    def predict(
        self, target: Target, signature: str, inputs: dict[str, np.ndarray], *, deadline_seconds: float
    ) -> dict[str, np.ndarray]:
        """Ask for the outputs of a signature.

        Args:
            target: the model, in its version.
            signature: its name.
            inputs: uint8, bool, or bytes as object arrays; the first dimension is the batch.
            deadline_seconds: for all tries together.

        Returns:
            The outputs as the server names and types them.

        Raises:
            ServerError: if there is no answer.
        """
        if (size := sum(_num_bytes(value) for value in inputs.values())) > _MAX_MESSAGE_BYTES - 2**16:
            raise TooLargeError(f"a request of {size / 2**20:.0f} MiB is more than gRPC can carry: send JPEG")
        request = _predict.PredictRequest()
        _fill(request.model_spec, target, signature)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self._ask(self._predictions.Predict, request, target, signature, deadline_seconds)
        try:
            return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}
        except (TypeError, ValueError) as error:
            raise BadAnswerError(f"{target} answers with a tensor that cannot be read: {error}") from error

    def versions(self, target: Target, *, deadline_seconds: float) -> dict[int, str]:
        """Return the state of each version of the model that the server knows, e.g. `AVAILABLE`.

        Raises:
            ServerError: if there is no answer, or no such model.
        """
        request = _status.GetModelStatusRequest()
        request.model_spec.name = target.model_name
        answer = self._ask(self._models.GetModelStatus, request, target, "", deadline_seconds)
        name_of = _status.ModelVersionStatus.State.Name
        return {status.version: name_of(status.state) for status in answer.model_version_status}

    def close(self) -> None:
        """Hang up; requests in flight end with an error."""
        self._channel.close()

    def _ask(self, method: Any, request: Any, target: Target, signature: str, deadline_seconds: float) -> Any:
        try:
            return method(request, timeout=deadline_seconds)
        except grpc.RpcError as error:
            raise _error_of(error, target, signature, deadline_seconds) from error


def _channel_options(tries: int) -> list[tuple[str, Any]]:
    policy = {
        "maxAttempts": tries,
        "initialBackoff": f"{_FIRST_PAUSE_SECONDS}s",
        "maxBackoff": f"{_LONGEST_PAUSE_SECONDS}s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return [
        (
            "grpc.service_config",
            json.dumps({"methodConfig": [{"name": [{}]} | ({"retryPolicy": policy} if tries > 1 else {})]}),
        ),
        # Else a request above 256 KiB is tried once, whatever the policy says.
        ("grpc.per_rpc_retry_buffer_size", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
        # Else the tries of a second all fail by the one attempt to connect that was made in it.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", round(1000 * _LONGEST_PAUSE_SECONDS)),
    ]


def _fill(model_spec: Any, target: Target, signature: str) -> None:
    model_spec.name, model_spec.signature_name = target.model_name, signature
    if target.version is not None:
        model_spec.version.value = target.version
    elif target.label is not None:
        model_spec.version_label = target.label


def _num_bytes(value: np.ndarray) -> int:
    return sum(map(len, value.ravel().tolist())) if value.dtype == object else value.nbytes


def _error_of(error: Any, target: Target, signature: str, deadline_seconds: float) -> ServerError:
    """Return what to raise for an error of gRPC: those of the connection are told apart by their words."""
    code, words = error.code().name, error.details() or ""
    if code == "DEADLINE_EXCEEDED":
        words = f"{words} after {deadline_seconds:g} seconds"
    if code == "CANCELLED":
        return ServerUnreachableError(f"the connection to {target.server} was closed while it was used")
    if code == "UNAVAILABLE":
        if "HTTP/2" in words:
            return ServerUnreachableError(
                f"{target.address} does not speak gRPC: it may be the server's REST port (then use --transport rest), "
                f"or need another port (TensorFlow Serving's is 8500). gRPC says: {words}"
            )
        if "resolv" in words or "DNS" in words:
            return ServerUnreachableError(f"the name in {target.address} is not known here: {words}")
        if "onnect" in words or "ocket" in words or "recvmsg" in words:
            return ServerUnreachableError(
                f"{target.server} cannot be reached or hangs up: is it running, and is that its port? "
                f"gRPC says: {words}"
            )
    return error_of_refusal(Refusal(code, words), target, signature)
