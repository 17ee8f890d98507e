"""Machines of a Ray cluster: two nodes on this host, real actors and processes, frames that say nothing."""

import os
import signal
import time
from collections import Counter

import pytest

from tests.data.test_store import contents
from tests.workers.test_faults import (
    SECONDS,
    assert_none_left,
    assert_others_are_done_once,
    journal,
    num_times,
    prepare,
    prepare_again,
    records,
    started,
)
from tfdfd.data.store import FaceStore

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two machines of two cores; what happens on them is noted in the journal of `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        from tests.run_commands import environment

        journal = tmp_path_factory.mktemp("cluster") / "journal"
        patch.setenv("FAULTS_JOURNAL", str(journal))
        patch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
        # A lost machine is noticed after a second or two, not after half a minute.
        patch.setenv("RAY_health_check_period_ms", "500")
        patch.setenv("RAY_health_check_failure_threshold", "3")
        patch.setenv("RAY_health_check_timeout_ms", "500")
        patch.setenv("RAY_health_check_initial_delay_ms", "500")
        made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        made.journal = journal
        add_machine(made)
        yield made
        made.shutdown()


def add_machine(cluster):
    return cluster.add_node(num_cpus=2)


@pytest.fixture
def folder(cluster, tmp_path):
    """An empty folder with the cluster's journal, which is empty too."""
    cluster.journal.write_text("")
    (tmp_path / "journal").symlink_to(cluster.journal)
    return tmp_path


def on_ray(cluster, *more):
    return "--ray", cluster.address, *more


def shards(folder):
    """Return how many clips were written to each shard."""
    return Counter(words[1] for words in journal(folder) if words[0] == "into")


def test_two_machines_fill_a_store_as_one_does(cluster, folder, tmp_path):
    names = [f"slow{number}" for number in range(12)]
    status, said = prepare(folder, names, *on_ray(cluster))
    assert status == 0, said
    assert "2 machines for 2 workers" in said
    assert said.count("frames are scripted") == 1
    assert_others_are_done_once(folder, names, set())
    assert len(shards(folder)) == 2
    assert not (folder / "store/shards").exists()
    alone = tmp_path / "alone"
    alone.mkdir()
    (folder / "clips").rename(alone / "clips")
    assert prepare(alone, names)[0] == 0
    assert strips_and_records(folder) == strips_and_records(alone)


def strips_and_records(folder):
    """Return what a store holds, without what tells where its clips lie."""
    held = contents(folder / "store")
    return {path: content for path, content in held.items() if path not in ("store.json", "manifest.parquet")}


@pytest.mark.slow
def test_the_clips_of_a_machine_that_is_lost_are_done_by_others(cluster, folder):
    third = add_machine(cluster)
    names = [f"slow{number}" for number in range(30)]
    process = started(folder, names, *on_ray(cluster))
    deadline = time.monotonic() + SECONDS
    while len(shards(folder)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cluster.remove_node(third, allow_graceful=False)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert "has left the Ray cluster: others do its clips" in said
    assert {status for status, _ in records(folder).values()} == {"no_face"}
    assert records(folder).keys() == set(names)
    assert_none_left(folder)
    assert not (folder / "store/shards").exists()


@pytest.mark.slow
def test_whatever_clips_do_to_their_workers_all_others_are_done(cluster, folder):
    names = ["a", "segfault", "b", "killed", "c", "hang", "d", "bug", "e", "once", "unsaid", "exit", "broken", "f"]
    bad = {"segfault", "killed", "hang", "exit", "broken"}
    status, said = prepare(folder, names, *on_ray(cluster, "--clip-timeout", 3))
    assert status == 1
    assert "our code failed on 1 clips, of which nothing is recorded: bug." in said
    assert_others_are_done_once(folder, [name for name in names if name != "bug"], bad)
    found = records(folder)
    assert {found[name][0] for name in bad} == {"failed"}
    assert "ended twice by SIGSEGV (Segmentation fault) on " in found["segfault"][1]
    assert found["hang"][1] == "reading took longer than 3 s (--clip-timeout)"
    assert "killed twice (SIGKILL on " in found["killed"][1]


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_no_worker_and_the_next_one_finishes_it(cluster, folder):
    names = [f"slow{number}" for number in range(12)]
    process = started(folder, names, *on_ray(cluster))
    process.kill()
    process.wait()
    assert_none_left(folder, seconds=20)
    status, said = prepare(folder, names, *on_ray(cluster))
    assert status == 0, said
    assert records(folder).keys() == set(names)
    assert max(num_times(folder, "wrote").values()) == 1
    assert not (folder / "store/shards").exists()


@pytest.mark.slow
def test_an_actor_that_is_killed_costs_no_clip(cluster, folder):
    names = [f"slow{number}" for number in range(12)]
    process = started(folder, names, *on_ray(cluster))
    worker = int(next(words[2] for words in journal(folder) if words[0] == "start"))
    with open(f"/proc/{worker}/stat") as file:
        actor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(actor, signal.SIGKILL)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert "the end of its Ray actor" in said
    assert_others_are_done_once(folder, names, set())


@pytest.mark.slow
def test_clips_that_are_tried_again_replace_what_the_store_has_of_them(cluster, folder):
    assert prepare(folder, ["a", "broken"], *on_ray(cluster))[0] == 0
    assert records(folder)["broken"][0] == "failed"
    (folder / "clips/a.mp4").write_bytes(b"another clip")
    (folder / "clips/mended.mp4").write_bytes(b"clip")
    (folder / "clips/manifest.csv").write_text("path,clip_id,label\na.mp4,a,REAL\nmended.mp4,broken,FAKE\n")
    status, said = prepare_again(folder, *on_ray(cluster, "--retry-failed"))
    assert status == 0, said
    assert {status for status, _ in records(folder).values()} == {"no_face"}
    assert FaceStore.open(folder / "store").record("a")["source_bytes"] == len(b"another clip")


@pytest.mark.slow
def test_a_machine_that_cannot_take_part_stops_nobody(cluster, folder, monkeypatch):
    monkeypatch.setenv("FAULTS_START", "refuse")
    third = add_machine(cluster)
    names = [f"slow{number}" for number in range(12)]
    status, said = prepare(folder, names, *on_ray(cluster))
    cluster.remove_node(third)
    assert status == 0, said
    assert "takes no part: the mtcnn package is missing: install it" in " ".join(said.split())
    assert_others_are_done_once(folder, names, set())


def test_an_address_without_a_cluster_is_an_error_that_says_how_to_start_one(folder):
    status, said = prepare(folder, ["a"], "--ray", "127.0.0.1:9")
    assert status == 1
    assert "--ray 127.0.0.1:9: no Ray cluster can be joined there" in said
    assert "ray start --head" in said
    assert "Traceback" not in said
