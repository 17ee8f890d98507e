"""How many workers a command starts, and what each is made of."""

import pytest

from tfdfd.commands import extracting
from tfdfd.commands.extracting import MEMORY_PER_WORKER, default_workers, free_memory, visible_gpus


@pytest.mark.parametrize(
    ("cores", "memory", "gpus", "expected"),
    [(2, 64, 0, 1), (16, 64, 0, 8), (16, 3, 0, 3), (1, 64, 0, 1), (16, 0, 0, 1), (16, 64, 4, 4), (2, 1, 4, 4)],
)
def test_as_many_workers_as_the_machine_feeds(monkeypatch, cores, memory, gpus, expected):
    monkeypatch.setattr(extracting, "num_cores", lambda: cores)
    monkeypatch.setattr(extracting, "free_memory", lambda: memory * MEMORY_PER_WORKER)
    assert default_workers(num_gpus=gpus) == expected


def test_a_container_s_limit_counts_as_memory(monkeypatch):
    files = {
        "meminfo": ["MemTotal: 9 kB", f"MemAvailable: {8 << 20} kB"],
        "memory.max": [str(3 << 30)],
        "memory.current": [str(3 << 29)],
        "memory.stat": [f"anon {1 << 29}", f"inactive_file {1 << 29}"],  # of which this can be dropped
    }
    monkeypatch.setattr(extracting, "_lines", lambda path: files[path.name])
    assert free_memory() == 2 << 30
    files["memory.max"] = ["max"]
    assert free_memory() == 8 << 30


class Driver:
    """A CUDA driver that shows three GPUs."""

    def cuInit(self, flags):
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = 3
        return 0


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ("0", "1", "2")), ("4,5,7", ("4", "5", "7")), ("GPU-a, GPU-b,1", ("GPU-a", "GPU-b", "1"))],
)
def test_gpus_are_called_as_the_user_calls_them(monkeypatch, visible, names):
    monkeypatch.setattr(extracting.ctypes, "CDLL", lambda name: Driver())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == names


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    def no_driver(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(extracting.ctypes, "CDLL", no_driver)
    assert visible_gpus() == ()
