"""The machines that train together, as TF_CONFIG names them. Does not load TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfdfd.clip import TfdfdError

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")
"""The tasks that train; a chief is worker 0, and without one the first worker is."""
EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'


class WorkersLost(TfdfdError):
    """Another worker has ended or did not come: the same command on all machines goes on from the last checkpoint."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h: trying again is what helps


@dataclass(frozen=True)
class Cluster:
    """The workers of a run, seen from one of them."""

    addresses: tuple[str, ...]
    """`host:port` of each worker, at least two; the first is worker 0, which writes the run's files."""
    index: int
    """Which of them this process is."""

    def __post_init__(self) -> None:
        for address in self.addresses:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise TfdfdError(f"{VARIABLE}: an address must be host:port, got {address!r}")
        if len(set(self.addresses)) < len(self.addresses):
            raise TfdfdError(f"{VARIABLE}: each worker needs an address of its own, got {list(self.addresses)}")

    @property
    def is_chief(self) -> bool:
        """Whether this is worker 0."""
        return self.index == 0

    @property
    def port(self) -> int:
        """The port that this worker listens on."""
        return int(self.addresses[self.index].rpartition(":")[2])

    def name(self, index: int) -> str:
        """Return what messages call a worker: `worker 1 (10.0.0.2:2222)`."""
        return f"worker {index} ({self.addresses[index]})"


def cluster_from_environment(environment: Mapping[str, str]) -> Cluster | None:
    """Read TF_CONFIG.

    Args:
        environment: `os.environ`.

    Returns:
        The cluster, or None where TF_CONFIG is not set, names no cluster, or names this process alone.

    Raises:
        TfdfdError: if it is malformed, or asks for tasks that this training does not have.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise TfdfdError(f"{VARIABLE} must be JSON such as {EXAMPLE}, got {text!r} ({error})") from error
    if not isinstance(content, dict):
        raise _malformed("a JSON object", content)
    jobs = content.get("cluster") or {}
    if not isinstance(jobs, dict) or not all(_is_list_of_text(job) for job in jobs.values()):
        raise _malformed("`cluster` to be lists of host:port by task type", jobs)
    if unknown := sorted(jobs.keys() - set(JOBS)):
        raise TfdfdError(
            f"{VARIABLE}: `cluster` may hold {' and '.join(JOBS)}, got {', '.join(unknown)} too: this training has no "
            "parameter servers and evaluates by itself after each epoch"
        )
    addresses = tuple(address for job in JOBS for address in jobs.get(job, []))
    if not addresses:
        return None
    if len(jobs.get("chief", [])) > 1:
        raise TfdfdError(f"{VARIABLE}: `cluster` may hold one chief, got {jobs['chief']}")
    cluster = Cluster(addresses, _index(content.get("task"), jobs))
    return cluster if len(addresses) > 1 else None


def _index(task: Any, jobs: dict[str, list[str]]) -> int:
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise _malformed("`task` to say which worker this process is", task)
    kind, index = task["type"], task["index"]
    if kind not in JOBS:
        raise TfdfdError(
            f"{VARIABLE}: `task.type` must be one of {list(JOBS)}, got {kind!r}: this training has no parameter "
            "servers and evaluates by itself after each epoch"
        )
    number = len(jobs.get(kind, []))
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < number:
        raise TfdfdError(
            f"{VARIABLE}: `task.index` must be the place of this process among the {number} of {kind!r} in `cluster`, "
            f"from 0, got {index!r}"
        )
    return index if kind == JOBS[0] else len(jobs.get(JOBS[0], [])) + index


def _is_list_of_text(job: Any) -> bool:
    return isinstance(job, list) and all(isinstance(address, str) for address in job)


def _malformed(expected: str, found: Any) -> TfdfdError:
    return TfdfdError(f"{VARIABLE} needs {expected}, got {found!r}; it looks like {EXAMPLE}")
