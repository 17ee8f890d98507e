"""The DALI graphs give exactly what the tf.data twin gives, and go on where the twin ends."""

from __future__ import annotations

import dataclasses
import gc
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

pytest.importorskip("nvidia.dali.plugin.tf", reason="DALI and its TensorFlow plugin are not installed")

from pipelines.dataset import DALI_DATASETS
from pipelines.faces import FACE_COLUMNS, face_table, write_file_list
from tests.strip_files import smooth_picture, strip_rows, write_strips
from tfdfd.clip import TfdfdError
from tfdfd.data.alterations import WIDTH
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows, FaceTable
from tfdfd.data.sampling import epoch_rows
from tfdfd.data.strips import check_strips
from tfdfd.data.tf_datasets import TF_DATASETS

BATCH = 4


def training_batches(datasets: FaceDatasets, rows: FaceRows, crop_size: int) -> list[tuple[np.ndarray, ...]]:
    dataset = datasets.training(rows, crop_size=crop_size, batch_size=BATCH, device_id=None, num_threads=2)
    return list(itertools.islice(dataset.as_numpy_iterator(), rows.num_steps(BATCH)))


def assert_same(first: list, second: list) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def assert_twins(table: FaceTable, crop_size: int) -> None:
    rows = epoch_rows(table, seed=1, epoch=0, global_batch_size=BATCH, mirror=True)
    assert_same(training_batches(DALI_DATASETS, rows, crop_size), training_batches(TF_DATASETS, rows, crop_size))

    strips = strip_rows(table).padded(BATCH)
    shape = {"crop_size": crop_size, "num_places": table.is_face.shape[1], "batch_size": BATCH}
    dali, twin = (
        datasets.evaluation(strips, **shape, device_id=None, num_threads=2) for datasets in (DALI_DATASETS, TF_DATASETS)
    )
    assert dali.element_spec == twin.element_spec
    batches = list(itertools.islice(dali.as_numpy_iterator(), strips.num_steps(BATCH)))
    assert_same(batches, list(twin.as_numpy_iterator()))
    assert all(not crops[~is_face].any() for crops, is_face, _ in batches)


@pytest.mark.parametrize("says_where_crops_are", [True, False])
@pytest.mark.parametrize(("crop_size", "num_places"), [(8, 5), (24, 17), (64, 1), (200, 3)])
def test_strips_are_the_same_in_dali_and_tf_data(tmp_path, crop_size, num_places, says_where_crops_are):
    table = write_strips(tmp_path, num_tracks=6, num_places=num_places, crop_size=crop_size)
    assert table.crop_bytes is not None
    assert_twins(table if says_where_crops_are else dataclasses.replace(table, crop_bytes=None), crop_size)


def ready_crop_table(paths: list[str]) -> FaceTable:
    n = len(paths)
    return FaceTable(
        paths,
        np.ones((n, 1), bool),
        np.arange(n, dtype=np.float32) % 2,
        np.ones(n, np.float32),
        np.arange(n, dtype=np.int32),
    )


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("crop_size", [48, 61])
@pytest.mark.parametrize("progressive", [False, True])
def test_ready_crops_are_the_same_in_dali_and_tf_data(tmp_path, subsampling, crop_size, progressive):
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{i}.jpg") for i in range(5)]
    for path in paths:
        picture = Image.fromarray(smooth_picture(rng, crop_size, crop_size))
        exif = Image.Exif()
        exif[0x0112] = 6  # "turn me": neither source may
        picture.save(path, quality=90, subsampling=subsampling, progressive=progressive, exif=exif)
    assert_twins(ready_crop_table(paths), crop_size)


@pytest.mark.clips
def test_real_ready_crops_are_the_same_in_dali_and_tf_data(test_data: Path):
    paths = sorted(str(path) for path in (test_data / "faces" / "dfdc" / "dfdc_train_part_0").glob("*.jpg"))[:40]
    assert_twins(ready_crop_table(paths), 224)


