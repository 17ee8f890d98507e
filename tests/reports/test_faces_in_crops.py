"""Where things lie in a crop: measured on crops that the extraction itself cut."""

import numpy as np
import pytest

from tests.stores import frames_of, track_of
from tfdfd.clip import ClipFrames
from tfdfd.faces.crops import crop_tracks
from tfdfd.reports.faces_in_crops import crop_squares, shrink, through_square, to_crop

SIZE = 96


def smooth_frame(height=240, width=320):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9) + np.cos(y / 11), np.sin(x / 13 + y / 7), np.cos(x / 8 - y / 10)]
    return np.stack([128 + 50 * wave for wave in waves], axis=2).astype(np.uint8)


def crops_of(frame, box, margin):
    facts = frames_of(indices=(0,), num_frames=1)
    frames = ClipFrames(frame[None], facts.places, facts.frame_indices, facts.info, "pyav", "")
    return crop_tracks(frames, (track_of((True,), box=box),), SIZE, margin)[0][0]


@pytest.mark.parametrize("box", [(100.0, 60.0, 160.0, 140.0), (3.0, 5.0, 83.0, 45.0), (250.5, 170.25, 330.5, 230.25)])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_the_box_is_drawn_where_the_face_is(box, margin):
    frame = np.zeros((240, 320, 3), np.uint8)
    x1, y1, x2, y2 = (round(edge) for edge in box)
    frame[y1:y2, x1:x2] = 255
    crop = crops_of(frame, box, margin)[..., 0] > 127
    square = crop_squares(np.array([box]), margin)[0]
    drawn = to_crop(np.array([box[:2], box[2:]]), square, SIZE)
    right = min(drawn[1, 0], (320 - square[0]) * SIZE / square[2])  # the frame ends, and with it the paint
    rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    # Half a pixel of the crop, and what rounding the paint to whole pixels of the frame moves.
    tolerance = 0.5 + 0.5 * SIZE / square[2]
    assert np.abs(np.array([columns[0], rows[0]]) - drawn[0]).max() <= tolerance
    assert np.abs(np.array([columns[-1] + 1, rows[-1] + 1]) - [right, drawn[1, 1]]).max() <= tolerance


@pytest.mark.parametrize("shift", [(0, 0), (7, -4), (-2.4, 3.7)])
@pytest.mark.parametrize("growth", [1.0, 1.15, 0.9])
def test_one_crop_seen_through_the_square_of_another_is_that_other_crop(shift, growth):
    frame, box = smooth_frame(), np.array([120.0, 60.0, 200.0, 150.0])
    centre, half = (box[:2] + box[2:]) / 2 + shift, (box[2:] - box[:2]) / 2 * growth
    other_box = np.concatenate([centre - half, centre + half])
    crop, other = (crops_of(frame, tuple(edges), 0.3) for edges in (box, other_box))
    squares = crop_squares(np.stack([box, other_box]), 0.3)
    seen, is_known = through_square(crop, squares[0], squares[1], 48)
    wanted = shrink(other, 48).astype(int)
    inner = is_known & np.pad(np.ones((44, 44), bool), 2)  # at the rim the filter meets pixels that are not held
    assert inner.mean() > 0.7
    assert np.abs(seen.astype(int) - wanted)[inner].max() <= 6
    if (shift, growth) != ((0, 0), 1.0):  # the claim is not empty: the crops themselves differ
        assert np.abs(shrink(crop, 48).astype(int) - wanted)[inner].max() > 20


def test_what_a_crop_does_not_hold_is_not_known():
    crop = np.full((16, 16, 3), 9, np.uint8)
    square = np.array([0.0, 0.0, 16.0])
    _, is_known = through_square(crop, square, np.array([8.0, 0.0, 16.0]), 16)
    assert is_known[:, :8].all()
    assert not is_known[:, 8:].any()
    picture, is_known = through_square(crop, square, np.array([1e4, 1e4, 16.0]), 16)
    assert not is_known.any()
    assert picture.shape == (16, 16, 3)
