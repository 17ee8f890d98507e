"""Which worker gets which clip, which clip is to blame when a worker dies, and when a clip has taken too long.

Pure bookkeeping: no processes, no clock, no files. `tfdfd.workers.pool` connects it with workers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tfdfd.clip import Clip, TfdfdError
from tfdfd.guard import MOST_ALIKE, Fault, RepeatedFaultError
from tfdfd.phrases import shown
from tfdfd.workers.events import (
    DETECTING,
    KILLED,
    LOST,
    WAITING,
    Began,
    Bug,
    Done,
    Ended,
    Event,
    Handed,
    Note,
    Ready,
    Refused,
)

CLIPS_PER_WORKER = 2
"""A worker reads one clip while it finds the faces of another."""
MAX_STARTS = 3
"""Workers that may die in a row before one was ready: what stops one from starting stops all, unless others work."""
REST_SECONDS = 300.0
"""How long a place in which no worker starts is left empty while others work, e.g. that of a broken GPU."""
DOUBTFUL_FAULTS = 12
"""Faults in a row, without a clip finished in between, after which clips from the end of the list are tried: bad clips
often lie together. After as many on such clips too, it is not the clips' doing. Of exceptions of one kind from one
place, which say more than the end of a worker, MOST_ALIKE are enough."""
_MAX_NAMED = 5
"""Clips that a message names."""
MAX_LOSSES = 2
"""Times that a clip may be lost with a machine before it falls under suspicion."""
NOTE_SECONDS = 30.0
"""Time in which the same words of several workers are told once."""
START_SECONDS = 600.0
"""Time in which a worker must be ready: importing from a busy network disk takes minutes."""


@dataclass
class _Held:
    """A clip that a worker has."""

    clip: Clip
    is_alone: bool = False
    """Whether its worker has no other: what crashes the worker is then this clip."""
    is_last_try: bool = False
    """Whether nothing else runs: what takes the memory is then this clip."""
    is_probe: bool = False
    """Whether it was taken from the end of the list, to tell whether any clip can be done."""
    stage: str = ""
    """Empty until the worker has touched it."""
    since: float = math.inf


@dataclass
class _Worker:
    deadline: float
    """When it must be ready; infinite once it is."""
    held: dict[str, _Held] = field(default_factory=dict)
    overdue: str = ""
    """Why it was killed by us, for the clip that took too long."""
    overdue_clip: str | None = None
    is_dismissed: bool = False
    """Whether it was ended to leave its memory to others."""
    has_worked: bool = False
    """Whether it was ever handed a clip."""

    @property
    def is_ready(self) -> bool:
        return self.deadline == math.inf


class Dispatcher:
    """Hands out clips and judges what becomes of them.

    A worker that dies may have died of either clip that it held, so both are done again, each alone in its worker;
    a clip whose worker dies then too has failed, as has one on which a worker meets an error that nobody foresaw. Where
    workers were killed from outside, want of memory is the
    likely reason, which may be another worker's doing: such clips are done again at the end, while nothing else
    runs. That clips have failed so is only said once another clip was finished after them, or all are tried: where
    every worker dies of every clip, it is not the clips. Whether it is, clips from the end of the list tell.

    Args:
        clips: what to do, in order.
        clip_timeout_seconds: limit for each stage of a clip, 0 for none.
        recorded: returns what the store holds of a clip by this run, None if nothing: a worker may die between
            writing a clip and saying so.
    """

    def __init__(
        self,
        clips: Iterable[Clip],
        *,
        clip_timeout_seconds: float,
        recorded: Callable[[Clip], Done | None],
    ) -> None:
        self._todo = deque(clips)
        self._suspects: deque[Clip] = deque()
        self._killed: deque[Clip] = deque()
        self._workers: dict[int, _Worker] = {}
        self._timeout = clip_timeout_seconds or math.inf
        self._recorded = recorded
        self._lost: dict[str, int] = {}
        self._starts = 0
        self._failed_starts: dict[int, int] = {}
        self._resting: dict[int, float] = {}
        self._faults: list[str] = []
        self._probe_faults = 0
        self._bugs: list[tuple[str, Fault, bool]] = []
        self._has_finished = False
        self._done: list[Done] = []
        self._verdicts: list[tuple[Clip, str]] = []
        self._flushed: list[tuple[Clip, str]] = []
        self._notes: list[str] = []
        self._noted: set[str] = set()
        self._said: dict[str, float] = {}

    @property
    def is_over(self) -> bool:
        """Whether every clip has been dealt with."""
        return not (self._todo or self._suspects or self._killed or any(w.held for w in self._workers.values()))

    def vacant_slots(self, num_workers: int, now: float) -> list[int]:
        """Return the slots in which a worker should be started now: no more than there are clips for.

        Args:
            num_workers: workers that may run at a time now; machines may come and go.
            now: seconds, by which slots rest in which no worker would start.
        """
        busy = sum(bool(worker.held) for worker in self._workers.values())
        waiting = len(self._todo) + len(self._suspects)
        wanted = min(num_workers, busy + waiting) or min(1, num_workers, len(self._killed))
        free = [slot for slot in range(num_workers) if slot not in self._workers]
        rested = [slot for slot in free if now >= self._resting.get(slot, -math.inf)]
        chosen = rested if rested or self._workers else free
        return chosen[: max(0, wanted - len(self._workers))]

    def started(self, slot: int, now: float) -> None:
        """Note that a worker was started."""
        self._workers[slot] = _Worker(now + START_SECONDS)

    def surplus_slots(self) -> list[int]:
        """Return workers that should be ended to leave their memory to clips that were killed for want of it."""
        if self._todo or self._suspects or not self._killed or any(w.held for w in self._workers.values()):
            return []
        surplus = sorted(self._workers, key=lambda slot: (not self._workers[slot].is_ready, slot))[1:]
        for slot in surplus:
            self._workers[slot].is_dismissed = True
        return surplus

    def next_clips(self, slot: int) -> list[Handed]:
        """Return the clips that a worker gets now; they count as handed over."""
        worker = self._workers[slot]
        held = worker.held
        if not worker.is_ready or worker.overdue or worker.is_dismissed or any(clip.is_alone for clip in held.values()):
            return []
        if self._todo and (len(self._faults) >= DOUBTFUL_FAULTS or len(self._alike()) >= MOST_ALIKE):
            return [] if held else self._hand_over(slot, [_Held(self._todo.pop(), is_probe=True)])
        if not held and self._suspects:
            return self._hand_over(slot, [_Held(self._suspects.popleft(), is_alone=True)])
        if self._todo:
            room = min(CLIPS_PER_WORKER - len(held), len(self._todo))
            return [] if not room else self._hand_over(slot, [_Held(self._todo.popleft()) for _ in range(room)])
        if self._killed and len(self._workers) == 1 and not held:
            return self._hand_over(slot, [_Held(self._killed.popleft(), is_alone=True, is_last_try=True)])
        return []

    def heard(self, slot: int, event: Event, now: float) -> None:
        """Take in what a worker said.

        Raises:
            TfdfdError: if no worker could go on.
        """
        worker = self._workers[slot]
        if isinstance(event, Ready):
            worker.deadline = math.inf
            self._notes += [note for note in event.notes if note not in self._noted]
            self._noted |= set(event.notes)
        elif isinstance(event, Began):
            clip = worker.held[event.clip_id]
            clip.stage, clip.since = event.stage, now
        elif isinstance(event, Note):
            # All workers say so when a disk is away.
            if now - self._said.get(event.text, -math.inf) > NOTE_SECONDS:
                self._notes.append(event.text)
            self._said[event.text] = now
        elif isinstance(event, Done):
            del worker.held[event.clip_id]
            self._finish(event)
        elif isinstance(event, Bug):
            held = worker.held.pop(event.clip_id)
            self._verdicts.append((held.clip, event.fault.reason))
            self._bugs.append((event.clip_id, event.fault, held.is_probe))
            self._count_fault([held], event.fault.reason)
            self._require_different_faults(event.fault)
        elif isinstance(event, Refused):
            raise TfdfdError(event.message)
        else:
            worker = self._workers.pop(slot)
            if worker.is_dismissed:
                return
            if worker.has_worked:
                self._ended(worker, event)
            elif event.how != LOST:
                self._failed_to_start(slot, worker, event, now)

    def overdue_slots(self, now: float) -> list[int]:
        """Return the workers to be killed, for a clip that took too long or a start that never ended."""
        late = []
        for slot, worker in self._workers.items():
            if worker.overdue:
                continue
            if now > worker.deadline:
                worker.overdue = f"not ready after {START_SECONDS:.0f} s"
                late.append(slot)
            for clip in worker.held.values():
                if clip.stage != WAITING and now - clip.since > self._timeout and not worker.overdue:
                    worker.overdue = f"{clip.stage} took longer than {self._timeout:g} s (--clip-timeout)"
                    worker.overdue_clip = clip.clip.clip_id
                    late.append(slot)
        return late

    def forgive(self, seconds: float) -> None:
        """Let time pass that counts against no clip: all of us were stopped, e.g. by Ctrl-Z."""
        for worker in self._workers.values():
            worker.deadline += seconds
            for clip in worker.held.values():
                clip.since += seconds

    def take_notes(self) -> list[str]:
        """Return, once each, what a person should know."""
        notes, self._notes = self._notes, []
        return notes

    def take_finished(self) -> tuple[list[Done], list[tuple[Clip, str]]]:
        """Return, once each, the clips that are in the store, and those that have failed, with the reason."""
        if self.is_over:
            self._flush_verdicts()
        done, verdicts = self._done, self._flushed
        self._done, self._flushed = [], []
        return done, verdicts

    def _finish(self, done: Done) -> None:
        self._done.append(done)
        self._faults, self._probe_faults, self._bugs, self._has_finished = [], 0, [], True
        self._flush_verdicts()

    def _flush_verdicts(self) -> None:
        self._flushed += self._verdicts
        self._verdicts = []

    def _failed_to_start(self, slot: int, worker: _Worker, ended: Ended, now: float) -> None:
        self._starts += 1
        failed = self._failed_starts[slot] = self._failed_starts.get(slot, 0) + 1
        reason = worker.overdue or ended.reason
        others = [
            other
            for other, at in self._workers.items()
            if at.has_worked or at.is_ready or other not in self._failed_starts
        ]
        if not others and self._starts >= MAX_STARTS:
            memory = ", or give fewer --workers if the system has run out of memory" if ended.how == KILLED else ""
            raise TfdfdError(
                f"{self._starts} workers in a row ended before they were ready, the last by {reason}: `tfdfd "
                f"doctor` looks at what they need{memory}{_told(ended)}"
            )
        if failed >= MAX_STARTS:
            self._resting[slot] = now + REST_SECONDS
            self._notes.append(
                f"worker {slot} ended {failed} times before it was ready, the last time by {reason}: going on without "
                f"it, it is tried again in {REST_SECONDS / 60:g} minutes{_told(ended)}"
            )

    def _ended(self, worker: _Worker, ended: Ended) -> None:
        unfinished = [held for held in worker.held.values() if not self._is_recorded(held)]
        untouched, again = [], []
        for held in unfinished:
            clip = held.clip
            losses = self._lost.get(clip.clip_id, 0)
            if worker.overdue_clip == clip.clip_id:
                self._verdicts.append((clip, worker.overdue))
            elif worker.overdue_clip is not None or not held.stage:
                untouched.append(clip)
            elif ended.how == LOST and losses < MAX_LOSSES:
                self._lost[clip.clip_id] = losses + 1
                untouched.append(clip)
            elif held.is_last_try or (held.is_alone and ended.how != KILLED):
                self._verdicts.append((clip, _verdict(held, ended)))
            else:
                (self._killed if ended.how == KILLED else self._suspects).append(clip)
                again.append(clip.clip_id)
        # In their old order, before what nobody has seen yet.
        self._todo.extendleft(reversed(untouched))
        if again:
            when = "when the others are done" if ended.how == KILLED else "each alone"
            self._notes.append(f"a worker ended by {ended.reason}: {', '.join(again)} are tried again {when}")
        # A clip that is tried for the last time was under suspicion before; a lost machine is nobody's fault.
        if ended.how != LOST and any(not held.is_last_try for held in unfinished):
            self._count_fault(unfinished, f"{worker.overdue or ended.reason}{_told(ended)}")

    def _is_recorded(self, held: _Held) -> bool:
        done = self._recorded(held.clip) if held.stage == DETECTING else None
        if done is not None:
            self._finish(done)
        return done is not None

    def _count_fault(self, unfinished: list[_Held], what: str) -> None:
        self._faults.append(" and ".join(held.clip.clip_id for held in unfinished if held.stage))
        self._probe_faults += any(held.is_probe for held in unfinished)
        # Without any left to try, all have had their chance.
        if self._todo and self._probe_faults >= DOUBTFUL_FAULTS:
            named = [names for names in dict.fromkeys(reversed(self._faults)) if names][:_MAX_NAMED]
            raise TfdfdError(
                f"{len(self._faults)} faults in a row without a clip finished in between, on clips from both ends of "
                "the list, so they are hardly the clips' doing: nothing is recorded of them; `tfdfd doctor` looks at "
                f"what workers need. The last were {', '.join(named)}: if nothing but such clips is left, take them "
                f"out of the data. The last fault was {what}"
            )

    def _alike(self) -> list[tuple[str, Fault, bool]]:
        """Return those of the errors since a clip was finished that are as the last one."""
        return [one for one in self._bugs if one[1].is_like(self._bugs[-1][1])]

    def _require_different_faults(self, fault: Fault) -> None:
        """Stop where the last error came on clips from both ends of the list, or on all that there are."""
        alike = self._alike()
        num_probes = sum(is_probe for _, _, is_probe in alike)
        if num_probes >= MOST_ALIKE or (self.is_over and not self._has_finished and len(alike) >= MOST_ALIKE):
            named = ", ".join(shown(clip_id) for clip_id, _, _ in alike[-MOST_ALIKE:])
            raise RepeatedFaultError(
                f"{len(alike)} clips failed alike with nothing done in between, so it is probably not their doing: "
                f"nothing is recorded of them, and what is done is kept. `tfdfd doctor` looks at what workers need. "
                f"The last were {named}: if nothing but such clips is left, take them out of the data. Each failed by "
                f"{fault.reason}"
            )

    def _hand_over(self, slot: int, clips: list[_Held]) -> list[Handed]:
        worker = self._workers[slot]
        worker.has_worked = True
        worker.held.update((clip.clip.clip_id, clip) for clip in clips)
        self._starts = 0
        self._failed_starts.pop(slot, None)
        return [Handed(clip.clip, is_second_try=clip.is_alone) for clip in clips]


def _told(ended: Ended) -> str:
    return f"\nthe last that it printed:\n{ended.last_words}" if ended.last_words else ""


def _verdict(held: _Held, ended: Ended) -> str:
    if ended.how == KILLED:
        # Not the stage: such a signal comes from outside, at any moment.
        return (
            f"its worker was killed twice ({ended.reason}), the second time with nothing else running: probably the "
            "system ran out of memory; free some, or give --retry-failed with fewer --workers or on a larger machine"
        )
    return f"its worker ended twice by {ended.reason} while {held.stage}, the second time with no other clip"
