"""Face embedders: ours is dlib's own network, others plug in, and what is missing is said."""

import importlib.util

import numpy as np
import pytest

from tests.colour_embedder import ColourEmbedder
from tfdfd.clip import TfdfdError
from tfdfd.faces import identity_weights
from tfdfd.faces.identity import make_embedder, mean_embedding, unit_vectors

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("face_recognition_models") is None, reason="the extra `people` is not installed"
)
# dlib-bin 20.0.1: face_recognition_model_v1.compute_face_descriptor of `faces()`, the first six of 128 numbers.
DLIB_SAYS = [
    [-0.09219, 0.084169, 0.043158, -0.011739, -0.156883, -0.066206],
    [-0.087747, 0.111268, 0.033041, 0.006403, -0.142966, -0.056389],
    [-0.076196, 0.130111, 0.03134, -0.07447, -0.062549, -0.057954],
    [-0.039053, 0.122813, 0.053047, -0.007809, -0.091093, -0.036209],
]


def faces():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 150, 150, 3), dtype=np.uint8)
    y, x = np.mgrid[0:150, 0:150]
    pictures[2] = np.stack([y, x, (y + x) // 2], axis=-1)
    pictures[3] = 128
    return pictures


@pytest.fixture
def no_cache():
    identity_weights.read_identity_weights.cache_clear()
    yield
    identity_weights.read_identity_weights.cache_clear()


@needs_weights
def test_the_graph_gives_what_dlib_gives():
    from tfdfd.faces.identity_network import IdentityNetwork

    vectors = IdentityNetwork()(faces())
    assert vectors.shape == (4, 128)
    np.testing.assert_allclose(vectors[:, :6], DLIB_SAYS, atol=2e-6)


@needs_weights
def test_the_built_in_embedder_gives_unit_vectors_and_names_its_weights():
    embedder = make_embedder("dlib")
    np.testing.assert_allclose(np.linalg.norm(embedder.embed(faces()[:2]), axis=1), 1, atol=1e-6)
    assert embedder.version == identity_weights.read_identity_weights().digest


def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch, no_cache):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TfdfdError, match=r"face-recognition-models.*is missing.*\[people\]"):
        make_embedder("dlib")


def test_a_damaged_weights_file_is_an_error_that_names_it(monkeypatch, tmp_path, no_cache):
    path = tmp_path / "weights.dat"
    path.write_bytes(b"con_4\x01\x02\x01\x01\x01\x01\x01\x01\x01\x01" + bytes(8))
    monkeypatch.setattr(identity_weights, "weights_file", lambda: path)
    with pytest.raises(TfdfdError, match=r"weights.dat does not hold the network"):
        identity_weights.read_identity_weights()


def test_any_callable_of_a_module_plugs_in():
    assert isinstance(make_embedder("tests.colour_embedder:ColourEmbedder"), ColourEmbedder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("facenet", r"one of \['dlib'\] or module:callable, got 'facenet'"),
        ("no_such_module:Embedder", "cannot be made: No module named"),
        ("tests.colour_embedder:Missing", "cannot be made"),
        ("tests.colour_embedder:NoEmbedder", "gives no face embedder: it lacks"),
    ],
)
def test_a_wrong_embedder_is_refused(name, says):
    with pytest.raises(TfdfdError, match=says):
        make_embedder(name)


def test_the_mean_of_embeddings_is_one_long_and_lies_between():
    mean = mean_embedding(np.eye(2, dtype=np.float32))
    np.testing.assert_allclose(mean, [np.sqrt(0.5)] * 2, atol=1e-6)


def test_a_vector_of_length_0_stays():
    assert (unit_vectors(np.zeros((1, 3))) == 0).all()
