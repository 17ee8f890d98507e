"""How many workers the machines of a cluster feed, and which machines take none."""

import pytest

from tfdfd.clip import TfdfdError
from tfdfd.workers.dispatch import MAX_STARTS
from tfdfd.workers.machines import Register, machines_of
from tfdfd.workers.places import MEMORY_PER_WORKER


def node(name="one", alive=True, **resources):
    return {
        "NodeID": f"{name}-0123456789abcdef",
        "Alive": alive,
        "NodeManagerHostname": name,
        "Resources": {"memory": 64 * MEMORY_PER_WORKER, **resources},
    }


@pytest.mark.parametrize(
    ("resources", "workers", "cpus", "threads", "on_gpus", "part"),
    [
        ({"CPU": 16.0}, 8, 2, 2, 0, 0.0),
        ({"CPU": 5.0}, 2, 2, 2, 0, 0.0),
        ({"CPU": 1.0}, 1, 1, 1, 0, 0.0),
        ({"CPU": 16.0, "memory": 3.5 * MEMORY_PER_WORKER}, 3, 2, 5, 0, 0.0),
        ({"CPU": 16.0, "memory": 1.0}, 1, 2, 16, 0, 0.0),
        ({"CPU": 16.0, "GPU": 4.0}, 8, 2, 2, 8, 0.5),
        ({"CPU": 64.0, "GPU": 1.0}, 32, 2, 2, 2, 0.5),
        ({"CPU": 8.0, "GPU": 4.0}, 4, 2, 2, 4, 1.0),
        ({"CPU": 2.0, "GPU": 4.0}, 2, 1, 1, 2, 1.0),
    ],
)
def test_a_machine_takes_a_worker_for_every_two_cores_of_which_some_share_its_gpus(
    resources, workers, cpus, threads, on_gpus, part
):
    (machine,) = machines_of([node(**resources)])
    assert machine.num_workers == workers
    assert (machine.cpus_per_worker, machine.threads_per_worker) == (cpus, threads)
    assert (machine.num_gpu_workers, machine.gpus_per_gpu_worker) == (on_gpus, part)
    assert workers * cpus <= resources["CPU"]
    assert on_gpus * part <= resources.get("GPU", 0)


def test_of_workers_that_must_have_a_gpu_a_machine_without_any_takes_none():
    nodes = [node("cpu", CPU=16.0), node("gpu", CPU=16.0, GPU=1.0)]
    (machine,) = machines_of(nodes, only_on_cards=True)
    assert (machine.name, machine.num_workers, machine.num_gpu_workers) == ("gpu", 2, 2)


def test_machines_that_are_gone_or_have_no_cpu_to_give_take_no_worker():
    nodes = [
        node("b", CPU=2.0),
        node("gone", alive=False, CPU=2.0),
        node("head", CPU=0.0),
        node("none"),
        node("a", CPU=2),
    ]
    assert [machine.name for machine in machines_of(nodes)] == ["a", "b"]


def test_two_machines_of_one_name_write_to_two_shards():
    first, second = node("host", CPU=2.0), node("host", CPU=2.0) | {"NodeID": "another-0123456789"}
    assert len({machine.shard for machine in machines_of([first, second])}) == 2


@pytest.fixture
def cluster():
    """Two machines, what was said of them, and a clock."""

    class Cluster:
        def __init__(self):
            self.nodes, self.said, self.now = [node("a", CPU=2.0), node("b", CPU=2.0)], [], 0.0
            self.register = Register(lambda: self.nodes, say=self.said.append, clock=lambda: self.now)

        def names(self):
            self.now += 10
            return [machine.name for machine in self.register.taking_part()]

    return Cluster()


def test_machines_that_come_and_go_are_named(cluster):
    assert cluster.names() == ["a", "b"]
    cluster.nodes = [node("b", CPU=2.0), node("c", CPU=2.0)]
    assert cluster.names() == ["b", "c"]
    assert cluster.said == [
        "the machine a has left the Ray cluster: others do its clips",
        "the machine c takes part from now on",
    ]


def test_a_machine_that_refuses_takes_no_part_and_the_others_go_on(cluster):
    a, _ = cluster.register.taking_part()
    assert cluster.register.failed_to_start(a, "the store is not here", refused=True)
    assert cluster.names() == ["b"]
    assert cluster.register.is_there(a)
    assert cluster.said == ["the machine a takes no part: the store is not here"]


def test_a_machine_on_which_workers_end_before_they_are_ready_takes_no_part_after_the_third_in_a_row(cluster):
    a, b = cluster.register.taking_part()
    for _ in range(MAX_STARTS - 1):
        assert not cluster.register.failed_to_start(a, "SIGSEGV", refused=False)
        assert not cluster.register.failed_to_start(b, "SIGSEGV", refused=False)
    cluster.register.started(b)
    assert cluster.register.failed_to_start(a, "SIGSEGV", refused=False)
    assert not cluster.register.failed_to_start(b, "SIGSEGV", refused=False)
    assert cluster.names() == ["b"]


def test_where_no_machine_can_take_part_the_run_stops_with_all_reasons(cluster):
    for machine in cluster.register.taking_part():
        cluster.register.failed_to_start(machine, "the store is not here", refused=True)
    with pytest.raises(TfdfdError, match="can take part: a: the store is not here; b: the store is not here"):
        cluster.names()


def test_machines_that_are_away_are_waited_for_although_another_cannot_take_part(cluster):
    a, _ = cluster.register.taking_part()
    cluster.register.failed_to_start(a, "the store is not here", refused=True)
    cluster.nodes = cluster.nodes[:1]
    assert cluster.names() == []
    cluster.nodes = [*cluster.nodes, node("b", CPU=2.0)]
    assert cluster.names() == ["b"]


def test_a_cluster_without_a_machine_is_waited_for_ten_minutes(cluster):
    cluster.nodes = []
    assert cluster.names() == []
    cluster.now += 500
    assert cluster.names() == []
    cluster.now += 100
    with pytest.raises(TfdfdError, match="no machine with a CPU to give for 10 minutes"):
        cluster.names()
