"""Whole training runs: three epochs, a run that is killed and goes on, the speed of Xception, a batch too large."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import numpy as np

from tfdfd.commands.gpu_proof.context import Context, Figures, require
from tfdfd.commands.gpu_proof.process import FAILED, environment, log_end, part, result_of, started, wait

STATE_FILE = "state.npz"
EPOCHS = 3
KILLED_AT = (1, 3)
"""Epoch and step, both from 0, before which a run is killed."""
BYTES_A_FACE = 16 << 20
"""What a face of 200 pixels takes at the least while Xception learns from it in float16."""
_LIMIT_SECONDS = 200


def three_epochs(context: Context) -> Figures:
    """Train three epochs, each with new pipelines, validated, the best of them kept."""
    found = json.loads((undisturbed_run(context) / "result.json").read_text())
    losses, validated = found["losses"], found["validated"]
    require(len(losses) == EPOCHS, f"there must be {EPOCHS} epochs, got {len(losses)}")
    require(bool(np.isfinite(losses + validated).all()), f"a loss is not finite: {losses}, validated {validated}")
    require(losses[-1] < losses[0], f"the loss must fall over the epochs, got {losses}")
    best = int(np.argmin(validated)) + 1
    require(found["best_epoch"] == best, f"the best epoch is {best} by {validated}, kept was {found['best_epoch']}")
    return {
        "replicas": context.num_replicas,
        "losses": losses,
        "validated": validated,
        "best_epoch": best,
        "input_wait": found["input_wait"],
    }


def killed_and_resumed(context: Context) -> Figures:
    """Kill a run with SIGKILL in its second epoch; the same run goes on to the state of an undisturbed one."""
    undisturbed = undisturbed_run(context)
    folder, log = context.folder / "killed", context.folder / "killed.log"
    arguments = (str(folder), list(KILLED_AT))
    with started("run_parts:train_small", context, log, *arguments, env=environment(context)) as process:
        in_time = wait(process, _LIMIT_SECONDS)
    print(log_end(log))
    require(in_time, f"the run that is to be killed took longer than {_LIMIT_SECONDS} s")
    require(
        process.returncode == -signal.SIGKILL, f"the run must end by SIGKILL, it ended with status {process.returncode}"
    )
    require((folder / STATE_FILE).is_file(), f"a killed run must leave {STATE_FILE}")
    part(context, "run_parts:train_small", str(folder), None, limit_seconds=_LIMIT_SECONDS)
    largest = 0.0
    with np.load(undisturbed / STATE_FILE) as expected, np.load(folder / STATE_FILE) as found:
        require(expected.files == found.files, "the resumed run's state holds other variables")
        for name in expected.files:
            if name != "state":  # holds how many seconds each epoch took
                difference = np.abs(expected[name].astype(np.float64) - found[name])
                largest = max(largest, float(difference.max(initial=0.0)))
    require(largest == 0, f"a resumed run must come to the same state, it differs by up to {largest:g}")
    return {"replicas": context.num_replicas, "largest_difference": largest}


def undisturbed_run(context: Context) -> Path:
    """Return the folder of a run of three epochs, made at the first call."""
    folder = context.data / "undisturbed"
    if not (folder / "result.json").is_file():
        part(context, "run_parts:train_small", str(folder), None, limit_seconds=_LIMIT_SECONDS)
    return folder


def speed(context: Context) -> Figures:
    """Train Xception as `run_train.py` does, on one card and on all: steps a second, cards busy, input, memory."""
    figures: Figures = {}
    for count in context.replica_counts[:1] if context.is_dry else context.replica_counts:
        found = part(context.with_cards(count), "run_parts:timed_steps", count, limit_seconds=300)
        figures |= {f"{name}_on_{count}": value for name, value in found.items()}
    return figures


def too_large_batch(context: Context) -> Figures:
    """Train with a batch that no card holds: the run ends by itself, with an error that names the batch size."""
    batch = 8 * context.num_replicas * -(-context.card_bytes // (BYTES_A_FACE * 8))
    log = context.folder / "too-large.log"
    began = time.monotonic()
    with started("run_parts:train_too_much", context, log, batch, env=environment(context)) as process:
        in_time = wait(process, _LIMIT_SECONDS)
    state, reason = result_of(process, log)
    print(f"{reason}\n{log_end(log)}")
    require(in_time, f"a batch of {batch} faces, which no card holds, must be an error, but the run hangs")
    require(state == FAILED, f"a batch of {batch} faces must not fit, but it was trained")
    # TensorFlow's own error lists shapes, which hold the number too; a person needs the setting.
    is_named = re.search(rf"batch[- _]?size[^\n]*\b{batch}\b", f"{reason}\n{log_end(log)}", re.IGNORECASE)
    require(is_named is not None, f"the error must name the batch size, {batch}; it says: {reason}")
    return {"batch_size": batch, "seconds_to_the_error": round(time.monotonic() - began, 1)}
