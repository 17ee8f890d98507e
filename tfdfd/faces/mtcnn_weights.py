"""MTCNN's weights and settings, without TensorFlow: what a process needs that only names the detector.

The weights are read from the files of the `mtcnn` package without importing its code.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from tfdfd.clip import TfdfdError

DEFAULT_FACE_SHARE = 1 / 18
"""Smallest face as a share of the frame's shorter side: 60 pixels of 1080."""
DEFAULT_SCALE_FACTOR = 0.709
"""Size of a pyramid level relative to the one before; its area is half."""
DEFAULT_THRESHOLDS = (0.6, 0.7, 0.7)
"""Probability that a candidate must exceed in PNet, RNet and ONet."""

RULES = 1
"""Raised whenever our graph would find other boxes with the same settings."""

_NUM_ARRAYS = {"pnet": 13, "rnet": 16, "onet": 21}
_INSTALL_HINT = "install it again with `pip install --force-reinstall mtcnn==1.0.0`"


def mtcnn_settings(
    *,
    min_face_share: float = DEFAULT_FACE_SHARE,
    min_face_size: float | None = None,
    scale_factor: float = DEFAULT_SCALE_FACTOR,
    thresholds: tuple[float, float, float] = DEFAULT_THRESHOLDS,
) -> dict[str, Any]:
    """Return what decides which faces MTCNN finds, as JSON values: a part of the fingerprint.

    Args: as of `tfdfd.faces.mtcnn.MTCNN`.

    Raises:
        TfdfdError: if the `mtcnn` package, whose weights are used, is missing or another.
    """
    return {
        "detector": "mtcnn",
        "rules": RULES,
        "weights": weights_digest(),
        "min_face_share": None if min_face_size is not None else float(min_face_share),
        "min_face_size": None if min_face_size is None else float(min_face_size),
        "scale_factor": float(scale_factor),
        "thresholds": [float(threshold) for threshold in thresholds],
    }


@functools.cache
def weights_digest() -> str:
    """Return the first hex digits of the SHA-256 of all weights.

    Raises:
        TfdfdError: as `read_weights`.
    """
    digest = hashlib.sha256()
    for network in read_weights():
        for array in network:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


@functools.cache
def read_weights() -> tuple[Sequence[np.ndarray], Sequence[np.ndarray], Sequence[np.ndarray]]:
    """Return the arrays of PNet, RNet and ONet, float32, in the order in which Keras listed them.

    Raises:
        TfdfdError: if the `mtcnn` package or one of its weight files is missing or another.
    """
    return _read("pnet"), _read("rnet"), _read("onet")


def _read(network: str) -> Sequence[np.ndarray]:
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise TfdfdError(f"the mtcnn package, whose weights the face detector uses, is missing: {_INSTALL_HINT}")
    path = Path(spec.submodule_search_locations[0]) / "assets" / "weights" / f"{network}.lz4"
    if not path.is_file():
        raise TfdfdError(f"{path}: no such file, the mtcnn package is incomplete: {_INSTALL_HINT}")
    arrays = joblib.load(path)
    if len(arrays) != _NUM_ARRAYS[network]:
        raise TfdfdError(
            f"{path}: {network} must have {_NUM_ARRAYS[network]} arrays, found {len(arrays)}: {_INSTALL_HINT}"
        )
    return tuple(np.asarray(array, np.float32) for array in arrays)
