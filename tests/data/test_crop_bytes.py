"""A crop's own bytes are a JPEG of the same pixels as the whole strip holds at its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.strip_files import smooth_picture
from tfdfd.data.crop_bytes import crop_jpeg, read_crop_bytes
from tfdfd.data.strips import decode_strip, encode_strip


@pytest.fixture(params=[(8, 3), (40, 17), (200, 2), (64, 1), (16, 300)], ids=str)
def strips(request, tmp_path) -> tuple[list[Path], int, int]:
    size, places = request.param
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path in paths:
        crops = np.stack([smooth_picture(rng, size, size) for _ in range(places)])
        crops[rng.random(places) < 0.3] = 0
        path.write_bytes(encode_strip(crops))
    return paths, size, places


def test_each_crop_decodes_alone_to_its_pixels_in_the_strip(strips):
    paths, size, places = strips
    found = read_crop_bytes([str(path) for path in paths], places, size)
    assert found is not None
    for path, spans in zip(paths, found.spans, strict=True):
        strip = path.read_bytes()
        whole = decode_strip(strip, num_places=places)
        for place, span in enumerate(spans):
            alone = decode_strip(crop_jpeg(strip, found.header, span), num_places=1)
            np.testing.assert_array_equal(alone[0], whole[place])


def test_strips_that_do_not_say_and_those_of_another_header_are_cut_whole(tmp_path):
    rng = np.random.default_rng(0)
    crops = np.stack([smooth_picture(rng, 16, 16) for _ in range(3)])
    ours, other, plain = (tmp_path / name for name in ("ours.jpg", "other.jpg", "plain.jpg"))
    ours.write_bytes(encode_strip(crops))
    other.write_bytes(encode_strip(crops, quality=98))
    Image.fromarray(crops.reshape(48, 16, 3)).save(plain, quality=95, subsampling=0)
    assert read_crop_bytes([str(ours)], 3, 16) is not None
    assert read_crop_bytes([str(ours), str(other)], 3, 16) is None
    assert read_crop_bytes([str(ours), str(plain)], 3, 16) is None
    assert read_crop_bytes([str(ours)], 4, 16) is None
