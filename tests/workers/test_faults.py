"""Faults of workers, provoked for real: whatever a clip does to its process, all others end up in the store."""

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.workers.faulty import COMMAND, command_environment
from tfdfd.data.store import FaceStore

SECONDS = 120


def make_clips(folder, names):
    """Write a manifest of clips that the faulty frame source reads; their files need hold nothing."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").write_bytes(b"clip")
    rows = "".join(f"{name}.mp4,{name},{('REAL', 'FAKE')[number % 2]}\n" for number, name in enumerate(names))
    (folder / "manifest.csv").write_text("path,clip_id,label\n" + rows)


def arguments(folder, *more):
    return [*COMMAND, "--data", str(folder / "clips"), "--store", str(folder / "store"), *map(str, more)]


def prepare(folder, names, *more, **environment):
    """Make clips and run the command to its end; return its exit status and what it printed."""
    make_clips(folder / "clips", names)
    return prepare_again(folder, *more, **environment)


def prepare_again(folder, *more, **environment):
    """Run the command on the clips that are there."""
    done = subprocess.run(
        arguments(folder, *more),
        env=command_environment(folder, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout


def records(folder):
    """Return status and reason of each clip in the store."""
    clips = FaceStore.open(folder / "store").clips()
    return {
        clip: (status, reason)
        for clip, status, reason in zip(clips["clip_id"], clips["status"], clips["reason"], strict=True)
    }


def journal(folder):
    return [line.split() for line in (folder / "journal").read_text().splitlines()]


def num_times(folder, what):
    return Counter(words[1] for words in journal(folder) if words[0] == what)


def workers_of(folder):
    return {int(words[2]) for words in journal(folder)}


def is_running(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_none_left(folder, *, seconds=5):
    deadline = time.monotonic() + seconds
    while any(is_running(worker) for worker in workers_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [worker for worker in workers_of(folder) if is_running(worker)]


def assert_others_are_done_once(folder, names, bad):
    found = records(folder)
    assert found.keys() == set(names)
    assert {clip: status for clip, (status, _) in found.items() if clip not in bad} == {
        name: "no_face" for name in names if name not in bad
    }
    assert set(num_times(folder, "wrote").values()) == {1}
    assert_none_left(folder)


def test_whatever_clips_do_to_their_workers_all_others_are_done(tmp_path):
    names = [
        "a",
        "segfault",
        "b",
        "killed",
        "c",
        "hang",
        "d",
        "bug",
        "e",
        "once",
        "unsaid",
        "exit",
        "broken",
        "large",
        "f",
    ]
    bad = {"segfault", "killed", "hang", "exit", "broken", "large", "bug"}
    status, said = prepare(tmp_path, names, "--workers", 2, "--clip-timeout", 2)
    assert status == 0, said
    assert "says goodbye" not in said
    assert "Traceback" not in said
    assert_others_are_done_once(tmp_path, names, bad)
    assert FaceStore.open(tmp_path / "store").manifest()["clip_id"].tolist() == sorted(names)
    found = records(tmp_path)
    assert {found[name][0] for name in bad} == {"failed"}
    assert found["segfault"][1] == (
        "its worker ended twice by SIGSEGV (Segmentation fault) while reading, the second time with no other clip"
    )
    assert "ended twice by exit status 7 while reading" in found["exit"][1]
    assert found["hang"][1] == "reading took longer than 2 s (--clip-timeout)"
    assert found["bug"][1].startswith("ZeroDivisionError: a bug of ours (unforeseen, at ")
    log = tmp_path / "store" / "failures.log"
    assert f"tracebacks in {log}" in said
    assert "Traceback" in log.read_text()
    for word in ("killed twice (SIGKILL)", "out of memory", "--workers"):
        assert word in found["killed"][1]
        assert word in found["large"][1]
    read = [words[1] for words in journal(tmp_path) if words[0] == "read"]
    for name in ("killed", "large"):  # tried again when all others have been tried
        assert len(read) - read[::-1].index(name) > max(read.index(other) for other in names)
    assert num_times(tmp_path, "read")["bug"] >= 1
    assert num_times(tmp_path, "read")["hang"] <= 3


def test_a_clip_that_met_a_bug_is_tried_again_when_asked(tmp_path):
    status, said = prepare(tmp_path, ["a", "bug", "b"])
    assert status == 0, said
    status, said = prepare_again(tmp_path)
    assert "3 of 3 clips are done, 0 to do" in said
    status, said = prepare_again(tmp_path, "--retry-failed", FAULTS_MENDED="1")
    assert status == 0, said
    assert {status for status, _ in records(tmp_path).values()} == {"no_face"}


def test_where_every_clip_meets_the_same_bug_the_run_stops_and_what_is_done_is_kept(tmp_path):
    names = ["a", "b", *(f"bug{number:02}" for number in range(20))]
    status, said = prepare(tmp_path, names, "--workers", 1)  # so that a and b are done before the others
    assert status == 1
    assert "clips failed alike" in said
    assert "bug19" in said.partition("failed alike")[2]
    assert "Traceback" not in said
    assert (tmp_path / "store" / "failures.log").read_text().count("Traceback") == 1
    assert {path.stem for path in tmp_path.glob("store/records/*/*.json")} == {"a", "b"}
    status, said = prepare_again(tmp_path, FAULTS_MENDED="1")
    assert status == 0, said
    assert {status for status, _ in records(tmp_path).values()} == {"no_face"}
    assert len(records(tmp_path)) == 22


def test_waiting_for_ones_turn_is_not_slow(tmp_path):
    names = [f"slow{number}" for number in range(5)]
    status, said = prepare(tmp_path, names, "--clip-timeout", 0.6)
    assert status == 0, said
    assert_others_are_done_once(tmp_path, names, set())


def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(tmp_path):
    names = [str(number) for number in range(12)]
    status, said = prepare(tmp_path, names, FAULTS_START="full")
    assert status == 1
    assert "no space left while writing to" in said
    assert "Traceback" not in said
    assert_none_left(tmp_path)
    assert 0 < len(num_times(tmp_path, "wrote")) < 12
    status, said = prepare(tmp_path, names)
    assert status == 0, said
    assert_others_are_done_once(tmp_path, names, set())


def test_workers_that_cannot_start_stop_the_run_with_their_last_words(tmp_path):
    status, said = prepare(tmp_path, ["a", "b"], FAULTS_START="crash")
    assert status == 1
    assert "3 workers in a row ended before they were ready, the last by SIGABRT" in said
    assert "libbroken.so: cannot open shared object file" in said
    assert not list((tmp_path / "store").glob("records/*/*"))
    assert len(journal(tmp_path)) == 3
    assert_none_left(tmp_path)


def test_what_stops_every_worker_is_said_once(tmp_path):
    status, said = prepare(tmp_path, ["a", "b", "c"], "--workers", 2, FAULTS_START="refuse")
    assert status == 1
    assert said.count("the mtcnn package is missing: install it") == 1


def test_a_few_clips_that_all_break_their_worker_have_failed(tmp_path):
    status, said = prepare(tmp_path, ["exit1", "broken", "segfault"])
    assert status == 0, said
    assert {clip: status for clip, (status, _) in records(tmp_path).items()} == dict.fromkeys(
        ("exit1", "broken", "segfault"), "failed"
    )


def started(folder, names, *more):
    """Start the command, wait until a clip is written, and return the process."""
    make_clips(folder / "clips", names)
    process = subprocess.Popen(
        arguments(folder, *more),
        env=command_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + SECONDS
    while not list(folder.glob("store/**/records/*/*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("last", ["hang", "slow"])
def test_no_worker_outlives_a_parent_that_is_killed(tmp_path, last):
    names = ["a", "b", last]
    process = started(tmp_path, names)
    process.kill()
    process.wait()
    assert_none_left(tmp_path)


def test_ctrl_c_ends_all_with_one_message(tmp_path):
    names = [f"slow{number}" for number in range(10)]
    process = started(tmp_path, names, "--workers", 2)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert said.count("interrupted: what is done is kept") == 1
    assert "Traceback" not in said
    assert_none_left(tmp_path)
    assert not list((tmp_path / "store").rglob("*.tmp"))
    status, said = prepare(tmp_path, names)
    assert status == 0, said
    assert_others_are_done_once(tmp_path, names, set())


def starts(folder):
    return sorted(words[1] for words in journal(folder) if words[0] == "start")


def threads(num_workers):
    return f"threads={max(1, len(os.sched_getaffinity(0)) // num_workers)}"


def test_workers_share_the_cores(tmp_path):
    status, said = prepare(tmp_path, [f"slow{number}" for number in range(8)], "--workers", 2)
    assert status == 0, said
    assert starts(tmp_path) == [f"{threads(2)},gpu="] * 2
    assert {words[2] for words in journal(tmp_path) if words[0] == "wrote"} == {
        words[2] for words in journal(tmp_path) if words[0] == "start"
    }
    assert said.count("frames are scripted") == 1


@pytest.mark.parametrize(
    ("flags", "places", "gpus"),
    [
        ((), 1, ["2", "5"] if len(os.sched_getaffinity(0)) in (2, 3, 4, 5) else None),
        (("--workers", 3), 2, ["2", "2", "5"]),
        (("--workers", 3), 1, ["", "2", "5"]),
    ],
)
def test_workers_share_the_gpus(tmp_path, flags, places, gpus):
    if gpus is None:
        pytest.skip("as many workers as this machine has cores for; tests/workers/test_places.py has every machine")
    # So many that none is left without: a worker that starts late finds what others have not done yet.
    names = [f"slow{number}" for number in range(9)]
    status, said = prepare(
        tmp_path, names, *flags, FAULTS_GPUS="2,5", FAULTS_PLACES=str(places), CUDA_VISIBLE_DEVICES="2,5"
    )
    assert status == 0, said
    assert starts(tmp_path) == [f"{threads(len(gpus))},gpu={gpu}" for gpu in gpus]


def test_a_clip_that_nvdec_ended_a_worker_on_is_done_at_the_second_try_without_it(tmp_path):
    status, said = prepare(tmp_path, ["a", "nvdec-segfault", "b"], "--workers", 1)
    assert status == 0, said
    assert {status for status, _ in records(tmp_path).values()} == {"no_face"}
    assert len(records(tmp_path)) == 3
    assert "nvdec-segfault" in [words[1] for words in journal(tmp_path) if words[0] == "second"]
