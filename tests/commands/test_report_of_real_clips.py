"""The report of real clips and of real face crops, looked at in a browser at two widths, in both themes."""

import json

import pytest

from tests.browser import look_at
from tests.painted_faces import NO_CLIPS
from tfdfd.commands.console import run_command
from tfdfd.commands.evaluate import main
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.manifest import load_manifest
from tfdfd.data.ready_crops import ready_crops_fingerprint
from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import ModelCard, export_saved_model

pytestmark = pytest.mark.clips

FACES = "dfdc_train_part_35,dfdc_train_part_36,dfdc_train_part_37,dfdc_train_part_38,dfdc_train_part_39"
CLIPS = {
    "183": ("original_sequences/youtube/c23/videos/183.mp4", "REAL", ""),
    "253": ("original_sequences/youtube/c23/videos/253.mp4", "REAL", ""),
    "deepfakes": ("manipulated_sequences/Deepfakes/c23/videos/183_253.mp4", "FAKE", "183"),
    "textures": ("manipulated_sequences/NeuralTextures/c23/videos/253_183.mp4", "FAKE", "253"),
}


@pytest.fixture(scope="module")
def model(test_data, tmp_path_factory):
    """Xception with ImageNet's weights and an untrained last layer: it guesses, and is quick to make."""
    weights = test_data / "weights" / "xception_imagenet_notop.weights.h5"
    classifier = build_face_classifier(backbone="xception", crop_size=224, input_size=71, weights=str(weights))
    made = ready_crops_fingerprint(load_manifest(test_data / "faces" / "dfdc"), -0.12, {})
    card = ModelCard("guess", "guesses", "xception", 71, {}, {}, {}, {})
    folder = tmp_path_factory.mktemp("models") / "guess"
    fingerprint = Fingerprint(made.preprocessing, {"num_places": 1})
    return export_saved_model(classifier, ScoringRule(), fingerprint, card, NO_CLIPS, crop_size=224, folder=folder)


@pytest.mark.slow
def test_face_crops_of_parts_35_to_39(test_data, model, tmp_path):
    arguments = ["--data", str(test_data / "faces" / "dfdc"), "--val-folders", FACES, "--crop-margin", "-0.12"]
    arguments += ["--model", str(model), "--store", str(tmp_path / "store"), "--report", str(tmp_path / "report")]
    assert run_command(main, [*arguments, "--batch-size", "64", "--replicates", "200"]) == 0
    (found,) = json.loads((tmp_path / "report" / "metrics.json").read_text())["models"]
    assert found["all_clips"]["count"] == 1432
    low, high = found["all_clips"]["intervals"]["auc"]
    assert low < found["all_clips"]["auc"] < high
    assert high - low < 0.08
    pictures, charts = look_at(tmp_path / "report" / "report.html", tmp_path / "profile")
    assert pictures == 2 * 12  # each mistake with its heat map
    assert charts >= 5


@pytest.mark.slow
def test_clips(test_data, model, tmp_path):
    videos = test_data / "clips" / "ffpp"
    rows = [f"{clip_id},{videos / path},{label},{original}" for clip_id, (path, label, original) in CLIPS.items()]
    (tmp_path / "clips.csv").write_text("\n".join(["clip_id,path,label,original", *rows]) + "\n")
    arguments = ["--data", str(tmp_path / "clips.csv"), "--model", str(model), "--accept-mismatch", "--places", "5"]
    arguments += ["--store", str(tmp_path / "store"), "--report", str(tmp_path / "report"), "--threshold", "0.4999"]
    assert run_command(main, arguments) == 0
    pictures, charts = look_at(tmp_path / "report" / "report.html", tmp_path / "profile")
    assert pictures >= 2 * 5  # at least one clip lies on the wrong side, as all are scored alike
    assert charts >= 5  # one of them its face probability over time
