"""A record gives back what it was given, and nothing that was made otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfdfd.evaluation.logits_record import LogitsRecord
from tfdfd.evaluation.robustness import ClipLogits

FOUND = ClipLogits(np.array([[0.1, -7.3], [1e-8, 0]], np.float32), np.array([[True, True], [True, False]]))
NOTHING = ClipLogits(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.bool_), is_unchanged=True)


def record(folder: Path, clip_id: str = "Deepfakes/c23/183_253", *, corruption: str = "jpeg", **made_with: object):
    return LogitsRecord(folder, corruption, clip_id, made_with=made_with or {"key": "a"}, num_places=2)


def test_what_was_kept_is_there_again_bit_for_bit(tmp_path: Path):
    first = record(tmp_path)
    first.add(2, FOUND)
    first.add(5, NOTHING)
    again = record(tmp_path)
    assert [level in again for level in range(6)] == [False, False, True, False, False, True]
    assert (again[2].logits == FOUND.logits).all()
    assert again[2].logits.dtype == np.float32
    assert (again[2].is_face == FOUND.is_face).all()
    assert (again[2].is_unchanged, again[5].is_unchanged) == (False, True)
    assert again[5].logits.shape == (0, 2)


def test_another_model_clip_or_corruption_finds_nothing(tmp_path: Path):
    record(tmp_path).add(1, FOUND)
    assert 1 in record(tmp_path)
    assert 1 not in record(tmp_path, key="b")
    assert 1 not in record(tmp_path, "Deepfakes/c40/183_253")
    assert 1 not in record(tmp_path, corruption="blur")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"clip_id": "x"}'])
def test_a_damaged_record_is_made_again(tmp_path: Path, content: bytes):
    record(tmp_path).add(1, FOUND)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(content)
    damaged = record(tmp_path)
    assert 1 not in damaged
    damaged.add(1, FOUND)
    assert 1 in record(tmp_path)


def test_a_record_that_lacks_a_place_is_made_again(tmp_path: Path):
    record(tmp_path).add(1, FOUND)
    (path,) = tmp_path.rglob("*.json")
    path.write_text(path.read_text().replace("[true, true]", "[true]"))
    assert 1 not in record(tmp_path)
