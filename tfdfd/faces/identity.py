"""Face embedders: pictures of faces to vectors that lie close together where the person is the same.

A new embedder is a line of EMBEDDERS, or `module:callable` on the command line.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from tfdfd.clip import TfdfdError

BUILT_IN = "dlib"


class FaceEmbedder(Protocol):
    """What makes vectors of faces."""

    name: str
    """Of the network; goes into the fingerprint."""
    version: str
    """Changes whenever its vectors would: the digest of its weights, for one."""
    input_size: int
    """Side of the pictures that it takes, in pixels."""
    landmarks_xy: np.ndarray
    """float32, shape (5, 2), pixels of those pictures: where eyes (left, right), nose and mouth corners shall lie."""

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """Return vectors of length 1.

        Args:
            faces: uint8 RGB, shape (n, input_size, input_size, 3), aligned to `landmarks_xy`.

        Returns:
            float32, shape (n, d): the smaller the distance, the more likely one person.
        """
        ...


class DlibEmbedder:
    """dlib's face recognition network, run by TensorFlow: 128 numbers a face.

    Chosen because its weights are really there offline, in a package that holds data only, in the public domain (CC0).
    FaceNet's and ArcFace's packages fetch theirs from elsewhere when they are first used. docs/people.md compares.
    """

    name = "dlib_face_recognition_resnet_v1"
    input_size = 150
    # Mean shape of dlib's `get_face_chip_details`, padding 0.25: the eyes are the means of their six points.
    landmarks_xy = np.array(
        [[47.549, 46.599], [100.476, 46.599], [74.013, 76.563], [50.415, 103.023], [97.610, 103.023]], np.float32
    )

    def __init__(self) -> None:
        """Read the weights.

        Raises:
            TfdfdError: if the package that carries them is missing; says what to install.
        """
        from tfdfd.faces.identity_network import IdentityNetwork  # TensorFlow, which no other embedder need load
        from tfdfd.faces.identity_weights import read_identity_weights

        self.version = read_identity_weights().digest
        self._network = IdentityNetwork()

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """As `FaceEmbedder.embed`; float32 (n, 128)."""
        return unit_vectors(self._network(faces))


EMBEDDERS: dict[str, Callable[[], FaceEmbedder]] = {BUILT_IN: DlibEmbedder}
"""Every built-in embedder by the name that `--embedder` takes."""


def make_embedder(name: str) -> FaceEmbedder:
    """Return an embedder.

    Args:
        name: a key of EMBEDDERS, or `module:callable`: called without arguments, it returns a FaceEmbedder.

    Raises:
        TfdfdError: if there is none of that name, what it needs is missing, or it is no embedder.
    """
    if name in EMBEDDERS:
        return EMBEDDERS[name]()
    module, colon, attribute = name.partition(":")
    if not (colon and module and attribute):
        raise TfdfdError(f"the embedder must be one of {sorted(EMBEDDERS)} or module:callable, got {name!r}")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise TfdfdError(f"the embedder {name} cannot be made: {error}. Is its module on the PYTHONPATH?") from error
    lacking = [part for part in ("name", "version", "input_size", "landmarks_xy", "embed") if not hasattr(made, part)]
    if lacking:
        raise TfdfdError(f"{name} gives no face embedder: it lacks {lacking}; see tfdfd.faces.identity.FaceEmbedder")
    return made


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return vectors made 1 long, float32; those of length 0 stay.

    Args:
        vectors: float, shape (n, d).
    """
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def mean_embedding(vectors: np.ndarray) -> np.ndarray:
    """Return the embedding of a person seen several times: the mean of unit vectors, made 1 long again.

    Args:
        vectors: float32, shape (n, d), n at least 1, each of length 1.

    Returns:
        float32, shape (d,).
    """
    return unit_vectors(np.mean(vectors, axis=0, keepdims=True))[0]
