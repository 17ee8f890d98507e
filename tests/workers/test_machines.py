"""How many workers the machines of a cluster feed, and which machines take none."""

import pytest

from tfdfd.workers.job import MEMORY_PER_WORKER
from tfdfd.workers.machines import machines_of


def node(name="one", alive=True, **resources):
    return {
        "NodeID": f"{name}-0123456789abcdef",
        "Alive": alive,
        "NodeManagerHostname": name,
        "Resources": {"memory": 64 * MEMORY_PER_WORKER, **resources},
    }


@pytest.mark.parametrize(
    ("resources", "workers", "cpus", "gpus", "threads"),
    [
        ({"CPU": 16.0}, 8, 2, 0, 2),
        ({"CPU": 5.0}, 2, 2, 0, 2),
        ({"CPU": 1.0}, 1, 1, 0, 1),
        ({"CPU": 16.0, "memory": 3.5 * MEMORY_PER_WORKER}, 3, 2, 0, 5),
        ({"CPU": 16.0, "memory": 1.0}, 1, 2, 0, 16),
        ({"CPU": 16.0, "GPU": 4.0}, 4, 2, 1, 4),
        ({"CPU": 2.0, "GPU": 4.0}, 2, 1, 1, 1),
    ],
)
def test_a_machine_takes_a_worker_a_gpu_else_one_for_every_two_cores_and_two_gib(
    resources, workers, cpus, gpus, threads
):
    (machine,) = machines_of([node(**resources)])
    assert machine.num_workers == workers
    assert (machine.cpus_per_worker, machine.gpus_per_worker, machine.threads_per_worker) == (cpus, gpus, threads)
    assert workers * cpus <= resources["CPU"]


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
