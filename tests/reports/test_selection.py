"""Which clips are shown: the worst first, and typical ones from all over the rest."""

import numpy as np

from tfdfd.reports.selection import evenly, worst_and_typical

CLIPS = [f"{number:03d}" for number in range(100)]


def test_few_clips_are_all_shown_worst_first():
    worst, typical = worst_and_typical(CLIPS[:3], np.array([0.9, 0.1, 0.5]), 3)
    assert (worst, typical) == (["001", "002", "000"], [])


def test_of_many_clips_a_quarter_are_typical_ones():
    scores = np.arange(100)[::-1] / 100
    worst, typical = worst_and_typical(CLIPS, scores, 8)
    assert worst == ["099", "098", "097", "096", "095", "094"]
    assert typical == ["023", "070"]


def test_clips_of_one_score_go_by_their_id():
    worst, _ = worst_and_typical(CLIPS[::-1], np.zeros(100), 4)
    assert worst == ["000", "001", "002"]


def test_a_limit_of_one_shows_the_worst():
    assert worst_and_typical(CLIPS, np.arange(100), 1) == (["000"], [])


def test_evenly_takes_the_middles_of_equal_parts():
    assert evenly(CLIPS, 2) == ["025", "075"]
    assert evenly(CLIPS[:2], 2) == ["000", "001"]
