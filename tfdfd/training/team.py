"""The processes that train together: what worker 0 alone does, and how all come to the same decision.

Every process takes the same steps, for a step that one leaves out is waited for by all others. So what a clock or a
file decides is decided by worker 0 and told to the others, through the collectives of the strategy.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.data.fingerprint import preprocessing_differences
from tfdfd.training.cluster import WorkersLost

TOKEN_FILE = "workers.txt"
"""In the run folder: what worker 0 wrote last, by which the others know that they see the same folder."""
_WIDTHS = (64, 16384)
"""Numbers that travel at once, of a few or of many: TensorFlow traces a function anew for each other length."""
TOKEN_SECONDS = 30.0
"""How long a network disk may take to show it."""


SAME_COMMAND = "Give the same command on all machines, on the same store"
_LOST = re.compile(r"[Cc]ollective|[Cc]oordination|[Hh]eartbeat|[Cc]onnect|Socket closed|unreachable|another task")
"""What TensorFlow says of workers that are gone. The paths of devices name a task in any error."""


class Team:
    """The processes that train together, seen from one of them; alone, every call returns at once.

    All of them must make the same calls in the same order. `team_of` makes it.

    Args:
        strategy: that of the run.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.index, self.size = 0, 1
        resolver = strategy.cluster_resolver
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and resolver is not None:
            self.index = int(resolver.task_id or 0)
            self.size = resolver.cluster_spec().num_tasks("worker")
        self._gather = tf.function(lambda values: strategy.gather(values, axis=0))

    @property
    def is_chief(self) -> bool:
        """Whether this is worker 0, which writes the run's files."""
        return self.index == 0

    @property
    def replica_offset(self) -> int:
        """Number of the first replica of this worker among all."""
        return self.index * (self._strategy.num_replicas_in_sync // self.size)

    def every_replicas(self, vectors: Sequence[np.ndarray]) -> np.ndarray:
        """Return what each replica has.

        Args:
            vectors: float64, shape (n,), of each replica of this worker; n the same on all.

        Returns:
            float64, shape (replicas of all workers, n).
        """
        if self.size == 1:
            return np.stack(vectors).astype(np.float64)

        length = len(vectors[0])
        width = _WIDTHS[length > _WIDTHS[0]]
        padded = [np.pad(np.asarray(vector, np.float64), (0, -length % width)) for vector in vectors]
        parts = [
            self._gather_part([vector[start : start + width] for vector in padded])
            for start in range(0, len(padded[0]), width)
        ]
        return np.concatenate(parts, axis=1)[:, :length]

    def _gather_part(self, vectors: Sequence[np.ndarray]) -> np.ndarray:
        def own(context: tf.distribute.ValueContext) -> tf.Tensor:
            return tf.constant(vectors[context.replica_id_in_sync_group - self.replica_offset], tf.float64)[None]

        return self._gather(self._strategy.experimental_distribute_values_from_function(own)).numpy()

    def everyones(self, values: np.ndarray) -> np.ndarray:
        """Return what each worker has given.

        Args:
            values: float64, shape (n,), n the same on all.

        Returns:
            float64, shape (size, n), in the order of the workers.
        """
        num_replicas = self._strategy.num_replicas_in_sync // self.size
        return self.every_replicas([np.asarray(values, np.float64)] * num_replicas)[::num_replicas]

    def chiefs(self, values: np.ndarray) -> np.ndarray:
        """Return the values of worker 0, float64, shape (n,)."""
        return self.everyones(values)[0]

    def everyones_text(self, text: str) -> list[str]:
        """Return the text of each worker, in their order."""
        content = np.frombuffer(text.encode(), np.uint8)
        lengths = self.everyones(np.array([len(content)]))[:, 0].astype(int)
        padded = np.zeros(max(1, lengths.max()), np.float64)
        padded[: len(content)] = content
        rows = self.everyones(padded).astype(np.uint8)
        return [row[:length].tobytes().decode() for row, length in zip(rows, lengths, strict=True)]

    def wait(self) -> None:
        """Return once all are here."""
        self.everyones(np.zeros(1))

    def require_same(self, what: str, content: dict[str, Any], *, advice: str = SAME_COMMAND) -> None:
        """Raise on every worker if one has something else.

        Args:
            what: for the message, e.g. `settings and data`.
            content: JSON-able.
            advice: what to do.

        Raises:
            TfdfdError: lists what differs.
        """
        text = json.dumps(content, sort_keys=True)
        digest = hashlib.sha256(text.encode()).digest()[:16]
        digests = self.everyones(np.frombuffer(digest, np.uint8).astype(np.float64))
        others = [index for index in range(self.size) if not np.array_equal(digests[index], digests[0])]
        if not others:
            return
        texts = self.everyones_text(text)
        differences = preprocessing_differences(json.loads(texts[0]), json.loads(texts[others[0]]))
        listed = "\n".join(f"  {name}: {chiefs!r} and {its!r}" for name, chiefs, its in differences)
        raise TfdfdError(f"worker {others[0]} has other {what} than worker 0:\n{listed}\n{advice}")

    def require_shared(self, folder: Path) -> None:
        """Raise on every worker if one does not see the run folder of worker 0.

        Raises:
            TfdfdError: names the workers that see another one.
        """
        if self.size == 1:
            return
        token = uuid.uuid4().hex
        if self.is_chief:
            with explain_write_errors(folder):
                write_atomically(folder / TOKEN_FILE, token.encode())
        token = self.everyones_text(token)[0]
        deadline = time.monotonic() + TOKEN_SECONDS
        while not (sees := _holds(folder / TOKEN_FILE, token)) and time.monotonic() < deadline:
            time.sleep(0.2)
        seen = self.everyones(np.array([sees]))[:, 0]
        if blind := np.flatnonzero(seen == 0).tolist():
            raise TfdfdError(
                f"the run folder {folder} is not the same on all machines: what worker 0 wrote there does not appear "
                f"on worker {', '.join(map(str, blind))}. All go on from the state in it, so it must lie on a disk "
                "that all machines share (--run-folder)"
            )


@functools.cache
def team_of(strategy: tf.distribute.Strategy) -> Team:
    """Return the team of a strategy, always the same."""
    return Team(strategy)


class SaveClock:
    """Says when the state is due to be saved within an epoch; on all workers after the same step.

    Args:
        team: whose worker 0 looks at its clock.
        minutes: between two saves; 0 saves after each step.
    """

    STEPS = 16
    """Steps from one question to the next, where there are several workers: each waits for all."""

    def __init__(self, team: Team, minutes: float) -> None:
        self._team, self._seconds = team, 60 * minutes
        self._saved = time.monotonic()

    def is_due(self, step: int) -> bool:
        """Return whether to save after this step, from 1."""
        if not self._seconds:
            return True
        if self._team.size > 1 and step % self.STEPS:
            return False
        is_due = time.monotonic() - self._saved >= self._seconds
        return bool(self._team.chiefs(np.array([is_due]))[0])

    def saved(self) -> None:
        """Start anew."""
        self._saved = time.monotonic()


@contextmanager
def explain_lost_workers(team_size: int) -> Iterator[None]:
    """Turn what TensorFlow raises when another worker has ended into an error that says what to do.

    Raises:
        WorkersLost: in place of TensorFlow's errors of a broken connection, where there are several workers.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.FailedPreconditionError,
        tf.errors.InternalError,
    ) as error:
        # Of many lines the one that says what happened; the rest is where in the graph.
        lines = [line.strip() for line in error.message.splitlines() if _LOST.search(line)]
        is_own = isinstance(error, tf.errors.InternalError | tf.errors.FailedPreconditionError) and not lines
        if team_size == 1 or is_own:
            raise
        raise WorkersLost(
            "another worker has ended or cannot be reached, and no step can be done without it: see what it printed. "
            "Start the same command on all machines again; it goes on from the last checkpoint.\n"
            f"TensorFlow says: {next(iter(lines), error.message)[:300]}"
        ) from error


def _holds(path: Path, token: str) -> bool:
    try:
        return path.read_text() == token
    except OSError:
        return False
