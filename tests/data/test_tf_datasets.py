"""The tf.data twin gives the stored crops, in the order of the rows, with what belongs to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.strip_files import strip_rows, write_strips
from tfdfd.data.rows import FaceRows, FaceTable
from tfdfd.data.sampling import epoch_rows
from tfdfd.data.strips import decode_strip
from tfdfd.data.tf_datasets import TF_DATASETS

SIZE, PLACES, BATCH = 24, 3, 4


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> FaceTable:
    return write_strips(tmp_path_factory.mktemp("strips"), num_tracks=7, num_places=PLACES, crop_size=SIZE)


def training(rows: FaceRows) -> tf.data.Dataset:
    return TF_DATASETS.training(rows, crop_size=SIZE, batch_size=BATCH, device_id=None, num_threads=2)


def test_each_row_gives_its_stored_crop_with_its_label_weight_and_clip_row(table):
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    crops, labels, weights, clip_rows = (
        np.concatenate(column) for column in zip(*training(rows).as_numpy_iterator(), strict=True)
    )
    expected = np.stack(
        [
            decode_strip(Path(path).read_bytes(), num_places=PLACES)[place]
            for path, place in zip(rows.strip_paths, rows.places, strict=True)
        ]
    )
    mirrored = rows.mirror == 1
    assert mirrored.any()
    assert not mirrored.all()
    assert np.array_equal(crops[~mirrored], expected[~mirrored])
    assert np.array_equal(crops[mirrored], expected[mirrored][:, :, ::-1])
    assert np.array_equal(labels, rows.labels)
    assert np.array_equal(weights, rows.weights)
    assert np.array_equal(clip_rows, rows.clip_rows)


def test_training_element_spec_and_end(table):
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    assert training(rows).element_spec == (
        tf.TensorSpec([BATCH, SIZE, SIZE, 3], tf.uint8),
        tf.TensorSpec([BATCH], tf.float32),
        tf.TensorSpec([BATCH], tf.float32),
        tf.TensorSpec([BATCH], tf.int32),
    )
    assert len(list(training(rows))) == rows.num_steps(BATCH)


def test_evaluation_gives_whole_strips_zero_where_there_is_no_face_and_marks_padding(table):
    rows = strip_rows(table).padded(BATCH)
    dataset = TF_DATASETS.evaluation(
        rows, crop_size=SIZE, num_places=PLACES, batch_size=BATCH, device_id=None, num_threads=2
    )
    assert dataset.element_spec == (
        tf.TensorSpec([BATCH, PLACES, SIZE, SIZE, 3], tf.uint8),
        tf.TensorSpec([BATCH, PLACES], tf.bool),
        tf.TensorSpec([BATCH], tf.int32),
    )
    crops, is_face, numbers = (np.concatenate(column) for column in zip(*dataset.as_numpy_iterator(), strict=True))
    assert numbers.tolist() == [0, 1, 2, 3, 4, 5, 6, -1]
    assert np.array_equal(is_face, rows.is_face)
    expected = np.stack([decode_strip(Path(path).read_bytes(), num_places=PLACES) for path in rows.strip_paths])
    assert np.array_equal(crops[is_face], expected[is_face])
    assert not crops[~is_face].any()


def test_a_mask_blackens_a_place_that_is_not_black_in_the_strip(table):
    rows = strip_rows(table)
    rows = type(rows)(rows.strip_paths, np.zeros_like(rows.is_face), rows.clip_rows, rows.track).padded(BATCH)
    dataset = TF_DATASETS.evaluation(
        rows, crop_size=SIZE, num_places=PLACES, batch_size=BATCH, device_id=None, num_threads=2
    )
    assert not any(crops.numpy().any() for crops, _, _ in dataset)


def test_a_strip_of_another_crop_size_and_a_missing_one_are_errors_with_the_file_name(table):
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=False)
    wrong = TF_DATASETS.training(rows, crop_size=SIZE - 8, batch_size=BATCH, device_id=None, num_threads=1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a track \d.0.jpg"):
        list(wrong)
    missing = FaceRows(
        ["/no/such.jpg"] * len(rows), rows.places, rows.labels, rows.weights, rows.clip_rows, rows.mirror
    )
    with pytest.raises(tf.errors.NotFoundError, match=r"/no/such\.jpg"):
        list(training(missing))


def test_rows_that_do_not_fill_batches_and_another_number_of_places_are_refused(table):
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=6, mirror=False)
    with pytest.raises(ValueError, match="whole batches"):
        training(rows)
    with pytest.raises(ValueError, match="num_places must be"):
        TF_DATASETS.evaluation(
            strip_rows(table).padded(4), crop_size=SIZE, num_places=5, batch_size=4, device_id=None, num_threads=1
        )
