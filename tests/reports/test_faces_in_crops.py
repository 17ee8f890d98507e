"""Where things lie in a crop: measured on crops that the extraction itself cut."""

import numpy as np
import pytest

from tests.stores import frames_of, track_of
from tfdfd.clip import ClipFrames
from tfdfd.faces.alignment import FROM_CENTRE_XY
from tfdfd.faces.crop_views import crop_views, to_crop
from tfdfd.faces.crops import crop_tracks
from tfdfd.reports.faces_in_crops import shrink, through_view

SIZE = 96


def smooth_frame(height=240, width=320):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9) + np.cos(y / 11), np.sin(x / 13 + y / 7), np.cos(x / 8 - y / 10)]
    return np.stack([128 + 50 * wave for wave in waves], axis=2).astype(np.uint8)


def leaning(box, degrees):
    """Landmarks in a box that lean clockwise."""
    turn = np.deg2rad(degrees)
    points = FROM_CENTRE_XY @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    return points * (box[2] - box[0]) / 112 + [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]


def cut(frame, box, margin, *, degrees=0.0, alignment="none"):
    """Cut a crop as the extraction does, and return how it lies in the frame."""
    facts = frames_of(indices=(0,), num_frames=1)
    frames = ClipFrames(frame[None], facts.places, facts.frame_indices, facts.info, "pyav", "")
    track = track_of((True,), box=tuple(box))
    track.landmarks_xy[0] = leaning(box, degrees)
    crop = crop_tracks(frames, (track,), SIZE, margin, alignment)[0][0]
    view = crop_views(np.array([box]), track.landmarks_xy, size=SIZE, margin=margin, alignment=alignment)[0]
    return crop, view


@pytest.mark.parametrize("box", [(100.0, 60.0, 160.0, 140.0), (3.0, 5.0, 83.0, 45.0), (250.5, 170.25, 330.5, 230.25)])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_the_box_is_drawn_where_the_face_is(box, margin):
    frame = np.zeros((240, 320, 3), np.uint8)
    x1, y1, x2, y2 = (round(edge) for edge in box)
    frame[y1:y2, x1:x2] = 255
    crop, view = cut(frame, box, margin)
    drawn = to_crop(np.array([box[:2], box[2:]]), view)
    right = min(drawn[1, 0], to_crop(np.array([[320, 0]]), view)[0, 0])  # the frame ends, and with it the paint
    painted = crop[..., 0] > 127
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    # Half a pixel of the crop, and what rounding the paint to whole pixels of the frame moves.
    tolerance = 0.5 + 0.5 * view[0, 0]
    assert np.abs(np.array([columns[0], rows[0]]) - drawn[0]).max() <= tolerance
    assert np.abs(np.array([columns[-1] + 1, rows[-1] + 1]) - [right, drawn[1, 1]]).max() <= tolerance


@pytest.mark.parametrize("degrees", [-30.0, 12.0, 90.0])
def test_points_lie_where_they_are_seen_in_crops_that_were_turned_upright(degrees):
    box = (100.0, 60.0, 180.0, 150.0)
    for x, y in ((120, 80), (165, 130)):
        frame = np.zeros((240, 320, 3), np.uint8)
        frame[y - 3 : y + 3, x - 3 : x + 3] = 255
        crop, view = cut(frame, box, 0.5, degrees=degrees, alignment="landmarks")
        light = crop[..., 0].astype(float)
        centres = np.arange(SIZE) + 0.5
        seen = [(light.sum(axis=0) * centres).sum() / light.sum(), (light.sum(axis=1) * centres).sum() / light.sum()]
        np.testing.assert_allclose(to_crop(np.array([[x, y]]), view)[0], seen, atol=0.3)


@pytest.mark.parametrize("turn", [0.0, 6.0])
@pytest.mark.parametrize("shift", [(0, 0), (7, -4), (-2.4, 3.7)])
@pytest.mark.parametrize("growth", [1.0, 1.15, 0.9])
def test_one_crop_seen_through_another_is_that_other_crop(shift, growth, turn):
    frame, box = smooth_frame(), np.array([120.0, 60.0, 200.0, 150.0])
    centre, half = (box[:2] + box[2:]) / 2 + shift, (box[2:] - box[:2]) / 2 * growth
    alignment = "landmarks" if turn else "none"
    crop, view = cut(frame, box, 0.3, degrees=10, alignment=alignment)
    other_box = np.concatenate([centre - half, centre + half])
    other, other_view = cut(frame, other_box, 0.3, degrees=10 + turn, alignment=alignment)
    seen, is_known = through_view(crop, view, other_view, 48)
    wanted = shrink(other, 48).astype(int)
    inner = is_known & np.pad(np.ones((44, 44), bool), 2)  # at the rim the filter meets pixels that are not held
    assert inner.mean() > 0.65
    assert np.abs(seen.astype(int) - wanted)[inner].max() <= 6
    if (shift, growth, turn) != ((0, 0), 1.0, 0.0):  # the claim is not empty: the crops themselves differ
        assert np.abs(shrink(crop, 48).astype(int) - wanted)[inner].max() > 15


def test_what_a_crop_does_not_hold_is_not_known():
    crop = np.full((16, 16, 3), 9, np.uint8)
    view = np.array([[1.0, 0, 0], [0, 1, 0]])
    _, is_known = through_view(crop, view, np.array([[1.0, 0, -8], [0, 1, 0]]), 16)
    assert is_known[:, :8].all()
    assert not is_known[:, 8:].any()
    for other in (np.array([[1.0, 0, -1e4], [0, 1, -1e4]]), np.array([[1e-4, 0, 8], [0, 1e-4, 8]])):
        picture, is_known = through_view(crop, view, other, 16)
        assert picture.shape == (16, 16, 3)
        assert not is_known.any()
