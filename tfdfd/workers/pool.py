"""The loop that connects the dispatcher with workers of any kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from tfdfd.clip import Clip
from tfdfd.guard import Fault
from tfdfd.workers.dispatch import Dispatcher
from tfdfd.workers.events import Bug, Crew, Done, Ended, Worker

_POLL_SECONDS = 0.5
_STOPPED_SECONDS = 5.0
"""A loop that comes round so much later than it should was stopped itself."""


def run_clips(
    clips: Iterable[Clip],
    crew: Crew,
    *,
    clip_timeout_seconds: float,
    recorded: Callable[[Clip], Done | None],
    on_done: Callable[[Done], None],
    on_failed: Callable[[Clip, str], None],
    on_fault: Callable[[str, Fault], None],
    on_note: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Have workers do clips; whatever happens to a worker, the others go on and another takes its place.

    Args:
        clips: what to do, handed out in this order.
        crew: starts the workers, which write what they find themselves; closed in the end, whatever happens.
        clip_timeout_seconds: limit for each stage of a clip (reading it; finding its faces and writing), 0 for none.
        recorded: returns what this run has written of a clip, None if nothing.
        on_done: called for each clip that a worker has written.
        on_failed: called for each clip that no worker could write, with the reason; it must be written down.
        on_fault: called at once with each clip on which a worker met an error that nobody foresaw; that the clip has
            failed is told later, if ever: not where the run stops for it.
        on_note: called with what a person should know meanwhile.
        clock: seconds that only rise.

    Raises:
        TfdfdError: if no worker can go on, e.g. the disk is full or TensorFlow cannot be imported.
        RepeatedFaultError: if clips from both ends of the list fail alike; of these nothing is written.
    """
    dispatcher = Dispatcher(clips, clip_timeout_seconds=clip_timeout_seconds, recorded=recorded)
    workers: dict[int, Worker] = {}
    before = clock()
    try:
        while not dispatcher.is_over:
            for slot in dispatcher.surplus_slots():
                workers[slot].kill()
            for slot in dispatcher.vacant_slots(crew.num_workers, clock()):
                workers[slot] = crew.start(slot)
                dispatcher.started(slot, clock())
            for slot, worker in workers.items():
                for handed in dispatcher.next_clips(slot):
                    worker.submit(handed)
            crew.wait(_POLL_SECONDS)
            now = clock()
            if now - before > _POLL_SECONDS + _STOPPED_SECONDS:
                dispatcher.forgive(now - before)
            before = now
            for slot, worker in list(workers.items()):
                for event in worker.events():
                    if isinstance(event, Ended):
                        del workers[slot]
                    if isinstance(event, Bug):
                        on_fault(event.clip_id, event.fault)
                    dispatcher.heard(slot, event, now)
            for slot in dispatcher.overdue_slots(now):
                workers[slot].kill()
            _tell(dispatcher, on_done, on_failed, on_note)
    finally:
        crew.close()


def _tell(
    dispatcher: Dispatcher,
    on_done: Callable[[Done], None],
    on_failed: Callable[[Clip, str], None],
    on_note: Callable[[str], None],
) -> None:
    for note in dispatcher.take_notes():
        on_note(note)
    done, failed = dispatcher.take_finished()
    for clip in done:
        on_done(clip)
    for clip, reason in failed:
        on_failed(clip, reason)
