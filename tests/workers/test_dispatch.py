"""Who gets which clip, and who is to blame: the dispatcher with scripted workers and a clock of its own."""

from collections import defaultdict
from pathlib import Path

import pytest

from tfdfd.clip import Clip, TfdfdError
from tfdfd.guard import MOST_ALIKE, Fault, RepeatedFaultError
from tfdfd.workers.dispatch import DOUBTFUL_FAULTS, REST_SECONDS, START_SECONDS
from tfdfd.workers.events import (
    CRASHED,
    DETECTING,
    KILLED,
    LOST,
    READING,
    WAITING,
    Began,
    Bug,
    Done,
    Ended,
    Ready,
    Refused,
)
from tfdfd.workers.pool import run_clips


class ScriptedWorker:
    """Does one stage of one clip a turn, as its crew's faults say."""

    def __init__(self, crew, slot):
        self.crew, self.slot = crew, slot
        self.clips, self.read, self.said = [], [], [Ready(("a note",))]
        self.has_ended = self.is_killed = False
        self.at = None

    def submit(self, handed):
        clip = handed.clip
        self.clips.append(clip)
        self.crew.handed.append((self.slot, clip.clip_id))
        if handed.is_second_try:
            self.crew.second_tries.append(clip.clip_id)
        self.crew.most_held = max(self.crew.most_held, len(self.clips) + len(self.read))

    def kill(self):
        self.is_killed = True

    def events(self):
        if self.has_ended:
            return []
        said, self.said = self.said, []
        if self.is_killed:
            return self._end(said, KILLED)
        if self.read:
            clip = self.read[0]
            self._begin(said, clip, DETECTING)
            if (fault := self.crew.fault(clip, DETECTING)) is not None:
                return self._fault(said, clip, fault)
            self.read.pop(0)
            self.crew.written.append(clip.clip_id)
            said.append(Done(clip.clip_id, "ok"))
        if self.clips:
            clip = self.clips[0]
            self._begin(said, clip, READING)
            if (fault := self.crew.fault(clip, READING)) is not None:
                return self._fault(said, clip, fault)
            said.append(Began(clip.clip_id, WAITING))
            self.read.append(self.clips.pop(0))
        return said

    def _begin(self, said, clip, stage):
        if self.at != (clip, stage):
            said.append(Began(clip.clip_id, stage))
        self.at = (clip, stage)

    def _fault(self, said, clip, fault):
        self.crew.tried[clip.clip_id].append([held.clip_id for held in (*self.read, *self.clips)])
        if fault == "hang":
            return said
        if fault.startswith("bug"):
            (self.read if clip in self.read else self.clips).remove(clip)
            return [*said, Bug(clip.clip_id, Fault(fault, "bad", "a.py:1", "Traceback of it"))]
        if fault == "full":
            return [*said, Refused("no space left")]
        if fault == "unsaid":
            self.crew.written.append(clip.clip_id)
        return self._end(said, CRASHED if fault == "unsaid" else fault)

    def _end(self, said, how):
        self.has_ended = True
        self.crew.living.remove(self)
        return [*said, Ended(how, how.upper(), "last words")]


class ScriptedCrew:
    """Workers that take a second for a turn.

    Args:
        num_workers: at a time.
        faults: clip id and stage to the faults of its tries, in order; the last one repeats.
    """

    def __init__(self, num_workers, faults=None, worker=ScriptedWorker):
        self.num_workers, self.worker = num_workers, worker
        self.faults = {key: list(value) for key, value in (faults or {}).items()}
        self.handed, self.written, self.living, self.slots, self.most_held = [], [], [], [], 0
        self.tried = defaultdict(list)
        self.second_tries = []
        self.now, self.jump = 0.0, {}

    def fault(self, clip, stage):
        left = self.faults.get((clip.clip_id, stage), [None])
        return left.pop(0) if len(left) > 1 else left[0]

    def start(self, slot):
        assert slot not in [worker.slot for worker in self.living]
        self.slots.append(slot)
        self.living.append(self.worker(self, slot))
        assert len(self.living) <= self.num_workers, "more workers than may run"
        return self.living[-1]

    def wait(self, seconds):
        self.now += self.jump.pop(int(self.now), seconds)

    def close(self):
        self.living = []


