"""Asking a TensorFlow Serving over REST: a pool of connections, tries with back-off, one deadline over all of them."""

from __future__ import annotations

import base64
import json
import random
import time
from typing import Any
from urllib.parse import quote

import numpy as np
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, NameResolutionError, NewConnectionError
from urllib3.util import Retry

from tfdfd.clip import TfdfdError
from tfdfd.serving.remote_errors import (
    BadAnswerError,
    DeadlinePassedError,
    Refusal,
    ServerBusyError,
    ServerError,
    ServerUnreachableError,
    TooLargeError,
    error_of_refusal,
)
from tfdfd.serving.remote_target import MOST_IN_FLIGHT, Target
from tfdfd.serving.signatures import SIGNATURES, Tensor

_CONNECT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_TRIED_AGAIN = (429, 503)
_MAX_ANSWER_BYTES = 64 * 2**20
_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""As TensorFlow Serving's http_server.cc gives them."""


class RestTransport:
    """Speaks HTTP; may be used by several threads at once.

    A request is tried again after 429 and 503, no sooner than Retry-After says, and where a connection cannot be made
    or breaks before the answer. A POST to `:predict` changes nothing on the server, so it does no harm if a request
    whose answer was lost is taken twice. A silent server is not asked again: its deadline is over by then.

    Args:
        target: the server and model.
        tries: times that a request is tried in all, at least 1.
    """

    def __init__(self, target: Target, *, tries: int) -> None:
        if tries < 1:
            raise TfdfdError(f"a request must be tried at least once, got {tries}")
        self._base = f"http://{target.address}/v1/models/"
        self._tries = tries
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=MOST_IN_FLIGHT))

    def predict(
        self, target: Target, signature: str, inputs: dict[str, np.ndarray], *, deadline_seconds: float
    ) -> dict[str, np.ndarray]:
        """Ask for the outputs of a signature, in the row format.

        Args, Returns, Raises: as in `GrpcTransport.predict`; the types of the outputs are the contract's.
        """
        rows = zip(*(_json_rows(value) for value in inputs.values()), strict=True)
        instances = [dict(zip(inputs, row, strict=True)) for row in rows]
        body = json.dumps({"signature_name": signature, "instances": instances}, separators=(",", ":")).encode()
        which = ""
        if target.version is not None:
            which = f"/versions/{target.version}"
        elif target.label is not None:
            which = f"/labels/{quote(target.label, safe='')}"
        answer = self._ask("POST", f"{which}:predict", body, target, signature, deadline_seconds)
        try:
            rows = answer["predictions"]
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise TypeError("predictions must be a list of objects")
            outputs = SIGNATURES[signature].outputs
            return {
                name: _array([row[name] for row in rows], outputs[name])
                for name in outputs
                if rows and all(name in row for row in rows)
            }
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadAnswerError(
                f"{target} answers {signature!r} otherwise than in TensorFlow Serving's row format "
                f"({type(error).__name__}: {error})"
            ) from error

    def versions(self, target: Target, *, deadline_seconds: float) -> dict[int, str]:
        """Return the state of each version of the model that the server knows, e.g. `AVAILABLE`.

        Raises:
            ServerError: if there is no answer, or no such model.
        """
        answer = self._ask("GET", "", None, target, "", deadline_seconds)
        try:
            return {int(status["version"]): str(status["state"]) for status in answer["model_version_status"]}
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswerError(
                f"{target.server} does not say which versions of {target.model_name!r} it has: "
                "is it a TensorFlow Serving?"
            ) from error

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    def _ask(
        self, method: str, rest_of_url: str, body: bytes | None, target: Target, signature: str, deadline_seconds: float
    ) -> dict[str, Any]:
        url = f"{self._base}{quote(target.model_name, safe='')}{rest_of_url}"
        ends = time.monotonic() + deadline_seconds
        # Not urllib3's Retry, which would give every try the whole of the deadline.
        for number in range(self._tries):
            status, wait, text, broken = self._try(method, url, body, target, ends, deadline_seconds)
            if broken is None and status not in _TRIED_AGAIN:
                return _read(status, text, target, signature)
            pause = max(wait, min(_FIRST_PAUSE_SECONDS * 2**number, _LONGEST_PAUSE_SECONDS) * random.uniform(0.8, 1.2))
            is_last = number == self._tries - 1 or time.monotonic() + pause >= ends
            if is_last and broken is not None:
                raise _broken(broken, target) from broken
            if is_last:
                raise _busy(status, text, wait, target, signature)
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _try(
        self, method: str, url: str, body: bytes | None, target: Target, ends: float, deadline_seconds: float
    ) -> tuple[int, float, bytes, Exception | None]:
        """Return status, seconds to wait before another try, body, and how the connection broke if it did."""
        late = f"{target} did not answer within {deadline_seconds:g} seconds: allow more, or send fewer clips at once"
        left = ends - time.monotonic()
        if left <= 0:
            raise DeadlinePassedError(late)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=(min(left, _CONNECT_SECONDS), left),
                allow_redirects=False,
                stream=True,
            ) as response:
                text = _read_body(response, ends, target, late)
                return response.status_code, _retry_after(response), text, None
        except requests.ReadTimeout as error:
            raise DeadlinePassedError(late) from error
        except (requests.RequestException, HTTPError) as error:
            return 0, 0.0, b"", error


