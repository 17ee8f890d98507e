"""Frames reach TensorFlow with their values, and without a copy where they were made for it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import tensorflow as tf

from tfdfd.faces import frame_memory
from tfdfd.faces.frame_memory import aligned_frames, as_tensor, where_computed

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


def test_what_a_gpu_computes_on_is_sent_once_and_gone_with_the_frames(monkeypatch):
    sent = []

    def counted(tensor):
        sent.append(tensor.shape)
        return tf.constant(tensor.numpy().copy())  # on a CPU the op itself would share the memory

    # A CPU stands in for the GPU: what counts is how often frames are sent.
    monkeypatch.setattr(frame_memory, "_gpu", lambda: "CPU:0")
    monkeypatch.setattr(tf, "identity", counted)
    frames = filled(aligned_frames(SHAPE))
    first, second = where_computed(frames), where_computed(frames)
    assert first is second
    assert len(sent) == 1
    np.testing.assert_array_equal(first.numpy(), frames)
    others = filled(aligned_frames((2, 5, 7, 3)))
    assert where_computed(others).shape == others.shape
    assert len(sent) == 2
    kept = weakref.ref(frame_memory._sent[1])
    del first, second, others
    gc.collect()
    assert frame_memory._sent is None
    assert kept() is None


def test_on_a_cpu_nothing_is_sent():
    frames = filled(aligned_frames(SHAPE))
    tensor = where_computed(frames)
    frames[0, 0, 0, 0] = 99
    assert tensor[0, 0, 0, 0].numpy() == 99
    assert frame_memory._sent is None
