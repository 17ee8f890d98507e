"""What a command takes: its processes' memory together, watched from outside."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Keeps the largest memory of a process and all its descendants, looked at every so often.

    Args:
        process: the process at the root.
        every_seconds: how often.
    """

    peak_bytes = 0
    """Most that was seen. Memory that several processes share is counted in each."""
    most_processes = 0

    def __init__(self, process: subprocess.Popen[str], *, every_seconds: float = 0.25) -> None:
        self._process, self._every = process, every_seconds
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait until the process has ended."""
        self._thread.join()

    def _watch(self) -> None:
        while self._process.poll() is None:
            sizes = [_resident_bytes(pid) for pid in _descendants(self._process.pid)]
            self.peak_bytes = max(self.peak_bytes, sum(sizes))
            self.most_processes = max(self.most_processes, len(sizes))
            time.sleep(self._every)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended meanwhile
            continue
        parent = int(text.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
