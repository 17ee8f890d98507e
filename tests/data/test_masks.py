"""Masks of real files: they lie where the fake was forged, and what cannot be compared says why."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from tests.forged_clips import (
    BOX,
    INDICES,
    MARGIN,
    SIZE,
    forged,
    mask_iou,
    textured_frames,
    true_mask,
    write_frames,
)
from tests.stores import frames_of, ok_clip, track_of
from tfdfd.clip import OK, ClipError
from tfdfd.data.frame_alignment import Placement
from tfdfd.data.mask_store import FAILED, OTHER_LENGTH, OTHER_SIZE, ClipMasks
from tfdfd.data.masks import CropGeometry, masks_of_fake
from tfdfd.data.store_records import record_of
from tfdfd.data.video import probe

GEOMETRY = CropGeometry(SIZE, MARGIN, "none", len(INDICES))
FRAMES = textured_frames()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("clips") / "original.mp4", FRAMES)


def masks_of(
    fake: Path, original: Path, *, box: tuple[float, ...] = BOX, geometry: CropGeometry = GEOMETRY
) -> ClipMasks:
    clip = ok_clip("fake", track_of(box=box), track_of(box=(20, 20, 80, 80)), frames=frames_of(indices=INDICES))
    record = record_of(clip, ["", ""], 1)
    with contextlib.suppress(ClipError):
        record |= {name: getattr(probe(fake), name) for name in ("width", "height")}
    return masks_of_fake(record, fake, original, geometry)


def test_the_mask_lies_where_the_face_was_forged_and_of_another_person_nothing_was(tmp_path, original):
    made = masks_of(write_frames(tmp_path / "fake.mp4", forged(FRAMES), crf=14), original)
    assert (made.status, made.notes) == (OK, ())
    assert [known.tolist() for known in made.is_known] == [[True] * 3] * 2
    assert min(mask_iou(mask, true_mask()) for mask in made.masks[0]) > 0.75
    assert not made.masks[1].any()


def test_boxes_of_frames_of_another_shape_are_not_laid_on_these(tmp_path, original):
    fake = write_frames(tmp_path / "fake.mp4", forged(FRAMES))
    clip = ok_clip("fake", track_of(box=BOX), frames=frames_of(indices=INDICES))
    record = record_of(clip, [""], 1) | {"width": FRAMES.shape[2] // 2, "height": FRAMES.shape[1]}
    made = masks_of_fake(record, fake, original, GEOMETRY)
    assert made.status == FAILED
    assert "prepare the clip again" in made.reason


def test_a_crop_turned_by_its_landmarks_has_a_turned_mask(tmp_path, original):
    made = masks_of(
        write_frames(tmp_path / "fake.mp4", forged(FRAMES)),
        original,
        geometry=CropGeometry(SIZE, MARGIN, "landmarks", len(INDICES)),
    )
    # The landmarks of `track_of` stand upright: the turn is by nothing, and goes through the other code.
    assert min(mask_iou(mask, true_mask()) for mask in made.masks[0]) > 0.75


def test_frames_that_the_original_lacks_are_not_known(tmp_path):
    short = write_frames(tmp_path / "short.mp4", FRAMES[:8])
    made = masks_of(write_frames(tmp_path / "fake.mp4", forged(FRAMES)), short)
    assert made.status == OK
    assert made.is_known[0].tolist() == [True, True, False]
    assert not made.masks[0][2].any()
    assert made.notes == (
        "2 faces have no mask, since their frames are not in the original (the fake has 12 frames, its original 8)",
    )


def test_a_fake_that_was_cut_gets_masks_and_a_note(tmp_path, original):
    cut = write_frames(tmp_path / "cut.mp4", forged(FRAMES)[:, 4:, 8:])
    made = masks_of(cut, original, box=(BOX[0] - 8, BOX[1] - 4, BOX[2] - 8, BOX[3] - 4))
    assert made.status == OK
    assert min(mask_iou(mask, true_mask()) for mask in made.masks[0]) > 0.75
    assert "its original was moved by -8 px to the right and -4 px down" in made.notes[0]


@pytest.mark.parametrize(
    ("frames", "status", "reason"),
    [
        (FRAMES[:2], OTHER_LENGTH, "no frame of the fake with a face is in both"),
        (FRAMES[:, :192], OTHER_SIZE, "of another shape"),
        (textured_frames(seed=3), FAILED, "is it the right original"),
        (textured_frames(8, seed=3), OTHER_LENGTH, "the fake has 12 frames, its original 8"),
        (textured_frames(width=352, seed=3), OTHER_SIZE, "is it the right original"),
    ],
)
def test_an_original_that_cannot_be_laid_on_the_fake_says_why(tmp_path, frames, status, reason):
    other = write_frames(tmp_path / "other.mp4", np.ascontiguousarray(frames))
    made = masks_of(write_frames(tmp_path / "fake.mp4", forged(FRAMES)), other)
    assert made.status == status
    assert reason in made.reason
    assert not made.masks


def test_where_no_face_agrees_frames_of_another_size_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tfdfd.data.masks.find_placement", lambda *_: Placement())
    monkeypatch.setattr("tfdfd.data.masks.agreement", lambda *_: 0.0)
    other = write_frames(tmp_path / "other.mp4", textured_frames(width=352, seed=3))
    made = masks_of(write_frames(tmp_path / "fake.mp4", forged(FRAMES)), other)
    assert made.status == OTHER_SIZE
    assert "the fake's frames are 384 x 288, its original's 352 x 288" in made.reason


def test_a_damaged_file_fails_with_its_reason(tmp_path, original):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(original.read_bytes()[:500])
    made = masks_of(broken, original)
    assert made.status == FAILED
    assert str(broken) in made.reason
