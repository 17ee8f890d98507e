"""The devices of a check in TensorFlow's words, and what the driver says of the cards meanwhile."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from tfdfd.commands.gpu_proof.context import Context, require

if TYPE_CHECKING:
    import tensorflow as tf


def device_names(context: Context) -> list[str]:
    """Return TensorFlow's names of the devices under test: each card, or the CPU.

    Raises:
        NotShownError: if TensorFlow sees fewer cards than there are.
    """
    import tensorflow as tf

    if context.is_dry:
        return ["CPU:0"]
    seen = tf.config.list_physical_devices("GPU")
    require(len(seen) >= len(context.cards), f"TensorFlow sees {len(seen)} of {len(context.cards)} cards")
    return [f"GPU:{number}" for number in range(len(context.cards))]


def make_replicas(context: Context, count: int) -> tf.distribute.Strategy:
    """Return a strategy of so many cards, or logical CPUs in a dry run; once a process."""
    from tfdfd.training.strategy import make_strategy

    strategy, _ = make_strategy(None, count) if context.is_dry else make_strategy(count, None)
    return strategy


class CardWatch:
    """What `nvidia-smi` says of the cards while the block runs: memory in use and how busy they are.

    The driver's view counts what TensorFlow, DALI and NVDEC hold together. Other processes on a card count too, so
    nothing else should run there.
    """

    def __init__(self, context: Context, every_seconds: float = 0.25) -> None:
        self._context, self._every = context, every_seconds
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self.seen: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
        """Bus id of a card -> (time.monotonic(), bytes in use, percent of the time in which it was busy)."""

    def __enter__(self) -> CardWatch:
        if self._context.is_dry:
            return self
        command = [
            "nvidia-smi",
            "--query-gpu=pci.bus_id,memory.used,utilization.gpu",
            "--format=csv,noheader,nounits",
            f"--loop-ms={round(1000 * self._every)}",
            f"--id={','.join(self._context.cards)}",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._thread is not None:
            self._process.kill()
            self._process.wait()
            self._thread.join()

    def memory_bytes(self, since: float = 0.0) -> list[int]:
        """Return the memory in use of all cards together, sample by sample, from a moment on."""
        cards = [[used for at, used, _ in samples if at >= since] for samples in self.seen.values()]
        return [sum(used) for used in zip(*cards, strict=False)]

    def busy_shares(self, since: float = 0.0) -> list[float]:
        """Return each card's mean share of the time in which it was busy, from a moment on."""
        cards = [[busy for at, _, busy in samples if at >= since] for samples in self.seen.values()]
        return [sum(busy) / len(busy) / 100 for busy in cards if busy]

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            fields = [field.strip() for field in line.split(",")]
            if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():  # else [N/A], as under MIG
                self.seen[fields[0]].append((time.monotonic(), int(fields[1]) << 20, int(fields[2])))