@pytest.mark.gpu
def test_the_gpu_decodes_to_nearly_the_same_values(tmp_path):
    """nvJPEG's transforms round differently: a level or two, no shift."""
    table = write_strips(tmp_path, num_tracks=6, num_places=3, crop_size=64)
    rows = epoch_rows(table, seed=1, epoch=0, global_batch_size=BATCH, mirror=True)
    dataset = DALI_DATASETS.training(rows, crop_size=64, batch_size=BATCH, device_id=0, num_threads=2)
    for batch, twin in zip(dataset, training_batches(TF_DATASETS, rows, 64), strict=False):
        difference = batch[0].numpy().astype(int) - twin[0]
        assert abs(difference).mean() < 1
        assert abs(difference.mean()) < 0.5
        for x, y in zip(batch[1:], twin[1:], strict=True):
            np.testing.assert_array_equal(x.numpy(), y)


def test_dali_wraps_to_the_first_row_after_the_last(tmp_path):
    table = write_strips(tmp_path, num_tracks=5, num_places=2, crop_size=16)
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    dataset = DALI_DATASETS.training(rows, crop_size=16, batch_size=BATCH, device_id=None, num_threads=2)
    assert (
        dataset.element_spec
        == TF_DATASETS.training(rows, crop_size=16, batch_size=BATCH, device_id=None, num_threads=2).element_spec
    )
    steps = rows.num_steps(BATCH)
    batches = list(itertools.islice(dataset.as_numpy_iterator(), 2 * steps))
    assert_same(batches[:steps], batches[steps:])


def test_the_list_of_rows_lives_as_long_as_the_iterator_and_no_longer(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    table = write_strips(tmp_path, num_tracks=5, num_places=2, crop_size=16)
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    dataset = DALI_DATASETS.training(rows, crop_size=16, batch_size=BATCH, device_id=None, num_threads=2)
    batches = iter(dataset)
    del dataset
    gc.collect()
    first = [[x.numpy() for x in next(batches)] for _ in range(2)]
    assert_same(first, training_batches(TF_DATASETS, rows, 16)[:2])
    assert list(scratch.iterdir())
    del batches
    gc.collect()
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("says_where_crops_are", [True, False])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_bad_strip_ends_the_run_and_is_named(tmp_path, damage, says_where_crops_are):
    table = write_strips(tmp_path, num_tracks=5, num_places=3, crop_size=64)
    if not says_where_crops_are:
        table = dataclasses.replace(table, crop_bytes=None)
    victim = Path(table.strip_paths[2])
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:2000])
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    # Bytes that lie behind the end of a file have no file's name any more; `check_strips` names it before the run.
    is_named = damage == "missing" or not says_where_crops_are
    with pytest.raises(tf.errors.OpError, match=victim.name if is_named else "out of bounds"):
        training_batches(DALI_DATASETS, rows, 64)
    with pytest.raises(tf.errors.OpError):
        training_batches(TF_DATASETS, rows, 64)
    with pytest.raises(TfdfdError, match=victim.name):
        check_strips(table.strip_paths)


def test_a_strip_of_another_crop_size_ends_the_run(tmp_path):
    table = write_strips(tmp_path, num_tracks=5, num_places=3, crop_size=64)
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    with pytest.raises(tf.errors.OpError):
        training_batches(DALI_DATASETS, rows, 56)


def test_the_table_holds_every_number_of_every_row():
    n = 1000
    rng = np.random.default_rng(0)
    rows = FaceRows(
        ["/a.jpg"] * n,
        rng.integers(0, 300, n).astype(np.int32),
        rng.integers(0, 2, n).astype(np.float32),
        rng.choice([0, 0.3, 2], n).astype(np.float32),
        rng.integers(0, 200_000, n).astype(np.int32),
        rng.integers(0, 2, n).astype(np.int32),
        rng.random((n, WIDTH)).astype(np.float32),
        crop_spans=rng.integers(0, 1_000_000, (n, 2)).astype(np.int32),
    )
    table = face_table(rows)
    for number, name in enumerate(FACE_COLUMNS[:5]):
        assert np.array_equal(table[:, number], getattr(rows, name)), name
    assert np.array_equal(table[:, 5:7], rows.crop_spans)
    assert np.array_equal(table[:, len(FACE_COLUMNS) :], rows.alterations)


def test_a_path_that_the_list_cannot_hold_is_refused(tmp_path):
    with pytest.raises(TfdfdError, match="no line break"):
        write_file_list(["/a\nb.jpg"], np.zeros(1, np.int64), tmp_path / "list.txt")
