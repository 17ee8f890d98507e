"""Tracks in the graph are those of NumPy: scenes of people who walk, cross, vanish and come back, and false alarms."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from tfdfd.clip import Detections, Track
from tfdfd.faces import tracking
from tfdfd.faces.assignment_graph import assign
from tfdfd.faces.tracking_graph import FoundFaces, link_tracks

HEIGHT, WIDTH = 360, 640
LOOK = 2
"""Numbers that say what a face looks like, here."""


@pytest.fixture(scope="module")
def graph():
    return tf.function(
        link_tracks,
        input_signature=[
            FoundFaces(
                tf.TensorSpec([None, 4]),
                tf.TensorSpec([None, 5, 2]),
                tf.TensorSpec([None]),
                tf.TensorSpec([None], tf.int32),
            ),
            tf.TensorSpec([None, LOOK]),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([2], tf.int32),
        ],
        autograph=False,
    )


def linked(graph, frames: list[Detections], looks: list[np.ndarray], shots: np.ndarray) -> list[Track]:
    """Link in the graph, and turn what comes out into tracks."""
    faces = FoundFaces(
        *(
            tf.constant(np.concatenate([getattr(found, name) for found in frames]))
            for name in ("boxes_xyxy", "landmarks_xy", "confidences")
        ),
        tf.constant(np.repeat(np.arange(len(frames), dtype=np.int32), [len(found) for found in frames])),
    )
    found = graph(faces, tf.constant(np.concatenate(looks)), tf.constant(shots, tf.int32), tf.constant([HEIGHT, WIDTH]))
    return [Track(*(values[row].numpy() for values in found)) for row in range(len(found.is_face))]


def scene(rng: np.random.Generator) -> list[Detections]:
    """Draw up to four people who walk, are missed now and then, are found twice, and up to two false alarms."""
    num_frames = int(rng.integers(1, 18))
    people = [
        (rng.uniform(0, [WIDTH, HEIGHT]), rng.normal(0, 25, 2), rng.uniform(30, 90), rng.uniform(0.5, 1))
        for _ in range(rng.integers(0, 5))
    ]
    frames = []
    for number in range(num_frames):
        faces = []
        for centre, step, side, seen in people:
            if rng.uniform() > seen:
                continue
            side = side * rng.uniform(0.9, 1.1)
            x, y = centre + step * number + rng.normal(0, 4, 2)
            faces.append([x - side / 2, y - side / 2, x + side / 2, y + side * 0.6, rng.uniform(0.7, 1)])
            if rng.uniform() < 0.1:
                faces.append([*(np.array(faces[-1][:4]) + rng.normal(0, 3, 4)), rng.uniform(0.7, 1)])
        for _ in range(rng.integers(0, 3) if rng.uniform() < 0.2 else 0):
            x, y, side = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(20, 80)
            faces.append([x, y, x + side, y + side, rng.uniform(0.6, 1)])
        rows = np.array(sorted(faces, key=lambda face: -face[4]), np.float32).reshape(-1, 5)
        landmarks = rng.uniform(0, WIDTH, (len(rows), 5, 2)).astype(np.float32)
        frames.append(Detections(rows[:, :4], landmarks, rows[:, 4]))
    return frames


@pytest.mark.parametrize("has_cuts", [False, True])
def test_random_scenes_give_the_tracks_of_numpy(graph, has_cuts):
    rng = np.random.default_rng(5)
    num_tracks = []
    for _ in range(400):
        frames = scene(rng)
        # Looks of which some are too far apart to be one person's, and none so near the limit that rounding decides.
        looks = [rng.integers(0, 3, (len(found), LOOK)).astype(np.float32) * 0.4 * has_cuts for found in frames]
        shots = np.cumsum(rng.uniform(size=len(frames)) < 0.15 * has_cuts)
        expected = tracking.link_tracks(
            frames, np.arange(len(frames)), len(frames), (HEIGHT, WIDTH), shots=shots, looks=looks
        )
        found = linked(graph, frames, looks, shots)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            for name in ("is_face", "boxes_xyxy", "landmarks_xy", "confidences"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        num_tracks.append(len(found))
    # Scenes of every kind were among them.
    assert {0, 1, 2, 3} <= set(num_tracks)


def test_a_clip_without_frames_has_no_tracks(graph):
    nothing = FoundFaces(tf.zeros([0, 4]), tf.zeros([0, 5, 2]), tf.zeros([0]), tf.zeros([0], tf.int32))
    no_shots = tf.zeros([0], tf.int32)
    assert graph(nothing, tf.zeros([0, LOOK]), no_shots, tf.constant([HEIGHT, WIDTH])).is_face.shape == (0, 0)


def test_the_assignment_costs_as_little_as_that_of_scipy():
    rng = np.random.default_rng(1)
    graph = tf.function(assign, input_signature=[tf.TensorSpec([None, None], tf.float64)], autograph=False)
    num_searched = 0
    for number in range(200):
        rows = int(rng.integers(0, 7))
        costs = rng.uniform(0, 3, (rows, rows + int(rng.integers(1, 5))))
        if number % 2:
            costs[rng.uniform(size=costs.shape) < 0.4] = 1000.0  # ties, as of tracks that stay alone
        columns = graph(tf.constant(costs)).numpy()
        assert len(set(columns)) == rows
        best = costs[linear_sum_assignment(costs)].sum()
        assert abs(costs[np.arange(rows), columns].sum() - best) < 1e-9
        num_searched += rows > 0 and len(set(costs.argmin(axis=1))) < rows
    assert num_searched > 50
