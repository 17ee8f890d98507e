"""Memory that frames are decoded into and TensorFlow reads without a copy: 17 frames of 1080p are 106 MB.

On a GPU there is one copy, which detector and crops share.
"""

from __future__ import annotations

import weakref
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

_ALIGNMENT = 64
"""Bytes; where TensorFlow's kernels expect a tensor to begin."""
_sent: tuple[weakref.ref[np.ndarray], tf.Tensor] | None = None
"""The frames that were sent to the GPU last, and where they are there."""


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


def where_computed(frames: np.ndarray) -> tf.Tensor:
    """Return frames as a tensor on the device that computes: as `as_tensor` on a CPU, as a copy on a GPU.

    The copy is made once, however often it is asked for, and is gone with the frames, or when others are sent.

    Args:
        frames: uint8, shape (n, height, width, 3); they must not change meanwhile.
    """
    global _sent
    tensor = as_tensor(frames)
    if not (device := _gpu()):
        return tensor
    if (kept := _sent) is not None and kept[0]() is frames:
        return kept[1]
    import tensorflow as tf

    _sent = None  # before there are two
    with tf.device(device):
        copy = tf.identity(tensor)
    _sent = (weakref.ref(frames, _forget), copy)
    return copy


def _forget(frames: weakref.ref[np.ndarray]) -> None:
    global _sent
    if _sent is not None and _sent[0] is frames:
        _sent = None


@cache
def _gpu() -> str:
    """Return the GPU on which TensorFlow places what is not placed, or an empty string."""
    import tensorflow as tf

    return "GPU:0" if tf.config.list_logical_devices("GPU") else ""