def run(names, crew, *, timeout=0.0, reported=None):
    """Return what became of each clip, and the clips on which a worker said that it met a bug, as they were told."""
    clips = [Clip(name, Path(name)) for name in names]
    found, bugs = {}, []
    reported = [] if reported is None else reported

    def note(name, what):
        assert name not in found
        found[name] = what

    run_clips(
        clips,
        crew,
        clip_timeout_seconds=timeout,
        recorded=lambda clip: Done(clip.clip_id, "ok") if clip.clip_id in crew.written else None,
        on_done=lambda done: note(done.clip_id, done.status),
        on_failed=lambda clip, reason: note(clip.clip_id, reason),
        on_fault=lambda clip_id, fault: bugs.append((clip_id, fault.kind)),
        on_note=reported.append,
        clock=lambda: crew.now,
    )
    assert not crew.living
    assert len(crew.written) == len(set(crew.written))
    return found, bugs


def test_clips_are_handed_out_in_order_two_a_worker():
    crew = ScriptedCrew(2)
    names = [str(number) for number in range(9)]
    reported = []
    found, bugs = run(names, crew, reported=reported)
    assert found == dict.fromkeys(names, "ok")
    assert [name for _, name in crew.handed] == names
    assert crew.most_held == 2
    assert crew.slots == [0, 1]
    assert reported == ["a note"]
    assert not bugs


def test_no_more_workers_than_clips():
    crew = ScriptedCrew(8)
    run(["a", "b"], crew)
    assert crew.slots == [0, 1]


@pytest.mark.parametrize("stage", [READING, DETECTING])
def test_of_two_suspects_only_the_guilty_one_has_failed(stage):
    crew = ScriptedCrew(1, {("c", stage): [CRASHED]})
    found, _ = run("abcdef", crew)
    assert found.pop("c") == f"its worker ended twice by CRASHED while {stage}, the second time with no other clip"
    assert found == dict.fromkeys("abdef", "ok")
    assert len(crew.tried["c"]) == 2
    assert crew.tried["c"][1] == ["c"]


def test_a_clip_that_breaks_its_worker_once_is_done_at_the_second_try():
    crew = ScriptedCrew(2, {("b", READING): [CRASHED, None]})
    found, _ = run("abcd", crew)
    assert found == dict.fromkeys("abcd", "ok")
    # And then without NVDEC, as is the clip that its worker held beside it.
    assert "b" in crew.second_tries
    assert len(crew.second_tries) == len(set(crew.second_tries)) <= 2


def test_a_clip_that_its_worker_had_not_touched_is_no_suspect():
    crew = ScriptedCrew(1, {("a", READING): [CRASHED, None]})
    run("ab", crew)
    assert crew.tried["a"][0] == ["a", "b"]
    # "a" is done alone; "b" is not, it may have company.
    assert [name for _, name in crew.handed] == ["a", "b", "a", "b"]
    assert crew.most_held == 2


def test_after_a_kill_clips_are_tried_again_when_nothing_else_runs():
    crew = ScriptedCrew(2, {("a", DETECTING): [KILLED]})
    found, _ = run("abcdefgh", crew)
    assert "killed twice (KILLED), the second time with nothing else running" in found.pop("a")
    assert found == dict.fromkeys("bcdefgh", "ok")
    assert "a" in crew.second_tries
    assert crew.handed[-1][1] in "ab"
    assert crew.tried["a"] == [["a", "b"], ["a"]] or crew.tried["a"] == [["a"], ["a"]]


def test_memory_that_another_clip_took_is_not_held_against_a_clip():
    crew = ScriptedCrew(2, {("a", DETECTING): [KILLED, None], ("b", DETECTING): [CRASHED, KILLED, None]})
    assert run("abcdef", crew)[0] == dict.fromkeys("abcdef", "ok")


def test_clips_lost_with_their_machine_are_done_again_without_blame_but_not_for_ever():
    crew = ScriptedCrew(1, {("a", READING): [LOST, LOST, None]})
    assert run("abc", crew)[0] == dict.fromkeys("abc", "ok")
    crew = ScriptedCrew(1, {("a", READING): [LOST]})
    found, _ = run("abc", crew)
    assert "ended twice by LOST" in found.pop("a")
    assert found == dict.fromkeys("bc", "ok")


def test_a_machine_of_many_workers_that_is_lost_does_not_stop_the_run():
    names = [str(number) for number in range(100)]
    crew = ScriptedCrew(40, {(name, READING): [LOST, None] for name in names[:80:2]})
    assert run(names, crew)[0] == dict.fromkeys(names, "ok")


@pytest.mark.parametrize("stage", [READING, DETECTING])
def test_a_clip_that_takes_too_long_has_failed_and_its_neighbour_is_done(stage):
    crew = ScriptedCrew(1, {("b", stage): ["hang"]})
    found, _ = run("abcd", crew, timeout=10)
    assert found.pop("b") == f"{stage} took longer than 10 s (--clip-timeout)"
    assert found == dict.fromkeys("acd", "ok")
    assert 10 < crew.now < 20


