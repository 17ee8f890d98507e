"""What the machines of a Ray cluster offer, and how many workers that feeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tfdfd.clip import TfdfdError
from tfdfd.workers.dispatch import MAX_STARTS
from tfdfd.workers.places import CORES_PER_WORKER, WORKERS_PER_UNKNOWN_CARD, worker_places

_REFRESH_SECONDS = 2.0
"""How old the list of machines may be."""
_NO_MACHINE_SECONDS = 600.0
"""Time for which a cluster may have no machine that takes a worker: a new one may be on its way."""


@dataclass(frozen=True)
class Machine:
    """A machine that takes workers."""

    node_id: str
    """Ray's; another one when the machine joins again."""
    name: str
    """Its host name, for people; tests run several on one host."""
    num_workers: int
    """Workers that it feeds, at least 1: see `places.worker_places`."""
    cpus_per_worker: int
    threads_per_worker: int
    num_gpu_workers: int = 0
    """Those of them that share its GPUs."""
    gpus_per_gpu_worker: float = 0.0
    """The part of a GPU that Ray counts for each of these, e.g. 0.5."""

    @property
    def shard(self) -> str:
        """Name of the part of a store that it writes to."""
        return f"{self.name}-{self.node_id[:12]}"


def machines_of(nodes: Iterable[Mapping[str, Any]], *, only_on_cards: bool = False) -> list[Machine]:
    """Return the machines that take workers, in the order of their names.

    Args:
        nodes: what `ray.nodes()` returns: of each node NodeID, Alive, NodeManagerHostname and Resources, in which
            CPU and GPU count and memory is in bytes. How much memory a GPU has they do not say.
        only_on_cards: let no worker do without a GPU, so that a machine without any takes none.
    """
    machines = []
    for node in nodes:
        resources = node.get("Resources", {})
        cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        if not node["Alive"] or not cpus or (only_on_cards and not gpus):
            continue  # a head may be told to take no work, with --num-cpus=0
        places = worker_places(
            [WORKERS_PER_UNKNOWN_CARD] * gpus,
            cores=cpus,
            memory_bytes=int(resources.get("memory", 0)),
            only_on_cards=only_on_cards,
        )
        on_gpus = [card for card in places if card is not None]
        # Several share a card, whole parts of it: Ray counts ten-thousandths, and each must find its part on one card.
        most_a_card = max((on_gpus.count(card) for card in set(on_gpus)), default=1)
        machines.append(
            Machine(
                node_id=node["NodeID"],
                name=node["NodeManagerHostname"],
                num_workers=len(places),
                cpus_per_worker=min(cpus // len(places), CORES_PER_WORKER),
                threads_per_worker=cpus // len(places),
                num_gpu_workers=len(on_gpus),
                gpus_per_gpu_worker=10_000 // most_a_card / 10_000 if on_gpus else 0.0,
            )
        )
    return sorted(machines, key=lambda machine: (machine.name, machine.node_id))


class Register:
    """The machines that take part: those of the cluster, as they come and go, less those on which no worker starts.

    Args:
        nodes: the cluster's, as `machines_of` takes them.
        say: told what a person should know.
        clock: seconds that only rise.
        only_on_cards: as `machines_of`.
    """

    def __init__(
        self,
        nodes: Callable[[], Iterable[Mapping[str, Any]]],
        *,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        only_on_cards: bool = False,
    ) -> None:
        self._nodes, self._say, self._clock = nodes, say, clock
        self._only_on_cards = only_on_cards
        self._left_out: dict[str, str] = {}
        self._failed_starts: dict[str, int] = {}
        self._looked = self._had_some = clock()
        self._alive = {machine.node_id: machine for machine in self._machines()}
        self._seen = set(self._alive)

    def taking_part(self) -> list[Machine]:
        """Return the machines that may be given workers now.

        Raises:
            TfdfdError: if there is none, and none is to be expected.
        """
        now = self._clock()
        if now - self._looked > _REFRESH_SECONDS:
            self._look()
        machines = [machine for machine in self._alive.values() if machine.node_id not in self._left_out]
        if machines:
            self._had_some = now
        elif self._seen and self._seen == self._left_out.keys():
            raise TfdfdError(f"no machine of the Ray cluster can take part: {'; '.join(self._left_out.values())}")
        elif now - self._had_some > _NO_MACHINE_SECONDS:
            raise TfdfdError(
                f"the Ray cluster has had no machine with a CPU to give for {_NO_MACHINE_SECONDS / 60:.0f} minutes: "
                "start some (`ray status` lists them) and run the same command again; what is done is kept"
            )
        return machines

    def is_there(self, machine: Machine) -> bool:
        """Return whether a machine is still part of the cluster; it may take some seconds until its loss is known."""
        self._look()
        return machine.node_id in self._alive

    def started(self, machine: Machine) -> None:
        """Take in that a worker was ready."""
        self._failed_starts.pop(machine.node_id, None)

    def failed_to_start(self, machine: Machine, why: str, *, refused: bool) -> bool:
        """Take in that a worker was not.

        Args:
            machine: where.
            why: for a person.
            refused: whether no other would be, e.g. because the store is not there.

        Returns:
            Whether the machine takes no part from now on.
        """
        failed = self._failed_starts[machine.node_id] = self._failed_starts.get(machine.node_id, 0) + 1
        if (refused or failed >= MAX_STARTS) and machine.node_id not in self._left_out:
            self._left_out[machine.node_id] = f"{machine.name}: {why}"
            self._say(f"the machine {machine.name} takes no part: {why}")
        return machine.node_id in self._left_out

    def _machines(self) -> list[Machine]:
        return machines_of(self._nodes(), only_on_cards=self._only_on_cards)

    def _look(self) -> None:
        self._looked = self._clock()
        found = {machine.node_id: machine for machine in self._machines()}
        for node_id in self._alive.keys() - found.keys():
            self._say(f"the machine {self._alive[node_id].name} has left the Ray cluster: others do its clips")
        for node_id in found.keys() - self._alive.keys():
            self._say(f"the machine {found[node_id].name} takes part from now on")
        if self._alive and not found:
            self._say("the Ray cluster has no machine left with a CPU to give: waiting for one")
        self._alive = found
        self._seen |= found.keys()
