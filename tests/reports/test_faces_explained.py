"""A clip's faces explained: heat where it was found, probabilities at their places, nothing shown that is not to be."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.colours import TEMPLATES
from tests.stores import CROP_SIZE, NUM_PLACES, frames_of, new_store, ok_clip, track_of, write_clips
from tfdfd.clip import NO_FACE, ClipFaces
from tfdfd.reports.faces_explained import (
    TOWARDS_FAKE,
    TOWARDS_REAL,
    explain_clip,
    heat_overlay,
    strongest_heat,
)

GREY = np.full((32, 32, 3), 128, np.uint8)


def explained(store, clip_id="a", *, probabilities, **options):
    record = store.record(clip_id)
    return explain_clip(store, record, label="fake", score=0.1, what="missed", probabilities=probabilities, **options)


def picture(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))), int)


def test_heat_is_red_towards_fake_blue_towards_real_and_clear_at_zero():
    heat = np.array([[1, 1, 0, 0, -1, -1]] * 6, np.float32)
    shown = heat_overlay(GREY, heat, 1.0).astype(int)
    red, clear, blue = shown[16, 1], shown[16, 15], shown[16, 30]
    assert red[0] > 200 > 100 > red[2]
    assert blue[2] > 200 > 100 > blue[0]
    assert np.abs(clear - 128).max() <= 8
    np.testing.assert_array_equal(heat_overlay(GREY, np.zeros((4, 4), np.float32), 1.0), GREY)


def test_the_pages_legend_has_the_colours_of_the_heat():
    styles = (TEMPLATES / "evaluation.css").read_text()
    for name, colour in (("towards-fake", TOWARDS_FAKE), ("towards-real", TOWARDS_REAL)):
        assert f".legend .{name} {{ background: rgb({' '.join(map(str, colour))}); }}" in styles


def test_heat_lies_where_it_was_found_and_fades_evenly():
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 1
    change = np.abs(heat_overlay(GREY, heat, 1.0).astype(int) - 128).sum(axis=2)
    assert np.unravel_index(change.argmax(), change.shape) in {(y, x) for y in range(4) for x in range(28, 32)}
    assert change[16:].sum() == 0
    assert change[:, :16].sum() == 0
    row = change[2, 16:28]
    assert (np.diff(row) >= 0).all(), "no blocks with edges of their own"
    assert len(set(row.tolist())) > 6


def test_the_scale_says_what_is_strongest_and_the_face_shows_through():
    def strength(heat, scale):
        return int(heat_overlay(GREY, np.full((2, 2), heat, np.float32), scale)[0, 0, 0]) - 128

    assert strength(1, 2) == pytest.approx(strength(1, 1) / 2, abs=1)
    assert strength(5, 1) == strength(1, 1), "stronger than the scale is not stronger still"
    stripes = GREY.copy()
    stripes[::2] = 0
    shown = heat_overlay(stripes, np.ones((2, 2), np.float32), 1.0).astype(int)
    assert np.abs(shown[0] - shown[1]).max() > 30


def test_heat_that_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="scale must be above 0, got 0"):
        heat_overlay(GREY, np.zeros((2, 2), np.float32), 0)
    with pytest.raises(ValueError, match=r"finite numbers, got shape \(2, 2\)"):
        heat_overlay(GREY, np.full((2, 2), np.nan, np.float32), 1)
    with pytest.raises(ValueError, match=r"got shape \(4,\)"):
        heat_overlay(GREY, np.zeros(4, np.float32), 1)


def test_each_face_has_its_probability_and_empty_places_have_none(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a", track_of((True, False, True)), frames=frames_of(indices=(5, 15, 25)))])
    shown = explained(store, probabilities=[np.array([0.25, 0.9, 0.75])])
    (strip,) = shown.strips
    assert [face.probability for face in strip.faces] == [0.25, None, 0.75]
    assert [bool(face.picture) for face in strip.faces] == [True, False, True]
    assert [face.title for face in strip.faces] == [
        "place 1, frame 5, 0.50 s, face probability 0.2500",
        "place 2, frame 15, 1.50 s: no face",
        "place 3, frame 25, 2.50 s, face probability 0.7500",
    ]
    assert strip.summary == "2 of 3 places, face probability 0.25 to 0.75, mean 0.50"
    (track,) = shown.timeline
    np.testing.assert_allclose(track.seconds, [0.5, 1.5, 2.5])
    np.testing.assert_allclose(track.probabilities, [0.25, np.nan, 0.75])


def test_places_past_the_end_are_told_from_missed_faces_and_have_no_time(tmp_path):
    store = new_store(tmp_path / "store")
    frames = frames_of(indices=(0, 1, -1), num_frames=2)
    write_clips(store, [ok_clip("a", track_of((True, False, False)), frames=frames)])
    shown = explained(store, probabilities=[np.array([0.25, 0, 0])])
    assert [face.is_past_end for face in shown.strips[0].faces] == [False, False, True]
    assert shown.timeline[0].seconds.shape == (2,)


def test_the_heat_map_of_each_place_lies_over_its_own_crop(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a", track_of(), track_of((True, True, False), box=(300, 100, 340, 160)))])
    heats = np.zeros((NUM_PLACES, 2, 2), np.float32)
    heats[1] = -1
    shown = explained(store, probabilities=[np.zeros(NUM_PLACES)] * 2, heats=[heats], heat_scale=1.0)
    main, other = shown.strips
    blues = [picture(face.heat)[..., 2].mean() - picture(face.picture)[..., 2].mean() for face in main.faces]
    assert blues[1] > 50
    assert max(abs(blues[0]), abs(blues[2])) < 5
    assert [face.heat for face in other.faces] == [""] * NUM_PLACES, "heat was made of the main track only"


def test_without_pictures_the_line_over_time_stays(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a")])
    shown = explained(store, probabilities=[np.array([0.1, 0.2, 0.3])], has_pictures=False)
    assert shown.strips == ()
    assert len(shown.timeline) == 1


def test_a_clip_without_faces_is_shown_with_its_facts(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ClipFaces("a", NO_FACE, "nobody", frames=frames_of())])
    shown = explained(store, probabilities=[])
    assert (shown.strips, shown.timeline) == ((), ())
    assert shown.facts.startswith("640 x 480, 30 frames")


def test_a_lost_strip_is_named_and_its_probabilities_stay(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a")])
    (store.folder / store.record("a")["tracks"][0]["strip"]).unlink()
    shown = explained(store, probabilities=[np.array([0.1, 0.2, 0.3])])
    assert "cannot be read" in shown.strips[0].problem
    assert len(shown.timeline) == 1


def test_a_crowd_is_cut_and_counted(tmp_path):
    store = new_store(tmp_path / "store")
    write_clips(store, [ok_clip("a", *(track_of(box=(n * 50, 0, n * 50 + 40, 60)) for n in range(8)))])
    shown = explained(store, probabilities=[np.zeros(NUM_PLACES)] * 8)
    assert (len(shown.strips), shown.num_tracks_left_out) == (6, 2)
    assert picture(shown.strips[0].faces[0].picture).shape[0] > CROP_SIZE


def test_masks_are_shown_as_they_are_and_gradients_by_the_strongest():
    gradients = [np.array([[-4.0, 0.0], [1.0, 2.0]], np.float32)]
    faint = [np.full((2, 2), 0.03, np.float32)]
    assert 3 < strongest_heat(gradients) <= 4
    assert (strongest_heat(faint, are_masks=True), strongest_heat([])) == (1, 1)
    assert strongest_heat(faint) < 0.04