def test_without_a_limit_a_clip_may_take_for_ever():
    crew = ScriptedCrew(1, {("b", READING): ["hang"] * 5000 + [None]})
    assert run("abc", crew)[0] == dict.fromkeys("abc", "ok")
    assert crew.now > 2000


def test_time_in_which_we_were_stopped_counts_against_no_clip():
    crew = ScriptedCrew(1, {("b", READING): ["hang"] * 8 + [None]})
    crew.jump = {3: 5000.0}
    assert run("abc", crew, timeout=10)[0] == dict.fromkeys("abc", "ok")


def test_a_bug_costs_its_clip_and_is_handed_on():
    found, bugs = run("abcd", ScriptedCrew(2, {("b", READING): ["bug"], ("c", DETECTING): ["bug"]}))
    reasons = {found.pop(name) for name in "bc"}
    assert reasons == {"bug: bad (unforeseen, at a.py:1)"}
    assert found == dict.fromkeys("ad", "ok")
    assert sorted(bugs) == [("b", "bug"), ("c", "bug")]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_where_clips_from_both_ends_meet_the_same_bug_it_is_not_the_clips(num_workers):
    names = [f"clip {number}" for number in range(100)]
    crew = ScriptedCrew(num_workers, {(name, READING): ["bug"] for name in names})
    with pytest.raises(RepeatedFaultError, match=f"clips failed alike .*{names[-1]}.*bug: bad"):
        run(names, crew)
    assert 2 * MOST_ALIKE <= len(crew.tried) <= 2 * MOST_ALIKE + 2 * num_workers
    assert not crew.written


def test_the_same_bug_on_all_of_a_few_clips_is_not_the_clips_either_unless_they_are_fewer_still():
    names = "abcdefgh"[:MOST_ALIKE]
    with pytest.raises(RepeatedFaultError):
        run(names, ScriptedCrew(2, {(name, READING): ["bug"] for name in names}))
    found, _ = run(names[:-1], ScriptedCrew(2, {(name, READING): ["bug"] for name in names}))
    assert found == dict.fromkeys(names[:-1], "bug: bad (unforeseen, at a.py:1)")


def test_bugs_of_different_kinds_are_their_clips_own_and_so_are_alike_ones_behind_clips_that_were_done():
    names = [str(number) for number in range(12)]
    found, _ = run(names, ScriptedCrew(1, {(name, READING): [f"bug {name}"] for name in names}))
    assert len(found) == 12
    found, _ = run(names, ScriptedCrew(1, {(name, READING): ["bug"] for name in names[2:]}))
    assert [found[name] == "ok" for name in names] == [True] * 2 + [False] * 10


def test_a_full_disk_stops_the_run():
    crew = ScriptedCrew(2, {("b", DETECTING): ["full"]})
    with pytest.raises(TfdfdError, match="no space left"):
        run("abcd", crew)
    assert not crew.living


def test_what_was_written_but_not_said_is_not_done_again():
    crew = ScriptedCrew(1, {("b", DETECTING): ["unsaid"]})
    assert run("abcd", crew)[0] == dict.fromkeys("abcd", "ok")
    assert crew.written.count("b") == 1


def test_where_every_clip_breaks_its_worker_it_is_not_the_clips():
    names = [f"clip {number}" for number in range(100)]
    found = {}
    with pytest.raises(TfdfdError, match=f"{2 * DOUBTFUL_FAULTS} faults in a row") as error:
        found, _ = run(names, ScriptedCrew(2, {(name, READING): [CRASHED] for name in names}))
    assert "last words" in str(error.value)
    assert not found


def test_a_few_clips_that_all_break_their_worker_have_failed():
    found, _ = run("abc", ScriptedCrew(2, {(name, READING): [CRASHED] for name in "abc"}))
    assert ["ended twice" in found[name] for name in "abc"] == [True] * 3


def test_bad_clips_among_good_ones_never_stop_the_run():
    names = [str(number) for number in range(200)]
    faults = {(name, READING): [CRASHED] for name in names[::2]}
    found, _ = run(names, ScriptedCrew(3, faults))
    assert [found[name] == "ok" for name in names] == [False, True] * 100


@pytest.mark.parametrize("num_workers", [1, 3, 40])
@pytest.mark.parametrize("fault", [CRASHED, KILLED, "bug"])
def test_bad_clips_that_lie_together_never_stop_the_run(num_workers, fault):
    names = [str(number) for number in range(200)]
    crew = ScriptedCrew(num_workers, {(name, READING): [fault] for name in names[:100]})
    found, _ = run(names, crew)
    assert [name for name in names if found.get(name) == "ok"] == names[100:]
    assert sorted(name for name, what in found.items() if what != "ok") == sorted(names[:100])


