"""Geometry of boxes, in NumPy: float32 (x1, y1, x2, y2) in pixels of the full-size frame."""

from __future__ import annotations

import numpy as np


def centres_xy(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return the centre of each box.

    Args:
        boxes_xyxy: shape (n, 4), pixels.

    Returns:
        Shape (n, 2), x and y in pixels.
    """
    return (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2


def sides(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return the longer side of each box.

    Args:
        boxes_xyxy: shape (n, 4), pixels.

    Returns:
        Shape (n,), pixels.
    """
    return (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1)


def square_boxes(boxes_xyxy: np.ndarray, margin: float) -> np.ndarray:
    """Grow boxes to squares that keep their centres.

    Args:
        boxes_xyxy: shape (n, 4), pixels.
        margin: share of the longer side that is added to it, above -1: 0.3 makes a square of 1.3 times
            the longer side.

    Returns:
        float32, shape (n, 4), pixels; may reach outside the frame.
    """
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    half = sides(boxes)[:, None] * np.float32((1 + margin) / 2)
    centres = centres_xy(boxes)
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


def turned_back(boxes_xyxy: np.ndarray, quarter_turns: int, frame_size: tuple[int, int]) -> np.ndarray:
    """Return where boxes of turned frames lie in the frames before the turn.

    Args:
        boxes_xyxy: shape (n, 4), pixels of the turned frames.
        quarter_turns: counter-clockwise, by which they were turned, as in `np.rot90`.
        frame_size: height and width of the turned frames in pixels.

    Returns:
        Shape (n, 4), pixels.
    """
    height, width = frame_size
    for _ in range(quarter_turns):
        x1, y1, x2, y2 = boxes_xyxy.T
        boxes_xyxy = np.stack([height - y2, x1, height - y1, x2], axis=1)
        height, width = width, height
    return boxes_xyxy


def _intersections(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    top_left = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    bottom_right = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    return np.clip(bottom_right - top_left, 0, None).prod(axis=2)


def _areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    return np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None).prod(axis=1)


def iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of one set with every box of another.

    Args:
        a_xyxy: shape (n, 4), pixels.
        b_xyxy: shape (m, 4), pixels.

    Returns:
        Shape (n, m), in [0, 1]; 0 where neither box has an area.
    """
    inter = _intersections(a_xyxy, b_xyxy)
    union = _areas(a_xyxy)[:, None] + _areas(b_xyxy)[None, :] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def overlap_of_smaller(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over the smaller area: 1 where one box lies inside the other.

    Args:
        a_xyxy: shape (n, 4), pixels.
        b_xyxy: shape (m, 4), pixels.

    Returns:
        Shape (n, m), in [0, 1]; 0 where either box has no area.
    """
    inter = _intersections(a_xyxy, b_xyxy)
    smaller = np.minimum(_areas(a_xyxy)[:, None], _areas(b_xyxy)[None, :])
    return np.divide(inter, smaller, out=np.zeros_like(inter), where=smaller > 0)
