"""The flags that name a server: each reaches the client, and none is taken without a server."""

import argparse
import json

import pytest
from rich.console import Console

from tfdfd.clip import TfdfdError
from tfdfd.commands.remote_scoring import add_server_flags, make_client, server_config
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.serving import client

SERVER = ["--server", "localhost:8501", "--server-model", "dfdc", "--transport", "rest", "--faces", "server"]
PLAIN = {
    "transport": "rest",
    "version": None,
    "label": None,
    "faces": "server",
    "pixels": None,
    "deadline_seconds": 60.0,
    "max_in_flight": 8,
    "expected_fingerprint": None,
    "expected_digest": None,
    "accept_mismatch": False,
    "keep_crops": False,
}
FINGERPRINT = Fingerprint({"margin": 0.3})


def parsed(*flags):
    parser = argparse.ArgumentParser()
    parser.add_argument("--accept-mismatch", action="store_true")
    parser.add_argument("--plot")
    add_server_flags(parser)
    return parser.parse_args([*map(str, flags)])


@pytest.fixture
def made(monkeypatch):
    """What the client was made with."""
    options = {}

    def record(address, model_name, **given):
        options.update(given, address=address, model_name=model_name)

    monkeypatch.setattr(client, "ScoringClient", record)
    return options


@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        ([], {}),
        (["--server-version", 3], {"version": 3}),
        (["--server-label", "stable"], {"label": "stable"}),
        (["--transport", "grpc"], {"transport": "grpc"}),
        (["--faces", "local"], {"faces": "local"}),
        (["--faces", "local", "--plot", "o.png"], {"faces": "local", "keep_crops": True}),
        (["--faces", "local", "--accept-mismatch"], {"faces": "local", "accept_mismatch": True}),
        (["--pixels", "raw"], {"pixels": "raw"}),
        (["--deadline", 7], {"deadline_seconds": 7.0}),
        (["--in-flight", 2], {"max_in_flight": 2}),
        (["--expect-digest", "abc"], {"expected_digest": "abc"}),
        (["--expect-fingerprint", "FILE"], {"expected_fingerprint": FINGERPRINT}),
    ],
)
def test_every_flag_reaches_the_client(made, tmp_path, flags, changed):
    (tmp_path / "fingerprint.json").write_text(FINGERPRINT.to_json())
    flags = [tmp_path / "fingerprint.json" if flag == "FILE" else flag for flag in flags]
    make_client(parsed(*SERVER, *flags), Console())
    assert (made.pop("address"), made.pop("model_name")) == ("localhost:8501", "dfdc")
    assert (made.pop("make_detector") is not None) == (changed.get("faces") == "local")
    assert hasattr(made.pop("frame_source"), "read_planned")
    assert callable(made.pop("on_window"))
    assert made == PLAIN | changed


def test_without_a_server_no_flag_of_one_is_taken():
    assert server_config(parsed()) is None
    with pytest.raises(TfdfdError, match="--server-version, --deadline: these are for a server"):
        server_config(parsed("--server-version", 3, "--deadline", 7))
    with pytest.raises(TfdfdError, match="--server-model"):
        server_config(parsed("--server", "localhost:8500"))
    with pytest.raises(TfdfdError, match="no server is named"):
        make_client(parsed(), Console())


def test_a_fingerprint_that_is_not_there_stops_before_the_server_is_asked(tmp_path):
    with pytest.raises(TfdfdError, match="no such file"):
        make_client(parsed(*SERVER, "--expect-fingerprint", tmp_path / "none.json"), Console())
    (tmp_path / "other.json").write_text(json.dumps({"margin": 0.3}))
    with pytest.raises(TfdfdError, match="is not a fingerprint"):
        make_client(parsed(*SERVER, "--expect-fingerprint", tmp_path / "other.json"), Console())
