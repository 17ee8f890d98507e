"""What the machines of a Ray cluster offer, and how many workers that feeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tfdfd.workers.job import CORES_PER_WORKER, MEMORY_PER_WORKER


@dataclass(frozen=True)
class Machine:
    """A machine that takes workers."""

    node_id: str
    """Ray's; another one when the machine joins again."""
    name: str
    """Its host name, for people; tests run several on one host."""
    num_workers: int
    """Workers that it feeds, at least 1: one a GPU; without any, as many as cores and memory allow."""
    cpus_per_worker: int
    gpus_per_worker: int
    threads_per_worker: int

    @property
    def shard(self) -> str:
        """Name of the part of a store that it writes to."""
        return f"{self.name}-{self.node_id[:12]}"


def machines_of(nodes: Iterable[Mapping[str, Any]]) -> list[Machine]:
    """Return the machines that take workers, in the order of their names.

    Args:
        nodes: what `ray.nodes()` returns: of each node NodeID, Alive, NodeManagerHostname and Resources, in which
            CPU and GPU count and memory is in bytes.
    """
    machines = []
    for node in nodes:
        resources = node.get("Resources", {})
        cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        if not node["Alive"] or not cpus:  # a head may be told to take no work, with --num-cpus=0
            continue
        memory = int(resources.get("memory", 0)) // MEMORY_PER_WORKER
        num_workers = min(gpus, cpus) if gpus else max(1, min(cpus // CORES_PER_WORKER, memory))
        machines.append(
            Machine(
                node_id=node["NodeID"],
                name=node["NodeManagerHostname"],
                num_workers=num_workers,
                cpus_per_worker=min(cpus // num_workers, CORES_PER_WORKER),
                gpus_per_worker=1 if gpus else 0,
                threads_per_worker=cpus // num_workers,
            )
        )
    return sorted(machines, key=lambda machine: (machine.name, machine.node_id))
