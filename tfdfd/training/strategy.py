"""Which devices train: GPUs, one CPU, or several logical CPUs."""

from __future__ import annotations

import tensorflow as tf

from tfdfd.clip import TfdfdError


def make_strategy(gpus: int | None, logical_cpus: int | None) -> tuple[tf.distribute.Strategy, str]:
    """Make the strategy of a run; call it once a process, before TensorFlow has used a device.

    Args:
        gpus: GPUs to use, at least 1; None for all there are.
        logical_cpus: CPU replicas to make instead (tests and CI), at least 1; None for none.

    Returns:
        The strategy and one line that tells a person what it uses.

    Raises:
        TfdfdError: if both are given, a number is below 1, the machine has fewer GPUs, or TensorFlow has already
            set up its devices.
    """
    for name, number in (("--gpus", gpus), ("--logical-cpus", logical_cpus)):
        if number is not None and number < 1:
            raise TfdfdError(f"{name} must be at least 1, got {number}")
    if gpus is not None and logical_cpus is not None:
        raise TfdfdError("give --gpus or --logical-cpus, not both: replicas run on one kind of device")
    if logical_cpus is not None:
        _make_logical_cpus(logical_cpus)
        devices = [f"CPU:{index}" for index in range(logical_cpus)]
        return tf.distribute.MirroredStrategy(devices), f"training on {logical_cpus} logical CPU replicas"
    found = tf.config.list_physical_devices("GPU")
    if gpus is not None and gpus > len(found):
        raise TfdfdError(
            f"--gpus {gpus} asks for {gpus} GPUs, TensorFlow sees {len(found)}: ask for fewer, leave it out to use "
            "what there is, or run `tfdfd doctor` to see what is missing"
        )
    if not found:
        return tf.distribute.MirroredStrategy(["CPU:0"]), "training on one CPU: TensorFlow sees no GPU"
    for gpu in found:
        _grow_memory(gpu)
    used = len(found) if gpus is None else gpus
    devices = [f"GPU:{index}" for index in range(used)]
    return tf.distribute.MirroredStrategy(devices), f"training on {used} of {len(found)} GPUs"


def uses_gpus(strategy: tf.distribute.Strategy) -> bool:
    """Return whether the replicas of a strategy are GPUs."""
    return any("GPU" in device for device in strategy.extended.worker_devices)


def _make_logical_cpus(number: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_visible_devices([], "GPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
    except RuntimeError as error:
        raise TfdfdError(f"--logical-cpus {number} must be set before TensorFlow uses a device: {error}") from error


def _grow_memory(gpu: tf.config.PhysicalDevice) -> None:
    if tf.config.experimental.get_memory_growth(gpu):
        return
    try:
        tf.config.experimental.set_memory_growth(gpu, True)  # else TensorFlow takes it all and DALI starves
    except RuntimeError as error:
        raise TfdfdError(f"the memory of {gpu.name} must be set to grow before TensorFlow uses it: {error}") from error
