"""How many workers a command starts, and what each is made of."""

from tfdfd.commands import extracting
from tfdfd.commands.extracting import free_memory


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
