"""DALI's colours come to PyAV's: BT.601 to BT.709 by a matrix, and PyAV's rounding."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.nvdec_colours import BT601, BT709, correction_of, exact_rgb, pyav_offset, rgb_from_yuv, share_outside

GREYS = np.repeat(np.arange(0, 256, 5, np.uint8)[:, None], 3, axis=1)


@pytest.mark.parametrize("is_full_range", [False, True])
def test_the_matrix_turns_bt601_into_bt709_in_either_range(is_full_range: bool) -> None:
    yuv = np.random.default_rng(0).integers((60, 100, 100), (180, 156, 156), (1000, 3))
    by_601, by_709 = (exact_rgb(yuv, matrix, is_full_range=is_full_range) for matrix in (BT601, BT709))
    matrix = np.array(correction_of(BT709, is_full_range=is_full_range).matrix)
    np.testing.assert_allclose(by_601 @ matrix.T, by_709, atol=1e-9)
    assert np.abs(by_601 - by_709).max() > 5


def test_grey_stays_grey() -> None:
    np.testing.assert_allclose(np.array(correction_of(BT709, is_full_range=True).matrix).sum(axis=1), 1)
    for is_full_range in (False, True):
        corrected = correction_of(BT709, is_full_range=is_full_range).applied_to(GREYS).astype(int)
        assert (np.abs(corrected - GREYS) <= 2).all()


@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_the_standards_primaries_come_out(matrix: str) -> None:
    np.testing.assert_allclose(rgb_from_yuv(matrix) @ [1, 0, 0], [1, 1, 1])
    red = {BT601: 0.299, BT709: 0.2126}[matrix]
    np.testing.assert_allclose(
        (rgb_from_yuv(matrix) @ [red, -0.5 * red / (1 - {BT601: 0.114, BT709: 0.0722}[matrix]), 0.5])[0], 1
    )


@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_pyav_rounds_by_less_than_two_levels(matrix: str, is_full_range: bool) -> None:
    assert all(-2 < offset < 0.5 for offset in pyav_offset(matrix, is_full_range=is_full_range))


def test_clamped_colours_are_counted_and_black_and_white_are_not() -> None:
    correction = correction_of(BT709, is_full_range=False)
    frames = np.full((1, 64, 64, 3), 120, np.uint8)
    frames[:, :16], frames[:, 16:32] = 0, 255
    assert share_outside(correction.applied_to(frames), correction) == 0
    frames[:, 32:48] = (230, 0, 10)  # what BT.601 makes of BT.709's red
    assert share_outside(correction.applied_to(frames), correction) == pytest.approx(0.25)
