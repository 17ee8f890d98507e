"""What the client does when server, network or model are not as they should be: what is tried again, what is said, and
that a failing server is never taken for a failing clip."""

import json
import math
import threading

import numpy as np
import pytest

from tests.serving.loopback_server import Fault, LoopbackServer, Proxy, free_ports
from tests.serving.test_client import write_frames
from tfdfd.clip import Detections, TfdfdError
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.strips import decode_strip
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.models.scoring import ScoringRule
from tfdfd.scored_clip import FAILED, NO_FACE, OK
from tfdfd.serving.client import ScoringClient
from tfdfd.serving.remote_errors import (
    BadAnswerError,
    DeadlinePassedError,
    ModelMissingError,
    OtherModelError,
    RefusedError,
    ServerBusyError,
    ServerError,
    ServerUnreachableError,
    TooLargeError,
    WrongSignatureError,
)

SETTINGS = {"name": "scripted", "min_face_share": 0.1}
FINGERPRINT, LARGE = (
    extraction_fingerprint(ExtractionConfig(places=3, crop_size=size, margin=0.0), SETTINGS, {"num_places": 3})
    for size in (16, 200)
)
RULE_JSON = ScoringRule(over_tracks="max", threshold=0.7).to_json()
LARGE_NAME, MANY_BYTES = {"grpc": "large", "rest": "dfdc"}, {"grpc": 10**5, "rest": 4000}
"""A model whose requests are larger than so many bytes, other requests are not; REST's numbers take more of them."""
BOTH = pytest.mark.parametrize("transport", ["grpc", "rest"])


class OneFace:
    """One face of 16 px at (8, 8) in every bright frame."""

    settings = SETTINGS
    boxes = np.array([[8, 8, 24, 24]], np.float32)

    def __call__(self, frames):
        n = len(self.boxes)
        faces = Detections(self.boxes, np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32))
        return [faces if frame.max() > 99 else Detections.none() for frame in frames]


class Brightness:
    """A model whose face probability is how bright a crop is."""

    inputs = {  # noqa: RUF012
        "serving_default": {"crops": np.uint8, "is_face": np.bool_},
        "jpeg_faces": {"face_bytes": object},
        "about": {"ask": object},
    }

    def __init__(self, fingerprint=FINGERPRINT, rule=RULE_JSON, digest="abc"):
        told = {"scoring_rule": rule, "fingerprint": fingerprint.to_json(), "network_digest": digest}
        self._told = {name: np.array([text.encode()], object) for name, text in told.items()}

    def __call__(self, signature, inputs):
        if signature == "about":
            return self._told
        if signature == "jpeg_faces":
            inputs = decoded(inputs["face_bytes"])
        is_face = inputs["is_face"]
        probabilities = np.where(is_face, inputs["crops"].mean(axis=(2, 3, 4)) / 255, 0).astype(np.float32)
        return {
            "clip_score": probabilities.max(axis=1),
            "face_probabilities": probabilities,
            "num_faces": is_face.sum(axis=1).astype(np.int32),
        }


def decoded(face_bytes):
    crops = np.stack([np.concatenate([decode_strip(jpeg, num_places=1) for jpeg in row]) for row in face_bytes])
    return {"crops": crops, "is_face": np.ones(face_bytes.shape, np.bool_)}


