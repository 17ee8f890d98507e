"""An altered region is found where it is, under compression too, and nothing is where nothing was altered."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.forged_clips import forged, mask_iou, textured_frames
from tfdfd.data.altered_region import RegionSettings, altered_region, cleaned, evidence

SIZE, REACH = 160, 40
SIDE = SIZE + 2 * REACH
ALL = np.ones((SIDE, SIDE), bool)
PICTURE = textured_frames(1, width=SIDE, height=SIDE)[0]
PATCH = (88, 80, 168, 152)
TRUE = np.zeros((SIZE, SIZE), bool)
TRUE[40:112, 48:128] = True


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def region(fake: np.ndarray, original: np.ndarray, settings: RegionSettings = RegionSettings()) -> np.ndarray:  # noqa: B008
    return altered_region(fake, original, crop_size=SIZE, is_shown=ALL, settings=settings)


@pytest.mark.parametrize("quality", [95, 60, 30])
def test_the_region_is_the_patch_however_much_both_are_compressed(quality):
    fake = forged(PICTURE[None], PATCH)[0]
    assert mask_iou(region(jpeg(fake, quality), jpeg(PICTURE, quality - 5)), TRUE) > 0.75


@pytest.mark.parametrize("quality", [95, 30, 10])
def test_compression_alone_is_no_region(quality):
    assert region(jpeg(PICTURE, quality), jpeg(PICTURE, 95)).mean() < 0.005


def test_a_threshold_on_the_difference_alone_would_take_compression_for_a_region():
    difference = np.abs(jpeg(PICTURE, 10).astype(int) - jpeg(PICTURE, 95)).mean(axis=2)
    assert (difference > 2.5).mean() > 0.5


def test_what_lies_outside_of_both_frames_is_never_altered():
    fake = forged(PICTURE[None], PATCH)[0]
    is_shown = ALL.copy()
    is_shown[:, SIDE // 2 :] = False
    found = altered_region(fake, PICTURE, crop_size=SIZE, is_shown=is_shown)
    assert found[:, :75].any()
    assert not found[:, 85:].any()


def test_evidence_is_in_units_of_the_noise_around():
    rng = np.random.default_rng(0)
    noisy = [np.clip(PICTURE + rng.normal(0, s, PICTURE.shape), 0, 255).astype(np.uint8) for s in (12, 24)]
    inside = np.zeros_like(ALL)
    inside[REACH:-REACH, REACH:-REACH] = True
    found = [evidence(picture, PICTURE, ~inside, crop_size=SIZE)[inside] for picture in noisy]
    assert [np.quantile(values, 0.9) for values in found] == pytest.approx([1, 1], abs=0.1)


def test_cleaning_fills_holes_drops_specks_and_keeps_large_parts():
    ragged = np.zeros((SIZE, SIZE), bool)
    ragged[20:80, 20:80] = True
    ragged[40:50, 40:50] = False
    ragged[100:132, 100:132] = True
    ragged[4, 140] = True
    found = cleaned(ragged, crop_size=SIZE)
    assert found[20:80, 20:80].mean() > 0.95
    assert found[40:50, 40:50].all()
    assert found[100:132, 100:132].mean() > 0.9
    assert not found[4, 140]
    assert not cleaned(ragged, crop_size=SIZE, settings=RegionSettings(smallest_part=0.5))[100:132, 100:132].any()


@pytest.mark.parametrize(
    "change",
    [
        {"least_difference": 400.0},
        {"least_dissimilarity": 5.0},
        {"surely": 1e4},
        {"most": 1.0},
        {"smallest_region": 0.9},
        {"opening": 0.25},
    ],
)
def test_each_of_these_settings_can_leave_nothing(change):
    fake = forged(PICTURE[None], PATCH)[0]
    assert region(fake, PICTURE).any()
    assert not region(fake, PICTURE, replace(RegionSettings(), **change)).any()


@pytest.mark.parametrize("change", [{"perhaps": 0.5}, {"closing": 0.2}, {"noise_quantile": 0.1}])
def test_each_of_these_settings_makes_it_larger(change):
    fake = jpeg(forged(PICTURE[None], PATCH)[0], 50)
    assert region(fake, PICTURE, replace(RegionSettings(), **change)).sum() > region(fake, PICTURE).sum()
