"""Masks are stored without loss, and what is no mask strip is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tfdfd.clip import ClipError
from tfdfd.data.mask_strips import decode_masks, encode_masks

MASKS = np.random.default_rng(0).random((3, 24, 24)) > 0.5


def test_a_strip_gives_back_its_masks():
    assert np.array_equal(decode_masks(encode_masks(MASKS), num_places=3), MASKS)


def test_other_numbers_of_places_broken_and_truncated_files_are_refused():
    strip = encode_masks(MASKS)
    with pytest.raises(ClipError, match="4 masks must have one channel"):
        decode_masks(strip, num_places=4)
    for broken in (b"", b"no picture", strip[: len(strip) // 2]):
        with pytest.raises(ClipError, match="cannot be decoded"):
            decode_masks(broken, num_places=3)


def test_what_is_no_stack_of_masks_is_a_mistake():
    with pytest.raises(ValueError, match="must be bool"):
        encode_masks(MASKS.astype(np.uint8))
