"""The strip codec: nothing bleeds, black stays black, bad files are named before the run."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfdfd.clip import ClipError, TfdfdError
from tfdfd.data.strips import check_strips, decode_strip, encode_strip


def test_a_strip_is_a_444_jpeg_of_stacked_crops():
    crops = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (0, 100, 200)])
    strip = encode_strip(crops)
    with Image.open(io.BytesIO(strip)) as picture:
        assert picture.size == (16, 48)
        assert [component[1:3] for component in picture.layer] == [(1, 1)] * 3  # sampling factors: 4:4:4
    assert np.abs(decode_strip(strip, num_places=3).astype(int) - crops).max() <= 1


@pytest.mark.parametrize("size", [8, 24, 200])
def test_one_crop_never_bleeds_into_the_next(size):
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    crops = np.stack([np.zeros_like(noise), noise, np.zeros_like(noise)])
    alone = decode_strip(encode_strip(noise[None]), num_places=1)[0]
    decoded = decode_strip(encode_strip(crops), num_places=3)
    assert not decoded[0].any()
    assert not decoded[2].any()
    assert np.array_equal(decoded[1], alone)


def test_higher_quality_is_closer():
    noise = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    errors = [
        np.abs(decode_strip(encode_strip(noise, quality=quality), num_places=1).astype(int) - noise).mean()
        for quality in (95, 100)
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("size", [4, 150, 227])
def test_a_side_that_is_no_multiple_of_8_is_refused_with_one_that_is(size):
    with pytest.raises(TfdfdError, match=f"multiple of 8.*got {size}, use "):
        encode_strip(np.zeros((2, size, size, 3), np.uint8))


def test_a_strip_taller_than_a_jpeg_is_refused():
    with pytest.raises(TfdfdError, match="use at most 327 places"):
        encode_strip(np.zeros((400, 200, 200, 3), np.uint8))


def test_low_quality_and_odd_arrays_are_refused():
    with pytest.raises(ValueError, match="quality must be 95"):
        encode_strip(np.zeros((1, 8, 8, 3), np.uint8), quality=90)
    with pytest.raises(ValueError, match="crops must be uint8"):
        encode_strip(np.zeros((1, 8, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="crops must be uint8"):
        encode_strip(np.zeros((1, 8, 8, 3), np.float32))


def test_what_is_no_strip_of_that_many_places_is_a_clip_error():
    strip = encode_strip(np.zeros((3, 8, 8, 3), np.uint8))
    with pytest.raises(ClipError, match="4 times as tall as wide, got 8 x 24"):
        decode_strip(strip, num_places=4)
    with pytest.raises(ClipError, match="cannot be decoded"):
        decode_strip(b"no picture", num_places=3)
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    with pytest.raises(ClipError, match="cannot be decoded"):
        decode_strip(encode_strip(noise)[:4000], num_places=3)


def test_missing_empty_truncated_and_text_files_are_named_before_the_run(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    strip = encode_strip(noise)
    contents = {"good": strip, "empty": b"", "truncated": strip[:4000], "text": b"hello", "trailing": strip + b"\0\0"}
    paths = {name: tmp_path / f"{name}.jpg" for name in [*contents, "missing"]}
    for name, content in contents.items():
        paths[name].write_bytes(content)

    check_strips([str(paths["good"]), str(paths["trailing"])] * 2)
    for name in ("empty", "truncated", "text", "missing"):
        with pytest.raises(TfdfdError, match=f"1 strip files.*\n.*{name}.jpg: "):
            check_strips([str(paths["good"]), str(paths[name])])
    with pytest.raises(TfdfdError, match="4 strip files"):
        check_strips([str(path) for path in paths.values()] * 2)
