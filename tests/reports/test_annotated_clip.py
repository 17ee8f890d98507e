"""The annotated clip: boxes where the faces are, in the colour of what is said of them."""

import numpy as np
import pytest

from tests.colours import KINDS_OF_SIGHT, contrast, seen
from tests.reports.scored_clip_samples import clip, track
from tests.video_files import write_video
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.video import probe
from tfdfd.models.scoring import ScoringRule
from tfdfd.reports import annotated_clip
from tfdfd.reports.annotated_clip import FAKE_RGB, REAL_RGB, write_annotated_clip

WIDTH, HEIGHT = 320, 240
BOX = (100, 120, 160, 190)
OTHER = (220, 120, 280, 190)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two seconds in grey."""
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", num_frames=50, frames_per_second=25,
                       width=WIDTH, height=HEIGHT)  # fmt: skip


def drawn(scored, tmp_path):
    target = tmp_path / "annotated.mp4"
    write_annotated_clip(scored, target, rule=ScoringRule())
    info = probe(target)
    return read_frames(target, info, np.arange(info.num_frames))


def share_of(frame, colour, box, grow=6):
    """The share of the pixels around a box's left edge that have about a colour."""
    left, top, _, bottom = box
    edge = frame[top:bottom, left - grow : left + grow].astype(int)
    return (np.abs(edge - colour).max(axis=2) < 60).mean()


def test_boxes_follow_what_was_last_said_of_the_face(source, tmp_path):
    people = [track([0.2, 1.0, 1.8], [0.1, 0.9, 0.9], box=BOX)]
    frames = drawn(clip([(0, 2, people)], path=str(source)), tmp_path)
    assert len(frames) == 50
    assert share_of(frames[10], REAL_RGB, BOX) > 0.1
    assert share_of(frames[10], FAKE_RGB, BOX) < 0.02
    assert share_of(frames[40], FAKE_RGB, BOX) > 0.1
    assert share_of(frames[40], REAL_RGB, BOX) < 0.02


def test_each_person_has_a_box_where_that_person_is(source, tmp_path):
    moving = track([0.2, 1.8], [0.9, 0.9], box=BOX)
    moving.boxes_xyxy[1] = np.add(BOX, [-60, 0, -60, 0])
    frames = drawn(clip([(0, 2, [moving, track([0.2, 1.8], [0.1, 0.1], box=OTHER)])], path=str(source)), tmp_path)
    half_way = np.add(BOX, [-30, 0, -30, 0]).tolist()
    assert share_of(frames[25], FAKE_RGB, half_way) > 0.1
    assert share_of(frames[5], FAKE_RGB, BOX) > 0.1
    assert share_of(frames[25], FAKE_RGB, BOX) < 0.05
    assert share_of(frames[25], REAL_RGB, OTHER) > 0.1


def test_where_nobody_is_there_is_no_box_and_a_window_left_out_says_so(source, tmp_path, monkeypatch):
    said = []
    headline = annotated_clip._Pen.headline
    monkeypatch.setattr(
        annotated_clip._Pen, "headline", lambda pen, text, colour: said.append(text) or headline(pen, text, colour)
    )
    scored = clip([(0, 0.5, []), (0.5, 1, [track([0.6, 0.9], [0.9, 0.7], box=BOX)])], path=str(source))
    frames = drawn(scored, tmp_path)
    assert share_of(frames[5], FAKE_RGB, BOX) < 0.02
    assert share_of(frames[20], FAKE_RGB, BOX) > 0.1
    assert share_of(frames[40], FAKE_RGB, BOX) < 0.02
    assert said[5] == "window 1: no face so far"
    assert said[14] == "window 2: no face so far"
    assert said[16] == "window 2: fake, score so far 0.90"
    assert said[24] == "window 2: fake, score so far 0.80"
    assert said[40] == "not looked at"


def test_the_running_score_ends_at_the_windows_score(source):
    window = clip([(0, 2, [track([0.2, 1.0, 1.8], [0.2, None, 0.6]), track([0.2, 1.0, 1.8], [None, 0.9, 0.9])])])
    running = annotated_clip._running_scores(window.windows[0], ScoringRule())
    assert running == pytest.approx([0.2, (0.2 + 0.9) / 2, window.windows[0].score])


@pytest.mark.parametrize("sight", KINDS_OF_SIGHT)
def test_fake_and_real_are_told_apart_and_read_by_all_kinds_of_sight(sight):
    fake, real = seen(FAKE_RGB, sight), seen(REAL_RGB, sight)
    assert np.linalg.norm(np.subtract(fake, real)) > 90
    for colour in (fake, real):
        assert contrast(colour, (255, 255, 255)) > 4.5
