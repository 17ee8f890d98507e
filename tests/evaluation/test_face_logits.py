"""Logits of stored tracks: kept as they come, never computed twice."""

import os

import numpy as np
import pytest

from tests.stores import CROP_SIZE, NUM_PLACES, new_store, ok_clip, painted, track_of, write_clips
from tfdfd.clip import ClipFaces, TfdfdError
from tfdfd.data.tf_datasets import TF_DATASETS
from tfdfd.data.tracks import scoring_rows
from tfdfd.evaluation.face_logits import KeptLogits, face_logits, logits_key

REDS = (10, 60, 110, 160, 210)


@pytest.fixture
def rows(tmp_path):
    """Five tracks in the red of REDS, the last without a face at its first place."""
    store = new_store(tmp_path / "store")
    clips = []
    for number, red in enumerate(REDS):
        track = track_of((number < 4, True, True))
        frames = ok_clip("x").frames
        crops = (painted(track, (red, 0, 0)),)
        clips.append(ClipFaces(f"clip_{number}", "ok", tracks=(track,), crops=crops, frames=frames))
    write_clips(store, clips, [(clip.clip_id, 0, "") for clip in clips])
    return scoring_rows(store, store.manifest())


class Redness:
    """Gives the mean red of each crop for a logit, and breaks after so many batches."""

    def __init__(self, batches: int | None = None) -> None:
        self.left, self.seen = batches, 0

    def __call__(self, crops, is_face):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.seen += len(crops)
        return np.where(is_face, np.asarray(crops)[..., 0].mean(axis=(2, 3)), 0).astype(np.float32)


def run(rows, network, folder, key="key", **options):
    kept = KeptLogits(folder, key, rows.is_face.shape)
    return face_logits(network, rows, TF_DATASETS, kept, crop_size=CROP_SIZE, batch_size=2, num_threads=1, **options)


def test_every_face_gets_its_own_logit_and_padding_none(rows, tmp_path):
    done = []
    found = run(rows, Redness(), tmp_path / "work", on_batch=done.append)
    np.testing.assert_allclose(found[:4], np.repeat(np.array(REDS)[:4, None], NUM_PLACES, axis=1), atol=3)
    assert found[4, 0] == 0
    assert found[4, 1] == pytest.approx(210, abs=3)
    assert sum(done) == 5


def test_a_killed_run_goes_on_where_it_was(rows, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(rows, Redness(batches=2), tmp_path / "work")
    again = Redness()
    done = []
    found = run(rows, again, tmp_path / "work", on_batch=done.append)
    assert again.seen == 2  # the last track, and its repetition that fills the batch
    assert done[0] == 4
    np.testing.assert_array_equal(found, run(rows, Redness(), tmp_path / "elsewhere"))
    untouched = Redness()
    run(rows, untouched, tmp_path / "work")
    assert untouched.seen == 0


def test_another_network_or_another_strip_is_another_key(rows):
    key = logits_key("a", rows)
    assert key == logits_key("a", rows)
    assert key != logits_key("b", rows)
    with open(rows.strip_paths[0], "ab") as strip:
        strip.write(b"more")
    assert key != logits_key("a", rows)


def test_a_missing_strip_is_named_before_any_scoring(rows, tmp_path):
    os.unlink(rows.strip_paths[3])
    with pytest.raises(TfdfdError, match=r"clip_3\.0\.jpg"):
        logits_key("a", rows)
    network = Redness()
    with pytest.raises(TfdfdError, match=r"clip_3\.0\.jpg"):
        run(rows, network, tmp_path / "work")
    assert network.seen == 0


def test_an_answer_that_is_no_number_stops_the_run_and_is_not_kept(rows, tmp_path):
    with pytest.raises(TfdfdError, match="may hold NaN"):
        run(rows, lambda crops, is_face: np.full(is_face.shape, np.nan, np.float32), tmp_path / "work")
    assert not KeptLogits(tmp_path / "work", "key", rows.is_face.shape).is_done.any()


def test_clips_without_any_track_need_no_file(rows, tmp_path):
    none = rows.take(np.zeros(0, np.int64))
    assert run(none, Redness(), tmp_path / "work").shape == (0, NUM_PLACES)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other shape", "other type"])
def test_a_damaged_file_of_logits_is_not_believed(rows, tmp_path, damage):
    expected = run(rows, Redness(), tmp_path / "work")
    path = tmp_path / "work" / "key.npy"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"no array")
    else:
        np.save(path, np.zeros((50, 3), np.float32) if damage == "other shape" else expected.astype(np.float64))
    again = Redness()
    np.testing.assert_array_equal(run(rows, again, tmp_path / "work"), expected)
    assert again.seen == 6
