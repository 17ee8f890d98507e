"""Frames reach TensorFlow with their values, and without a copy where they were made for it."""

from __future__ import annotations

import numpy as np

from tfdfd.faces.frame_memory import aligned_frames, as_tensor

SHAPE = (3, 5, 7, 3)


def filled(frames: np.ndarray) -> np.ndarray:
    frames[...] = np.arange(frames.size, dtype=np.uint8).reshape(frames.shape)
    return frames


def test_aligned_frames_share_their_memory_with_the_tensor():
    frames = filled(aligned_frames(SHAPE))
    tensor = as_tensor(frames)
    np.testing.assert_array_equal(tensor.numpy(), frames)
    frames[0, 0, 0, 0] = 99
    assert tensor[0, 0, 0, 0].numpy() == 99


def test_other_memory_is_copied_and_has_the_same_values():
    whole = filled(np.empty((3, 5, 8, 3), np.uint8))
    read_only = whole.copy()
    read_only.flags.writeable = False
    for frames in (whole[:, :, 1:], whole[::-1], np.zeros((0, 5, 7, 3), np.uint8), read_only):
        tensor = as_tensor(frames)
        assert tensor.shape == frames.shape
        np.testing.assert_array_equal(tensor.numpy(), frames)
