"""What goes over the wire: connections, clips in flight, crowds, raw pixels and JPEGs; and what is the clip's fault."""

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.serving.bright_clips import BOTH, OneFace, client_of
from tests.serving.loopback_server import Fault
from tfdfd.clip import TfdfdError
from tfdfd.scored_clip import FAILED, NO_FACE, OK
from tfdfd.serving.remote_errors import (
    ServerError,
)


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
    server.every_fault = Fault(seconds=0.5)
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
        assert Path(first[0].path).name == "broken.mp4"
        assert "probably cut off" in first[0].reason
        assert "broken.mp4" not in first[0].reason  # it stands beside it
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
