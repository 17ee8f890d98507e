"""Rows: every face once an epoch, whole batches, the same global batches for any number of replicas."""

from __future__ import annotations

import numpy as np
import pytest

from tfdfd.clip import TfdfdError
from tfdfd.data.rows import FaceRows, FaceTable, StripRows
from tfdfd.data.sampling import epoch_rows

NUM_TRACKS, NUM_PLACES = 50, 5


def make_table() -> FaceTable:
    """Faces at the places where track + place is no multiple of 4, so 3 in 4."""
    tracks, places = np.indices((NUM_TRACKS, NUM_PLACES))
    return FaceTable(
        strip_paths=[f"/strips/{i}.jpg" for i in range(NUM_TRACKS)],
        is_face=(tracks + places) % 4 > 0,
        labels=np.arange(NUM_TRACKS, dtype=np.float32) % 2,
        weights=np.arange(1, NUM_TRACKS + 1, dtype=np.float32),
        clip_rows=np.arange(NUM_TRACKS, dtype=np.int32) + 1000,
    )


def faces_of(rows: FaceRows) -> list[tuple[str, int]]:
    return list(zip(rows.strip_paths, rows.places.tolist(), strict=True))


def equal(a: FaceRows, b: FaceRows) -> bool:
    return faces_of(a) == faces_of(b) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("labels", "weights", "clip_rows", "mirror")
    )


def test_every_real_face_comes_once_with_its_own_label_and_padding_has_weight_zero():
    table = make_table()
    rows = epoch_rows(table, seed=3, epoch=0, global_batch_size=32, mirror=False)

    assert len(rows) % 32 == 0
    real = rows.weights > 0
    assert real.sum() == table.num_faces
    assert not real[table.num_faces :].any()
    expected = {
        (f"/strips/{i}.jpg", p) for i, p in zip(*map(np.ndarray.tolist, np.nonzero(table.is_face)), strict=True)
    }
    assert set(faces_of(rows)[: table.num_faces]) == expected
    assert set(faces_of(rows)) == expected  # padding repeats real faces
    tracks = np.array([int(path.split("/")[-1][:-4]) for path in rows.strip_paths])
    assert np.array_equal(rows.labels, tracks % 2)
    assert np.array_equal(rows.clip_rows, tracks + 1000)
    assert np.array_equal(rows.weights[real], tracks[real] + 1)


def test_order_and_mirroring_follow_seed_and_epoch_alone():
    table = make_table()

    def rows(seed: int, epoch: int) -> FaceRows:
        return epoch_rows(table, seed=seed, epoch=epoch, global_batch_size=8, mirror=True)

    assert equal(rows(1, 2), rows(1, 2))
    assert faces_of(rows(1, 2)) != faces_of(rows(1, 3))
    assert faces_of(rows(1, 2)) != faces_of(rows(2, 2))
    assert not np.array_equal(rows(1, 2).mirror, rows(1, 3).mirror)
    assert 0.3 < rows(1, 2).mirror.mean() < 0.7


def test_mirroring_can_be_switched_off_without_changing_the_order():
    mirrored, plain = (
        epoch_rows(make_table(), seed=0, epoch=0, global_batch_size=8, mirror=mirror) for mirror in (True, False)
    )
    assert not plain.mirror.any()
    assert faces_of(mirrored) == faces_of(plain)


def test_consecutive_faces_come_from_many_clips():
    rows = epoch_rows(make_table(), seed=0, epoch=0, global_batch_size=8, mirror=False)
    assert len(set(rows.clip_rows[:32].tolist())) > 16


def test_a_batch_larger_than_the_table_is_filled_by_repeating():
    table = FaceTable(["/a.jpg"], np.array([[True, False]]), *(np.ones(1, np.float32),) * 2, np.zeros(1, np.int32))
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=4, mirror=False)
    assert faces_of(rows) == [("/a.jpg", 0)] * 4
    assert rows.weights.tolist() == [1, 0, 0, 0]


def test_a_table_without_faces_is_refused():
    table = make_table()
    empty = FaceTable(table.strip_paths, np.zeros_like(table.is_face), table.labels, table.weights, table.clip_rows)
    with pytest.raises(TfdfdError, match="no face to train on"):
        epoch_rows(empty, seed=0, epoch=0, global_batch_size=4, mirror=False)


@pytest.mark.parametrize("num_shards", [1, 2, 4])
def test_shards_together_are_the_same_global_batches(num_shards):
    rows = epoch_rows(make_table(), seed=0, epoch=0, global_batch_size=8, mirror=True)
    shards = [rows.shard(i, num_shards, 8) for i in range(num_shards)]
    local = 8 // num_shards
    joined = [
        face
        for step in range(rows.num_steps(8))
        for shard in shards
        for face in faces_of(shard)[step * local : (step + 1) * local]
    ]
    assert joined == faces_of(rows)


def test_skipping_steps_leaves_the_rest_of_the_epoch():
    rows = epoch_rows(make_table(), seed=0, epoch=0, global_batch_size=8, mirror=True)
    assert equal(rows.skip(0, 8), rows)
    assert faces_of(rows.skip(3, 8)) == faces_of(rows)[24:]
    assert rows.skip(3, 8).num_steps(8) == rows.num_steps(8) - 3
    assert len(rows.skip(rows.num_steps(8), 8)) == 0


def test_shards_that_do_not_divide_the_batch_are_refused():
    rows = epoch_rows(make_table(), seed=0, epoch=0, global_batch_size=8, mirror=False)
    with pytest.raises(ValueError, match="cannot be split into 3"):
        rows.shard(0, 3, 8)
    with pytest.raises(ValueError, match="do not fill whole batches"):
        rows.num_steps(7)


def test_columns_of_the_wrong_length_or_type_are_refused():
    with pytest.raises(ValueError, match="labels must be float32"):
        FaceTable(["/a"], np.ones((1, 2), bool), np.ones(1), np.ones(1, np.float32), np.ones(1, np.int32))
    with pytest.raises(ValueError, match="clip_rows must be int32 with 1 axes and 1 rows"):
        StripRows(["/a"], np.ones((1, 2), bool), np.ones(2, np.int32), np.zeros(1, np.int32))


def make_strips(n: int) -> StripRows:
    return StripRows(
        [f"/{i}.jpg" for i in range(n)],
        np.eye(n, 3, dtype=bool),
        np.arange(n, dtype=np.int32) + 7,
        np.zeros(n, np.int32),
    )


def test_padded_strips_repeat_the_last_one_as_row_minus_one():
    rows = make_strips(5).padded(4)
    assert rows.strip_rows.tolist() == [0, 1, 2, 3, 4, -1, -1, -1]
    assert rows.strip_paths[5:] == ["/4.jpg"] * 3
    assert np.array_equal(rows.is_face[5:], rows.is_face[[4, 4, 4]])
    assert make_strips(4).padded(4).strip_rows.tolist() == [0, 1, 2, 3]


def test_strip_shards_keep_their_row_numbers():
    rows = make_strips(5).padded(4)
    assert rows.shard(0, 2, 4).strip_rows.tolist() == [0, 1, 4, -1]
    assert rows.shard(1, 2, 4).strip_rows.tolist() == [2, 3, -1, -1]


def test_no_strip_to_score_is_refused():
    with pytest.raises(ValueError, match="no strip to score"):
        make_strips(0).padded(4)
