"""Workers on the machines of a Ray cluster.

An actor stands for each worker: on its machine it starts the very process that `tfdfd.workers.processes` starts here,
and hands on clips and events. So a fault of a clip looks the same wherever the clip is done, and an actor that is gone
was killed, or went with its machine.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tfdfd.clip import TfdfdError
from tfdfd.data.frame_source import NVDEC
from tfdfd.gpus import environment_of
from tfdfd.workers.events import KILLED, LOST, Ended, Event, Handed, Note, Ready, Refused
from tfdfd.workers.job import ExtractionJob
from tfdfd.workers.machines import Machine, Register
from tfdfd.workers.process_host import ProcessHost

_POLL_SECONDS = 1.0
"""How long an actor waits for an event before it answers that there is none; a clip may be handed over in between."""
_PLACING_SECONDS = 30.0
"""Time after which a person is told that a worker still waits for cores."""
_FAREWELL_SECONDS = 10.0
_KNOCK_SECONDS = 10.0


def connect(address: str) -> None:
    """Join a Ray cluster as a driver.

    Args:
        address: of its head, `HOST:6379`; `auto` for the cluster that this machine is part of; `ray://HOST:10001`.

    Raises:
        TfdfdError: if none answers, or of another version.
    """
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TfdfdError(
            f"--ray {address}: no Ray cluster can be joined there ({first}). Start one with `ray start --head`, and "
            "`ray start --address HEAD:6379` on each other machine, all with the same packages; then give --ray auto "
            "on one of them"
        ) from error


def _knock(address: str) -> None:
    """Raise an OSError where nobody listens: Ray itself tries for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()


def _nodes_without_gpus() -> list[dict[str, Any]]:
    return [{**node, "Resources": {**node.get("Resources", {}), "GPU": 0.0}} for node in ray.nodes()]


