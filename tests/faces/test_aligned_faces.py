"""A face lies where its embedder wants it, however it lay in the crop."""

import numpy as np
import pytest

from tfdfd.faces.aligned_faces import IN_BOX_XY, align_face, landmarks_by_box

TARGET = np.array([[10, 12], [30, 12], [20, 22], [12, 32], [28, 32]], np.float32)


def dots(points, size):
    """White squares of three pixels around points on black."""
    picture = np.zeros((size, size, 3), np.uint8)
    for x, y in np.asarray(points).round().astype(int):
        picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    return picture


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2])
def test_turned_scaled_and_moved_faces_come_back(turn):
    linear = 2.0 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    where = (TARGET - TARGET.mean(axis=0)) @ linear.T + 64
    face = align_face(dots(where, 128), where + 0.5, TARGET + 0.5, 40)
    for x, y in TARGET.astype(int):
        assert face[y, x].min() > 120
    assert face[2, 2].max() == 0


def test_a_crop_that_lies_right_is_not_changed():
    crop = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align_face(crop, TARGET, TARGET, 40), crop)


def test_beyond_the_crop_its_edge_goes_on():
    crop = np.full((20, 20, 3), 77, np.uint8)
    assert (align_face(crop, TARGET / 4 + 5, TARGET, 40) == 77).all()


def test_a_large_crop_is_averaged_so_that_no_pixel_is_left_out():
    crop = np.zeros((160, 160, 3), np.uint8)
    crop[::4] = 255  # every fourth row: to look at single rows would give black or white
    face = align_face(crop, TARGET * 4, TARGET, 40)
    assert abs(int(face[20, 20, 0]) - 64) <= 1


def test_landmarks_by_box_move_inwards_with_the_margin():
    np.testing.assert_allclose(landmarks_by_box(100, 0.0), IN_BOX_XY * 100, atol=1e-4)
    wide = landmarks_by_box(100, 1.0)
    np.testing.assert_allclose(wide - 50, (IN_BOX_XY * 100 - 50) / 2, atol=1e-4)
