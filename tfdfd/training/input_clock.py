"""How much of the training time goes by in waiting for batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any


class InputClock:
    """Measures on the host what share of the time it waits in `next` for a batch.

    On CPUs a step is done when its call returns, so the network stands still while the host waits. On GPUs batches are
    drawn ahead by a thread, and it is the time for which its queue was empty. The call of a step only hands it over:
    the GPU may still have steps to do meanwhile, so the share is the most that it can have stood still for want of
    input. Near 0 the input is fast enough, whatever the device.

    The first step does not count: it starts the pipelines and traces the graph.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._began = self._waited = 0.0

    def next(self, batches: Iterator[Any]) -> Any:
        """Return the next batch."""
        before = time.monotonic()
        batch = next(batches)
        self._batches += 1
        if self._batches == 2:
            self._began = before
        if self._batches > 1:
            self._waited += time.monotonic() - before
        return batch

    def share(self) -> float:
        """Return the share, 0 to 1, from the second batch until now; NaN before there is one."""
        return self._waited / (time.monotonic() - self._began) if self._batches > 1 else math.nan
