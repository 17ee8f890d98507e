"""Shards become one tree by one rule, whatever was killed on the way."""

import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.data.test_store import FINGERPRINT, contents, ok_faces
from tfdfd.clip import FAILED, NO_FACE, OK, PARTIAL, STATUSES, WITH_FACES, ClipFaces, TfdfdError
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.store import FaceStore
from tfdfd.data.store_records import record_name, strip_name


def new_store(folder):
    return FaceStore.create_or_open(folder, FINGERPRINT, num_places=3)[0]


def faces_of(clip_id, status, **how):
    if status not in WITH_FACES:
        return ClipFaces(clip_id, status, "a reason")
    return dataclasses.replace(ok_faces(clip_id, **how), status=status, reason="" if status == OK else "a reason")


def write_in_shards(store):
    """Write clips a to d in two shards; one of them in both, one anew with fewer tracks than the main tree has."""
    store.shard("one").write(ok_faces("a", tracks=2), source_bytes=1)
    store.shard("two").write(ok_faces("b"), source_bytes=1)
    for name in ("one", "two"):
        store.shard(name).write(ok_faces("c"), source_bytes=1)
    store.shard("two").write(ClipFaces("d", NO_FACE, "nobody"), source_bytes=1)


def fill_undisturbed(folder):
    store = new_store(folder)
    with store.writing():
        for clip_id, tracks in (("a", 2), ("b", 1), ("c", 1)):
            store.write(ok_faces(clip_id, tracks=tracks), source_bytes=1)
        store.write(ClipFaces("d", NO_FACE, "nobody"), source_bytes=1)
    return contents(folder)


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path / "store")


def merge(store):
    with store.writing():
        pass


def test_merged_shards_equal_a_store_written_by_one_machine(store, tmp_path):
    write_in_shards(store)
    assert not store.holds("a", source_bytes=1)
    with store.writing():
        assert store.holds("a", source_bytes=1)  # before any work is done twice
    assert contents(store.folder) == fill_undisturbed(tmp_path / "undisturbed")
    assert not (store.folder / "shards").exists()


def test_what_is_written_to_a_shard_meanwhile_is_merged_at_the_end(store, tmp_path):
    with store.writing():
        write_in_shards(store)
    assert contents(store.folder) == fill_undisturbed(tmp_path / "undisturbed")


@pytest.mark.parametrize("statuses", itertools.product([None, *STATUSES], [OK, FAILED], [OK, PARTIAL, NO_FACE]))
def test_the_better_status_wins_then_the_main_tree_then_the_first_shard(store, statuses):
    values = (50, 100, 200)
    with store.writing():
        pass
    for name, status, value in zip((None, "x", "y"), statuses, values, strict=True):
        if status is not None:
            tree = store.shard(name) if name else store
            tree.write(faces_of("a", status, **({"value": value} if status in WITH_FACES else {})), source_bytes=value)
    merge(store)
    order = [OK, PARTIAL, NO_FACE, FAILED]
    best = min((order.index(status), place) for place, status in enumerate(statuses) if status is not None)
    record = store.record("a")
    assert (record["status"], record["source_bytes"]) == (order[best[0]], values[best[1]])
    assert not (store.folder / "shards").exists()


def test_a_store_copied_from_another_machine_is_merged(store, tmp_path):
    other = new_store(tmp_path / "other")
    with other.writing():
        other.write(ok_faces("b"), source_bytes=1)
    with store.writing():
        store.write(ok_faces("a"), source_bytes=1)
    shutil.copytree(other.folder, store.folder / "shards/from elsewhere")
    merge(store)
    assert store.clips()["clip_id"].tolist() == ["a", "b"]
    assert not (store.folder / "shards").exists()


def test_a_copied_store_that_was_made_otherwise_is_refused_and_kept(store, tmp_path):
    other, _ = FaceStore.create_or_open(
        tmp_path / "other", Fingerprint({"crop_size": 16, "margin": 0.9}, {}), num_places=3
    )
    with other.writing():
        other.write(ok_faces("b"), source_bytes=1)
    shutil.copytree(other.folder, store.folder / "shards/x")
    before = contents(store.folder / "shards")
    with pytest.raises(TfdfdError, match="must be taken away"):
        merge(store)
    assert contents(store.folder / "shards") == before


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


