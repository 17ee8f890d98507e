"""Workers are waited for by name, compared, and let go together; threads stand for their processes."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from tests.training.free_ports import free_addresses
from tfdfd.clip import TfdfdError
from tfdfd.training import roll_call
from tfdfd.training.cluster import Cluster, WorkersLost
from tfdfd.training.roll_call import call_roll


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll_call, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(roll_call, "QUIET_SECONDS", 0.4)


class Worker(threading.Thread):
    """One call of the roll; keeps what it raised and said, and when it was let go."""

    def __init__(self, cluster: Cluster, facts: dict[str, Any], *, wait_seconds: float = 20) -> None:
        super().__init__(daemon=True)
        self.arguments = (cluster, facts, wait_seconds)
        self.error: Exception | None = None
        self.said: list[str] = []
        self.let_go = 0.0
        self.start()

    def run(self) -> None:
        cluster, facts, wait_seconds = self.arguments
        try:
            call_roll(cluster, facts, wait_seconds=wait_seconds, say=self.said.append)
            self.let_go = time.monotonic()
        except TfdfdError as error:
            self.error = error

    def ended(self) -> Worker:
        self.join(timeout=30)
        assert not self.is_alive()
        return self


def test_all_go_once_the_last_has_come_and_worker_0_says_for_whom_it_waited() -> None:
    addresses = free_addresses(3)
    facts = {"replicas of each": 2}
    first = [Worker(Cluster(addresses, index), facts) for index in (0, 2)]
    time.sleep(1)
    assert all(worker.is_alive() for worker in first)
    began = time.monotonic()
    last = Worker(Cluster(addresses, 1), facts)
    for worker in (*first, last):
        assert worker.ended().error is None
        assert worker.let_go > began
    assert first[0].said == [f"waiting for worker 1 ({addresses[1]})"]
    assert first[1].said == [f"waiting for worker 0 ({addresses[0]}), which waits for the others"]
    # TensorFlow's servers come next: the addresses are free.
    for address in addresses:
        socket.create_server(("", int(address.rpartition(":")[2]))).close()


def test_workers_that_come_before_worker_0_wait_for_it() -> None:
    addresses = free_addresses(2)
    other = Worker(Cluster(addresses, 1), {})
    time.sleep(0.8)
    assert other.is_alive()
    chief = Worker(Cluster(addresses, 0), {})
    assert chief.ended().error is None
    assert other.ended().error is None
    assert "which does not answer" in other.said[0]


def test_who_does_not_come_in_time_is_named_and_it_is_worth_trying_again() -> None:
    addresses = free_addresses(3)
    chief, other = (Worker(Cluster(addresses, index), {}, wait_seconds=0.6) for index in (0, 1))
    assert isinstance(chief.ended().error, WorkersLost)
    assert f"worker 2 ({addresses[2]}) did not come in 0.01 minutes" in str(chief.error)
    assert isinstance(other.ended().error, WorkersLost)
    assert f"worker 0 ({addresses[0]}) did not come" in str(other.error)
    assert WorkersLost.exit_status == 75


def test_unequal_workers_are_told_so_on_every_machine() -> None:
    addresses = free_addresses(2)
    workers = [Worker(Cluster(addresses, index), {"replicas of each": 1 + index}) for index in (0, 1)]
    for worker in workers:
        assert str(worker.ended().error) == (
            "all workers must have the same replicas of each, got 1 on worker 0, 2 on worker 1"
        )
        assert not isinstance(worker.error, WorkersLost)


def test_another_cluster_on_one_machine_is_told_on_both() -> None:
    addresses = free_addresses(3)
    chief = Worker(Cluster(addresses[:2], 0), {})
    other = Worker(Cluster((addresses[0], addresses[2]), 1), {})
    for worker in (chief, other):
        assert "TF_CONFIG must name the same cluster on all machines" in str(worker.ended().error)


def test_a_worker_that_dies_while_waiting_is_waited_for_again() -> None:
    addresses = free_addresses(3)
    chief = Worker(Cluster(addresses, 0), {})
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", Cluster(addresses, 0).port)) as dying:
        roll_call._tell(dying, {"index": 1, "addresses": list(addresses), "facts": {}})
        time.sleep(0.2)
    two = Worker(Cluster(addresses, 2), {})
    time.sleep(0.5)
    assert chief.is_alive()
    one = Worker(Cluster(addresses, 1), {})
    assert [worker.ended().error for worker in (chief, one, two)] == [None] * 3


def test_a_second_process_of_one_index_takes_the_first_ones_place() -> None:
    addresses = free_addresses(3)
    chief = Worker(Cluster(addresses, 0), {})
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", Cluster(addresses, 0).port)) as older:
        roll_call._tell(older, {"index": 1, "addresses": list(addresses), "facts": {}})
        time.sleep(0.2)
        one = Worker(Cluster(addresses, 1), {})
        assert "another process has come as worker 1" in str(roll_call._hear(older))
    two = Worker(Cluster(addresses, 2), {})
    assert [worker.ended().error for worker in (chief, one, two)] == [None] * 3


def test_strangers_are_ignored_and_a_taken_port_is_waited_for() -> None:
    addresses = free_addresses(2)
    port = Cluster(addresses, 0).port
    with socket.create_server(("", port)):
        chief = Worker(Cluster(addresses, 0), {})
        time.sleep(0.8)
        assert chief.is_alive()
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        other = Worker(Cluster(addresses, 1), {})
        assert chief.ended().error is None
        assert other.ended().error is None
    assert chief.said == [
        f"waiting for worker 0 ({addresses[0]}): its port {port} cannot be used here, Address already in use"
    ]
