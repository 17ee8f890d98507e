"""A server that is slow, busy, down, cut off, or answers nonsense: what the client tries again, and what it says."""

import math

import numpy as np
import pytest

from tests.serving.bright_clips import BOTH, LARGE, Brightness, client_of
from tests.serving.cutting_proxy import Proxy, free_ports
from tests.serving.loopback_server import Fault, LoopbackServer
from tfdfd.scored_clip import OK
from tfdfd.serving.remote_errors import (
    BadAnswerError,
    DeadlinePassedError,
    ModelMissingError,
    RefusedError,
    ServerBusyError,
    ServerError,
    ServerUnreachableError,
    TooLargeError,
    WrongSignatureError,
)

LARGE_NAME, MANY_BYTES = {"grpc": "large", "rest": "dfdc"}, {"grpc": 10**5, "rest": 4000}
"""A model whose requests are larger than so many bytes, other requests are not; REST's numbers take more of them."""


@pytest.mark.parametrize(
    ("transport", "code"), [("grpc", "UNAVAILABLE"), ("rest", "UNAVAILABLE"), ("rest", "RESOURCE_EXHAUSTED")]
)
def test_a_busy_server_is_asked_again_and_then_answers(server, transport, code, face):
    server.next_faults.extend([Fault(code), Fault(code)])
    with client_of(server.addresses[transport], transport, name=LARGE_NAME[transport]) as client:
        scored = client.score(face)
    assert (scored.status, scored.clip_score) == (OK, pytest.approx(1.0, abs=0.01))
    assert len(server.predictions()) == 3
    if transport == "grpc":  # which up to 256 KiB tries again without being told to keep more
        assert server.predictions()[0].inputs["crops"].nbytes > 2**18


def test_what_is_exhausted_over_grpc_is_memory_or_size_and_not_tried_again(server, face):
    server.every_fault = Fault("RESOURCE_EXHAUSTED", "OOM when allocating tensor")
    with client_of(server.addresses["grpc"], "grpc") as client, pytest.raises(ServerBusyError, match="OOM"):
        client.score(face)
    assert len(server.predictions()) == 1


@BOTH
def test_a_server_that_stays_busy_is_given_up(server, transport, face):
    server.every_fault = Fault("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")
    with client_of(server.addresses[transport], transport, tries=2) as client:
        with pytest.raises(
            ServerBusyError, match=r"fewer clips at once.*queue to which this task was submitted is full"
        ):
            client.score(face)
        assert len(server.predictions()) == 2
        server.every_fault = None
        assert client.score(face).status == OK


@BOTH
@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("INVALID_ARGUMENT", "crops must be 16 x 16 pixels", RefusedError),
        ("INTERNAL", "a kernel failed", ServerError),
        ("NOT_FOUND", "Servable not found for request: Specific(dfdc, 1)", ModelMissingError),
        ("FAILED_PRECONDITION", 'Serving signature key "serving_default" not found.', WrongSignatureError),
        ("INVALID_ARGUMENT", "input tensor alias not found in signature: crops.", WrongSignatureError),
        ("INVALID_ARGUMENT", "Task size 8 is larger than maximum input batch size 4", TooLargeError),
        ("DEADLINE_EXCEEDED", "Timed out waiting for notification", DeadlinePassedError),
    ],
)
def test_what_does_not_pass_is_not_tried_again(server, transport, code, message, error, face):
    server.every_fault = Fault(code, message)
    with (
        client_of(server.addresses[transport], transport) as client,
        pytest.raises(error, match="model 'dfdc' version 1.*\n?.*" + message[:20]),
    ):
        client.score(face)
    assert len(server.predictions()) == 1


def test_retry_after_is_honoured(server, face):
    server.next_faults.append(Fault("UNAVAILABLE", retry_after="1"))
    with client_of(server.addresses["rest"], "rest") as client:
        scored = client.score(face)
        assert scored.status == OK
        assert scored.took_seconds >= 1
        server.next_faults.append(Fault("UNAVAILABLE", retry_after="100"))
        with pytest.raises(ServerBusyError, match="100 seconds of patience"):
            client.score(face)
        server.next_faults.append(Fault("UNAVAILABLE", retry_after="soon"))
        assert client.score(face).status == OK
    assert len(server.predictions()) == 5


@BOTH
def test_a_slow_server_is_not_waited_for_longer_than_the_deadline(server, transport, face):
    server.next_faults.append(Fault(seconds=1.5))
    with client_of(server.addresses[transport], transport, deadline_seconds=0.4) as client:
        with pytest.raises(DeadlinePassedError, match=r"did not answer.*0\.4 seconds"):
            client.score(face)
        assert len(server.predictions()) == 1
        assert client.score(face).status == OK


@BOTH
def test_the_deadline_is_for_all_tries_together(server, transport, face):
    server.every_fault = Fault("UNAVAILABLE", seconds=0.3)
    with (
        client_of(server.addresses[transport], transport, deadline_seconds=0.7, tries=5) as client,
        pytest.raises((DeadlinePassedError, ServerBusyError)),
    ):
        client.score(face)
    assert len(server.predictions()) in (1, 2)


