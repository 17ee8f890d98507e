"""What to say where a training process has no memory for its batch, though it can no longer speak itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.training.strategy import uses_gpus

_GOODBYE = b"goodbye"
# It has a session of its own: Ctrl-C is for the training, whose end it then hears of.
_WATCH = """
import os, sys
heard = sys.stdin.buffer.read()
if heard != sys.argv[1].encode():
    os.write(2, f"{sys.argv[2]}\\n".encode())
"""


@contextmanager
def explain_want_of_memory(batch_size: int, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Name the batch size where a step has no memory, also where a library aborts the process for it.

    Args:
        batch_size: of all replicas together.
        strategy: that of the run.

    Raises:
        TfdfdError: in place of TensorFlow's error.
    """
    given = f"--batch-size {batch_size} ({batch_size // strategy.num_replicas_in_sync} a replica)"
    advice = "Give a smaller --batch-size, or --input-size, and a new --run-folder"
    message = (
        f"training with {given} ended without a word: something killed it, or a library aborted it, as DALI does where "
        f"it cannot allocate memory on a GPU. In the former case the same command goes on; in the latter: {advice}"
    )
    try:
        with told_of_abrupt_end(message) if uses_gpus(strategy) else nullcontext():
            yield
    except tf.errors.ResourceExhaustedError as error:
        raise TfdfdError(f"there is no memory for a step with {given}. {advice}: {error.message[:300]}") from error


@contextmanager
def told_of_abrupt_end(message: str) -> Iterator[None]:
    """Have a message printed on stderr if this process ends inside, other than by Python.

    DALI's plugin aborts the process where it cannot allocate memory on a GPU, and nothing in an aborted process can
    speak. So a small process waits at the other end of a pipe, which closes whatever happens.

    Args:
        message: for a person.
    """
    with subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _WATCH, _GOODBYE.decode(), message],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as watcher:
        try:
            yield
        finally:
            if watcher.stdin is not None:
                with suppress(BrokenPipeError):  # somebody has ended the watcher
                    watcher.stdin.write(_GOODBYE)
                    watcher.stdin.close()
