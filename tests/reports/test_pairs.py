"""Pairs: the same person, the same frame, the same piece of the frame, or a reason why not."""

import numpy as np
import pytest

from tests.stores import frames_of, new_store, ok_clip, painted, track_of, write_clips
from tfdfd.clip import NO_FACE, OK, ClipFaces
from tfdfd.faces.crop_views import crop_views
from tfdfd.reports.clips_shown import THUMBNAIL, Geometry
from tfdfd.reports.pairs import AMPLIFIED, difference_picture, match_tracks, same_frames, show_pair, why_not_compared


def clip_row(tmp_path, clip):
    store = new_store(tmp_path)
    write_clips(store, [clip])
    return store.record(clip.clip_id)


@pytest.fixture
def fake(tmp_path):
    return clip_row(tmp_path / "fake", ok_clip("fake"))


def test_equal_clips_can_be_compared(tmp_path, fake):
    assert why_not_compared(fake, clip_row(tmp_path / "o", ok_clip("original"))) == ""


def test_every_reason_against_a_comparison_is_said(tmp_path, fake):
    def reason(name, frames, status=OK):
        clip = ok_clip(name, frames=frames) if status == OK else ClipFaces(name, status, "nobody", frames=frames)
        return why_not_compared(fake, clip_row(tmp_path / name, clip))

    assert why_not_compared(fake, None) == "its original is not in the store"
    assert reason("nobody", frames_of(), NO_FACE) == "its original has the status no_face"
    assert "640 x 480, its original's 320 x 240" in reason("small", frames_of(width=320, height=240))
    shorter = frames_of(num_frames=20, indices=(3, 10, 16))
    assert "the fake has 30 frames, its original 20 frames" in reason("short", shorter)


def test_places_with_the_same_frame_are_compared_though_others_differ(tmp_path, fake):
    original = clip_row(tmp_path / "o", ok_clip("o", frames=frames_of(indices=(5, 14, -1))))
    assert same_frames(fake, original).tolist() == [True, False, False]
    assert why_not_compared(fake, original) == ""


def test_people_are_matched_by_their_boxes_not_by_their_order(tmp_path):
    left, right = (100, 100, 140, 160), (400, 100, 440, 160)
    store = new_store(tmp_path)
    write_clips(store, [ok_clip("a", track_of(box=left), track_of(box=right))])
    fakes = store.record("a")["tracks"]
    stranger = dict(fakes[0], boxes_xyxy=np.tile([0, 0, 50, 50], (3, 1)))
    matched = match_tracks(fakes, [stranger, *fakes[::-1]], np.array([True, True, False]))
    assert [(row, other) for row, other, _ in matched] == [(0, 2), (1, 1)]
    np.testing.assert_array_equal(matched[0][2], [1, 1, np.nan])


def test_a_person_who_is_in_the_fake_alone_has_no_partner(tmp_path):
    store = new_store(tmp_path)
    write_clips(store, [ok_clip("a"), ok_clip("b", track_of(box=(400, 100, 440, 160)))])
    a, b = (store.record(name)["tracks"][0] for name in "ab")
    assert match_tracks([a], [b], np.ones(3, bool)) == []
    assert match_tracks([a], [a], np.zeros(3, bool)) == []


def test_the_difference_of_identical_crops_is_black():
    crop = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    view = np.array([[0.5, 0.1, -10.0], [-0.1, 0.5, 20.0]])
    assert difference_picture(crop, crop, view, view).max() == 0


def test_the_difference_shows_what_was_changed_amplified_and_nothing_of_a_shifted_box():
    # A frame of bars, cut twice, the second time 8 pixels further right; the fake has a square painted darker.
    frame = np.repeat(np.tile(np.repeat(np.array([90, 150], np.uint8), 16), 8)[None, :, None], 256, axis=0)
    frame = np.broadcast_to(frame, (256, 256, 3)).copy()
    boxes = np.array([[64, 64, 160, 160], [72, 64, 168, 160]])
    views = crop_views(boxes, np.zeros((2, 5, 2)), size=96, margin=0, alignment="none")
    original = frame[64:160, 72:168]
    altered = frame.copy()
    altered[100:124, 88:136] -= 10
    difference = difference_picture(altered[64:160, 64:160], original, views[0], views[1]).astype(int)
    assert difference.shape == (THUMBNAIL, THUMBNAIL, 3)
    changed = difference[40:56, 30:66]
    assert np.abs(changed - 10 * AMPLIFIED).max() <= AMPLIFIED
    assert difference[:30, 12:].max() <= AMPLIFIED
    assert difference[66:, 12:].max() <= AMPLIFIED
    assert (difference[:, :7] == 128).all()  # the original's crop does not reach there


def test_a_pair_shows_the_places_that_both_have(tmp_path):
    store = new_store(tmp_path)
    fake_track = track_of((True, True, False))
    original_track = track_of((True, False, True), box=(102, 100, 142, 160))
    clips = [
        ClipFaces("f", OK, tracks=(fake_track,), crops=(painted(fake_track, (9, 9, 200)),), frames=frames_of()),
        ok_clip("o", original_track),
    ]
    write_clips(store, clips)
    pair = show_pair(store, Geometry(store), store.record("f"), store.record("o"))
    assert pair.problem == ""
    (track,) = pair.tracks
    assert [place.title for place in track.places] == ["place 1, frame 5, 0.50 s"]
    assert track.places[0].caption == "IoU 0.90"
    assert len({track.places[0].original, track.places[0].fake, track.places[0].difference}) == 3


def test_a_pair_whose_strip_is_gone_says_so(tmp_path):
    store = new_store(tmp_path)
    write_clips(store, [ok_clip("f"), ok_clip("o")])
    original = store.record("o")
    (store.folder / original["tracks"][0]["strip"]).unlink()
    pair = show_pair(store, Geometry(store), store.record("f"), original)
    assert "o.0.jpg cannot be read: No such file" in pair.problem
