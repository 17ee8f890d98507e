"""Progress is told also where no bar can be drawn."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tfdfd.training import progress


def test_a_log_file_gets_lines_with_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    output = io.StringIO()
    with progress.EpochProgress(Console(file=output, width=200), "epoch 1/2", 1000, 100, 32) as bar:
        for now[0], step in ((50.0, 150), (61.0, 161), (70.0, 170)):
            assert bar.is_due
            bar.show(step, 0.5)
    assert output.getvalue() == "epoch 1/2  step 161/1000  loss 0.5000  1.00 steps/s  32 faces/s  14.0 min left\n"
