"""Corruptions do to a picture what their names say, more at every level, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.color import hsv2rgb, rgb2hsv
from skimage.data import astronaut

from tfdfd.evaluation.corruptions import CLIP_CORRUPTIONS, CORRUPTIONS, Corruption, corrupt_track, seed_of

EVERY = pytest.mark.parametrize("corruption", CORRUPTIONS.values(), ids=list(CORRUPTIONS))


def face(size: int = 200) -> np.ndarray:
    """A real face, uint8 RGB, shape (size, size, 3)."""
    return np.asarray(Image.fromarray(astronaut()[:220, 110:330]).resize((size, size), Image.Resampling.LANCZOS))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def detail(crop: np.ndarray) -> float:
    """How much neighbouring pixels of a row differ, as a share of the picture's contrast."""
    return float(np.abs(np.diff(crop.astype(float), axis=1)).mean() / crop.std())


@EVERY
def test_a_crop_stays_a_crop_and_is_harmed_more_at_every_level(corruption: Corruption):
    crop = face()
    levels = [corruption.apply(crop, level, 0) for level in corruption.levels]
    for corrupted in levels:
        assert corrupted.dtype == np.uint8
        assert corrupted.shape == crop.shape
    distances = [distance(crop, corrupted) for corrupted in levels]
    assert distances[0] > 0.5
    assert (np.diff(distances) > 0.1).all(), distances


@EVERY
def test_the_crop_that_is_handed_over_is_left_alone(corruption: Corruption):
    crop = face()
    before = crop.copy()
    corruption.apply(crop, corruption.levels[-1], 0)
    assert (crop == before).all()


@EVERY
def test_a_flat_grey_picture_shows_what_changes_colour(corruption: Corruption):
    grey = np.full((64, 64, 3), 100, np.uint8)
    mean = corruption.apply(grey, corruption.levels[0], 0).mean()
    expected = {"darker": 85, "brighter": 100 + 0.1 * 255}.get(corruption.name, 100)
    assert mean == pytest.approx(expected, abs=0.6)


def test_contrast_draws_to_the_mean_and_keeps_it():
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:, 4:] = 200
    corrupted = CORRUPTIONS["contrast"].apply(halves, 0.6, 0)
    assert (corrupted[:, :4] == 40).all()
    assert (corrupted[:, 4:] == 160).all()


def test_brighter_adds_to_the_value_of_hsv():
    crop = face().copy()
    crop[:20] = 0
    hsv = rgb2hsv(crop)
    hsv[..., 2] = np.minimum(hsv[..., 2] + 0.3, 1)
    brighter = CORRUPTIONS["brighter"].apply(crop, 0.3, 0)
    assert np.abs(brighter.astype(float) - 255 * hsv2rgb(hsv)).max() < 0.51


def test_noise_has_the_deviation_that_it_names():
    grey = np.full((200, 200, 3), 128, np.uint8)
    for deviation in (8.1, 25.5):
        assert CORRUPTIONS["noise"].apply(grey, deviation, 7).std() == pytest.approx(deviation, rel=0.02)


def test_blur_spreads_an_edge_by_its_sigma():
    edge = np.zeros((224, 224, 3), np.uint8)
    edge[:, 112:] = 200
    step = np.diff(CORRUPTIONS["blur"].apply(edge, 3.5, 0)[100, :, 0].astype(float))
    columns = np.arange(223)
    centre = (columns * step).sum() / step.sum()
    assert np.sqrt((step * (columns - centre) ** 2).sum() / step.sum()) == pytest.approx(3.5, rel=0.03)


@pytest.mark.parametrize("name", ["blur", "downscale"])
def test_a_level_means_the_same_for_stores_of_any_crop_size(name: str):
    # One picture in three sizes is harmed, then brought to one size: what is left must be the same.
    for level in CORRUPTIONS[name].levels[1:]:
        seen = [
            np.asarray(Image.fromarray(CORRUPTIONS[name].apply(face(size), level, 0)).resize((96, 96)))
            for size in (152, 200, 304)
        ]
        harm = distance(np.asarray(Image.fromarray(face(304)).resize((96, 96))), seen[2])
        assert distance(seen[0], seen[2]) < 0.35 * harm
        assert distance(seen[1], seen[2]) < 0.35 * harm


def test_downscale_leaves_a_crop_alone_that_has_no_more_pixels_than_it_would_leave():
    assert (CORRUPTIONS["downscale"].apply(face(96), 112, 0) == face(96)).all()
    assert distance(CORRUPTIONS["downscale"].apply(face(96), 75, 0), face(96)) > 0.5


@pytest.mark.parametrize("name", ["blur", "downscale"])
def test_detail_goes(name: str):
    assert detail(CORRUPTIONS[name].apply(face(), CORRUPTIONS[name].levels[-1], 0)) < 0.7 * detail(face())


def track(num_places: int = 3) -> tuple[np.ndarray, np.ndarray]:
    crops = np.stack([face(48)] * num_places)
    crops[1] = 0
    return crops, np.arange(num_places) != 1


@EVERY
def test_a_place_without_a_face_stays_black(corruption: Corruption):
    crops, is_face = track()
    corrupted = corrupt_track(corruption, 5, crops, is_face, clip_id="a", track=0)
    assert not corrupted[1].any()
    assert (corrupted[0] != crops[0]).any()
    assert not crops[1].any()


@EVERY
def test_the_same_track_gives_the_same_pixels_again(corruption: Corruption):
    crops, is_face = track()
    first, again = (corrupt_track(corruption, 3, crops, is_face, clip_id="a", track=0) for _ in range(2))
    assert (first == again).all()


def test_noise_differs_from_place_to_place_track_to_track_and_clip_to_clip():
    crops, is_face = track()

    def noisy(clip_id: str, number: int) -> np.ndarray:
        return corrupt_track(CORRUPTIONS["noise"], 3, crops, is_face, clip_id=clip_id, track=number)

    mine = noisy("a", 0)
    assert (mine[0] != mine[2]).any()
    assert (mine[0] != noisy("a", 1)[0]).any()
    assert (mine[0] != noisy("b", 0)[0]).any()


def test_seeds_are_those_of_every_other_process():
    assert seed_of("Deepfakes/c23/183_253", 1, 16) == 18335513458319319827
    assert seed_of("a", 1, 12) != seed_of("a", 11, 2)


def test_five_levels_are_asked_for():
    with pytest.raises(ValueError, match="5 levels"):
        Corruption("dust", "grains", (1, 2, 3), lambda crop, level, seed: crop)


def test_the_tables_name_their_rows():
    for table in (CORRUPTIONS, CLIP_CORRUPTIONS):
        assert all(name == strengths.name for name, strengths in table.items())
    assert not set(CORRUPTIONS) & set(CLIP_CORRUPTIONS)
