"""The devices of a check in TensorFlow's words, and what the driver says of the cards meanwhile."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tfdfd.commands.gpu_proof.context import Context, require
from tfdfd.gpus import ask_nvidia_smi

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
    from tfdfd.cuda_libraries import unseen_message, why_unseen

    num_seen = len(tf.config.list_physical_devices("GPU"))
    if finding := why_unseen(num_seen):
        require(False, unseen_message(num_seen, finding))
    return [f"GPU:{number}" for number in range(len(context.cards))]


def make_replicas(context: Context, count: int) -> tf.distribute.Strategy:
    """Return a strategy of so many cards, or logical CPUs in a dry run; once a process."""
    from tfdfd.training.strategy import make_strategy

    if context.is_dry:
        return make_strategy(None, count)[0]
    device_names(context)  # says why a card is not seen
    return make_strategy(count, None)[0]


class CardWatch:
    """What `nvidia-smi` says of the cards while the block runs: memory in use and how busy they are.

    The driver's view counts what TensorFlow, DALI and NVDEC hold together. Other processes on a card count too, so
    nothing else should run there. In a dry run it sees nothing.
    """

    def __init__(self, context: Context, every_seconds: float = 0.25) -> None:
        self._cards, self._every = context.cards, every_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_again, daemon=True)
        self._looks: list[tuple[float, list[tuple[int, int]]]] = []

    def __enter__(self) -> CardWatch:
        if self._cards:
            self._looks.append(self._look())  # here, since a thread's exception would be lost
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def memory_now(self) -> int:
        """Return the bytes in use now, of all cards together."""
        return sum(used for used, _ in self._look()[1])

    def memory_bytes(self, since: float) -> list[int]:
        """Return the bytes in use, of all cards together, at each look since a moment of `time.monotonic`."""
        return [sum(used for used, _ in cards) for at, cards in self._looks if at >= since]

    def busy_shares(self, since: float) -> list[float]:
        """Return each card's mean share of the time in which it was busy, since a moment."""
        looks = [[busy for _, busy in cards] for at, cards in self._looks if at >= since]
        return [sum(card) / len(card) / 100 for card in zip(*looks, strict=True)]

    def _look_again(self) -> None:
        while not self._is_over.wait(self._every):
            self._looks.append(self._look())

    def _look(self) -> tuple[float, list[tuple[int, int]]]:
        """Return when it looked and, of each card, bytes in use and percent of the last moments that it was busy."""
        rows, problem = ask_nvidia_smi(("memory.used", "utilization.gpu"), self._cards)
        require(
            len(rows) == len(self._cards) and all(field.isdigit() for row in rows for field in row),
            f"nvidia-smi must tell memory and use of {len(self._cards)} cards: {problem or rows}",
        )
        return time.monotonic(), [(int(used) << 20, int(busy)) for used, busy in rows]
