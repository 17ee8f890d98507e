"""Which devices train: GPUs, one CPU, or several logical CPUs, of this machine or of several."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import keras
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.gpus import driver_cards, why_no_gpu
from tfdfd.training.cluster import VARIABLE, Cluster
from tfdfd.training.roll_call import call_roll

JOIN_SECONDS = 180
"""How long TensorFlow may take to join workers that are all there; then SIGALRM ends the process."""


def make_strategy(gpus: int | None, logical_cpus: int | None) -> tuple[tf.distribute.Strategy, str]:
    """Make the strategy of a run; call it once a process, before TensorFlow has used a device.

    Args:
        gpus: GPUs to use, at least 1; None for all that this process sees (`gpus.choose_gpus`).
        logical_cpus: CPU replicas to make instead (tests and CI), at least 1; None for none.

    Returns:
        The strategy and one line that tells a person what it uses.

    Raises:
        TfdfdError: if both are given, a number is below 1, the machine has fewer GPUs, or TensorFlow has already
            set up its devices.
    """
    _check_numbers(gpus, logical_cpus)
    # MirroredStrategy parses it too, and fails on an empty one.
    os.environ.pop(VARIABLE, None)
    if logical_cpus is not None:
        _make_logical_cpus(logical_cpus)
        devices = [f"CPU:{index}" for index in range(logical_cpus)]
        return tf.distribute.MirroredStrategy(devices), f"training on {logical_cpus} logical CPU replicas"
    used, found = _count_gpus(gpus)
    if not used:
        return tf.distribute.MirroredStrategy(["CPU:0"]), f"training on one CPU: {why_no_gpu()}"
    devices = [f"GPU:{index}" for index in range(used)]
    there = max(found, len(driver_cards()))
    return tf.distribute.MirroredStrategy(devices), f"training on {used} of {there} GPUs"


def make_cluster_strategy(
    cluster: Cluster, gpus: int | None, logical_cpus: int | None, *, wait_seconds: float, say: Callable[[str], None]
) -> tuple[tf.distribute.Strategy, str]:
    """Make the strategy of a run on several machines, as `make_strategy`, once all of its workers are there.

    Args:
        cluster: the workers, and which of them this is.
        gpus: GPUs of each machine to use, at least 1; None for all there are.
        logical_cpus: None, or 1 to leave GPUs alone: TensorFlow makes one CPU replica a worker.
        wait_seconds: longest to wait for the other workers.
        say: told for whom this worker waits.

    Returns:
        The strategy and one line that tells a person what it uses.

    Raises:
        TfdfdError: as `make_strategy`, or if workers have unequal numbers of replicas or versions of TensorFlow.
        WorkersLost: if a worker does not come in time.
    """
    _check_numbers(gpus, logical_cpus)
    if logical_cpus is not None and logical_cpus > 1:
        raise TfdfdError(
            f"--logical-cpus {logical_cpus}: with TF_CONFIG a worker without GPUs is one CPU replica; leave it out and "
            "start more workers, which may share a machine"
        )
    used, found = (0, 0) if logical_cpus else _count_gpus(gpus)
    kind = "GPU" if used else "CPU"
    facts = {
        "number of replicas": max(1, used),
        "kind of device": kind,
        "version of TensorFlow": tf.__version__,
        "version of Keras": keras.__version__,
    }
    call_roll(cluster, facts, wait_seconds=wait_seconds, say=say)
    strategy = _join(cluster, used)
    own = f"{used} of {found} GPUs" if used else "one CPU"
    return strategy, (
        f"training as worker {cluster.index} of {len(cluster.addresses)} on {own}, "
        f"{strategy.num_replicas_in_sync} replicas in all"
    )


def _join(cluster: Cluster, num_gpus: int) -> tf.distribute.Strategy:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
        num_accelerators={"GPU": num_gpus},
    )
    # Here TensorFlow waits for the others in C++, deaf to Ctrl-C, for up to an hour. They were all here a moment ago,
    # so one that is missing now has died.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(JOIN_SECONDS)
    try:
        tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[:num_gpus], "GPU")
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise TfdfdError(f"workers must be joined before TensorFlow uses a device: {error}") from error
    finally:
        signal.alarm(0)
    # TensorFlow now takes SIGTERM for a notice to be heeded by and by, and nothing here heeds it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return strategy


def _check_numbers(gpus: int | None, logical_cpus: int | None) -> None:
    for name, number in (("--gpus", gpus), ("--logical-cpus", logical_cpus)):
        if number is not None and number < 1:
            raise TfdfdError(f"{name} must be at least 1, got {number}")
    if gpus is not None and logical_cpus is not None:
        raise TfdfdError("give --gpus or --logical-cpus, not both: replicas run on one kind of device")


def _count_gpus(gpus: int | None) -> tuple[int, int]:
    """Return how many GPUs to use, their memory set to grow, and how many there are."""
    found = tf.config.list_physical_devices("GPU")
    if gpus is not None and gpus > len(found):
        raise TfdfdError(
            f"--gpus {gpus} asks for {gpus} GPUs, TensorFlow sees {len(found)}: ask for fewer, leave it out to use "
            "what there is, or run `tfdfd doctor` to see what is missing"
        )
    for gpu in found:
        _grow_memory(gpu)
    return (len(found) if gpus is None else gpus), len(found)


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
