"""How many workers a machine feeds, and which of them work on which GPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

CORES_PER_WORKER = 2
"""What one worker keeps busy: a clip is decoded while the faces of another are found."""
MEMORY_PER_WORKER = 2 * 2**30
"""Bytes that a worker may come to need on 1080p clips, with room for larger ones; it takes about half."""
MEMORY_PER_GPU_WORKER = 4 * 2**30
"""Bytes of the machine's memory for a worker on a GPU: an estimate, measured on none. CUDA's libraries, and the process
that decodes, come on top."""
GPU_MEMORY_PER_WORKER = 4 * 2**30
"""Bytes of a GPU's memory that a worker may come to need: an estimate, measured on none. Two CUDA contexts, its own and
that of the process that decodes, 1 GiB; that one's decoders 1 GiB (`nvdec_process.MAX_DECODERS`) and its frames, twice
17 of 1080p and eight more, 0.3; TensorFlow's frames, pyramids and layers of MTCNN about 1; the rest is room."""
WORKERS_PER_UNKNOWN_CARD = 2
"""Workers on a card of which only that it is there is known, as Ray says it: 8 GiB are the least that is usual."""


def worker_places(
    card_places: Sequence[int],
    *,
    cores: int,
    memory_bytes: int,
    asked: int | None = None,
    only_on_cards: bool = False,
) -> tuple[int | None, ...]:
    """Decide how many workers run at a time, and where.

    As many as without any GPU, and at least one a card where there is a core for each. Each card takes workers in
    turn, as many as its memory allows; the others work on the CPU, so that no machine gets slower by having a GPU.

    Args:
        card_places: of each GPU, how many workers its memory allows.
        cores: of the CPU.
        memory_bytes: that is free.
        asked: how many there shall be; None for as many as the machine feeds.
        only_on_cards: let no worker do without a GPU; where more are asked for than fit, cards take them in turn.

    Returns:
        For each worker the number of its GPU, or None for the CPU; at least one worker.
    """
    if only_on_cards:
        card_places = [max(1, places) for places in card_places]
    turns = _turns(card_places)
    if only_on_cards and asked is not None:
        turns = itertools.chain(turns, itertools.cycle(range(len(card_places))))
    most = asked or max(1, cores // CORES_PER_WORKER, min(sum(places > 0 for places in card_places), cores))
    places: list[int | None] = []
    for _ in range(most):
        card = next(turns, None)
        if card is None and only_on_cards and places:
            break
        memory_bytes -= MEMORY_PER_WORKER if card is None else MEMORY_PER_GPU_WORKER
        if memory_bytes < 0 and places and asked is None:
            break
        places.append(card)
    return tuple(places)


def places_of_memory(free_bytes: int) -> int:
    """Return how many workers fit into a GPU's free memory; 1 where it is not known, as of a slice of a card."""
    return free_bytes // GPU_MEMORY_PER_WORKER if free_bytes else 1


def _turns(card_places: Sequence[int]) -> Iterator[int]:
    """Yield the cards in turn, each as often as it has places."""
    for number in range(max(card_places, default=0)):
        yield from (card for card, places in enumerate(card_places) if places > number)
