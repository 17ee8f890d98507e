"""Which clips are shown as mistakes."""

import numpy as np

from tfdfd.evaluation.mistakes import choose_mistakes

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
SCORES = np.array([0.9, 0.6, 0.1, 0.7, 0.2, 0.9, 0.4, 0.05])
ALL = np.ones(8, bool)


def test_false_alarms_and_missed_fakes_stand_in_turn_worst_first():
    assert choose_mistakes(LABELS, SCORES, SCORES >= 0.5, ALL, 6) == [0, 7, 3, 4, 1, 6]
    assert choose_mistakes(LABELS, SCORES, SCORES >= 0.5, ALL, 3) == [0, 7, 3]


def test_what_one_kind_lacks_the_other_fills():
    assert choose_mistakes(LABELS, SCORES, SCORES >= 0.8, ALL, 4) == [0, 7, 4, 6]
    assert choose_mistakes(LABELS, SCORES, SCORES >= 0.05, ALL, 4) == [0, 3, 1, 2]


def test_only_what_lies_on_the_wrong_side_and_can_be_shown_is_chosen():
    assert choose_mistakes(LABELS, LABELS.astype(float), LABELS == 1, ALL, 4) == []
    assert choose_mistakes(LABELS, SCORES, SCORES >= 0.5, ~np.isin(np.arange(8), [0, 7]), 2) == [3, 4]
    assert choose_mistakes(LABELS, SCORES, SCORES >= 0.5, ALL, 0) == []
