"""What is drawn of a degradation: the share that is set, no more than the strength, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tfdfd.data.alterations import NUM_NOISES, column_slice, used_columns
from tfdfd.data.degradation import Degradation

N, SIZE = 4000, 200
LANDMARKS = np.tile(np.float32([[70, 80], [130, 80], [100, 120], [75, 150], [125, 150]]), (N, 1, 1))


def drawn(degradation: Degradation, name: str, seed: int = 0) -> np.ndarray:
    table = degradation.draw(N, np.random.default_rng(seed), crop_size=SIZE, landmarks_xy=LANDMARKS)
    return table[:, column_slice(name)]


@pytest.mark.parametrize(
    ("option", "column"),
    [
        ("move", "view"),
        ("colour", "colour"),
        ("blur", "sigma"),
        ("downscale", "side"),
        ("noise", "noise"),
        ("jpeg", "quality"),
        ("cutout", "hole"),
    ],
)
def test_each_share_is_that_of_the_faces_and_switches_on_its_own_column_alone(option, column):
    degradation = Degradation(**{option: 0.3})
    table = degradation.draw(N, np.random.default_rng(0), crop_size=SIZE, landmarks_xy=LANDMARKS)
    assert used_columns(table) == {column}
    assert abs(table[:, column_slice(column)].any(axis=1).mean() - 0.3) < 0.03
    assert degradation.is_on
    assert not Degradation().is_on


def test_strengths_bound_what_is_drawn():
    def both(option: str, strength: str, values: tuple, column: str) -> list[np.ndarray]:
        return [drawn(Degradation(**{option: 1.0, strength: value}), column) for value in values]

    weak, strong = both("blur", "blur_sigma", (0.01, 0.05), "sigma")
    assert weak.max() <= 2 + 1e-5
    assert strong.max() > 9
    weak, strong = both("jpeg", "jpeg_quality", (80, 10), "quality")
    assert (weak.min(), weak.max()) == (80, 95)
    assert strong.min() < 20
    weak, strong = both("downscale", "downscale_to", (0.9, 0.1), "side")
    assert weak.min() >= 180
    assert strong.min() < 40
    weak, strong = both("noise", "noise_sigma", (5.0, 40.0), "noise")
    assert weak[:, 0].max() == 2
    assert strong[:, 0].max() == NUM_NOISES
    weak, strong = both("colour", "colour_strength", (0.05, 0.4), "colour")
    assert abs(weak[:, :3] - 1).max() <= 0.051
    assert abs(weak[:, 3]).max() <= 5.001
    assert abs(strong[:, 3]).max() > 30
    weak, strong = both("cutout", "cutout_share", (0.1, 0.5), "hole")
    assert weak[:, 0].max() <= 21
    assert strong[:, 0].max() > 80
    still = drawn(Degradation(move=1.0, move_degrees=0.0, move_share=0.0), "view")
    np.testing.assert_allclose(still, np.tile([1, 0, 0, 0, 1, 0], (N, 1)), atol=1e-6)
    turned = drawn(Degradation(move=1.0, move_degrees=90, move_share=0.0), "view")
    assert abs(turned[:, 1]).max() > 0.9
    shifted = drawn(Degradation(move=1.0, move_degrees=0.0, move_share=0.3), "view")
    assert abs(shifted[:, 2]).max() > 40


def test_holes_cover_eyes_nose_or_mouth():
    top, left = drawn(Degradation(cutout=1.0), "hole")[:, 2:].T
    height, width = drawn(Degradation(cutout=1.0), "hole")[:, :2].T
    covered = [
        (top <= y) & (y < top + height) & (left <= x) & (x < left + width)
        for x, y in ((100, 80), (100, 120), (100, 150))
    ]
    shares = [holes.mean() for holes in covered]
    assert all(0.25 < share < 0.5 for share in shares), shares
    assert np.any(covered, axis=0).all()


def test_a_face_without_landmarks_gets_no_hole():
    landmarks = LANDMARKS.copy()
    landmarks[::2] = np.nan
    table = Degradation(cutout=1.0).draw(N, np.random.default_rng(0), crop_size=SIZE, landmarks_xy=landmarks)
    has_hole = table[:, column_slice("hole")].any(axis=1)
    assert has_hole[1::2].all()
    assert not has_hole[::2].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jpeg": 1.5}, r"jpeg must be in \[0, 1\], got 1.5"),
        ({"jpeg": 0.5, "jpeg_quality": 0}, r"jpeg_quality must be in \[1, 95\], got 0"),
        ({"jpeg_quality": 50}, "jpeg_quality changes nothing while jpeg is 0: set jpeg too"),
        ({"blur": 0.1, "blur_sigma": -1.0}, "blur_sigma must be in"),
        ({"blur": 0.1, "blur_sigma": 0.06}, "blur_sigma must be in"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Degradation(**options)
