"""Crops of synthetic frames: exact where nothing is resampled, TensorFlow's own resize elsewhere."""

import numpy as np
import pytest
import tensorflow as tf

from tfdfd.clip import ClipFrames, Track, VideoInfo
from tfdfd.faces.boxes import square_boxes
from tfdfd.faces.crops import crop_faces, crop_tracks


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Two frames of noise, the hardest picture to resize the same."""
    return np.random.default_rng(0).integers(0, 256, (2, 90, 120, 3), np.uint8)


def crop(frames: np.ndarray, box: list[float], size: int, margin: float = 0.0, row: int = 0) -> np.ndarray:
    return crop_faces(frames, np.array([box], np.float32), np.array([row]), size, margin).numpy()[0]


def test_a_whole_pixel_square_of_the_crops_size_is_copied(frames):
    for row in (0, 1):
        np.testing.assert_array_equal(crop(frames, [20, 10, 52, 42], 32, row=row), frames[row, 10:42, 20:52])


@pytest.mark.parametrize("size", [16, 24, 39, 64, 100])
def test_resizing_is_that_of_tensorflow_with_antialiasing(frames, size):
    expected = tf.image.resize(frames[0, 10:74, 20:84], [size, size], antialias=True).numpy()
    difference = np.abs(crop(frames, [20, 10, 84, 74], size).astype(float) - expected)
    assert difference.max() <= 1


def test_the_margin_widens_the_square(frames):
    np.testing.assert_array_equal(crop(frames, [30, 20, 50, 40], 30, 0.5), frames[0, 15:45, 25:55])


def test_a_long_box_is_cut_as_the_square_around_it(frames):
    box = [30.0, 20.0, 40.0, 40.0]
    x1, y1, x2, y2 = square_boxes(np.array([box]), 0.2)[0].astype(int)
    np.testing.assert_array_equal(crop(frames, box, 24, 0.2), frames[0, y1:y2, x1:x2])


def test_outside_the_frame_is_black():
    white = np.full((1, 40, 40, 3), 255, np.uint8)
    corner = crop(white, [-10, -10, 20, 20], 30)
    assert not corner[:10].any()
    assert not corner[:, :10].any()
    assert (corner[10:, 10:] == 255).all()
    assert not crop(white, [100, 100, 130, 130], 16).any()
    assert not crop(white, [-90, 0, -50, 40], 16).any()


def test_a_square_between_pixels_takes_their_mean():
    ramp = np.broadcast_to(np.arange(0, 200, 4, dtype=np.uint8)[None, None, :, None], (1, 50, 50, 3)).copy()
    cut = crop(ramp, [10.5, 10, 26.5, 26], 16)
    np.testing.assert_array_equal(cut[0, :-1, 0], 42 + 4 * np.arange(15))


def test_no_boxes_are_no_crops(frames):
    none = crop_faces(frames, np.zeros((0, 4), np.float32), np.zeros(0, np.int32), 16, 0.3)
    assert none.shape == (0, 16, 16, 3)


def test_crops_inside_tf_data_are_the_same(frames):
    boxes = np.array([[20, 10, 71, 74], [5.5, 7, 40, 30.25]], np.float32)
    rows = np.array([1, 0], np.int32)
    dataset = tf.data.Dataset.from_tensors((frames, boxes, rows)).map(lambda *values: crop_faces(*values, 24, 0.3))
    np.testing.assert_array_equal(next(iter(dataset)), crop_faces(frames, boxes, rows, 24, 0.3))


def clip_frames(frames: np.ndarray, places: list[int], num_places: int) -> ClipFrames:
    n = len(frames)
    info = VideoInfo("h264", "High", "yuv420p", 120, 90, n, np.arange(n), 1 / 30, 30.0, 0, False, False)
    indices = np.full(num_places, -1)
    indices[places] = np.arange(n)
    return ClipFrames(frames, np.array(places), indices, info, "pyav", "test")


def track(boxes: dict[int, list[float]], num_places: int) -> Track:
    is_face = np.zeros(num_places, np.bool_)
    all_boxes = np.zeros((num_places, 4), np.float32)
    for place, box in boxes.items():
        is_face[place], all_boxes[place] = True, box
    landmarks = np.zeros((num_places, 5, 2), np.float32)
    return Track(is_face, all_boxes, landmarks, is_face.astype(np.float32))


def test_each_track_gets_its_crops_at_its_places_and_black_elsewhere(frames):
    first = track({1: [20, 10, 36, 26], 3: [21, 11, 37, 27]}, 5)
    second = track({3: [60, 40, 76, 56]}, 5)
    strips = crop_tracks(clip_frames(frames, [1, 3], 5), (first, second), 16, 0.0)
    assert [strip.shape for strip in strips] == [(5, 16, 16, 3)] * 2
    np.testing.assert_array_equal(strips[0][1], frames[0, 10:26, 20:36])
    np.testing.assert_array_equal(strips[0][3], frames[1, 11:27, 21:37])
    np.testing.assert_array_equal(strips[1][3], frames[1, 40:56, 60:76])
    assert not strips[0][[0, 2, 4]].any()
    assert not strips[1][[0, 1, 2, 4]].any()


def test_a_face_in_a_frame_that_was_not_read_is_refused(frames):
    with pytest.raises(ValueError, match="place 2, whose frame was not read"):
        crop_tracks(clip_frames(frames, [1, 3], 5), (track({2: [0, 0, 9, 9]}, 5),), 16, 0.0)


def test_no_tracks_are_no_crops(frames):
    assert crop_tracks(clip_frames(frames, [0, 1], 2), (), 16, 0.0) == ()
