"""Memory that frames are decoded into and TensorFlow reads without a copy: 17 frames of 1080p are 106 MB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_ALIGNMENT = 64
"""Bytes; where TensorFlow's kernels expect a tensor to begin."""


def aligned_frames(shape: tuple[int, int, int, int]) -> np.ndarray:
    """Return uninitialised memory for frames, which `as_tensor` need not copy.

    Args:
        shape: (n, height, width, 3).

    Returns:
        uint8 of that shape.
    """
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].reshape(shape)


def as_tensor(frames: np.ndarray) -> tf.Tensor:
    """Return frames as a tensor; it shares their memory where that is aligned, so they must not change meanwhile.

    Args:
        frames: uint8, shape (n, height, width, 3).
    """
    import tensorflow as tf

    if frames.size and frames.flags.c_contiguous and frames.flags.writeable and frames.ctypes.data % _ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(frames.__dlpack__())
    return tf.convert_to_tensor(frames)
