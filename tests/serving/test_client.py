"""A path in, a score out, by a server: over gRPC and REST, with faces found here or there, as the Python path gives."""

import io
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.run_commands import ROOT, environment
from tests.serving.bright_clips import write_frames
from tests.serving.loopback_server import LoopbackServer, SavedModelSignatures
from tests.serving.real_server import RealServer
from tests.serving.signature_requests import NUM_FRAMES, jpeg, make_clip
from tfdfd.clip import Clip, ClipFrames
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.strips import decode_strip, encode_strip
from tfdfd.extraction import extract_clip, faces_of_frames
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.scored_clip import FAILED, NO_FACE, OK
from tfdfd.serving.client import ScoringClient
from tfdfd.serving.local_scorer import LocalScorer
from tfdfd.serving.saved_model import LoadedModel

TRANSPORTS = ("grpc", "rest")
PEOPLE = {"one.mp4": 1, "two.mp4": 2, "none.mp4": 0}
NAME = "small"


@pytest.fixture(scope="module")
def model(small_version):
    return LoadedModel(small_version)


@pytest.fixture(scope="module", params=["loopback", "tensorflow_model_server"])
def server(request, model):
    if request.param == "loopback":
        running = LoopbackServer({NAME: {1: SavedModelSignatures(model.folder)}})
    else:
        running = RealServer({NAME: model.folder.parent})
    with running:
        yield running


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Clips of one, two and no people, and a file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, (name, people) in enumerate(PEOPLE.items()):
        write_frames(folder / name, make_clip(seed, people=people))
    (folder / "broken.mp4").write_bytes(b"no video")
    return [folder / name for name in (*PEOPLE, "broken.mp4")]


@pytest.fixture(scope="module")
def detector(model):
    return MTCNN(min_face_share=model.extraction.min_face_share)


@pytest.fixture(scope="module")
def extracted(model, paths, detector):
    return [extract_clip(Clip(str(path), path), PyAvFrameSource(), detector, model.extraction) for path in paths]


def scores_in_python(model, extracted, *, through=lambda crops: crops):
    """Return the score of each clip that has a face."""
    scores = []
    for faces in extracted:
        if faces.status == OK:
            is_face = np.stack([track.is_face for track in faces.tracks])
            _, probabilities = model.score(np.stack([through(crops) for crops in faces.crops]), is_face)
            scores.append(float(model.rule.clip_scores(probabilities, is_face, np.zeros(len(is_face), int), 1)[0]))
    return scores