class RayCrew:
    """Starts workers on the machines of a cluster, which it joins, and ends them.

    Each machine writes to its own shard of the store. Machines may come and go.

    Args:
        address: as `connect`.
        job: what they do; the share of the machine and the shard are each machine's.
        max_workers: workers at a time on all machines together, None for as many as they feed.
        say: told what a person should know of the cluster.
        uses_gpus: whether workers may take GPUs of the machines.
        clock: seconds that only rise.

    Raises:
        TfdfdError: if the cluster cannot be joined.
    """

    def __init__(
        self,
        address: str,
        job: ExtractionJob,
        *,
        max_workers: int | None,
        say: Callable[[str], None],
        uses_gpus: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        connect(address)
        self._job = job
        self._max_workers = max_workers
        self._clock = clock
        self._living: list[RayWorker] = []
        only_on_cards = job.share.decoder == NVDEC
        nodes = ray.nodes if uses_gpus else _nodes_without_gpus
        self._register = Register(nodes, say=say, clock=clock, only_on_cards=only_on_cards)
        self._machines = self._register.taking_part()
        workers = sum(machine.num_workers for machine in self._machines)
        say(f"the Ray cluster has {len(self._machines)} machines for {workers} workers")

    @property
    def num_workers(self) -> int:
        """Workers that the machines and --workers allow now.

        Raises:
            TfdfdError: if there has been no machine for a long time.
        """
        self._machines = self._register.taking_part()
        places = sum(machine.num_workers for machine in self._machines)
        return places if self._max_workers is None else min(places, self._max_workers)

    def start(self, slot: int) -> RayWorker:
        """Start a worker on the machine with the most room, which a new one gets first."""
        self._living = [worker for worker in self._living if worker.is_alive]
        taken = [worker.machine.node_id for worker in self._living]
        machine = max(self._machines, key=lambda machine: machine.num_workers - taken.count(machine.node_id))
        on_gpus = [worker.machine.node_id for worker in self._living if worker.is_on_gpu]
        share = dataclasses.replace(self._job.share, num_threads=machine.threads_per_worker)
        # Of this run alone: a worker of an earlier one may still write for some seconds.
        job = dataclasses.replace(self._job, share=share, shard=f"{machine.shard}-{self._job.run_token[:8]}")
        is_on_gpu = on_gpus.count(machine.node_id) < machine.num_gpu_workers
        self._living.append(RayWorker(job, machine, self._register, is_on_gpu=is_on_gpu, clock=self._clock))
        return self._living[-1]

    def wait(self, seconds: float) -> None:
        """Wait until a worker says something."""
        asked = [worker.ask() for worker in self._living if worker.is_alive]
        if asked:
            ray.wait(asked, timeout=seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """End all workers, of which one that writes a clip may finish the file, and leave the cluster."""
        farewells = [worker.dismiss() for worker in self._living if worker.is_alive]
        if farewells:
            ray.wait(farewells, num_returns=len(farewells), timeout=_FAREWELL_SECONDS)
        for worker in self._living:
            worker.kill()
        self._living = []
        ray.shutdown()


class RayWorker:
    """A worker on a machine of the cluster.

    Args:
        job: what it does.
        machine: where.
        register: told whether it starts; asked whether its machine is there.
        is_on_gpu: whether it gets a part of a GPU.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        job: ExtractionJob,
        machine: Machine,
        register: Register,
        *,
        is_on_gpu: bool,
        clock: Callable[[], float],
    ) -> None:
        self.machine, self.is_on_gpu = machine, is_on_gpu
        self._register, self._clock = register, clock
        where = NodeAffinitySchedulingStrategy(machine.node_id, soft=False)
        actor = ray.remote(ProcessHost).options(
            num_cpus=machine.cpus_per_worker,
            num_gpus=machine.gpus_per_gpu_worker if is_on_gpu else 0,
            scheduling_strategy=where,
            max_restarts=0,
        )
        # Where Ray gives no GPU it leaves the variable alone, and TensorFlow would take one that is not ours.
        self._actor: Any = actor.remote(job, {} if is_on_gpu else environment_of(None))
        self._answer: Any = None
        self._asked = clock()
        self._is_placed = self._is_ready = self._is_condemned = self._has_ended = self._has_complained = False

    @property
    def is_alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self._has_ended

    def submit(self, handed: Handed) -> None:
        """Hand over a clip."""
        self._actor.submit.remote(handed)

    def ask(self) -> Any:
        """Return a reference that becomes ready when the worker says something, or after a second."""
        # Only when what it said before was answered: calls are done in their order, so clips go first.
        if self._answer is None:
            self._answer = self._actor.events.remote(_POLL_SECONDS)
        return self._answer

    def events(self) -> list[Event]:
        """Return what was said since the last call; the last event is Ended."""
        if self._has_ended:
            return []
        heard: list[Event] = []
        if self._answer is not None and ray.wait([self._answer], timeout=0)[0]:
            answer, self._answer = self._answer, None
            try:
                heard = self._understood(ray.get(answer))
            except RayError as error:
                heard = [] if self._is_condemned else [self._end(self._what_ended(error))]
        elif not self._is_condemned:
            return self._complaint()
        if self._is_condemned and not self._has_ended:
            # After what it said before: a clip that it has done is not done again.
            heard.append(self._end(Ended(KILLED if self._is_placed else LOST, "SIGKILL")))
        return heard

    def _understood(self, said: list[Event]) -> list[Event]:
        self._is_placed = True
        heard: list[Event] = []
        for event in said:
            if isinstance(event, Ended):
                heard.append(self._end(event))
            elif isinstance(event, Refused) and not self._is_ready:
                self._register.failed_to_start(self.machine, event.message, refused=True)
                return [*heard, self._end(Ended(LOST, "a refusal"))]
            elif isinstance(event, Refused):
                heard.append(Refused(f"on the machine {self.machine.name}: {event.message}"))
            else:
                if isinstance(event, Ready):
                    self._is_ready = True
                    self._register.started(self.machine)
                heard.append(event)
        return heard

    def dismiss(self) -> Any:
        """Have the process end by itself; return a reference that is ready once it has."""
        return self._actor.close.remote()

    def kill(self) -> None:
        """End the actor, and with it its process, by force."""
        self._is_condemned = True
        ray.kill(self._actor)

    def _end(self, ended: Ended) -> Ended:
        self._has_ended = True
        ray.kill(self._actor)
        if not self._is_ready and not self._is_condemned and ended.how != LOST:
            words = f"\n{ended.last_words}" if ended.last_words else ""
            self._register.failed_to_start(
                self.machine, f"workers end by {ended.reason} before they are ready{words}", refused=False
            )
            ended = Ended(LOST, ended.reason, ended.last_words)  # the register judges machines, not slots
        return dataclasses.replace(ended, reason=f"{ended.reason} on {self.machine.name}")

    def _what_ended(self, error: RayError) -> Ended:
        if isinstance(error, RayActorError) and error.actor_init_failed:
            why = f"a worker's actor cannot begin:\n{error}"
            self._register.failed_to_start(self.machine, why, refused=True)
            return Ended(LOST, "an error when its actor began")
        # Ray loses touch at once, but tells only after a while that a machine is gone.
        if isinstance(error, ActorUnavailableError) or not self._register.is_there(self.machine):
            return Ended(LOST, "the loss of its machine")
        # Ray ends actors where a machine's memory runs out; the message says so, and much else.
        return Ended(KILLED, "the end of its Ray actor", str(error))

    def _complaint(self) -> list[Event]:
        """Tell a person, once, that the cluster's cores are taken by others."""
        if self._is_placed or self._has_complained or self._clock() - self._asked < _PLACING_SECONDS:
            return []
        self._has_complained = True
        needed = f"{self.machine.cpus_per_worker} CPUs"
        if self.is_on_gpu:
            needed += f" and {self.machine.gpus_per_gpu_worker:g} GPU"
        return [Note(f"a worker waits for {needed} of the machine {self.machine.name} (`ray status`)")]
