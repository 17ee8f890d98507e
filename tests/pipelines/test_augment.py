"""What is drawn for a face is done to it, by DALI and by the tf.data twin alike, and nothing else is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("nvidia.dali.plugin.tf", reason="DALI and its TensorFlow plugin are not installed")

from pipelines.dataset import DALI_DATASETS
from tests.strip_files import write_strips
from tfdfd.data.alterations import HOLE_LEVEL, WIDTHS, column_slice, no_alterations
from tfdfd.data.degradation import Degradation
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows, FaceTable
from tfdfd.data.sampling import epoch_rows
from tfdfd.data.self_blend import draw_blends
from tfdfd.data.tf_datasets import TF_DATASETS

SIZE, FACES = 64, 8
LANDMARKS = np.tile(np.array([[20, 24], [42, 24], [31, 36], [22, 48], [41, 48]], np.float32), (FACES, 1, 1))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FaceTable:
    return write_strips(tmp_path_factory.mktemp("strips"), num_tracks=4, num_places=2, crop_size=SIZE)


def plain_rows(table: FaceTable) -> FaceRows:
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=FACES, mirror=False)
    return dataclasses.replace(rows, mirror=np.arange(len(rows), dtype=np.int32) % 2)


def crops(datasets: FaceDatasets, rows: FaceRows) -> np.ndarray:
    dataset = datasets.training(rows, crop_size=SIZE, batch_size=len(rows), device_id=None, num_threads=2)
    return next(dataset.as_numpy_iterator())[0].astype(int)


def degraded(**shares: float) -> Callable[[int], np.ndarray]:
    """Every face is degraded in one way."""

    def draw(num_rows: int) -> np.ndarray:
        rng = np.random.default_rng(1)
        marks = np.resize(LANDMARKS, (num_rows, 5, 2))
        return Degradation(**shares).draw(num_rows, rng, crop_size=SIZE, landmarks_xy=marks)  # pyright: ignore

    return draw


def blended(num_rows: int) -> np.ndarray:
    marks = np.resize(LANDMARKS, (num_rows, 5, 2))
    return draw_blends(marks, np.ones(num_rows, bool), np.random.default_rng(1), crop_size=SIZE)


WAYS = {
    "move": (degraded(move=1.0, move_degrees=30, move_share=0.2), 0.1),
    "colour": (degraded(colour=1.0), 0.1),
    "blur": (degraded(blur=1.0, blur_sigma=0.05), 0.3),
    "downscale": (degraded(downscale=1.0, downscale_to=0.2), 0.6),
    "noise": (degraded(noise=1.0, noise_sigma=20), 0.6),
    "jpeg": (degraded(jpeg=1.0), 1.5),
    "cutout": (degraded(cutout=1.0), 0.0),
    "self-blended": (blended, 0.3),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_alters_every_face_alike_in_dali_and_tf_data(table, way):
    draw, tolerance = WAYS[way]
    rows = plain_rows(table)
    untouched = crops(TF_DATASETS, rows)
    rows = dataclasses.replace(rows, alterations=draw(len(rows)))
    dali, twin = crops(DALI_DATASETS, rows), crops(TF_DATASETS, rows)
    assert (abs(twin - untouched).mean(axis=(1, 2, 3)) > 0.2).all(), "a face is left as it is"
    difference = abs(dali - twin).mean(axis=(1, 2, 3))
    assert (difference <= tolerance).all(), difference


@pytest.mark.parametrize("datasets", [DALI_DATASETS, TF_DATASETS], ids=lambda datasets: datasets.name)
def test_a_face_for_which_nothing_is_drawn_stays_as_it_is_beside_one_that_is_altered(table, datasets):
    rows = plain_rows(table)
    untouched = crops(datasets, rows)
    alterations = no_alterations(len(rows))
    for draw, _ in WAYS.values():
        alterations[1:2] += draw(len(rows))[1:2]
    altered = crops(datasets, dataclasses.replace(rows, alterations=alterations))
    others = np.arange(len(rows)) != 1
    np.testing.assert_array_equal(altered[others], untouched[others])
    assert abs(altered[1] - untouched[1]).mean() > 1


def test_altered_faces_come_in_the_order_of_the_rows_in_batches_of_any_size_endlessly(tmp_path):
    table = write_strips(tmp_path, num_tracks=3, num_places=2, crop_size=SIZE)
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=3, mirror=False)
    rows = dataclasses.replace(rows, alterations=degraded(cutout=1.0)(len(rows)))
    untouched = crops(TF_DATASETS, rows)
    dataset = DALI_DATASETS.training(rows, crop_size=SIZE, batch_size=3, device_id=None, num_threads=2)
    batches = [batch[0].astype(int) for batch in dataset.take(101).as_numpy_iterator()]
    assert all(batch.shape == (3, SIZE, SIZE, 3) for batch in batches)
    np.testing.assert_array_equal(np.concatenate(batches), np.resize(untouched, (303, SIZE, SIZE, 3)))


@pytest.mark.parametrize("datasets", [DALI_DATASETS, TF_DATASETS], ids=lambda datasets: datasets.name)
def test_a_hole_lies_where_it_is_drawn_before_the_face_is_mirrored(table, datasets):
    rows = plain_rows(table)
    alterations = no_alterations(len(rows))
    alterations[:, column_slice("hole")] = [10, 20, 5, 8]
    altered = crops(datasets, dataclasses.replace(rows, alterations=alterations))
    assert (altered[0, 5:15, 8:28] == HOLE_LEVEL).all()
    assert (altered[1, 5:15, SIZE - 28 : SIZE - 8] == HOLE_LEVEL).all(), "row 1 is mirrored"


def test_columns_of_a_table_lie_side_by_side_and_cover_it():
    covered = np.concatenate([np.arange(no_alterations(1).shape[1])[column_slice(name)] for name in WIDTHS])
    np.testing.assert_array_equal(covered, np.arange(no_alterations(0).shape[1]))


@pytest.mark.gpu
def test_the_gpu_alters_faces_as_the_cpu_does(table):
    rows = plain_rows(table)
    for name, (draw, tolerance) in WAYS.items():
        altered = dataclasses.replace(rows, alterations=draw(len(rows)))
        dataset = DALI_DATASETS.training(altered, crop_size=SIZE, batch_size=FACES, device_id=0, num_threads=2)
        difference = abs(next(iter(dataset))[0].numpy().astype(int) - crops(TF_DATASETS, altered))
        assert (difference.mean(axis=(1, 2, 3)) <= tolerance + 1).all(), name
