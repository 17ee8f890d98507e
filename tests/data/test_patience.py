"""A disk that is away for a moment: waited for, announced once, and nothing is made in its place."""

import errno
import os
import subprocess
import sys
import threading
import time

import pytest

import tfdfd.data.atomic
from tests.data.test_store import FINGERPRINT, contents, ok_faces
from tfdfd.clip import TfdfdError
from tfdfd.data.patience import MAY_PASS, Patience
from tfdfd.data.store import FaceStore


def patient_store(folder, said, seconds=20.0):
    FaceStore.create_or_open(folder, FINGERPRINT, num_places=3)
    fingerprint = FaceStore.open(folder).fingerprint
    return FaceStore(folder, fingerprint, Patience(seconds, said.append))


def fill(store, on_clip=lambda clip_id: None):
    with store.writing():
        for clip_id in "abcdef":
            on_clip(clip_id)
            store.write(ok_faces(clip_id, value=ord(clip_id)), source_bytes=1)


@pytest.fixture
def undisturbed(tmp_path):
    store = patient_store(tmp_path / "undisturbed", [])
    fill(store)
    return contents(store.folder)


def failing(times, number):
    """Return an `os.fsync` that fails a number of times."""
    left, fsync = iter(range(times)), os.fsync

    def fail(descriptor):
        if next(left, None) is not None:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    return fail


@pytest.mark.parametrize("number", sorted(MAY_PASS), ids=lambda number: errno.errorcode[number])
def test_an_error_of_the_network_is_waited_out_and_announced_once(tmp_path, undisturbed, monkeypatch, number):
    said = []
    store = patient_store(tmp_path / "store", said)
    monkeypatch.setattr(tfdfd.data.atomic.os, "fsync", failing(2, number))
    fill(store)
    assert contents(store.folder) == undisturbed
    assert said == [
        f"the store {store.folder} cannot be reached ({os.strerror(number)}): trying for 20 seconds",
        f"the store {store.folder} can be reached again",
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_what_does_not_pass_by_itself_stops_at_once(tmp_path, monkeypatch, number):
    said = []
    store = patient_store(tmp_path / "store", said)
    monkeypatch.setattr(tfdfd.data.atomic.os, "fsync", failing(1, number))
    with pytest.raises(TfdfdError, match=r"no space left|cannot write to"):
        fill(store)
    assert not said


@pytest.mark.parametrize("leaves_a_mount_point", [False, True])
def test_a_store_that_vanishes_for_seconds_ends_as_an_undisturbed_one(tmp_path, undisturbed, leaves_a_mount_point):
    said, folder, away = [], tmp_path / "store", tmp_path / "away"
    store = patient_store(folder, said)

    def come_back():
        time.sleep(1.5)
        if leaves_a_mount_point:
            folder.rmdir()  # fails if anything was written there
        away.rename(folder)

    thread = threading.Thread(target=come_back)

    def vanish(clip_id):
        if clip_id == "c":
            folder.rename(away)
            if leaves_a_mount_point:
                folder.mkdir()
            thread.start()

    fill(store, vanish)
    thread.join()
    assert contents(folder) == undisturbed
    assert len(said) == 2
    assert "it has vanished" in said[0]


def test_a_store_that_stays_away_stops_the_run_and_is_not_made_anew(tmp_path, undisturbed):
    folder, away = tmp_path / "store", tmp_path / "away"
    store = patient_store(folder, [], seconds=0.5)
    with pytest.raises(TfdfdError, match=r"could not be reached for 0\.5 seconds.*run the same command again"):
        fill(store, lambda clip_id: folder.rename(away) if clip_id == "d" else None)
    assert not folder.exists()
    away.rename(folder)
    assert not list(folder.glob("*.parquet"))
    fill(store)
    assert contents(folder) == undisturbed


def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(tmp_path, undisturbed):
    """The kernel refuses files above a size: a real failed write, without a disk of our own to fill."""
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tests.data.test_patience import fill, patient_store\n"
        "from tests.data.test_store import ok_faces; from tfdfd.clip import TfdfdError\n"
        "store = patient_store(Path(sys.argv[1]), [])\n"
        "def full(clip_id):\n"
        "    if clip_id == 'c':\n"
        "        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: fill(store, full)\n"
        "except TfdfdError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store")], capture_output=True, text=True, check=True
    )
    assert "cannot write to" in done.stdout
    assert "File too large" in done.stdout
    store = FaceStore.open(tmp_path / "store")
    assert store.holds("b", source_bytes=1)
    assert not store.holds("c", source_bytes=1)
    fill(store)
    assert contents(store.folder) == undisturbed


def test_the_pauses_grow_but_end_with_the_patience(tmp_path):
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        time.sleep(seconds / 20)

    def attempt():
        raise OSError(errno.EIO, "away")

    with pytest.raises(TfdfdError):
        Patience(0.5, lambda _: None, sleep=sleep).keep_trying(attempt, what="x", folder=tmp_path)
    assert pauses[:2] == pytest.approx([0.1, 0.2])
    assert max(pauses) <= 0.5
