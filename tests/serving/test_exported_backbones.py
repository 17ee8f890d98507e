"""One network of each family, each with another head, exported: plain TensorFlow gives its logits and heat maps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tfdfd.data.fingerprint import Fingerprint
from tfdfd.models import BACKBONES
from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.models.heat_maps import with_heat_maps
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import ModelCard, export_saved_model

SCRIPT = Path(__file__).with_name("plain_scores.py")
CLIPS = pd.DataFrame({"clip_id": ["a"], "original": "", "donor": "", "folder": "f", "split": "train"})


@pytest.mark.parametrize(
    ("name", "pooling", "hidden_size"),
    [
        pytest.param("xception", "max", 16, marks=pytest.mark.slow),
        pytest.param("efficientnet_b1", "avg_max", 16, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", "max", None, marks=pytest.mark.slow),
    ],
)
def test_plain_tensorflow_gives_its_logits_and_heat_maps(
    name: str, pooling: str, hidden_size: int | None, tmp_path: Path
) -> None:
    size = BACKBONES[name].min_input_size + 8  # resized inside
    classifier = build_face_classifier(
        backbone=name,
        crop_size=size,
        input_size=BACKBONES[name].min_input_size,
        weights="none",
        pooling=pooling,
        hidden_size=hidden_size,
    )
    logit = classifier.get_layer("logit")
    logit.set_weights([logit.kernel, np.array([0.3])])
    card = ModelCard("n", "d", name, size, {}, {}, {}, {})
    fingerprint = Fingerprint({"crop_size": size}, {"num_places": 2})
    folder = export_saved_model(
        classifier,
        ScoringRule(),
        fingerprint,
        card,
        CLIPS,
        crop_size=size,
        folder=tmp_path / "model",
        say=lambda _: None,
    )

    crops = np.random.default_rng(0).integers(0, 256, (3, 2, size, size, 3), dtype=np.uint8)
    is_face = np.array([[True, True], [True, False], [True, True]])
    np.savez(tmp_path / "requests.npz", **{"explain/crops": crops, "explain/is_face": is_face})
    command = [sys.executable, "-I", str(SCRIPT), str(folder)]
    subprocess.run([*command, str(tmp_path / "requests.npz"), str(tmp_path / "answers.npz")], check=True, cwd=tmp_path)
    with np.load(tmp_path / "answers.npz") as answers:
        found_logits, found_maps = answers["explain/face_logits"], answers["explain/heat_maps"]
    explained = with_heat_maps(classifier)
    one_by_one = [explained(crop[None], training=False) for crop in crops[is_face]]
    logits, maps = (np.concatenate(parts) for parts in zip(*one_by_one, strict=True))
    np.testing.assert_allclose(found_logits[is_face], np.ravel(logits), atol=1e-5)
    np.testing.assert_allclose(found_maps[is_face], maps, atol=1e-4)
    assert np.ptp(found_logits[is_face]) > 0

    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    ops = {node.op for node in nodes} - {function.signature.name for function in graph.library.function}
    assert not [op for op in ops if not hasattr(tf.raw_ops, op)]
    # A server without XLA could not run it, and one with it would compile anew for every batch size.
    assert not [function for function in graph.library.function if function.attr["_XlaMustCompile"].b]
    assert not [op for op in ops if "BatchNorm" in op]
