"""Cuts and looks of pictures that are drawn so that it is obvious where a cut lies and who looks alike."""

import numpy as np
import pytest

from tfdfd.clip import Detections
from tfdfd.faces.appearance import LOOK_LENGTH, STEADY_LOOK, appearance_of
from tfdfd.faces.tracking import SAME_LOOK

RED, GREEN, SKIN, DARK_SKIN = (200, 40, 30), (30, 160, 60), (220, 170, 140), (90, 60, 45)
HEIGHT, WIDTH = 90, 160


def picture(background, skin=SKIN, *, hair=(20, 20, 20), x: int = 80, light: float = 1.0, bars: int = 0) -> np.ndarray:
    """Draw a face of 30 px whose centre is at x, its hair above, before a background; bars are black."""
    frame = np.empty((HEIGHT, WIDTH, 3), np.float32)
    frame[:] = background
    frame[22:32, x - 15 : x + 15] = hair
    frame[32:60, x - 15 : x + 15] = skin
    frame[42:45, x - 9 : x - 4] = frame[42:45, x + 4 : x + 9] = 10
    frame[:, :bars] = frame[:, WIDTH - bars :] = 0
    return np.clip(frame * light, 0, 255).astype(np.uint8)


def detections(*xs: int) -> Detections:
    boxes = np.array([[x - 15, 28, x + 15, 62] for x in xs], np.float32).reshape(-1, 4)
    return Detections(boxes, np.zeros((len(xs), 5, 2), np.float32), np.ones(len(xs), np.float32))


def shots_of(*frames: np.ndarray, found: list[Detections] | None = None) -> list[int]:
    found = found or [detections()] * len(frames)
    return appearance_of(np.stack(frames), np.arange(len(frames)), found).shots.tolist()


def difference(one: np.ndarray, other: np.ndarray, xs=(80, 80)) -> float:
    looks = appearance_of(np.stack([one, other]), np.arange(2), [detections(x) for x in xs]).looks
    assert looks[0].shape == (1, LOOK_LENGTH)
    return float(np.abs(looks[0] - looks[1]).sum())


def test_another_scene_is_another_shot_and_back_is_a_third():
    assert shots_of(picture(RED), picture(RED, x=90), picture(GREEN), picture(GREEN, x=60), picture(RED)) == [
        *(0, 0, 1, 1, 2)
    ]


def test_who_walks_before_a_wall_makes_no_cut():
    assert shots_of(*(picture(RED, x=x) for x in (30, 60, 90, 120))) == [0, 0, 0, 0]


def test_black_bars_do_not_make_scenes_alike():
    assert shots_of(picture(RED, bars=55), picture(GREEN, bars=55)) == [0, 1]


def test_black_pictures_are_not_cut_for_their_noise():
    rng = np.random.default_rng(0)
    dark = [rng.integers(0, 31, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(3)]
    assert shots_of(*dark) == [0, 0, 0]


def test_where_a_face_goes_on_only_the_light_has_changed():
    dim, lit = picture(RED, light=0.5), picture(RED)
    assert shots_of(dim, lit) == [0, 1]
    assert shots_of(dim, lit, found=[detections(80)] * 2) == [0, 0]
    assert shots_of(dim, picture(RED, x=120), found=[detections(80), detections(120)]) == [0, 1]


def test_a_face_looks_alike_wherever_it_goes_and_however_bright_it_is():
    assert difference(picture(RED), picture(RED, x=40), xs=(80, 40)) < STEADY_LOOK / 4
    assert difference(picture(RED), picture(RED, light=0.6)) < STEADY_LOOK


@pytest.mark.parametrize(
    "other", [picture(GREEN, DARK_SKIN), picture(GREEN, hair=(230, 200, 90)), picture((240, 240, 240), DARK_SKIN)]
)
def test_another_person_in_another_place_looks_otherwise(other):
    assert difference(picture(RED), other) > SAME_LOOK


def test_only_some_frames_are_searched_and_a_clip_may_have_no_face():
    frames = np.stack([picture(RED), picture(GREEN), picture(GREEN)])
    found = appearance_of(frames, np.array([0, 2]), [detections(80, 40), detections(80)])
    assert [len(looks) for looks in found.looks] == [2, 1]
    assert found.shots.tolist() == [0, 1, 1]
    nothing = appearance_of(frames[:1], np.array([0]), [detections()])
    assert (nothing.looks[0].shape, nothing.shots.tolist()) == ((0, LOOK_LENGTH), [0])