DAMAGES = {
    "half a record": lambda shard: cut(shard / record_name("a"), 100),
    "an empty record": lambda shard: cut(shard / record_name("a"), 0),
    "a record of another clip": lambda shard: (shard / record_name("a")).write_text('{"clip_id": "z"}'),
    "half a strip": lambda shard: cut(shard / strip_name("a", 1), 200),
    "an empty strip": lambda shard: cut(shard / strip_name("a", 1), 0),
    "no strip": lambda shard: (shard / strip_name("a", 1)).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_not_whole_is_announced_and_never_taken(store, damage, caplog):
    # The main tree has strips of that name, of an older version of the clip.
    store.write(ok_faces("a", tracks=2, value=10), source_bytes=7)
    store.shard("one").write(ok_faces("a", tracks=2), source_bytes=1)
    store.shard("one").write(ok_faces("b"), source_bytes=1)
    (store.folder / record_name("a")).unlink()
    damage(store.folder / "shards/one")
    merge(store)
    assert not store.holds("a", source_bytes=1)
    assert store.holds("b", source_bytes=1)
    assert "shard one" in caplog.text
    assert "done again" in caplog.text
    assert not (store.folder / "shards").exists()


def test_a_clip_of_the_main_tree_without_its_strips_gives_way(store):
    store.write(ok_faces("a"), source_bytes=1)
    (store.folder / strip_name("a", 0)).unlink()
    store.shard("one").write(ok_faces("a"), source_bytes=1)
    merge(store)
    assert store.holds("a", source_bytes=1)


def test_a_forgotten_clip_leaves_nothing(store):
    empty = contents(store.folder)
    store.write(ok_faces("a", tracks=2), source_bytes=1)
    store.forget("a")
    store.forget("never seen")
    assert contents(store.folder) == empty


KILLED_EVERYWHERE = """
import sys
from pathlib import Path
from tests.data.test_shards import merge_killed_at_every_step
print(merge_killed_at_every_step(Path(sys.argv[1])))
"""


def merge_killed_at_every_step(folder):
    """Kill -9 a merge before its n-th change of the disk, for every n; return how many there were."""
    undisturbed = fill_undisturbed(folder / "undisturbed")
    step, was_killed = 0, True
    while was_killed:
        step += 1
        store = new_store(folder / str(step))
        # Of an older run, with a worse end than in the shards.
        store.write(ClipFaces("a", FAILED, "cut off"), source_bytes=1)
        store.write(ClipFaces("b", NO_FACE, "nobody"), source_bytes=1)
        write_in_shards(store)
        child = os.fork()
        if child == 0:
            kill_before(step)
            merge(store)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        merge(store)
        assert contents(store.folder) == undisturbed, f"killed before step {step}"
        was_killed = os.WIFSIGNALED(status)
    return step - 1


def kill_before(step):
    left = iter(range(step - 1))
    for name in ("replace", "unlink", "rmdir", "mkdir"):
        real = getattr(os, name)

        def change(*arguments, real=real, **how):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **how)

        setattr(os, name, change)


def test_a_merge_killed_at_any_moment_is_finished_by_the_next(tmp_path):
    # A process of its own, since it forks.
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_a_shard_that_is_a_link_is_refused_and_what_it_leads_to_stays(tmp_path):
    store, other = (
        FaceStore.create_or_open(tmp_path / name, FINGERPRINT, num_places=3)[0] for name in ("store", "other")
    )
    with other.writing():
        other.write(ok_faces("a"), source_bytes=1)
    before = contents(other.folder)
    (store.folder / "shards").mkdir()
    (store.folder / "shards/o").symlink_to(other.folder)
    with pytest.raises(TfdfdError, match=r"shards/o is a link.*copy that store there"), store.writing():
        pass
    assert contents(other.folder) == before