def test_bad_clips_that_are_all_that_is_left_have_failed():
    names = [str(number) for number in range(16)]
    found, _ = run(names, ScriptedCrew(2, {(name, READING): [CRASHED] for name in names}))
    assert all("ended twice" in found[name] for name in names)


class StillbornWorker(ScriptedWorker):
    """Ends before it is ready."""

    def events(self):
        return [] if self.has_ended else self._end([], CRASHED)


class SleepyWorker(ScriptedWorker):
    """Is never ready."""

    def events(self):
        return self._end([], KILLED) if self.is_killed and not self.has_ended else []


def test_workers_that_cannot_start_stop_the_run():
    crew = ScriptedCrew(1, worker=StillbornWorker)
    with pytest.raises(
        TfdfdError, match=r"3 workers in a row ended before they were ready, the last by CRASHED"
    ) as error:
        run("abc", crew)
    assert "last words" in str(error.value)
    assert crew.slots == [0, 0, 0]


def test_workers_that_are_never_ready_stop_the_run():
    crew = ScriptedCrew(2, worker=SleepyWorker)
    with pytest.raises(TfdfdError, match=f"not ready after {START_SECONDS:.0f} s"):
        run("abc", crew)


class BrokenAtTwo(ScriptedWorker):
    """Cannot start in the slot 1."""

    def events(self):
        return self._end([], CRASHED) if self.slot == 1 and not self.has_ended else super().events()


def test_a_place_in_which_no_worker_starts_rests_while_others_work():
    crew = ScriptedCrew(3, worker=BrokenAtTwo)
    names = [str(number) for number in range(int(REST_SECONDS))]
    reported = []
    assert run(names, crew, reported=reported)[0] == dict.fromkeys(names, "ok")
    assert crew.slots == [0, 1, 2, 1, 1]
    assert "worker 1 ended 3 times before it was ready" in reported[-1]
    assert "last words" in reported[-1]


class BrokenAtOne(ScriptedWorker):
    """Cannot start in the slot 0."""

    def events(self):
        return self._end([], CRASHED) if self.slot == 0 and not self.has_ended else super().events()


def test_a_place_that_rests_is_not_tried_while_another_is_free():
    names = [str(number) for number in range(20)]
    crew = ScriptedCrew(2, {("18", READING): [CRASHED], ("17", READING): [KILLED]}, worker=BrokenAtOne)
    found, _ = run(names, crew)
    assert [name for name in names if found[name] != "ok"] == ["17", "18"]
    assert crew.slots.count(0) == 3


class UselessWorker(ScriptedWorker):
    """Says that it is ready and ends."""

    def events(self):
        return [] if self.has_ended else self._end([Ready()], KILLED)


def test_workers_that_end_before_they_got_a_clip_stop_the_run():
    with pytest.raises(TfdfdError, match=r"3 workers in a row ended before they were ready.*fewer --workers"):
        run("abc", ScriptedCrew(1, worker=UselessWorker))


class LostAtFirst(ScriptedWorker):
    """Goes with its machine before it is ready, as the crew's first workers do."""

    def events(self):
        if len(self.crew.slots) <= 5 and not self.has_ended:
            return self._end([], LOST)
        return super().events()


def test_machines_that_are_lost_before_their_workers_are_ready_do_not_stop_the_run():
    assert run("abc", ScriptedCrew(1, worker=LostAtFirst))[0] == dict.fromkeys("abc", "ok")


def test_as_machines_come_and_go_workers_are_started_or_not():
    crew = ScriptedCrew(1)
    seen = []

    def wait(seconds):
        ScriptedCrew.wait(crew, seconds)
        seen.append(len(crew.living))
        crew.num_workers = 3 if crew.now > 3 else 1
        if crew.now == 5:
            crew.living[0].kill()
            crew.living[1].kill()
        if crew.now >= 5:
            crew.num_workers = 1

    crew.wait = wait
    names = [str(number) for number in range(30)]
    assert run(names, crew)[0] == dict.fromkeys(names, "ok")
    assert max(seen) == 3
    assert seen[0] == seen[-1] == 1


def test_without_any_machine_clips_wait():
    crew = ScriptedCrew(0)
    crew.wait = lambda seconds: setattr(crew, "num_workers", 1)
    assert run("abc", crew)[0] == dict.fromkeys("abc", "ok")