def _retry_after(response: requests.Response) -> float:
    """Return how many seconds the server asks us to wait, 0 if it does not say."""
    try:
        return Retry().get_retry_after(response.raw) or 0.0
    except InvalidHeader:
        return 0.0


def _busy(status: int, text: bytes, wait: float, target: Target, signature: str) -> ServerError:
    if wait > 0:
        return ServerBusyError(
            f"{target} cannot take requests now (status {status}) and asks for {wait:.0f} seconds of patience, which "
            f"tries or deadline do not allow: give more time, or fewer clips at once. It says: {_error_message(text)}"
        )
    return error_of_refusal(Refusal(_CODES[status], _error_message(text)), target, signature)


def _broken(error: Exception, target: Target) -> ServerUnreachableError:
    """Return what to raise where a connection cannot be made, or breaks."""
    inner = error.args[0] if error.args else None
    cause = inner.reason if isinstance(inner, MaxRetryError) and inner.reason is not None else inner or error
    words = f"{type(cause).__name__}: {cause}"[:300]
    if isinstance(cause, NameResolutionError):
        return ServerUnreachableError(f"the name in {target.address} is not known here: {words}")
    if isinstance(cause, NewConnectionError) or isinstance(error, requests.ConnectTimeout):
        return ServerUnreachableError(
            f"{target.server} cannot be reached: is it running, and is that its port? {words}"
        )
    if "BadStatusLine" in repr(cause):
        return ServerUnreachableError(
            f"{target.address} does not speak HTTP: it may be the server's gRPC port (then use --transport grpc), or "
            "need another port (TensorFlow Serving's for REST is 8501)"
        )
    return ServerUnreachableError(f"{target.server} hangs up in the middle, whenever it is tried: {words}")


def _json_rows(value: np.ndarray) -> list[Any]:
    """Return an array as nested lists; bytes as TensorFlow Serving takes them."""
    if value.dtype == object:
        return [_json_rows(row) if isinstance(row, np.ndarray) else _b64(row) for row in value]
    return value.tolist()


def _b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode("ascii")}


def _array(rows: list[Any], contract: Tensor) -> np.ndarray:
    """Return an output as its contract types it; JSON does not tell the shape of what is empty."""
    array = np.array(rows, object if contract.dtype == "string" else contract.dtype)
    missing = len(contract.shape) - array.ndim
    return array.reshape(array.shape + (0,) * missing) if missing > 0 and not array.size else array


def _read_body(response: requests.Response, ends: float, target: Target, late: str) -> bytes:
    """Read an answer that may come in drops, which no timeout of a socket notices."""
    parts, size = [], 0
    while part := response.raw.read1(2**16, decode_content=True):
        parts.append(part)
        size += len(part)
        if time.monotonic() > ends:
            raise DeadlinePassedError(late)
        if size > _MAX_ANSWER_BYTES:
            raise TooLargeError(f"the answer of {target} is larger than {_MAX_ANSWER_BYTES / 2**20:.0f} MiB")
    return b"".join(parts)


def _read(status: int, text: bytes, target: Target, signature: str) -> dict[str, Any]:
    if status == 413:
        raise TooLargeError(
            f"a request to {target} is too large for it or for what stands before it (status 413): send JPEG "
            "instead of raw pixels, or have that take larger requests (nginx: client_max_body_size)"
        )
    if status != 200:
        if status in _CODES and _is_from_serving(text):
            raise error_of_refusal(Refusal(_CODES[status], _error_message(text)), target, signature)
        raise ServerError(
            f"{target.server} answers with status {status}, not as a TensorFlow Serving does: is that its address, and "
            f"is it for REST (usually port 8501)? It says: {_error_message(text)}"
        )
    try:
        # TensorFlow Serving writes NaN and Infinity, which Python reads; a score must then be a number, see the client.
        answer = json.loads(text)
    except ValueError as error:
        raise BadAnswerError(f"{target} answers with what is no JSON ({error}): {text[:100]!r}") from error
    if not isinstance(answer, dict):
        raise BadAnswerError(f"{target} answers with a {type(answer).__name__}, not with a JSON object")
    return answer


def _is_from_serving(text: bytes) -> bool:
    try:
        answer = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and "error" in answer


def _error_message(text: bytes) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")
