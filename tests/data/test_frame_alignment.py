"""The original is found on its fake where it was cut or scaled, and a stranger is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.forged_clips import forged, textured_frames
from tfdfd.clip import ClipError
from tfdfd.data.frame_alignment import Placement, agreement, find_placement

FRAMES = textured_frames(4)
HEIGHT, WIDTH = FRAMES.shape[1:3]


def background(frames: np.ndarray) -> np.ndarray:
    found = np.ones(frames.shape[:3], bool)
    found[:, 80:208, 128:256] = False
    return found


def scaled(frames: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BICUBIC)) for f in frames])


def test_frames_of_one_size_stay_where_they_are():
    fakes = forged(FRAMES)
    assert find_placement(fakes, FRAMES, background(fakes)) == Placement()


def test_a_fake_that_was_cut_at_its_sides_is_found():
    fakes = forged(FRAMES)[:, 2:-4, 6:-10]
    placement = find_placement(fakes, FRAMES, background(fakes))
    assert placement.scale_xy == (1, 1)
    assert placement.shift_xy == pytest.approx((-6, -2), abs=0.2)
    placed, is_covered = placement.placed(FRAMES, *fakes.shape[1:3])
    assert is_covered.mean() > 0.97
    assert np.abs(placed.astype(int) - FRAMES[:, 2:-4, 6:-10])[:, 4:-4, 4:-4].mean() < 3


def test_a_fake_that_was_scaled_is_found():
    fakes = scaled(FRAMES, WIDTH // 2, HEIGHT // 2)
    placement = find_placement(fakes, FRAMES, background(fakes))
    assert placement.scale_xy == pytest.approx((0.5, 0.5), abs=0.01)
    assert placement.shift_xy == pytest.approx((0, 0), abs=0.5)
    assert "scaled by 0.5000" in str(placement)


def test_frames_of_one_size_that_were_moved_are_found_and_what_is_not_covered_is_told():
    fakes = np.roll(FRAMES, 5, axis=2)
    placement = find_placement(fakes, FRAMES, background(fakes))
    assert placement.shift_xy == pytest.approx((5, 0), abs=0.2)
    _, is_covered = placement.placed(FRAMES, HEIGHT, WIDTH)
    assert not is_covered[:, :4].any()
    assert is_covered[:, 7:].all()
    assert "to the right" in str(placement)


def test_another_clip_and_another_shape_are_refused_with_the_reason():
    other = textured_frames(4, seed=1)
    with pytest.raises(ClipError, match=r"agreement -?0\.\d\d, at least 0\.5 is needed"):
        find_placement(other, FRAMES, background(other))
    with pytest.raises(ClipError, match="384 x 288, its original's 288 x 384: of another shape"):
        find_placement(FRAMES, FRAMES.transpose(0, 2, 1, 3), background(FRAMES))


def test_agreement_is_high_for_the_same_and_low_for_another_picture_and_flat_ones_agree():
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    noisy = np.clip(FRAMES[0] + np.random.default_rng(0).normal(0, 10, FRAMES[0].shape), 0, 255).astype(np.uint8)
    assert agreement(noisy, FRAMES[0], everywhere) > 0.9
    assert agreement(FRAMES[0], FRAMES[0] // 2, everywhere) > 0.9
    assert agreement(FRAMES[0], textured_frames(1, seed=1)[0], everywhere) < 0.3
    assert agreement(np.full_like(noisy, 100), np.full_like(noisy, 104), everywhere) == 1
    assert agreement(FRAMES[0], noisy, ~everywhere) == 1
