"""Asking for devices that are not there, or twice, is an error with the numbers."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.training.strategy import make_strategy, uses_gpus


def test_more_gpus_than_there_are_is_an_error_with_both_numbers() -> None:
    found = len(tf.config.list_physical_devices("GPU"))
    with pytest.raises(TfdfdError, match=f"asks for {found + 4} GPUs, TensorFlow sees {found}"):
        make_strategy(found + 4, None)


@pytest.mark.parametrize(("gpus", "logical_cpus"), [(0, None), (None, 0), (1, 2)])
def test_nonsense_is_refused(gpus: int | None, logical_cpus: int | None) -> None:
    with pytest.raises(TfdfdError, match=r"at least 1|not both"):
        make_strategy(gpus, logical_cpus)


def test_without_a_gpu_one_cpu_is_used_and_said() -> None:
    strategy, message = make_strategy(None, None)
    assert strategy.num_replicas_in_sync == 1
    assert not uses_gpus(strategy)
    assert "one CPU" in message


def test_logical_cpus_after_tensorflow_has_begun_are_refused() -> None:
    tf.constant(1.0) + 1.0
    with pytest.raises(TfdfdError, match="before TensorFlow uses a device"):
        make_strategy(None, 3)
