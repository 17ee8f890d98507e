"""Score tables and figures of clips whose faces are plain numbers."""

import numpy as np
import pandas as pd
import pytest

from tests.scored_clips import scored_clips
from tests.stores import frames_of, new_store, ok_clip, track_of
from tfdfd.clip import FAILED, NO_FACE, ClipFaces
from tfdfd.evaluation.metrics import FigureSettings
from tfdfd.evaluation.scores import ScoredClips, clip_table, face_table, score_figures, track_table
from tfdfd.models.scoring import ScoringRule

RULE = ScoringRule(over_tracks="max", no_evidence_score=0.25, threshold=0.6)


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


@pytest.fixture
def scored():
    """Clip a: two people; b: one, with a place without a face; c: no face; d: failed."""
    return scored_clips(
        [
            ("a", 1, [[logit(0.9), logit(0.7)], [logit(0.2), logit(0.2)]]),
            ("b", 0, [[logit(0.4), None]]),
            ("c", 1, []),
            ("d", 0, None),
        ]
    )


def test_the_clip_table_has_every_clip_with_its_status(scored):
    table = clip_table(scored, RULE).set_index("clip_id")
    np.testing.assert_allclose(table["clip_score"], [0.8, 0.4, 0.25, 0.25], atol=1e-6)
    assert table["is_fake"].tolist() == [True, False, False, False]
    assert table["status"].tolist() == ["ok", "ok", "no_face", "failed"]
    assert table["num_tracks"].tolist() == [2, 1, 0, 0]
    assert table["num_faces"].tolist() == [4, 1, 0, 0]


def test_a_clip_of_few_faces_says_so_in_the_table(scored, tmp_path):
    store = new_store(tmp_path / "store", num_places=6)
    frames = frames_of(indices=range(6))
    with store.writing():
        store.write(ok_clip("a", track_of([True] + [False] * 5), frames=frames), source_bytes=1)
        store.write(ok_clip("b", track_of([True] * 6), frames=frames), source_bytes=1)
        store.write(ClipFaces("c", NO_FACE, "no face found"), source_bytes=1)
        store.write(ClipFaces("d", FAILED, "cut off"), source_bytes=1)
    table = clip_table(ScoredClips.of(scored.clips, scored.groups, store, scored.rows, scored.logits), RULE)
    assert table["reason"].tolist() == ["weak evidence: a face at 1 of 6 places", "", "no face found", "cut off"]
    assert table["status"].tolist() == ["ok", "ok", "no_face", "failed"]


def test_tracks_and_faces_have_rows_of_their_own(scored):
    tracks = track_table(scored, RULE)
    assert list(zip(tracks["clip_id"], tracks["track"], strict=True)) == [("a", 0), ("a", 1), ("b", 0)]
    np.testing.assert_allclose(tracks["track_score"], [0.8, 0.2, 0.4], atol=1e-6)
    faces = face_table(scored, RULE)
    np.testing.assert_allclose(faces["face_probability"], [0.9, 0.7, 0.2, 0.2, 0.4], atol=1e-6)
    assert faces["place"].tolist() == [0, 1, 0, 1, 0]
    assert faces["label"].tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 0.9])
def test_a_score_at_the_threshold_is_called_fake_in_the_table_and_in_the_figures(threshold):
    scored = scored_clips([("a", 1, []), ("b", 0, [])])
    rule = ScoringRule(no_evidence_score=threshold, threshold=threshold)
    assert clip_table(scored, rule)["is_fake"].all()
    figures = score_figures(scored, rule, FigureSettings(threshold), num_replicates=100, face_replicates=100)
    assert (figures.all_clips.values["fakes_found"], figures.all_clips.values["false_alarms"]) == (1.0, 1.0)


def test_temperature_moves_probabilities_and_not_logits(scored):
    hot = face_table(scored, ScoringRule(temperature=2.0))
    np.testing.assert_allclose(hot["face_logit"], face_table(scored, RULE)["face_logit"])
    assert hot["face_probability"][0] == pytest.approx(1 / (1 + np.exp(-logit(0.9) / 2)), abs=1e-6)


def test_a_part_of_the_clips_keeps_its_tracks(scored):
    part = scored.where(np.array([False, True, True, False]))
    pd.testing.assert_frame_equal(
        clip_table(part, RULE), clip_table(scored, RULE).iloc[1:3].reset_index(drop=True), check_like=True
    )
    assert part.groups.tolist() == scored.groups[1:3].tolist()


def test_figures_are_of_all_clips_of_those_with_faces_and_of_faces(scored):
    figures = score_figures(scored, RULE, FigureSettings(RULE.threshold), num_replicates=100, face_replicates=100)
    assert (figures.all_clips.num_real, figures.all_clips.num_fake) == (2, 2)
    assert figures.all_clips.values["accuracy"] == 0.75
    assert figures.clips_with_faces is not None
    assert figures.clips_with_faces.count == 2
    assert figures.clips_with_faces.values["auc"] == 1.0
    assert figures.faces is not None
    assert (figures.faces.num_real, figures.faces.num_fake, figures.faces.num_originals) == (1, 4, 2)
    assert figures.faces.values["auc"] == 0.5  # 0.4 of the real one lies between


def test_clips_without_any_face_have_figures_of_the_rule_alone():
    scored = scored_clips([("a", 1, []), ("b", 0, None)])
    figures = score_figures(scored, RULE, FigureSettings(), num_replicates=100, face_replicates=100)
    assert figures.faces is None
    assert figures.clips_with_faces is None
    assert figures.all_clips.values["auc"] == 0.5
