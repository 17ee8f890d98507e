"""Who of a scored clip is shown, and what of them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.reports.scored import RULE, scored, track
from tfdfd.reports.scored_clip_shown import STRIPS, lines_of, people_of, steps_of, strips_of


def no_heat(crops, is_face):
    return np.zeros(is_face.shape), np.zeros((*is_face.shape, 2, 2))


def picture(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))), np.float32)


def test_a_person_is_told_by_when_they_were_seen_and_their_most_suspicious_face():
    ((person, _),) = people_of(scored([[track([None, 0.2, 0.9, None, 0.4], score=0.5)]]), RULE)
    assert (person.name, person.score, person.is_fake) == ("person 1", 0.5, True)
    assert (person.first_seconds, person.last_seconds) == (1.0, 4.0)
    assert (person.num_faces, person.num_places) == (3, 5)
    assert (person.highest, person.highest_seconds) == (pytest.approx(0.9), 2.0)


def test_people_of_a_clip_in_windows_are_told_apart_by_window():
    clip = scored([[track([0.1]), track([0.2])], [track([0.3])], []])
    names = [person.name for person, _ in people_of(clip, RULE)]
    assert names == ["0 to 10 s, person 1 (main)", "0 to 10 s, person 2", "10 to 20 s, person 1"]


def test_of_many_people_the_most_suspicious_are_shown_in_playing_order_and_no_others_are_explained():
    scores = [0.9, 0.1, 0.8, 0.7, 0.2, 0.6, 0.95, 0.5]
    explained = []

    def explain(crops, is_face):
        explained.append(len(crops))
        return no_heat(crops, is_face)

    strips = strips_of(people_of(scored([[track([score])] for score in scores]), RULE), explain)
    assert [strip.person.score for strip in strips] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.95, 0.5])
    assert explained == [1] * STRIPS


def test_faces_come_in_playing_order_and_places_without_one_are_left_out():
    (strip,) = strips_of(people_of(scored([[track([0.7, None, 0.2])]]), RULE), no_heat)
    assert [face.title for face in strip.faces] == ["0.00 s", "2.00 s"]
    assert [face.probability for face in strip.faces] == pytest.approx([0.7, 0.2])


def test_heat_above_zero_is_red_below_it_blue_and_the_crop_stays_clear():
    def left_for_fake(crops, is_face):
        heat = np.zeros((*is_face.shape, 1, 2))
        heat[..., 0], heat[..., 1] = 2.0, -2.0
        return np.zeros(is_face.shape), heat

    (strip,) = strips_of(people_of(scored([[track([0.5])]]), RULE), left_for_fake)
    plain, heated = picture(strip.faces[0].picture), picture(strip.faces[0].heat)
    assert np.abs(plain - 128).max() < 4
    assert heated[64, 5, 0] > heated[64, 5, 2] + 100
    assert heated[64, -5, 2] > heated[64, -5, 0] + 100


def test_people_without_crops_have_no_strip_and_a_heat_of_nothing_is_no_division_by_zero():
    assert strips_of(people_of(scored([[track([0.5], has_crops=False)]]), RULE), no_heat) == ()
    assert len(strips_of(people_of(scored([[track([0.5])]]), RULE), no_heat)) == 1


def test_windows_without_a_face_have_no_step():
    assert steps_of(scored([[track([0.1])]])) == ()
    steps = steps_of(scored([[track([0.25])], [], [track([0.75])]]))
    assert [(step.start_seconds, step.end_seconds, step.score) for step in steps] == [(0, 10, 0.25), (20, 30, 0.75)]


def test_lines_break_where_no_face_was_and_between_windows():
    first, second = lines_of(scored([[track([0.1, None]), track([0.6, 0.7])], [track([0.3, 0.4])]]))
    np.testing.assert_allclose(first.probabilities, [0.1, np.nan, np.nan, 0.3, 0.4, np.nan], atol=1e-6)
    np.testing.assert_allclose(second.probabilities, [0.6, 0.7, np.nan], atol=1e-6)
    assert (np.diff(first.seconds) >= 0).all()
