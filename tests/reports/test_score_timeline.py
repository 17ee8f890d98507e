"""The timeline: every face where and when it is, windows as steps, pictures along the time."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.reports.scored_clip_samples import clip, track
from tfdfd.reports.score_timeline import COLOURS, INK, NUM_SLOTS, timeline_figure, timeline_png

SECONDS = [0.5, 2.5, 4.5, 6.5, 8.5]
ONE = track(SECONDS, [0.1, 0.2, None, 0.9, 0.4])


def lines_of(figure):
    """The lines of the faces: those with markers."""
    return [line for line in figure.axes[0].lines if line.get_marker() != "None"]


def test_each_face_is_a_point_at_its_time_and_one_line_is_one_person():
    figure = timeline_figure(clip([(0, 10, [ONE, track(SECONDS, [0.7] * 5)])]), threshold=0.5)
    main, other = lines_of(figure)
    assert main.get_xdata().tolist() == [0.5, 2.5, 6.5, 8.5]
    np.testing.assert_allclose(main.get_ydata(), [0.1, 0.2, 0.9, 0.4])
    assert (main.get_color(), main.get_marker()) != (other.get_color(), other.get_marker())
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        *("main person", "person 2", "score", "threshold")
    ]
    assert figure.axes[0].get_xlim() == (0, 10)


def test_the_threshold_is_where_it_is():
    figure = timeline_figure(clip([(0, 10, [ONE])]), threshold=0.62)
    (threshold,) = [line for line in figure.axes[0].lines if line.get_label() == "threshold"]
    assert set(threshold.get_ydata()) == {0.62}


def test_windows_are_steps_and_join_no_lines():
    windows = [(0, 10, [ONE]), (10, 20, []), (20, 31, [track([21, 30], [0.8, 1.0])])]
    figure = timeline_figure(clip(windows), threshold=0.5)
    steps = [line for line in figure.axes[0].lines if line.get_label() == "score of a window"]
    assert [tuple(step.get_xdata()) for step in steps] == [(0, 10), (20, 31)]
    assert [step.get_ydata()[0] for step in steps] == pytest.approx([0.4, 0.9])
    assert [line.get_xdata().tolist() for line in lines_of(figure)] == [[0.5, 2.5, 6.5, 8.5], [21, 30]]
    assert {line.get_color() for line in lines_of(figure)} == {next(iter(COLOURS.values()))}


def test_pictures_lie_under_their_times_and_show_the_most_suspicious_of_a_stretch():
    many = track(np.linspace(0.05, 39.95, 400).tolist(), np.linspace(0, 0.99, 400).tolist())
    figure = timeline_figure(clip([(0, 40, [many])]), threshold=0.5)
    pictures = figure.axes[1].images
    assert len(pictures) == NUM_SLOTS
    for slot, picture in enumerate(pictures):
        left, right, *_ = picture.get_extent()
        assert slot * 40 / NUM_SLOTS <= left < right <= (slot + 1) * 40 / NUM_SLOTS
        latest = many.crops[many.seconds < (slot + 1) * 40 / NUM_SLOTS].max()  # which grow more suspicious here
        assert picture.get_array().max() == latest
    suspicious = [patch for patch in figure.axes[1].patches if patch.get_edgecolor()[:3] == _rgb(INK)]
    assert len(suspicious) == pytest.approx(NUM_SLOTS / 2, abs=1)


def test_so_many_faces_that_their_marks_would_smear_are_lines_alone():
    windows = [(10 * n, 10 * n + 10, [track((10 * n + np.arange(17) / 2).tolist(), [0.5] * 17)]) for n in range(30)]
    assert lines_of(timeline_figure(clip(windows[:20]), threshold=0.5))
    assert not lines_of(timeline_figure(clip(windows), threshold=0.5))


def test_without_crops_there_are_no_pictures_and_less_paper():
    bare = timeline_figure(clip([(0, 10, [track(SECONDS, [0.5] * 5, crops=False)])]), threshold=0.5)
    assert len(bare.axes) == 1
    assert bare.get_figheight() < timeline_figure(clip([(0, 10, [ONE])]), threshold=0.5).get_figheight()


def test_a_clip_without_a_face_and_a_crowd_can_be_drawn():
    assert timeline_png(clip([(0, 10, [])]), threshold=0.5)
    assert len(timeline_figure(clip([(0, 10, [ONE] * 9)]), threshold=0.5).axes) == 1 + 4


def test_the_png_is_the_same_each_time_and_takes_any_name():
    scored = clip([(0, 10, [ONE])], path="/clips/" + "$x_{1}$\n<b> 顔" * 30 + ".mp4")
    png = timeline_png(scored, threshold=0.5)
    assert png == timeline_png(scored, threshold=0.5)
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.width == 1500


def _rgb(colour):
    return tuple(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
