"""How many workers a command starts, and what each is made of."""

import pytest

from tfdfd.commands import extracting
from tfdfd.commands.extracting import MEMORY_PER_WORKER, default_workers, free_memory


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
