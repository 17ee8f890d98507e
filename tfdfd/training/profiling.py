"""A TensorBoard profile of some steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf
from rich.console import Console


class StepProfile:
    """Profiles the steps from one number to another into a folder of TensorBoard logs.

    Args:
        steps: first and last, from 1, counted where this process begins to train; None for no profile.
        folder: gets `plugins/profile/<time>/`.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: Path) -> None:
        self._steps, self._folder = steps, folder
        self._done = 0
        self._is_on = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold the work of one step: waiting for its batch and running it."""
        self._done += 1
        if self._steps is None or not self._steps[0] <= self._done <= self._steps[1]:
            yield
            return
        if self._done == self._steps[0]:
            self._folder.mkdir(parents=True, exist_ok=True)
            tf.profiler.experimental.start(str(self._folder))
            self._is_on = True
        with tf.profiler.experimental.Trace("train", step_num=self._done, _r=1):
            yield
        if self._done == self._steps[1]:
            self._stop()

    def close(self, console: Console) -> None:
        """Write what there is, and say so where the run ended before the last step asked for."""
        if self._is_on:
            self._stop()
        if self._steps is not None and self._done < self._steps[1]:
            console.print(
                f"profile_steps {self._steps[0]},{self._steps[1]}: only {self._done} steps were trained", style="yellow"
            )

    def _stop(self) -> None:
        tf.test.experimental.sync_devices()
        tf.profiler.experimental.stop()
        self._is_on = False
