"""Which faces an epoch has: each choice gives what it says, from seed and epoch alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.alterations import column_slice
from tfdfd.data.degradation import Degradation
from tfdfd.data.rows import FaceRows, FaceTable
from tfdfd.data.sampling import FaceChoice, epoch_rows

PLACES = 4
REALS, FAKES_EACH = 6, (0, 1, 1, 2, 3, 3)
"""Tracks 0 to 5 are real, with so many fakes behind them, each of which has a face at places 0 to 2 only."""


@pytest.fixture
def table() -> FaceTable:
    originals = np.concatenate([np.full(REALS, -1), np.repeat(np.arange(REALS), FAKES_EACH)]).astype(np.int32)
    n = len(originals)
    is_face = np.ones((n, PLACES), bool)
    is_face[REALS:, 3] = False
    return FaceTable(
        strip_paths=[f"/{track}.jpg" for track in range(n)],
        is_face=is_face,
        labels=(originals >= 0).astype(np.float32),
        weights=np.ones(n, np.float32),
        clip_rows=np.arange(n, dtype=np.int32),
        originals=originals,
        landmarks_xy=np.tile(np.float32([[5, 5], [11, 5], [8, 8], [6, 11], [10, 11]]), (n, PLACES, 1, 1)),
    )


def rows_of(table: FaceTable, epoch: int = 0, *, batch: int = 4, **choice: str) -> FaceRows:
    return epoch_rows(
        table,
        seed=0,
        epoch=epoch,
        global_batch_size=batch,
        mirror=True,
        choice=FaceChoice(**choice),
        crop_size=16,
    )


def faces(rows: FaceRows) -> list[tuple[int, int, bool]]:
    """Track, place and whether it is blended, of each face that is no padding."""
    blended = is_blended(rows)
    return [
        (int(path[1:-4]), place, bool(is_own))
        for path, place, weight, is_own in zip(
            rows.strip_paths, rows.places.tolist(), rows.weights, blended, strict=True
        )
        if weight
    ]


def is_blended(rows: FaceRows) -> np.ndarray:
    if not rows.alterations.shape[1]:
        return np.zeros(len(rows), bool)
    return rows.alterations[:, column_slice("mask")][:, 0] > 0


def test_one_takes_a_face_of_each_track_and_another_in_another_epoch(table):
    epochs = [faces(rows_of(table, epoch, sampling="one")) for epoch in range(20)]
    for chosen in epochs:
        assert sorted(track for track, _, _ in chosen) == list(range(len(table.labels)))
        assert all(table.is_face[track, place] for track, place, _ in chosen)
    seen = {(track, place) for chosen in epochs for track, place, _ in chosen}
    assert len(seen) > 0.9 * table.num_faces


@pytest.mark.parametrize("choice", [{}, {"sampling": "one"}, {"balance": "undersample"}, {"fakes": "self_blended"}])
def test_replicas_share_an_epoch_and_no_face_comes_twice(table, choice):
    rows = rows_of(table, batch=8, **choice)
    of_replicas = [face for shard in range(4) for face in faces(rows.shard(shard, 4, 8))]
    assert sorted(of_replicas) == sorted(faces(rows))
    assert len(set(of_replicas)) == len(of_replicas)


def test_weights_give_real_and_fake_faces_half_each(table):
    rows = rows_of(table, balance="weights")
    totals = [rows.weights[rows.labels == label].sum() for label in (REAL, FAKE)]
    np.testing.assert_allclose(totals, table.num_faces / 2, rtol=1e-5)
    assert len(faces(rows)) == table.num_faces


def test_undersampling_takes_as_many_of_the_commoner_label_anew_every_epoch(table):
    first, second = (rows_of(table, epoch, balance="undersample") for epoch in (0, 1))
    for rows in (first, second):
        labels = rows.labels[rows.weights > 0]
        assert (labels == REAL).sum() == (labels == FAKE).sum() == 24
        assert len(set(faces(rows))) == 48
    assert set(faces(first)) != set(faces(second))


@pytest.mark.parametrize("sampling", ["all", "one"])
def test_pairs_are_an_original_and_one_of_its_own_fakes_at_the_same_place_in_one_batch(table, sampling):
    drawn = set()
    for epoch in range(20):
        rows = rows_of(table, epoch, balance="paired", sampling=sampling, batch=4)
        chosen = faces(rows)
        pairs = list(zip(chosen[::2], chosen[1::2], strict=True))
        for (real, place, _), (fake, fake_place, _) in pairs:
            assert table.originals[fake] == real
            assert place == fake_place
        expected = 5 if sampling == "one" else 5 * 3
        assert len(pairs) == expected
        assert len(set(chosen)) == len(chosen), "no face twice"
        drawn |= {fake for _, (fake, _, _) in pairs}
        # Each replica of two gets whole pairs.
        for shard in (rows.shard(0, 2, 4), rows.shard(1, 2, 4)):
            tracks = [int(path[1:-4]) for path in shard.strip_paths]
            assert all(table.originals[fake] == real for real, fake in zip(tracks[::2], tracks[1::2], strict=True))
    assert drawn == set(range(REALS, len(table.labels)))


def test_pairs_without_originals_say_what_to_write_instead(table):
    alone = dataclasses.replace(table, originals=np.full(len(table.labels), -1, np.int32))
    with pytest.raises(TfdfdError, match="none belong together: write --balance weights or --balance undersample"):
        rows_of(alone, balance="paired")
    assert faces(rows_of(alone, balance="paired", fakes="self_blended"))


def test_self_blended_fakes_take_the_place_of_those_given(table):
    rows = rows_of(table, fakes="self_blended")
    chosen, blended = faces(rows), is_blended(rows)
    assert sorted(chosen) == sorted((t, p, own) for t in range(REALS) for p in range(PLACES) for own in (False, True))
    np.testing.assert_array_equal(rows.labels == FAKE, blended)


def test_both_have_the_fakes_given_and_a_blend_of_each_real_face(table):
    chosen = faces(rows_of(table, fakes="both"))
    assert sum(own for _, _, own in chosen) == REALS * PLACES
    assert sum(track >= REALS for track, _, _ in chosen) == 3 * sum(FAKES_EACH)
    assert len(chosen) == table.num_faces + REALS * PLACES


def test_a_self_blended_fake_is_paired_with_its_own_face(table):
    chosen = faces(rows_of(table, fakes="self_blended", balance="paired"))
    for real, fake in zip(chosen[::2], chosen[1::2], strict=True):
        assert real[:2] == fake[:2]
        assert (real[2], fake[2]) == (False, True)
    assert len(chosen) == 2 * REALS * PLACES


def test_faces_without_landmarks_are_not_blended(table):
    landmarks = table.landmarks_xy.copy()
    landmarks[0] = np.nan
    chosen = faces(rows_of(dataclasses.replace(table, landmarks_xy=landmarks), fakes="self_blended"))
    assert {track for track, _, own in chosen if own} == {1, 2, 3, 4, 5}
    assert {track for track, _, own in chosen if not own} == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"sampling": "one"},
        {"balance": "undersample"},
        {"balance": "paired"},
        {"fakes": "both", "balance": "paired"},
    ],
)
def test_seed_and_epoch_alone_decide(table, choice):
    first, again, other = (rows_of(table, epoch, **choice) for epoch in (3, 3, 4))
    assert faces(first) == faces(again)
    np.testing.assert_array_equal(first.alterations, again.alterations)
    assert faces(first) != faces(other)


def test_degradation_changes_neither_order_nor_blends(table):
    plain = rows_of(table, fakes="self_blended")
    degraded = epoch_rows(
        table,
        seed=0,
        epoch=0,
        global_batch_size=4,
        mirror=True,
        choice=FaceChoice(fakes="self_blended"),
        degradation=Degradation(jpeg=0.5, cutout=0.5),
        crop_size=16,
    )
    assert faces(plain) == faces(degraded)
    for name in ("mask_view", "inside_colour"):
        np.testing.assert_array_equal(
            plain.alterations[:, column_slice(name)], degraded.alterations[:, column_slice(name)]
        )
    share = (degraded.alterations[:, column_slice("quality")][:, 0] > 0).mean()
    assert 0.2 < share < 0.8


def test_alterations_are_those_of_the_whole_epoch_in_every_part_of_it(table):
    rows = rows_of(table, fakes="self_blended", batch=8)
    part = rows.skip(1, 8).shard(1, 2, 8)
    of_part = np.arange(8, len(rows)).reshape(-1, 2, 4)[:, 1].reshape(-1)
    np.testing.assert_array_equal(part.alterations, rows.alterations[of_part])
