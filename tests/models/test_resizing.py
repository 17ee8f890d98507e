"""Resizing by constant matrices equals TensorFlow's own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdfd.models.resizing import SquareResizing, resizing_matrix


@pytest.mark.parametrize(("size_in", "size_out"), [(32, 20), (17, 40), (24, 24)])
def test_it_equals_antialiased_bilinear_resizing(size_in: int, size_out: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, size_in, size_in, 3)).astype(np.float32)
    expected = tf.image.resize(pictures, (size_out, size_out), antialias=True)
    resized = SquareResizing(size_in=size_in, size_out=size_out)(pictures)
    assert np.abs(resized - expected).max() < 1e-3


def test_a_flat_picture_stays_flat() -> None:
    assert np.allclose(resizing_matrix(50, 13).sum(axis=1), 1, atol=1e-6)


def test_it_can_be_saved_and_rebuilt() -> None:
    layer = SquareResizing(size_in=8, size_out=5, name="resizing")
    again = SquareResizing.from_config(layer.get_config())
    assert again.compute_output_shape((None, 8, 8, 3)) == (None, 5, 5, 3)
    assert again.name == "resizing"
