"""Disks that are away while a worker works: nothing is recorded as failed, and no time limit runs."""

import threading
import time
from threading import Lock

import numpy as np
import pytest

from tests.data.test_store import FINGERPRINT, contents
from tests.workers.faulty import INFO, BlindDetector
from tfdfd.clip import FAILED, Clip, ClipError, ClipFrames
from tfdfd.data.clip_folders import ClipFolders
from tfdfd.data.store import FaceStore
from tfdfd.faces.config import ExtractionConfig
from tfdfd.workers.events import WAITING, Began, Done, Handed, Note, Refused
from tfdfd.workers.job import ExtractionJob, Parts, Share, do_clips


class Files:
    """Reads the files, and calls `vanish` before the third."""

    def __init__(self, vanish):
        self.vanish, self.num_read = vanish, 0

    def read(self, clip_path, plan):
        self.num_read += 1
        if self.num_read == 3:
            self.vanish()
        try:
            clip_path.read_bytes()
        except OSError as error:
            raise ClipError(f"{clip_path}: {error.strerror}") from error
        return ClipFrames(np.zeros((3, 48, 64, 3), np.uint8), np.arange(3), np.arange(3), INFO, "pyav", "scripted")


def do(tmp_path, name, vanish, *, patience_seconds=20.0):
    """Run a worker's job here over five clips; return the store and all that was said."""
    store, _ = FaceStore.create_or_open(tmp_path / name, FINGERPRINT, num_places=3)
    folder = tmp_path / "clips"
    folder.mkdir(exist_ok=True)
    clips = [Clip(clip_id, folder / f"{clip_id}.mp4") for clip_id in "abcde"]
    for clip in clips:
        clip.path.write_bytes(b"clip")
    said = []
    job = ExtractionJob(
        store.folder,
        store.fingerprint,
        ExtractionConfig(places=3),
        lambda config, share: Parts(Files(vanish), BlindDetector()),
        Share(1),
        ClipFolders.of(clips),
        patience_seconds=patience_seconds,
    )
    do_clips(job, map(Handed, clips), said.append, writing=Lock())
    return store, said


def away_for_a_second(folder):
    away = folder.with_name("away")
    folder.rename(away)
    threading.Thread(target=lambda: (time.sleep(1), away.rename(folder))).start()


@pytest.mark.parametrize("which", ["clips", "store"])
def test_a_disk_that_is_away_for_a_second_changes_nothing(tmp_path, which):
    undisturbed, _ = do(tmp_path, "undisturbed", lambda: None)
    store, said = do(tmp_path, "store", lambda: away_for_a_second(tmp_path / which))
    assert contents(store.folder) == contents(undisturbed.folder)
    assert [event.clip_id for event in said if isinstance(event, Done)] == list("abcde")
    notes = [event.text for event in said if isinstance(event, Note)]
    assert ["cannot be reached" in note for note in notes] in ([True, False], [True, True, False, False])
    first = next(index for index, event in enumerate(said) if isinstance(event, Note))
    assert isinstance(said[first + 1], Began)
    assert said[first + 1].stage == WAITING


@pytest.mark.parametrize("which", ["clips", "store"])
def test_a_disk_that_stays_away_is_said_and_no_clip_fails(tmp_path, which):
    folder = tmp_path / which
    store, said = do(tmp_path, "store", lambda: folder.rename(tmp_path / "away"), patience_seconds=0.3)
    (refused,) = [event for event in said if isinstance(event, Refused)]
    assert "run the same command again" in refused.message
    assert not [event for event in said if isinstance(event, Done) and event.status == FAILED]
    if which == "store":
        (tmp_path / "away").rename(store.folder)
    assert FAILED not in store.clips()["status"].tolist()
