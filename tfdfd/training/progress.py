"""What a person sees while an epoch runs."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

REFRESH_SECONDS = 0.5
"""Between two looks at the loss: each waits for the device."""
WINDOW = 60
"""Looks over which the speed is measured: the first step, which traces the graph, soon no longer counts."""
LINE_SECONDS = 60.0
"""Between two lines where the output is a file and no bar can be drawn."""


class EpochProgress:
    """A progress bar with loss, steps/s, faces/s and time left; plain lines where there is no terminal.

    Args:
        console: where it is drawn.
        label: e.g. `epoch 3/10`.
        num_steps: steps of the epoch.
        first_step: steps that were done before.
        batch_size: faces, or clips, a step.
        unit: which of them.
    """

    def __init__(
        self, console: Console, label: str, num_steps: int, first_step: int, batch_size: int, unit: str = "faces"
    ) -> None:
        self._console, self._label = console, label
        self._num_steps, self._batch_size, self._unit = num_steps, batch_size, unit
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=num_steps, completed=first_step, figures="")
        self._refreshed = self._line = time.monotonic()
        self._looks = deque([(self._refreshed, first_step)], maxlen=WINDOW)

    def __enter__(self) -> EpochProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def is_due(self) -> bool:
        """Whether it is time to call `show`."""
        return time.monotonic() - self._refreshed >= REFRESH_SECONDS

    def show(self, step: int, loss: float | None) -> None:
        """Show that `step` steps are done; the loss is the mean of the epoch so far, None while validating."""
        now = self._refreshed = time.monotonic()
        before, step_before = self._looks[0]
        self._looks.append((now, step))
        steps_per_second = (step - step_before) / max(now - before, 1e-6)
        figures = "" if loss is None else f"loss {loss:.4f}  "
        figures += f"{steps_per_second:.2f} steps/s  {steps_per_second * self._batch_size:.0f} {self._unit}/s"
        self._bar.update(self._task, completed=step, figures=figures)
        if not self._console.is_terminal and now - self._line >= LINE_SECONDS:
            self._line = now
            left = (self._num_steps - step) / max(steps_per_second, 1e-6)
            self._console.print(f"{self._label}  step {step}/{self._num_steps}  {figures}  {left / 60:.1f} min left")
