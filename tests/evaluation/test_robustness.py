"""Which clips are measured, and what the points of a curve say."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tfdfd.clip import FAKE, REAL
from tfdfd.evaluation.corruptions import CORRUPTIONS
from tfdfd.evaluation.metrics import FigureSettings
from tfdfd.evaluation.robustness import ClipLogits, choose_evenly, curve, score_by, with_intervals
from tfdfd.models.scoring import ScoringRule

RULE = ScoringRule(no_evidence_score=0.4)
JPEG = CORRUPTIONS["jpeg"]


def manifest(num_real: int, num_fake: int) -> pd.DataFrame:
    labels = [REAL] * num_real + [FAKE] * num_fake
    return pd.DataFrame({"clip_id": [f"c{row:03}" for row in range(len(labels))], "label": labels})


def saying(*logits: float, **facts: bool) -> ClipLogits:
    """One track a logit, with it at its first place and no face at its second."""
    table = np.array([[logit, 0.0] for logit in logits], np.float32).reshape(-1, 2)
    return ClipLogits(table, np.array([[True, False]] * len(logits), np.bool_).reshape(-1, 2), **facts)


class TestChoice:
    def test_half_of_each_label_evenly_by_clip_id(self):
        assert choose_evenly(manifest(10, 10), 4).tolist() == [2, 7, 12, 17]

    def test_the_order_of_the_rows_does_not_matter(self):
        clips = manifest(11, 23)
        mixed = clips.sample(frac=1, random_state=3).reset_index(drop=True)
        chosen = set(clips["clip_id"][choose_evenly(clips, 9)])
        assert set(mixed["clip_id"][choose_evenly(mixed, 9)]) == chosen

    @pytest.mark.parametrize(
        ("num_real", "num_fake", "num_clips", "expected"),
        [
            (10, 10, 5, (2, 3)),
            (3, 50, 20, (3, 17)),
            (50, 3, 20, (17, 3)),
            (2, 2, 20, (2, 2)),
            (5, 0, 3, (3, 0)),
            (0, 5, 3, (0, 3)),
            (5, 5, 1, (0, 1)),
        ],
    )
    def test_one_label_takes_the_place_of_another_that_has_too_few(self, num_real, num_fake, num_clips, expected):
        clips = manifest(num_real, num_fake)
        rows = choose_evenly(clips, num_clips)
        labels = clips["label"].to_numpy()[rows]
        assert len(np.unique(rows)) == len(rows)
        assert ((labels == REAL).sum(), (labels == FAKE).sum()) == expected

    def test_no_clip_is_an_error(self):
        with pytest.raises(ValueError, match="at least 1"):
            choose_evenly(manifest(3, 3), 0)


class TestScores:
    def test_each_clip_is_scored_by_its_own_tracks(self):
        scores = score_by(RULE, [saying(2, -2), saying(), saying(5)])
        assert scores == pytest.approx([0.5, 0.4, 1 / (1 + np.exp(-5))])

    def test_without_any_face_all_have_the_no_evidence_score(self):
        assert score_by(RULE, [saying(), saying()]) == pytest.approx([0.4, 0.4])

    def test_temperature_is_the_rules(self):
        assert score_by(ScoringRule(temperature=2), [saying(3)]) == pytest.approx([1 / (1 + np.exp(-1.5))])


class TestCurve:
    def test_a_model_that_gets_worse_and_then_blind(self):
        clean = [saying(-3), saying(-3), saying(3), saying(3)]
        worse = [saying(-3), saying(1), saying(0.5), saying(3)]
        blind = [saying(), saying(-3), saying(), saying()]
        labels = np.array([REAL, REAL, FAKE, FAKE])
        points = curve(JPEG, list("abcd"), labels, [clean, clean, clean, clean, worse, blind], RULE)
        assert [point.level for point in points] == [0, 1, 2, 3, 4, 5]
        assert [point.value for point in points] == [None, *JPEG.levels]
        assert {(point.corruption, point.unit, point.num_clips) for point in points} == {("jpeg", "quality", 4)}
        assert [point.auc for point in points] == [1, 1, 1, 1, 0.75, 0.75]
        assert points[0].log_loss_balanced == pytest.approx(-np.log(1 / (1 + np.exp(-3))), abs=1e-5)
        assert [point.num_lost for point in points] == [0, 0, 0, 0, 0, 3]
        assert points[5].clip_scores == pytest.approx([0.4, 1 / (1 + np.exp(3)), 0.4, 0.4])
        assert points[5].mean_score_fake == pytest.approx(0.4)
        assert points[0].mean_score_real == pytest.approx(1 / (1 + np.exp(3)))

    def test_of_one_class_means_are_told_and_no_auc(self):
        (point, *_) = curve(JPEG, ["a"], np.array([FAKE]), [[saying(2)]] * 6, RULE)
        assert point.mean_score_fake == pytest.approx(1 / (1 + np.exp(-2)))
        assert (point.auc, point.log_loss_balanced, point.mean_score_real) == (None, None, None)

    def test_a_point_stands_in_json_with_its_figures(self):
        points = curve(JPEG, ["a", "b"], np.array([REAL, FAKE]), [[saying(-1), saying(1)]] * 6, RULE)
        written = json.loads(json.dumps([point.to_json() for point in points]))
        assert (written[0]["level"], written[0]["value"]) == (0, None)
        assert (written[5]["level"], written[5]["value"]) == (5, 10)
        assert (written[5]["num_clips"], written[5]["auc"], written[5]["num_lost"]) == (2, 1, 0)
        assert written[5]["mean_score_fake"] == pytest.approx(1 / (1 + np.exp(-1)))

    def test_clips_that_a_level_leaves_alone_are_counted(self):
        levels = [[saying(1), saying(1)]] * 5 + [[saying(1, is_unchanged=True), saying(1)]]
        points = curve(JPEG, ["a", "b"], np.array([REAL, FAKE]), levels, RULE)
        assert [point.num_unchanged for point in points] == [0, 0, 0, 0, 0, 1]

    def test_a_level_without_all_clips_is_an_error(self):
        with pytest.raises(ValueError, match="6 levels of 2 clips"):
            curve(JPEG, ["a", "b"], np.array([REAL, FAKE]), [[saying(1)]] * 6, RULE)


def test_an_interval_holds_the_auc_and_is_wide_where_clips_are_few():
    labels = np.arange(40) % 2
    clips = [ClipLogits(np.full((1, 1), (label - 0.5) + (row % 7) / 3 - 1, np.float32), np.ones((1, 1), bool))
             for row, label in enumerate(labels)]  # fmt: skip
    clip_ids = [str(row) for row in range(40)]
    points = curve(JPEG, clip_ids, labels, [clips] * 6, RULE)
    groups = {clip_id: row // 2 for row, clip_id in enumerate(clip_ids)}
    (first, *_) = with_intervals(points, groups, FigureSettings(), num_replicates=200)
    assert first.auc_interval.low < first.auc < first.auc_interval.high
    assert first.auc_interval.high - first.auc_interval.low > 0.1
    assert first.to_json()["auc_interval"] == [first.auc_interval.low, first.auc_interval.high]
    alone = with_intervals(points, dict.fromkeys(clip_ids, 0), FigureSettings(), num_replicates=200)
    assert alone[0].auc_interval is None
