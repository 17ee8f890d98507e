"""Every worker of a cluster is there and fits before TensorFlow joins them, which itself waits without a word.

Worker 0 listens on its own address, the others come to it; once all are there it lets them go and frees the address
for TensorFlow.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from tfdfd.clip import TfdfdError
from tfdfd.training.cluster import Cluster, WorkersLost

RETRY_SECONDS = 0.5
"""Between two attempts to reach worker 0."""
QUIET_SECONDS = 5.0
"""How long is waited before a person is told for whom."""
REPEAT_SECONDS = 60.0
"""Between two such lines."""
_LONGEST_LINE = 1 << 20
_TALK_SECONDS = 10.0


def call_roll(cluster: Cluster, facts: dict[str, Any], *, wait_seconds: float, say: Callable[[str], None]) -> None:
    """Wait until all workers are there, and have worker 0 compare them.

    Args:
        cluster: the workers, and which of them this is.
        facts: what must be the same on all, by name, JSON-able.
        wait_seconds: longest to wait.
        say: told for whom this worker waits.

    Raises:
        WorkersLost: if some did not come in time.
        TfdfdError: if workers do not fit each other, on all of them with the same text.
    """
    deadline = time.monotonic() + wait_seconds
    waiting = _Waiting(cluster, wait_seconds, say)
    # The others hold their address too: TensorFlow's error for one that is taken does not say which.
    with _listen(cluster, deadline, waiting) as listener:
        if cluster.is_chief:
            _Chief(cluster, facts).wait(listener, deadline, waiting)
        else:
            _come(cluster, facts, deadline, waiting)


def _listen(cluster: Cluster, deadline: float, waiting: _Waiting) -> socket.socket:
    family = socket.AF_INET6 if cluster.addresses[cluster.index].startswith("[") else socket.AF_INET
    while True:
        try:
            return socket.create_server(("", cluster.port), family=family, backlog=len(cluster.addresses) + 8)
        except OSError as error:
            # TensorFlow's server of a run that is just ending, or something else.
            why = f": its port {cluster.port} cannot be used here, {os.strerror(error.errno or 0)}"
            if time.monotonic() > deadline:
                raise waiting.gave_up([cluster.index], why) from error
            waiting.for_workers([cluster.index], why)
            time.sleep(RETRY_SECONDS)


class _Waiting:
    """Says for whom is waited: after a few seconds, then every minute."""

    def __init__(self, cluster: Cluster, wait_seconds: float, say: Callable[[str], None]) -> None:
        self._cluster, self._say, self._wait_seconds = cluster, say, wait_seconds
        self._next = time.monotonic() + QUIET_SECONDS

    def for_workers(self, indices: list[int], why: str = "") -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + REPEAT_SECONDS
            self._say(f"waiting for {self._named(indices)}{why}")

    def gave_up(self, indices: list[int], why: str = "") -> WorkersLost:
        return WorkersLost(
            f"{self._named(indices)} did not come in {self._wait_seconds / 60:g} minutes{why}: start the same command "
            "on every machine of TF_CONFIG, and look whether they reach each other there (--cluster-wait waits longer)"
        )

    def _named(self, indices: list[int]) -> str:
        return ", ".join(map(self._cluster.name, indices))


class _Chief:
    def __init__(self, cluster: Cluster, facts: dict[str, Any]) -> None:
        self._cluster, self._facts = cluster, facts
        self._there: dict[int, tuple[socket.socket, dict[str, Any]]] = {}

    def wait(self, listener: socket.socket, deadline: float, waiting: _Waiting) -> None:
        try:
            while missing := [index for index in range(1, len(self._cluster.addresses)) if index not in self._there]:
                if time.monotonic() > deadline:
                    raise waiting.gave_up(missing)
                waiting.for_workers(missing)
                talkers = [listener, *(connection for connection, _ in self._there.values())]
                ready, _, _ = select.select(talkers, [], [], RETRY_SECONDS)
                self._forget(ready)
                if listener in ready:
                    self._greet(listener.accept()[0])
            if problem := self._problem():
                self._tell_all({"error": problem})
                raise TfdfdError(problem)
            listener.close()  # before the others come to TensorFlow's server there
            self._tell_all({"go": True})
        finally:
            for connection, _ in self._there.values():
                connection.close()

    def _greet(self, connection: socket.socket) -> None:
        said = _hear(connection)
        if said is None or not isinstance(said.get("index"), int):
            connection.close()  # a stranger
            return
        index = said["index"]
        if said.get("addresses") != list(self._cluster.addresses) or not 0 < index < len(self._cluster.addresses):
            text = (
                f"TF_CONFIG must name the same cluster on all machines, got {list(self._cluster.addresses)} on "
                f"worker 0 and {said.get('addresses')} on worker {index}"
            )
            _tell(connection, {"error": text})
            connection.close()
            self._tell_all({"error": text})
            raise TfdfdError(text)
        if index in self._there:
            # Its machine may have vanished without a farewell, and this is its next try.
            older, _ = self._there.pop(index)
            _tell(older, {"error": f"another process has come as worker {index}: each needs its own task.index"})
            older.close()
        self._there[index] = (connection, said.get("facts", {}))

    def _forget(self, ready: list[socket.socket]) -> None:
        """Drop who has hung up: a worker says nothing more until it is answered."""
        for index, (connection, _) in list(self._there.items()):
            if connection in ready:
                connection.close()
                del self._there[index]

    def _problem(self) -> str:
        everyone = {0: self._facts} | {index: facts for index, (_, facts) in sorted(self._there.items())}
        for name, expected in self._facts.items():
            if any(facts.get(name) != expected for facts in everyone.values()):
                listed = ", ".join(f"{facts.get(name)} on worker {index}" for index, facts in everyone.items())
                return f"all workers must have the same {name}, got {listed}"
        return ""

    def _tell_all(self, message: dict[str, Any]) -> None:
        for connection, _ in self._there.values():
            _tell(connection, message)


def _come(cluster: Cluster, facts: dict[str, Any], deadline: float, waiting: _Waiting) -> None:
    host, _, port = cluster.addresses[0].rpartition(":")
    hello = {"index": cluster.index, "addresses": list(cluster.addresses), "facts": facts}
    why = ""
    while time.monotonic() < deadline:
        answer = None
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_TALK_SECONDS) as connection:
                _tell(connection, hello)
                while time.monotonic() < deadline and not select.select([connection], [], [], RETRY_SECONDS)[0]:
                    waiting.for_workers([0], ", which waits for the others")
                answer = _hear(connection)
                why = ", which ended meanwhile or runs something else there"
        except OSError as error:
            why = f", which does not answer: {error.strerror or error}"
        if answer is not None and "error" in answer:
            raise TfdfdError(answer["error"])
        if answer is not None and answer.get("go"):
            return
        waiting.for_workers([0], why)
        time.sleep(RETRY_SECONDS)
    raise waiting.gave_up([0], why)


def _tell(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # who has gone will come again
        connection.settimeout(_TALK_SECONDS)
        connection.sendall(json.dumps(message).encode() + b"\n")


def _hear(connection: socket.socket) -> dict[str, Any] | None:
    """Read one line; None where the other side hangs up, stays silent or speaks something else."""
    connection.settimeout(_TALK_SECONDS)
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
            part = connection.recv(1 << 16)
            if not part:
                return None
            line += part
        message = json.loads(line)
    except (OSError, ValueError):
        return None
    return message if isinstance(message, dict) else None