def test_an_answer_in_drops_ends_at_the_deadline(server, face):
    server.next_faults.append(Fault(drip_seconds=0.1))
    with (
        client_of(server.addresses["rest"], "rest", deadline_seconds=0.4) as client,
        pytest.raises(DeadlinePassedError),
    ):
        client.score(face)


@BOTH
def test_a_server_that_is_down_is_said_so(transport):
    (port,) = free_ports(1)
    with pytest.raises(ServerUnreachableError, match=rf"localhost:{port} \({transport}\) cannot be reached"):
        client_of(f"localhost:{port}", transport, tries=2).__enter__()


@BOTH
def test_a_name_that_is_not_known_is_said_so(transport):
    with pytest.raises(ServerUnreachableError, match=r"no-such-host\.invalid:1234 is not known here"):
        client_of("no-such-host.invalid:1234", transport, tries=1).__enter__()


@BOTH
def test_a_connection_cut_off_in_the_middle_is_made_anew(server, transport, face):
    with Proxy(server.addresses[transport], cut_after_bytes=MANY_BYTES[transport], num_cuts=1) as proxy:
        with client_of(proxy.address, transport, name=LARGE_NAME[transport]) as client:
            scored = client.score(face)
        assert (scored.status, scored.clip_score) == (OK, pytest.approx(1.0, abs=0.01))
        assert (proxy.num_cut, proxy.num_connections) == (1, 2)


@BOTH
def test_a_connection_that_is_always_cut_off_is_given_up(server, transport, face):
    with Proxy(server.addresses[transport], cut_after_bytes=MANY_BYTES[transport]) as proxy:
        with (
            client_of(proxy.address, transport, name=LARGE_NAME[transport], tries=2) as client,
            pytest.raises(ServerUnreachableError, match="hangs up"),
        ):
            client.score(face)
        assert proxy.num_cut == 2


def test_half_an_answer_is_none(server, face):
    server.next_faults.append(Fault(cut=True))
    with client_of(server.addresses["rest"], "rest") as client:
        assert client.score(face).status == OK
        assert len(server.predictions()) == 2
        server.every_fault = Fault(cut=True)
        with pytest.raises(ServerUnreachableError, match="hangs up in the middle"):
            client.score(face)


@BOTH
def test_a_request_that_is_too_large_is_said_so(transport, face):
    with (
        LoopbackServer(
            {"dfdc": {1: Brightness()}, "large": {1: Brightness(LARGE)}}, max_request_bytes=MANY_BYTES[transport]
        ) as server,
        client_of(server.addresses[transport], transport, name=LARGE_NAME[transport]) as client,
        pytest.raises(TooLargeError, match="JPEG instead of raw pixels"),
    ):
        client.score(face)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(body=b"<html>welcome</html>"), BadAnswerError, "no JSON"),
        (Fault(body=b"[1]"), BadAnswerError, "not with a JSON object"),
        (Fault(body=b'{"predictions": [0.5]}'), BadAnswerError, "row format"),
        (Fault(body=b'{"predictions": [{"clip_score": "high"}]}'), BadAnswerError, "could not convert"),
        (Fault(body=b'{"predictions": [{"clip_score": 0.5}]}'), BadAnswerError, "without face_probabilities"),
        (Fault(body=b"<html>not here</html>", status=404), ServerError, "not as a TensorFlow Serving"),
        (Fault(body=b"", status=302), ServerError, "status 302"),
    ],
)
def test_what_is_no_answer_of_tensorflow_serving_is_said_so(server, fault, error, words, face):
    server.every_fault = fault
    with client_of(server.addresses["rest"], "rest") as client, pytest.raises(error, match=words):
        client.score(face)
    assert len(server.predictions()) == 1


def without_probabilities(outputs):
    return {name: value for name, value in outputs.items() if name != "face_probabilities"}


@BOTH
@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (without_probabilities, "without face_probabilities"),
        (lambda outputs: outputs | {"clip_score": np.array([math.nan], np.float32)}, "clip_score.*is not a number"),
        (lambda outputs: outputs | {"face_probabilities": np.full((1, 3), -np.inf, np.float32)}, "is not a number"),
        (lambda outputs: outputs | {"clip_score": np.zeros((1, 1), np.float32)}, "must be float32 of 1 dimensions"),
    ],
)
def test_an_answer_that_is_not_the_contract_s_is_refused(server, transport, alter, words, face):
    server.every_fault = Fault(alter=alter)
    with client_of(server.addresses[transport], transport) as client, pytest.raises(BadAnswerError, match=words):
        client.score(face)


@BOTH
def test_the_wrong_port_is_told_from_a_server_that_is_down(server, transport):
    other = {"grpc": "rest", "rest": "grpc"}[transport]
    with pytest.raises(ServerUnreachableError, match=f"use --transport {other}"):
        client_of(server.addresses[other], transport, tries=1).__enter__()
