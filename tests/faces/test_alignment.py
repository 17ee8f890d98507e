"""Turned faces come out upright, and points of the frame are found again in the crop."""

import numpy as np
import pytest
import tensorflow as tf

from tests.faces.test_crops import clip_frames, track
from tfdfd.faces import crops
from tfdfd.faces.alignment import UPRIGHT_XY, roll_radians
from tfdfd.faces.crops import crop_faces, crop_tracks

SIZE, SIDE, CENTRE = 64, 80.0, np.array([150.0, 140.0])
BOX = np.array([[*(CENTRE - SIDE / 2), *(CENTRE + SIDE / 2)]], np.float32)


def turned(points_xy: np.ndarray, degrees: float) -> np.ndarray:
    """Turn points clockwise about CENTRE."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((points_xy - CENTRE) @ matrix.T + CENTRE).astype(np.float32)


UPRIGHT = (UPRIGHT_XY - UPRIGHT_XY.mean(axis=0)) * (0.5 * SIDE / 40) + CENTRE


def picture(degrees: float) -> np.ndarray:
    """Draw smooth blobs of different colours, which show position and turn, turned clockwise about CENTRE."""
    y, x = np.mgrid[:280, :300] + 0.5
    frame = np.zeros((280, 300, 3))
    blobs = [*UPRIGHT, *(CENTRE + np.array([[60, -20], [-30, 75], [-70, -50]]))]
    for number, (cx, cy) in enumerate(turned(np.array(blobs), degrees)):
        spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 9.0**2))
        frame += spot[..., None] * np.array([[90, 20, 20], [20, 90, 20], [20, 20, 90], [80, 80, 10]][number % 4])
    return np.clip(frame + 30, 0, 255).astype(np.uint8)[None]


def aligned(frames: np.ndarray, degrees: float, margin: float = 0.3) -> np.ndarray:
    landmarks = turned(UPRIGHT, degrees)[None]
    return crop_faces(frames, BOX, np.array([0]), SIZE, margin, landmarks).numpy()[0].astype(int)


def plain(frames: np.ndarray, margin: float = 0.3) -> np.ndarray:
    return crop_faces(frames, BOX, np.array([0]), SIZE, margin).numpy()[0].astype(int)


@pytest.mark.parametrize("degrees", [-100.0, -30.0, 12.0, 45.0, 90.0, 179.0])
def test_a_turned_face_comes_out_as_the_upright_one(degrees):
    frames = picture(degrees)
    upright = plain(picture(0))
    assert np.abs(plain(frames) - upright).max() > 40
    difference = np.abs(aligned(frames, degrees) - upright)
    assert difference.max() <= 6
    assert difference.mean() <= 1


def test_an_upright_face_is_left_as_it_lies():
    # Noise shows any shift or blur; only the rim, where the filter sees what lies beyond the square, may differ.
    frames = np.random.default_rng(0).integers(0, 256, (1, 280, 300, 3), np.uint8)
    difference = np.abs(aligned(frames, 0) - plain(frames))
    assert difference[2:-2, 2:-2].max() <= 2
    assert difference.mean() <= 1


def test_the_margin_means_the_same():
    for margin in (0.0, 0.5):
        assert np.abs(aligned(picture(30), 30, margin) - plain(picture(0), margin)).max() <= 6


def test_outside_the_frame_stays_black_and_what_lies_around_comes_in():
    frames = np.full((1, 280, 300, 3), 200, np.uint8)
    assert aligned(frames, 45).min() == 200
    corner = np.array([[-SIDE / 2, -SIDE / 2, SIDE / 2, SIDE / 2]], np.float32)
    landmarks = (turned(UPRIGHT, 45) - CENTRE)[None].astype(np.float32)
    crop = crop_faces(frames, corner, np.array([0]), SIZE, 0.0, landmarks).numpy()[0, ..., 0]
    # The frame is a quarter of the plane, seen turned by an eighth: a wedge to the right.
    assert crop[SIZE // 2, -4:].min() == 200
    assert not crop[:, :8].any()
    assert not crop[[2, -3], SIZE // 2].any()


def test_roll_is_that_of_the_landmarks_wherever_and_however_large_they_are():
    degrees = np.array([-170.0, -45.0, 0.0, 10.0, 120.0])
    landmarks = np.stack([turned(UPRIGHT, angle) for angle in degrees])
    np.testing.assert_allclose(np.rad2deg(roll_radians(landmarks)), degrees, atol=0.01)
    np.testing.assert_allclose(np.rad2deg(roll_radians(landmarks * 0.1 + 500)), degrees, atol=0.1)
    np.testing.assert_allclose(crops.roll_radians(tf.constant(landmarks)), roll_radians(landmarks), atol=1e-5)
    assert roll_radians(np.full((1, 5, 2), 7.0)).tolist() == [0.0]


def test_a_profile_is_turned_by_all_its_points_not_by_its_eyes_alone():
    # Both eyes nearly in one place, one a pixel above the other: their line stands at 45 degrees.
    profile = UPRIGHT.copy()
    profile[:2] = [[150, 130], [151, 131]]
    profile[3:, 0] = [149, 151]
    assert abs(np.rad2deg(roll_radians(profile[None])[0])) < 15


def test_tracks_are_cut_by_the_alignment_that_is_asked_for():
    frames = picture(40)
    person = track({0: BOX[0].tolist()}, 1)
    person.landmarks_xy[0] = turned(UPRIGHT, 40)
    strips = {name: crop_tracks(clip_frames(frames, [0], 1), (person,), SIZE, 0.3, name)[0][0].astype(int)
              for name in ("none", "landmarks")}  # fmt: skip
    np.testing.assert_array_equal(strips["none"], plain(frames))
    np.testing.assert_array_equal(strips["landmarks"], aligned(frames, 40))


def test_a_detector_without_landmarks_cannot_be_aligned_by_them():
    person = track({0: BOX[0].tolist()}, 1)
    with pytest.raises(ValueError, match="all its landmarks in one point"):
        crop_tracks(clip_frames(picture(0), [0], 1), (person,), SIZE, 0.3, "landmarks")
    with pytest.raises(ValueError, match=r"one of \['none', 'landmarks'\], got 'eyes'"):
        crop_tracks(clip_frames(picture(0), [0], 1), (person,), SIZE, 0.3, "eyes")


def test_aligned_crops_are_the_same_inside_a_saved_model(tmp_path):
    signature = [
        tf.TensorSpec([None, None, None, 3], tf.uint8),
        tf.TensorSpec([None, 4], tf.float32),
        tf.TensorSpec([None, 5, 2], tf.float32),
    ]

    class Cropper(tf.Module):
        @tf.function(input_signature=signature)
        def crop(self, frames, boxes, landmarks):
            return crop_faces(frames, boxes, tf.zeros(tf.shape(boxes)[:1], tf.int32), SIZE, 0.3, landmarks)

    tf.saved_model.save(Cropper(), str(tmp_path))
    frames = picture(25)
    served = tf.saved_model.load(str(tmp_path)).crop(frames, BOX, turned(UPRIGHT, 25)[None])
    np.testing.assert_array_equal(served[0], aligned(frames, 25))
