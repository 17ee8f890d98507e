"""Weights into a classifier: ImageNet's, a backbone's file, or a whole classifier's file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import keras

from tfdfd.clip import TfdfdError
from tfdfd.models.backbone import Backbone

Shapes = dict[str, dict[str, tuple[int, ...]]]
"""Layer -> name of a variable in it -> shape."""


def load_imagenet(backbone: Backbone, input_size: int) -> keras.Model:
    """Build a backbone with the ImageNet weights that Keras publishes, downloaded or from Keras's cache.

    Args:
        backbone: which.
        input_size: side of its input in pixels.

    Raises:
        TfdfdError: if they cannot be downloaded, saying how to give a file.
    """
    try:
        return backbone.build(input_size, "imagenet")
    except Exception as error:  # Keras raises a bare Exception for a failed download
        raise TfdfdError(
            f"the ImageNet weights of {backbone.name} could not be downloaded ({str(error)[:200]}). Fetch the file "
            f"{backbone.weights_file}, which Keras publishes, on a machine with a network and give it as "
            "--weights FILE, or start from random weights with --weights none"
        ) from error


def holds_classifier(path: str | Path) -> bool:
    """Return whether a weights file is of a whole face classifier, rather than of a backbone alone.

    Raises:
        TfdfdError: if there is no such file or it is not HDF5.
    """
    # Keras names a network inside another by its class.
    return any(layer.startswith("functional/") for layer in _read_shapes(path)[0])


def load_backbone_file(network: keras.Model, path: str | Path) -> None:
    """Load the weights of a backbone.

    Args:
        network: as `Backbone.build` makes it, changed in place.
        path: a `.weights.h5` saved from such a network, or the `.h5` without top that Keras publishes.

    Raises:
        TfdfdError: if there is no such file, it is not HDF5, or it holds another network; the message names the
            layers that are missing, extra or of another shape.
    """
    found, is_legacy = _read_shapes(path)
    if is_legacy:
        _load_legacy(network, Path(path), found)
    else:
        _load(network, Path(path), found, f"{network.name} without its top", "Give a file of the same network, or")


def load_classifier_file(classifier: keras.Model, network: keras.Model, path: str | Path) -> None:
    """Load the weights of a whole classifier.

    Args:
        classifier: as it was when they were saved, changed in place.
        network: its backbone.
        path: a `.weights.h5`.

    Raises:
        TfdfdError: as `load_backbone_file`.
    """
    what, hint = f"a {network.name} face classifier with this head", "Give its --pooling and --hidden-size, or"
    _load(classifier, Path(path), _read_shapes(path)[0], what, hint)


def _load(model: keras.Model, path: Path, found: Shapes, what: str, hint: str) -> None:
    expected = _saved_shapes(model)
    if expected != found:
        raise TfdfdError(
            f"{path} does not hold the weights of {what}: {_differences(expected, found)}. {hint} choose its "
            "backbone (--backbone; of features of faces --face-backbone)"
        )
    model.load_weights(path)


def _saved_shapes(model: keras.Model) -> Shapes:
    # Keras decides the names inside a file while it saves: saving is the one way to know them.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.weights.h5"
        model.save_weights(file)
        return _read_shapes(file)[0]


def _read_shapes(path: str | Path) -> tuple[Shapes, bool]:
    """Return the variables in a file, and whether it has the format of Keras 2."""
    if not Path(path).is_file():
        raise TfdfdError(f"weights must be 'imagenet', 'none' or a file, and there is no file {path}")
    shapes: Shapes = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            layer, _, variable = name.partition("/vars/") if "/vars/" in name else name.rpartition("/")
            layer = layer.replace("layers/", "")
            # Random and optimizer states are no weights; a file saved from training may hold them.
            if "seed_generator" not in layer and not layer.startswith("optimizer"):
                shapes.setdefault(layer, {})[variable] = tuple(item.shape)

    try:
        with h5py.File(path) as file:
            file.visititems(note)
            is_legacy = "layer_names" in file.attrs
    except OSError as error:
        raise TfdfdError(f"{path} is not a Keras weights file (HDF5): {error}") from error
    return shapes, is_legacy


def _load_legacy(network: keras.Model, path: Path, found: Shapes) -> None:
    try:
        # By its name Keras chooses the reader; a file of the old format may be called .weights.h5 all the same.
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "legacy.h5"
            link.symlink_to(path.resolve())
            network.load_weights(link)
    except ValueError as error:
        raise TfdfdError(
            f"{path} does not hold the weights of {network.name} without its top ({len(found)} layers in the file): "
            f"{str(error)[:300]}"
        ) from error


def _differences(expected: Shapes, found: Shapes) -> str:
    shared = expected.keys() & found.keys()
    parts = {
        "missing": sorted(expected.keys() - found.keys()),
        "extra": sorted(found.keys() - expected.keys()),
        "of another shape": sorted(name for name in shared if expected[name] != found[name]),
    }
    return "; ".join(
        f"{len(names)} layers {what} ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
        for what, names in parts.items()
        if names
    )
