"""Batches carry masks where they are asked for: of the same place as the crop, moved and flipped as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.strip_files import write_strips
from tfdfd.data.degradation import Degradation
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.mask_strips import encode_masks
from tfdfd.data.rows import FaceRows, FaceTable, TrackMasks
from tfdfd.data.sampling import FaceChoice, epoch_rows
from tfdfd.data.tf_datasets import TF_DATASETS

SIZE, PLACES, BATCH, TRACKS = 24, 3, 4, 6


def sources() -> list[FaceDatasets]:
    try:
        from pipelines.dataset import DALI_DATASETS
    except (ImportError, OSError):
        return [TF_DATASETS]
    return [TF_DATASETS, DALI_DATASETS]


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """Of tracks 1, 3 and 5, (tracks, places, size, size); the others are not altered."""
    found = np.random.default_rng(3).random((TRACKS, PLACES, SIZE, SIZE)) > 0.5
    found[::2] = False
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, masks: np.ndarray) -> FaceTable:
    folder = tmp_path_factory.mktemp("strips")
    table = write_strips(folder, num_tracks=TRACKS, num_places=PLACES, crop_size=SIZE)
    paths = [str(folder / f"{track}.png") if track % 2 else "" for track in range(TRACKS)]
    for path, of_track in zip(paths, masks, strict=True):
        if path:
            Path(path).write_bytes(encode_masks(of_track))
    is_known = np.ones((TRACKS, PLACES), bool)
    is_known[5] = False
    return dataclasses.replace(table, masks=TrackMasks(paths, is_known))


def rows_of(table: FaceTable, degradation: Degradation = Degradation()) -> FaceRows:  # noqa: B008
    return epoch_rows(
        table,
        seed=0,
        epoch=0,
        global_batch_size=BATCH,
        mirror=True,
        choice=FaceChoice(),
        degradation=degradation,
        crop_size=SIZE,
    )


def columns(datasets: FaceDatasets, rows: FaceRows) -> list[np.ndarray]:
    dataset = datasets.training(rows, crop_size=SIZE, batch_size=BATCH, device_id=None, num_threads=2)
    batches = dataset.take(rows.num_steps(BATCH)).as_numpy_iterator()
    return [np.concatenate(column) for column in zip(*batches, strict=True)]


@pytest.mark.parametrize("datasets", sources(), ids=lambda datasets: datasets.name)
def test_each_face_comes_with_its_own_mask_flipped_as_it_is(table, masks, datasets):
    rows = rows_of(table)
    *_, found, weights = columns(datasets, rows)
    tracks = [table.strip_paths.index(path) for path in rows.strip_paths]
    expected = masks[tracks, rows.places].astype(np.uint8)[..., None] * 255
    is_mirrored = rows.mirror == 1
    assert is_mirrored.any()
    expected[is_mirrored] = expected[is_mirrored][:, :, ::-1]
    assert np.array_equal(found, expected)
    assert np.array_equal(weights, (np.array(tracks) != 5).astype(np.float32))


@pytest.mark.parametrize("datasets", sources(), ids=lambda datasets: datasets.name)
def test_a_mask_is_moved_with_its_crop_and_nothing_else_is_done_to_it(table, datasets):
    moved = rows_of(table, Degradation(move=1.0))
    altered = rows_of(table, Degradation(move=1.0, noise=1.0, jpeg=1.0, colour=1.0))
    plain, found, of_altered = (columns(datasets, rows)[4] for rows in (rows_of(table), moved, altered))
    assert not np.array_equal(plain, found)
    assert np.array_equal(found, of_altered)


def test_dali_moves_masks_as_its_twin_does(table):
    twin, *others = sources()
    if not others:
        pytest.skip("DALI is not installed")
    rows = rows_of(table, Degradation(move=1.0))
    found, expected = (columns(datasets, rows)[4].astype(int) for datasets in (others[0], twin))
    # But for rounding, as of crops.
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("datasets", sources(), ids=lambda datasets: datasets.name)
def test_rows_without_masks_give_batches_without_them(table, datasets):
    rows = rows_of(dataclasses.replace(table, masks=None))
    assert not rows.has_masks
    assert len(columns(datasets, rows)) == 4
    assert len(columns(datasets, rows_of(table))) == 6


def test_masks_stay_with_their_faces_in_shards_and_after_a_resume(table):
    rows = rows_of(table)
    shard = rows.shard(1, 2, BATCH).skip(1, BATCH // 2)
    indices = np.arange(len(rows)).reshape(-1, 2, BATCH // 2)[1:, 1].reshape(-1)
    assert list(shard.mask_paths) == [rows.mask_paths[row] for row in indices]
    assert np.array_equal(shard.mask_weights, rows.mask_weights[indices])


def test_masks_of_another_number_of_tracks_are_a_mistake(table):
    with pytest.raises(ValueError, match="is_known of the masks must be bool with 2 axes and 6 rows"):
        dataclasses.replace(table, masks=TrackMasks([""], np.ones((1, PLACES), bool)))
