"""Products, convolutions and compiled functions on each card, against NumPy and the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.commands.gpu_proof.context import Context, Figures, require
from tfdfd.commands.gpu_proof.devices import device_names

MATMUL_ERROR, HALF_ERROR, XLA_ERROR = 1e-5, 1e-2, 1e-4
"""Largest error as a share of the largest value. A float32 product of 512 numbers is exact to about 1e-6, and TF32,
which is off here, to 1e-3; float16 has 11 bits, so a sum of 144 rounded products is right to some thousandths."""


def each_device(context: Context) -> Figures:
    """Compute the same on each card."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    worst = {"matmul_error": 0.0, "half_convolution_error": 0.0, "half_gradient_error": 0.0, "xla_error": 0.0}
    limits = dict(zip(worst, (MATMUL_ERROR, HALF_ERROR, HALF_ERROR, XLA_ERROR), strict=True))
    devices = device_names(context)
    for device in devices:
        found = dict(zip(worst, (_matmul(device), *_half_convolution(device), _compiled(device)), strict=True))
        for name, error in found.items():
            require(error <= limits[name], f"{device}: {name} must be at most {limits[name]:g}, got {error:g}")
            worst[name] = max(worst[name], error)
    return {"devices": len(devices), **worst}


def _matmul(device: str) -> float:
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((512, 512)).astype(np.float32) for _ in range(2))
    with tf.device(device):
        product = tf.matmul(one, other)
    _require_on(device, product)
    return _error(product.numpy(), one.astype(np.float64) @ other)


def _half_convolution(device: str) -> tuple[float, float]:
    """Return the errors of a float16 convolution and of its gradient, which cuDNN has other kernels for."""
    rng = np.random.default_rng(1)
    pictures = rng.standard_normal((4, 32, 32, 16)).astype(np.float32)
    kernel = (rng.standard_normal((3, 3, 16, 32)) / 12).astype(np.float32)

    def convolve(dtype: Any) -> tuple[Any, Any]:
        inputs, weights = tf.constant(pictures, dtype), tf.constant(kernel, dtype)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            maps = tf.nn.conv2d(inputs, weights, strides=1, padding="SAME")
            total = tf.reduce_sum(tf.square(tf.cast(maps, tf.float32))) / 64  # a mean would be too small for float16
        return maps, tape.gradient(total, weights)

    with tf.device("CPU:0"):
        expected = convolve(tf.float32)
    with tf.device(device):
        found = convolve(tf.float16)
    _require_on(device, found[0])
    first, second = (_error(a.numpy(), b.numpy()) for a, b in zip(found, expected, strict=True))
    return first, second


def _compiled(device: str) -> float:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((64, 256)).astype(np.float32)
    weights = (rng.standard_normal((256, 256)) / 16).astype(np.float32)

    def layer(inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.nn.gelu(tf.matmul(inputs, weights)))

    compiled: Callable[[Any], tf.Tensor] = tf.function(layer, jit_compile=True)
    with tf.device("CPU:0"):
        expected = layer(tf.constant(values))
    with tf.device(device):
        found = compiled(tf.constant(values))
    _require_on(device, found)
    return _error(found.numpy(), expected.numpy())


def _require_on(device: str, tensor: tf.Tensor) -> None:
    require(tensor.device.endswith(device), f"a result must lie on {device}, it lies on {tensor.device}")


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    difference = np.abs(found.astype(np.float64) - expected).max()
    return float(difference / np.abs(expected).max())
