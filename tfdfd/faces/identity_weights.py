"""The weights of dlib's face recognition network, read from the file that a package carries; without dlib.

The file is dlib's own serialization of the network: a stream of layers from the input to the output. Only the layers
that have parameters are looked for. The weights are in the public domain (CC0 1.0), by Davis King.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfdfd.clip import TfdfdError

PACKAGE = "face-recognition-models"
_FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
_LAYER = re.compile(rb"con_4|affine_|fc_2")
_NUM_CONVOLUTIONS = 29
INSTALL_HINT = "install it with `pip install -e '.[people]'` (or `bash setup.sh`, which does)"


@dataclass(frozen=True)
class Convolution:
    """A convolution and the scaling behind it as one."""

    kernel: np.ndarray
    """float32 (height, width, channels in, channels out)."""
    bias: np.ndarray
    """float32 (channels out,)."""


@dataclass(frozen=True)
class IdentityWeights:
    """All parameters of the network."""

    convolutions: tuple[Convolution, ...]
    """The 29 convolutions from the input to the output."""
    projection: np.ndarray
    """float32 (256, 128): the last layer, which has no bias."""
    digest: str
    """First hex digits of the SHA-256 of the file."""


def weights_file() -> Path:
    """Return the file of the weights.

    Raises:
        TfdfdError: if the package that carries it is missing, or it is not in there; says what to install.
    """
    # Not imported: the package's code wants pkg_resources, which setuptools no longer has.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise TfdfdError(
            f"the package {PACKAGE}, which carries the weights of the face embedder, is missing: {INSTALL_HINT}"
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    if not path.is_file():
        raise TfdfdError(f"{path}: no such file, the package {PACKAGE} is incomplete: {INSTALL_HINT}")
    return path


@functools.cache
def read_identity_weights() -> IdentityWeights:
    """Return the weights of the network.

    Raises:
        TfdfdError: as `weights_file`, or if the file is not of this network.
    """
    path = weights_file()
    content = path.read_bytes()
    try:
        convolutions, projection = _parsed(content)
    except (ValueError, IndexError) as error:
        raise TfdfdError(f"{path} does not hold the network that is expected ({error}): {INSTALL_HINT}") from error
    return IdentityWeights(convolutions, projection, hashlib.sha256(content).hexdigest()[:12])


def _parsed(content: bytes) -> tuple[tuple[Convolution, ...], np.ndarray]:
    filters: list[tuple[np.ndarray, tuple[int, int, int]]] = []
    scales: list[np.ndarray] = []
    projection = np.zeros((0, 0), np.float32)
    end = 0
    for found in _LAYER.finditer(content):
        if found.start() < end:
            continue  # letters within the numbers of a layer
        kind, at = found.group(), found.end()
        if kind == b"fc_2":
            (outputs, inputs), at = _integers(content, at, 2)
            values, end = _tensor(content, at)
            projection = values.reshape(inputs, outputs)
        elif kind == b"affine_":
            values, end = _tensor(content, at)
            scales.append(values)
        else:
            values, at = _tensor(content, at)
            shape, end = _integers(content, at, 3)
            filters.append((values, (shape[0], shape[1], shape[2])))
    if len(filters) != _NUM_CONVOLUTIONS or len(scales) != len(filters) or projection.shape != (256, 128):
        raise ValueError(f"{len(filters)} convolutions, {len(scales)} scalings, projection {projection.shape}")
    return tuple(_joined(*one, scale) for one, scale in zip(filters, scales, strict=True)), projection


def _joined(values: np.ndarray, shape: tuple[int, int, int], scale: np.ndarray) -> Convolution:
    """Join a convolution with the scaling behind it: gamma * (kernel * x + bias) + beta."""
    outputs, height, width = shape
    gamma, beta = scale.reshape(2, outputs)
    kernel = values[:-outputs].reshape(outputs, -1, height, width)
    bias = gamma * values[-outputs:] + beta
    return Convolution(np.ascontiguousarray((gamma[:, None, None, None] * kernel).transpose(2, 3, 1, 0)), bias)


def _integers(content: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Read dlib's integers: a byte with sign and length, then so many bytes, lowest first."""
    found = []
    for _ in range(count):
        length = content[at] & 0x0F
        value = int.from_bytes(content[at + 1 : at + 1 + length], "little")
        found.append(-value if content[at] & 0x80 else value)
        at += 1 + length
    return found, at


def _tensor(content: bytes, at: int) -> tuple[np.ndarray, int]:
    """Read dlib's tensor: a version, four sides, then float32 in little-endian order."""
    (version, *sides), at = _integers(content, at, 5)
    count = int(np.prod(sides))
    if version != 2 or not 0 < count <= (len(content) - at) // 4:
        raise ValueError(f"a tensor of version {version} and sides {sides}")
    return np.frombuffer(content, "<f4", count, at).astype(np.float32), at + 4 * count