class OldModel(Brightness):
    """An export in which `about` takes nothing."""

    inputs = Brightness.inputs | {"about": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips of three frames: a bright one, one whose right half is half as bright, a dark one, one cut off."""
    folder = tmp_path_factory.mktemp("clips")
    bright = np.full((3, 48, 64, 3), 255, np.uint8)
    half_lit = bright.copy()
    half_lit[:, :, 32:] //= 2
    for name, frames in (("face", bright), ("half lit", half_lit), ("empty", 0 * bright)):
        write_frames(folder / f"{name}.mp4", frames)
    (folder / "broken.mp4").write_bytes((folder / "face.mp4").read_bytes()[:500])
    return folder


@pytest.fixture(scope="module")
def face(folder):
    return folder / "face.mp4"


@pytest.fixture
def server():
    """Requests of the model `large` are of 360 kB."""
    with LoopbackServer({"dfdc": {1: Brightness()}, "large": {1: Brightness(LARGE)}}) as running:
        yield running


def client_of(address, transport, *, detector=None, name="dfdc", **options):
    options = {"deadline_seconds": 10.0, "tries": 3} | options
    if options.get("faces") != "server":
        options = {"pixels": "raw", "make_detector": lambda config: detector or OneFace()} | options
    return ScoringClient(address, name, frame_source=PyAvFrameSource(), transport=transport, **options)


@BOTH
@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_busy_server_is_asked_again_and_then_answers(server, transport, code, face):
    server.next_faults.extend([Fault(code), Fault(code)])
    with client_of(server.addresses[transport], transport, name=LARGE_NAME[transport]) as client:
        if (transport, code) == ("grpc", "RESOURCE_EXHAUSTED"):  # there it is memory or size, which do not pass
            with pytest.raises(ServerBusyError):
                client.score(face)
            assert len(server.predictions()) == 1
            return
        scored = client.score(face)
    assert (scored.status, scored.clip_score) == (OK, pytest.approx(1.0, abs=0.01))
    assert len(server.predictions()) == 3
    if transport == "grpc":  # which up to 256 KiB tries again without being told to keep more
        assert server.predictions()[0].inputs["crops"].nbytes > 2**18


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
def test_a_model_or_version_that_is_not_there_is_named_with_those_that_are(transport, face):
    versions = {1: Brightness(), 2: Brightness(), 3: Brightness()}
    with LoopbackServer({"dfdc": versions}, states={("dfdc", 3): "LOADING"}, labels={"stable": 1}) as server:
        address = server.addresses[transport]

        def target(**options):
            with client_of(address, transport, **options) as client:
                assert client.score(face).status == OK
                return server.log[-1].version, server.log[-1].label

        assert target() == (2, "")  # the newest that is loaded
        assert target(version=1) == (1, "")
        assert target(label="stable") == (None, "stable")
        with pytest.raises(ModelMissingError, match="Could not find any versions of model other"):
            target(name="other")
        with pytest.raises(ModelMissingError, match=r"version 9.*1 \(AVAILABLE\), 2 \(AVAILABLE\), 3 \(LOADING\)"):
            target(version=9)
        with pytest.raises(ModelMissingError, match=r"3 \(LOADING\): wait"):
            target(version=3)
        with pytest.raises(ModelMissingError, match="label: canary"):
            target(label="canary")


@BOTH
def test_a_run_keeps_to_the_version_that_it_began_with(server, transport, face):
    with client_of(server.addresses[transport], transport) as client:
        server.models = {"dfdc": {1: Brightness(), 2: Brightness(digest="another")}}
        assert client.score(face).status == OK
        assert server.log[-1].version == 1
        server.models = {"dfdc": {2: Brightness(digest="another")}}
        with pytest.raises(ModelMissingError, match=r"version 1.*not any more"):
            client.score(face)


@BOTH
def test_a_model_without_the_signature_is_said_so(server, transport, face):
    with (
        client_of(server.addresses[transport], transport, faces="server") as client,
        pytest.raises(WrongSignatureError, match=r"no signature 'jpeg_frames'.*older tfdfd"),
    ):
        client.score(face)


@BOTH
def test_an_export_of_an_older_tfdfd_is_said_so(transport):
    with (
        LoopbackServer({"dfdc": {1: OldModel()}}) as server,
        pytest.raises(WrongSignatureError, match="exported by another version"),
    ):
        client_of(server.addresses[transport], transport).__enter__()


def test_a_model_that_is_not_the_expected_one_is_refused_with_both_values(server, face):
    address = server.addresses["rest"]
    with pytest.raises(OtherModelError, match="network digest is abc, expected was def"):
        client_of(address, "rest", expected_digest="def").__enter__()
    made = Fingerprint(FINGERPRINT.preprocessing | {"margin": 0.3})
    with pytest.raises(OtherModelError, match=r"margin: expected 0\.3, the server's 0\.0"):
        client_of(address, "rest", expected_fingerprint=made).__enter__()
    with client_of(address, "rest", expected_digest="abc", expected_fingerprint=FINGERPRINT) as client:
        assert client.score(face).status == OK


def test_crops_made_otherwise_here_are_refused_or_accepted_aloud(server, face):
    class OtherDetector(OneFace):
        settings = SETTINGS | {"name": "another"}

    address = server.addresses["rest"]
    with pytest.raises(
        TfdfdError, match=r"detector\.name: 'scripted' in the model 'dfdc' version 1.*'another' in this"
    ):
        client_of(address, "rest", detector=OtherDetector()).__enter__()
    with client_of(address, "rest", detector=OtherDetector(), accept_mismatch=True) as client:
        assert "detector.name" in client.warning
        assert client.score(face).status == OK


def test_a_rule_or_fingerprint_that_cannot_be_read_is_said_so(face):
    for model, words in (
        (Brightness(rule="{}"), "threshold"),
        (Brightness(rule=json.dumps({"threshold": 0.5, "unheard_of": 1})), "does not know.*unheard_of"),
        (Brightness(fingerprint=Fingerprint({"crop_size": 200})), "margin was not declared"),
    ):
        with (
            LoopbackServer({"dfdc": {1: model}}) as server,
            pytest.raises(TfdfdError, match=words),
            client_of(server.addresses["rest"], "rest") as client,
        ):
            client.score(face)


@BOTH
def test_the_wrong_port_is_told_from_a_server_that_is_down(server, transport):
    other = {"grpc": "rest", "rest": "grpc"}[transport]
    with pytest.raises(ServerUnreachableError, match=f"use --transport {other}"):
        client_of(server.addresses[other], transport, tries=1).__enter__()


@BOTH
def test_connections_are_kept(server, transport, face):
    with client_of(server.addresses[transport], transport, max_in_flight=1) as client:
        assert [clip.status for clip in client.score_all([face] * 5)] == [OK] * 5
    assert len(server.predictions()) == 5
    assert len(server.connections()) == 1


@BOTH
def test_many_clips_are_in_flight_and_come_back_in_order(server, transport, folder, face):
    server.next_faults.extend(Fault(seconds=seconds) for seconds in (0.3, 0.2, 0.1, 0.3, 0.2, 0.1))
    paths = [face, folder / "half lit.mp4"] * 3
    with client_of(server.addresses[transport], transport, max_in_flight=3) as client:
        assert [clip.path for clip in client.score_all(paths)] == list(map(str, paths))
    assert server.most_at_once == 3
    assert len(server.connections()) <= 4  # of gRPC one, of REST one a clip in flight and that of the first question


def test_no_more_clips_are_taken_than_can_be_in_flight(server, face):
    taken = []

    def paths():
        for number in range(100):
            taken.append(number)
            yield face

    with client_of(server.addresses["rest"], "rest", max_in_flight=2) as client:
        scored = client.score_all(paths())
        next(scored)
        assert len(taken) <= 4
        scored.close()
    assert len(taken) <= 4


@BOTH
def test_a_failing_clip_has_its_status_and_a_failing_server_raises(server, transport, folder, face):
    paths = [folder / "broken.mp4", face, folder / "empty.mp4", face]
    server.next_faults.extend([Fault(), Fault("INTERNAL", "out of order")])
    with client_of(server.addresses[transport], transport, max_in_flight=1) as client:
        scored = client.score_all(paths)
        first = [next(scored) for _ in range(3)]
        assert [clip.status for clip in first] == [FAILED, OK, NO_FACE]
        assert "broken.mp4" in first[0].reason
        with pytest.raises(ServerError, match="out of order"):
            next(scored)


class Crowd(OneFace):
    """Ten faces beside each other."""

    boxes = np.array([[24 * k, 8, 24 * k + 16, 24] for k in range(10)], np.float32)


def test_a_crowd_is_sent_in_several_requests(server, face):
    with client_of(server.addresses["grpc"], "grpc", detector=Crowd()) as client:
        scored = client.score(face)
    assert [logged.num_rows for logged in server.predictions()] == [8, 2]
    assert len(scored.windows[0].tracks) == 10
    assert scored.clip_score == pytest.approx(1.0, abs=0.01)


class TwoPeople(OneFace):
    """One on the left and one on the right."""

    boxes = np.array([[8, 8, 24, 24], [40, 8, 56, 24]], np.float32)


@pytest.mark.parametrize(
    ("over_tracks", "threshold", "score", "is_fake"),
    [("max", 0.7, 1.0, True), ("mean", 0.7, 0.75, True), ("mean", 0.8, 0.75, False)],
)
def test_the_server_s_rule_combines_people_and_calls_a_clip_fake(over_tracks, threshold, score, is_fake, folder):
    rule = ScoringRule(over_tracks=over_tracks, threshold=threshold).to_json()
    with (
        LoopbackServer({"dfdc": {1: Brightness(rule=rule)}}) as server,
        client_of(server.addresses["rest"], "rest", detector=TwoPeople()) as client,
    ):
        scored = client.score(folder / "half lit.mp4")
    assert scored.clip_score == pytest.approx(score, abs=0.02)
    assert scored.is_fake is is_fake


@pytest.mark.parametrize(
    ("transport", "pixels", "signature"),
    [
        ("grpc", None, "serving_default"),
        ("grpc", "jpeg", "jpeg_faces"),
        ("rest", None, "jpeg_faces"),
        ("rest", "raw", "serving_default"),
    ],
)
def test_crops_travel_raw_over_grpc_and_as_jpeg_over_rest_unless_told_otherwise(
    server, transport, pixels, signature, face
):
    with client_of(server.addresses[transport], transport, pixels=pixels) as client:
        assert client.score(face).clip_score == pytest.approx(1.0, abs=0.01)
    assert server.predictions()[0].signature == signature


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "localhost"}, "HOST:PORT"),
        ({"address": "http://localhost:8501"}, "without http://"),
        ({"address": "localhost:99999"}, "HOST:PORT"),
        ({"name": ""}, "not empty"),
        ({"name": "a/b"}, "no / or :"),
        ({"version": 1, "label": "stable"}, "a version or a label"),
        ({"version": 0}, "at least 1"),
        ({"transport": "carrier pigeon"}, "grpc"),
        ({"pixels": "png"}, "raw"),
        ({"faces": "nowhere"}, "local"),
        ({"deadline_seconds": 0.0}, "above 0"),
        ({"tries": 0}, "at least once"),
        ({"transport": "grpc", "tries": 6}, "1 to 5"),
        ({"max_in_flight": 0}, "1 to 64"),
        ({"faces": "server", "keep_crops": True}, "crops are made by the server"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_work(options, words):
    address, transport = options.pop("address", "localhost:1"), options.pop("transport", "rest")
    with pytest.raises(TfdfdError, match=words):
        client_of(address, transport, **options)


def test_an_entered_client_may_be_used_by_several_threads(server, face):
    with client_of(server.addresses["rest"], "rest") as client:
        found = []
        threads = [threading.Thread(target=lambda: found.append(client.score(face).clip_score)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == pytest.approx([1.0] * 4, abs=0.01)
    assert [logged.signature for logged in server.log].count("about") == 1


def test_the_loopback_server_answers_both_formats_of_rest(server):
    import requests

    url = f"http://{server.addresses['rest']}/v1/models/dfdc"
    crops, is_face = np.full((2, 1, 2, 2, 3), 51).tolist(), [[True], [True]]
    rows = [{"crops": crop, "is_face": face} for crop, face in zip(crops, is_face, strict=True)]
    by_row = requests.post(f"{url}:predict", json={"instances": rows}, timeout=10).json()
    assert [row["clip_score"] for row in by_row["predictions"]] == pytest.approx([0.2, 0.2])
    body = {"signature_name": "serving_default", "inputs": {"crops": crops, "is_face": is_face}}
    by_column = requests.post(f"{url}/versions/1:predict", json=body, timeout=10).json()
    assert by_column["outputs"]["clip_score"] == pytest.approx([0.2, 0.2])
    missing = requests.post(f"{url}/versions/7:predict", json={"instances": rows}, timeout=10)
    assert (missing.status_code, missing.json()["error"]) == (404, "Servable not found for request: Specific(dfdc, 7)")
