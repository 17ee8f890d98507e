"""How many workers a machine gets, and on which GPU each works."""

from __future__ import annotations

import pytest

from tfdfd.workers.places import (
    GPU_MEMORY_PER_WORKER,
    MEMORY_PER_WORKER,
    places_of_memory,
    worker_places,
)

GIB = 2**30
MACHINES = [
    # cores, memory in GiB, places of each card, workers, how many of them on each card
    ("laptop without a GPU", 4, 16, (), 2, ()),
    ("laptop with a small GPU", 8, 16, (0,), 4, (0,)),
    ("desktop with 12 GB of GPU", 8, 32, (2,), 4, (2,)),
    ("64 cores and a 24 GB card", 64, 256, (5,), 32, (5,)),
    ("64 cores and four 80 GB cards", 64, 512, (19,) * 4, 32, (8,) * 4),
    ("few cores for eight cards", 8, 256, (19,) * 8, 8, (1,) * 8),
    ("fewer cores than cards", 4, 256, (19,) * 8, 4, (1,) * 4 + (0,) * 4),
    ("little memory", 64, 9, (5,), 2, (2,)),
    ("hardly any memory", 64, 1, (5,), 1, (1,)),
    ("two unlike cards", 16, 64, (1, 5), 8, (1, 5)),
    ("one core", 1, 4, (), 1, ()),
]


@pytest.mark.parametrize(
    ("cores", "memory", "card_places", "workers", "on_cards"),
    [row[1:] for row in MACHINES],
    ids=[m[0] for m in MACHINES],
)
def test_workers_follow_from_cores_memory_and_gpu_memory(cores, memory, card_places, workers, on_cards):
    places = worker_places(card_places, cores=cores, memory_bytes=memory * GIB)
    assert len(places) == workers
    assert tuple(places.count(card) for card in range(len(card_places))) == on_cards


@pytest.mark.parametrize("cores", [2, 8, 64, 128])
@pytest.mark.parametrize("card_places", [(1,), (5,), (19, 19)])
def test_no_machine_has_fewer_workers_for_having_a_gpu(cores, card_places):
    memory = 4 * cores * MEMORY_PER_WORKER
    without = worker_places((), cores=cores, memory_bytes=memory)
    assert len(worker_places(card_places, cores=cores, memory_bytes=memory)) >= len(without)


def test_cards_take_workers_in_turn_and_the_rest_work_on_the_cpu():
    assert worker_places((2, 1), cores=2, memory_bytes=0, asked=5) == (0, 1, 0, None, None)


def test_workers_that_must_have_a_gpu_share_it_beyond_its_memory_only_where_they_are_asked_for():
    def places(card_places, asked=None):
        return worker_places(card_places, cores=64, memory_bytes=256 * GIB, asked=asked, only_on_cards=True)

    assert places((2, 1)) == (0, 1, 0)
    assert places((0,)) == (0,)
    assert places((2, 1), asked=5) == (0, 1, 0, 0, 1)


def test_a_worker_needs_its_part_of_a_card_s_memory():
    assert places_of_memory(24 * GIB) == 24 * GIB // GPU_MEMORY_PER_WORKER
    assert places_of_memory(GPU_MEMORY_PER_WORKER - 1) == 0
    assert places_of_memory(0) == 1  # not known
