"""Where landmarks lie in crops: as the index has them, or found in ready-made crops, once."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stores import CROP_SIZE, NUM_PLACES, new_store, ok_clip, track_of, write_clips
from tfdfd.clip import TfdfdError, Track
from tfdfd.data.crop_landmarks import landmarks_in_crops


def nothing_to_watch(parts):
    raise AssertionError("nothing needs to be searched")


def test_the_index_of_clips_tells_them_in_pixels_of_the_crop(tmp_path):
    store = new_store(tmp_path, margin=0.0)
    write_clips(store, [ok_clip("a", track_of((True, False, True), box=(100, 100, 140, 160)))])
    found = landmarks_in_crops(store, store.tracks(), watch=nothing_to_watch)
    assert found.shape == (1, NUM_PLACES, 5, 2)
    assert np.isnan(found[0, 1]).all()
    # The crop is the square of 60 px around (120, 130), so x from 90 and y from 100; the landmarks are box corners.
    scale = CROP_SIZE / 60
    np.testing.assert_allclose(found[0, 0, 0], [10 * scale, 0], atol=1e-4)
    np.testing.assert_allclose(found[0, 2, 4], [50 * scale, 60 * scale], atol=1e-4)


def test_a_detector_without_landmarks_is_named(tmp_path):
    store = new_store(tmp_path)
    track = track_of()
    bare = Track(track.is_face, track.boxes_xyxy, np.zeros_like(track.landmarks_xy), track.confidences)
    write_clips(store, [ok_clip("a", bare)])
    with pytest.raises(TfdfdError, match="found no landmarks"):
        landmarks_in_crops(store, store.tracks(), watch=nothing_to_watch)


def test_without_a_track_there_are_none(tmp_path):
    store = new_store(tmp_path / "store")
    found = landmarks_in_crops(store, store.tracks(), watch=nothing_to_watch)
    assert found.shape == (0, store.num_places, 5, 2)
