"""Which model answers: version, label, signature, fingerprint, rule; and what is said where it is another one."""

import json

import numpy as np
import pytest

from tests.serving.bright_clips import (
    BOTH,
    FINGERPRINT,
    SETTINGS,
    Brightness,
    OneFace,
    client_of,
)
from tests.serving.loopback_server import LoopbackServer
from tfdfd.clip import TfdfdError
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.faces.config import TRACK_RULES
from tfdfd.models.scoring import ScoringRule
from tfdfd.scored_clip import OK
from tfdfd.serving.remote_errors import (
    ModelMissingError,
    OtherModelError,
    WrongSignatureError,
)
from tfdfd.serving.signatures import SIGNATURE_RULES


class OldModel(Brightness):
    """An export in which `about` takes nothing."""

    inputs = Brightness.inputs | {"about": {}}


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


def test_a_server_that_finds_faces_by_older_rules_is_said_to(server):
    address = server.addresses["rest"]
    with client_of(address, "rest", faces="server") as client:
        assert "exported by an older tfdfd" in client.warning
    newer = Fingerprint(FINGERPRINT.preprocessing, FINGERPRINT.provenance | {SIGNATURE_RULES: TRACK_RULES})
    with (
        LoopbackServer({"dfdc": {1: Brightness(newer)}}) as other,
        client_of(other.addresses["rest"], "rest", faces="server") as client,
    ):
        assert client.warning == ""


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
