"""Geometry of boxes on boxes whose answers can be read off."""

import numpy as np
import pytest

from tfdfd.faces.boxes import centres_xy, iou, overlap_of_smaller, sides, square_boxes


def test_a_square_keeps_the_centre_and_takes_the_longer_side():
    squares = square_boxes(np.array([[10, 20, 30, 60]], np.float32), 0.0)
    assert squares.dtype == np.float32
    assert squares.tolist() == [[0, 20, 40, 60]]


def test_the_margin_is_a_share_of_the_side():
    assert square_boxes(np.array([[0, 0, 10, 10]]), 0.5).tolist() == [[-2.5, -2.5, 12.5, 12.5]]
    assert square_boxes(np.array([[0, 0, 10, 10]]), -0.2).tolist() == [[1, 1, 9, 9]]


def test_centres_and_sides():
    boxes = np.array([[0, 0, 4, 2], [10, 10, 12, 20]], np.float32)
    assert centres_xy(boxes).tolist() == [[2, 1], [11, 15]]
    assert sides(boxes).tolist() == [4, 10]


def test_iou_of_same_half_and_distant_boxes():
    box = np.array([[0, 0, 10, 10]], np.float32)
    others = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(iou(box, others), [[1, 0.5, 1 / 3, 0]], atol=1e-6)


def test_a_box_inside_another_overlaps_it_wholly():
    outer, inner = np.array([[0, 0, 10, 10]], np.float32), np.array([[2, 2, 4, 4]], np.float32)
    assert overlap_of_smaller(outer, inner).item() == 1
    assert iou(outer, inner).item() == pytest.approx(0.04)


def test_boxes_without_area_overlap_nothing():
    flat = np.array([[3, 3, 3, 3]], np.float32)
    assert iou(flat, flat).item() == 0
    assert overlap_of_smaller(flat, flat).item() == 0


def test_no_boxes_are_no_rows():
    none = np.zeros((0, 4), np.float32)
    assert square_boxes(none, 0.3).shape == (0, 4)
    assert iou(none, np.zeros((3, 4))).shape == (0, 3)