def client_of(server, transport, detector=None, **options):
    return ScoringClient(
        server.addresses[transport],
        NAME,
        transport=transport,
        frame_source=PyAvFrameSource(),
        make_detector=None if detector is None else lambda config: detector,
        faces="server" if detector is None else "local",
        **options,
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_with_faces_found_here_it_gives_the_scores_of_the_python_path(
    server, transport, model, detector, extracted, paths
):
    with client_of(server, transport, detector, pixels="raw", keep_crops=True) as client:
        scored = list(client.score_all(paths))
        alone = client.score(paths[1])
    assert [clip.path for clip in scored] == list(map(str, paths))
    assert [clip.status for clip in scored] == [OK, OK, NO_FACE, FAILED]
    found = [clip.clip_score for clip in scored[:2]]
    np.testing.assert_allclose(found, scores_in_python(model, extracted), atol=1e-5)
    assert abs(alone.clip_score - found[1]) < 1e-6
    assert [clip.is_fake for clip in scored] == [*(score >= model.rule.threshold for score in found), None, None]
    (window,) = scored[1].windows
    assert (window.start_seconds, window.end_seconds) == (0.0, pytest.approx(NUM_FRAMES / 10))
    for track, expected, crops in zip(window.tracks, extracted[1].tracks, extracted[1].crops, strict=True):
        np.testing.assert_array_equal(track.is_face, expected.is_face)
        np.testing.assert_array_equal(track.boxes_xyxy, expected.boxes_xyxy)
        np.testing.assert_array_equal(track.crops, crops)
        np.testing.assert_allclose(track.seconds, extracted[1].frames.frame_indices / 10, atol=1e-6)
        assert abs(track.score - float(track.face_probabilities[track.is_face].mean())) < 1e-5
    assert scored[2].reason == f"no face found in {model.extraction.places} frames of 240 x 150"
    assert scored[3].reason.startswith("not a readable video")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_jpeg_crops_give_the_scores_of_the_stored_strips(server, transport, model, detector, extracted, paths):
    def through_a_strip(crops):
        return decode_strip(encode_strip(crops), num_places=len(crops))

    with client_of(server, transport, detector, pixels="jpeg") as client:
        found = [clip.clip_score for clip in client.score_all(paths[:2])]
    np.testing.assert_allclose(found, scores_in_python(model, extracted, through=through_a_strip), atol=1e-5)
    assert found != pytest.approx(scores_in_python(model, extracted), abs=1e-7)


def as_jpeg(frames: ClipFrames) -> ClipFrames:
    """Return frames as they come out of a JPEG."""
    pictures = []
    for frame in frames.frames:
        with Image.open(io.BytesIO(jpeg(frame))) as picture:
            pictures.append(np.asarray(picture))
    return replace(frames, frames=np.stack(pictures))


@pytest.mark.parametrize(("transport", "pixels"), [("grpc", "raw"), ("rest", "jpeg")])
def test_with_faces_found_by_the_server_it_gives_them_too(server, transport, pixels, model, detector, extracted, paths):
    # The first clips of all: one at a time, for each would set up the graph anew.
    with client_of(server, transport, pixels=pixels, max_in_flight=1) as client:
        scored = list(client.score_all(paths))
    assert [clip.status for clip in scored] == [OK, OK, NO_FACE, FAILED]
    if pixels == "jpeg":
        extracted = [
            faces_of_frames(faces.clip_id, as_jpeg(faces.frames), detector, model.extraction) for faces in extracted[:2]
        ]
    expected = scores_in_python(model, extracted)
    np.testing.assert_allclose([clip.clip_score for clip in scored[:2]], expected, atol=1e-5)
    tracks = scored[1].windows[0].tracks
    assert len(tracks) == 2
    for track, found_here in zip(tracks, extracted[1].tracks, strict=True):
        np.testing.assert_array_equal(track.is_face, found_here.is_face)
        np.testing.assert_allclose(track.boxes_xyxy, found_here.boxes_xyxy, atol=0.01)
    assert f"no face found in {model.extraction.places} frames of 240 x 150" in scored[2].reason


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_server_s_model_says_what_it_is(server, transport, model):
    with client_of(
        server,
        transport,
        expected_digest=model.network_digest,
        expected_fingerprint=model.fingerprint,
    ) as client:
        assert client.model.rule == model.rule
        assert client.model.fingerprint == model.fingerprint
        assert client.model.network_digest == model.network_digest
        assert client.model.target.version == 1


def test_a_long_clip_is_scored_in_windows_as_on_this_machine(server, model, detector, tmp_path):
    person, nobody = make_clip(0, people=1)[:1], make_clip(0, people=0)[:1]
    shown = [person if number < 60 else person[:, ::-1] if number < 180 else nobody for number in range(250)]
    path = write_frames(tmp_path / "long.mp4", np.concatenate(shown))
    expected = LocalScorer(model, PyAvFrameSource(), detector, model.extraction).score(path)
    with client_of(server, "grpc", detector, pixels="raw") as client:
        scored = client.score(path)
    assert [window.start_seconds for window in scored.windows] == [0.0, 10.0, 20.0]
    assert scored.max_score == pytest.approx(expected.max_score, abs=1e-5)
    assert scored.clip_score == pytest.approx(expected.clip_score, abs=1e-5)
    np.testing.assert_array_equal(scored.windows[0].tracks[0].seconds, expected.windows[0].tracks[0].seconds)
    assert [window.score is None for window in scored.windows] == [window.score is None for window in expected.windows]


def test_the_command_scores_by_a_server_and_over_rest_loads_no_tensorflow(server, paths):
    script = f"""
import sys
from tfdfd.commands.main import main
status = main([
    "score", *{list(map(str, paths))!r}, "--json", "--server", {server.addresses["rest"]!r}, "--server-model", {NAME!r},
    "--transport", "rest", "--faces", "server",
])
print(status, "tensorflow" in sys.modules, "grpc" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *clips, last = done.stdout.splitlines()
    assert last.split() == ["0", "False", "False"]
    assert [json.loads(clip)["status"] for clip in clips] == [OK, OK, NO_FACE, FAILED]


@pytest.mark.clips
def test_a_real_clip_scores_as_in_python(server, model, detector, test_data):
    path = sorted((test_data / "clips").rglob("*.mp4"))[0]
    faces = extract_clip(Clip(str(path), path), PyAvFrameSource(), detector, model.extraction)
    with client_of(server, "grpc", detector) as client:
        scored = client.score(path)
    assert scored.status == OK, "this clip has no face: choose another"
    np.testing.assert_allclose([scored.clip_score], scores_in_python(model, [faces]), atol=1e-5)
