"""A machine of a cluster that does not see the disks which all must share says so before any work."""

import dataclasses
import shutil

import pytest

from tests.data.test_store import FINGERPRINT
from tfdfd.clip import Clip
from tfdfd.data.clip_folders import ClipFolders
from tfdfd.data.store import LOCK, FaceStore
from tfdfd.faces.config import ExtractionConfig
from tfdfd.workers.events import Handed, Refused
from tfdfd.workers.job import ExtractionJob, Share
from tfdfd.workers.process_host import ProcessHost, what_is_not_shared


@pytest.fixture
def job(tmp_path):
    store, _ = FaceStore.create_or_open(tmp_path / "store", FINGERPRINT, num_places=3)
    (tmp_path / "clips").mkdir()
    folders = ClipFolders.of([Clip("a", tmp_path / "clips/a.mp4")])
    job = ExtractionJob(store.folder, store.fingerprint, ExtractionConfig(), lambda *_: None, Share(1), folders)
    (store.folder / LOCK).write_text("this run")
    return dataclasses.replace(job, run_token="this run")


def test_a_machine_that_sees_all_is_not_refused(job):
    assert what_is_not_shared(job) == ""


def test_a_store_that_is_not_there_is_named(job):
    shutil.move(job.store_folder, job.store_folder.with_name("elsewhere"))
    assert f"the store {job.store_folder} is not here" in what_is_not_shared(job)


def test_a_copy_of_the_store_at_the_same_path_is_named(job, tmp_path):
    with FaceStore.create_or_open(tmp_path / "copy", FINGERPRINT, num_places=3)[0].writing():
        pass
    job.store_folder.rename(tmp_path / "elsewhere")
    (tmp_path / "copy").rename(job.store_folder)
    assert f"another store is at {job.store_folder}" in what_is_not_shared(job)


def test_clips_that_are_not_there_are_named_and_no_process_starts(job, tmp_path):
    (tmp_path / "clips").rmdir()
    host = ProcessHost(job, {})
    host.submit(Handed(Clip("a", tmp_path / "clips/a.mp4")))
    (refused,) = host.events(0.0)
    assert isinstance(refused, Refused)
    assert f"the clips' folder {tmp_path / 'clips'} is not here" in refused.message
    assert "all machines share, under the same paths" in refused.message
    host.close()
