"""Score tables: one row a clip, a track and a face, every clip with its status."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorflow as tf

from tfdfd.clip import WEAK_EVIDENCE, WITH_FACES
from tfdfd.data.rows import StripRows
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import columns, rows_where
from tfdfd.evaluation.figures import Figures, figures_of
from tfdfd.evaluation.intervals import NUM_REPLICATES
from tfdfd.evaluation.metrics import FigureSettings
from tfdfd.models.scoring import ScoringRule

FACE_REPLICATES = 200
"""Draws for the intervals of faces, of which there are many times as many as clips."""


@dataclass(frozen=True)
class ScoredClips:
    """What a network says of some clips, before any rule."""

    clips: pd.DataFrame
    """n rows of the manifest."""
    groups: np.ndarray
    """int, shape (n,): the connected set of each clip: its original, with all fakes of it."""
    rows: StripRows
    """The tracks of the clips; `clip_rows` are rows of `clips`."""
    logits: np.ndarray
    """float32, shape (tracks, places); 0 where there is no face."""
    status: np.ndarray
    """object, shape (n,): status of each clip in the store."""
    reason: np.ndarray
    """object, shape (n,): why a status is not ok, or that it is so on weak evidence."""

    @staticmethod
    def of(
        clips: pd.DataFrame, groups: np.ndarray, store: FaceStore, rows: StripRows, logits: np.ndarray
    ) -> ScoredClips:
        """Put together what was scored of the clips of a store; rows as `scoring_rows` returns them."""
        found = columns(clips, ["clip_id"]).merge(
            columns(store.clips(), ("clip_id", "status", "reason", "warnings")),
            on="clip_id",
            how="left",
            validate="one_to_one",
        )
        status, reason = (found[name].to_numpy(object, copy=True) for name in ("status", "reason"))
        # Of a clip with faces the reason says first where few of its places show one.
        for row in np.flatnonzero(np.isin(status, WITH_FACES)):
            weak = [warning for warning in found["warnings"].iloc[row] if warning.startswith(WEAK_EVIDENCE)]
            reason[row] = "; ".join(filter(None, [*weak, reason[row]]))
        return ScoredClips(clips.reset_index(drop=True), groups, rows, logits, status, reason)

    @property
    def labels(self) -> np.ndarray:
        """int64, shape (n,): 1 is fake."""
        return self.clips["label"].to_numpy(np.int64)

    def where(self, chosen: np.ndarray) -> ScoredClips:
        """Return some of the clips with their tracks.

        Args:
            chosen: bool, shape (n,).
        """
        new_row = np.cumsum(chosen) - 1
        tracks = np.flatnonzero(chosen[self.rows.clip_rows])
        rows = self.rows.take(tracks)
        rows = StripRows(rows.strip_paths, rows.is_face, new_row[rows.clip_rows].astype(np.int32), rows.track)
        return ScoredClips(
            rows_where(self.clips, chosen),
            self.groups[chosen],
            rows,
            self.logits[tracks],
            self.status[chosen],
            self.reason[chosen],
        )

    def scores(self, rule: ScoringRule) -> np.ndarray:
        """Return the clip scores by a rule, float32, shape (n,)."""
        if not len(self.rows):
            return np.full(len(self.clips), rule.no_evidence_score, np.float32)
        return rule.score_logits(self.logits, self.rows.is_face, self.rows.clip_rows, len(self.clips))

    def probabilities(self, rule: ScoringRule) -> np.ndarray:
        """Return the face probabilities by a rule's temperature, float32, shape (tracks, places); 0 without a face."""
        found = rule.face_probabilities(tf.constant(self.logits, tf.float32)).numpy()
        return np.where(self.rows.is_face, found, np.float32(0))


def clip_table(scored: ScoredClips, rule: ScoringRule) -> pd.DataFrame:
    """Return one row a clip, in order: clip_id, label, dataset, folder, method, original, clip_score, is_fake (by the
    threshold), status, reason, num_tracks, num_faces. A clip without evidence is scored by the rule, keeps its status.
    """
    table = columns(scored.clips, ("clip_id", "label", "dataset", "folder", "method", "original"))
    table["clip_score"] = scored.scores(rule)
    table["is_fake"] = rule.is_fake(table["clip_score"].to_numpy())
    table["status"], table["reason"] = scored.status, scored.reason
    clip_rows, num_faces = scored.rows.clip_rows, scored.rows.is_face.sum(axis=1)
    table["num_tracks"] = np.bincount(clip_rows, minlength=len(table))
    table["num_faces"] = np.bincount(clip_rows, weights=num_faces, minlength=len(table)).astype(np.int64)
    return table


def track_table(scored: ScoredClips, rule: ScoringRule) -> pd.DataFrame:
    """Return one row a track: clip_id, label, track (0 is the main one), track_score, num_faces."""
    probabilities = scored.probabilities(rule)
    scores = rule.track_scores(tf.constant(probabilities), tf.constant(scored.rows.is_face)).numpy()
    return pd.DataFrame(
        {
            "clip_id": scored.clips["clip_id"].to_numpy()[scored.rows.clip_rows],
            "label": scored.labels[scored.rows.clip_rows],
            "track": scored.rows.track,
            "track_score": scores,
            "num_faces": scored.rows.is_face.sum(axis=1),
        }
    )


def face_table(scored: ScoredClips, rule: ScoringRule) -> pd.DataFrame:
    """Return one row a face: clip_id, label, track, place, face_logit and face_probability."""
    tracks, places = np.nonzero(scored.rows.is_face)
    clip_rows = scored.rows.clip_rows[tracks]
    return pd.DataFrame(
        {
            "clip_id": scored.clips["clip_id"].to_numpy()[clip_rows],
            "label": scored.labels[clip_rows],
            "track": scored.rows.track[tracks],
            "place": places,
            "face_logit": scored.logits[tracks, places],
            "face_probability": scored.probabilities(rule)[tracks, places],
        }
    )


@dataclass(frozen=True)
class ScoreFigures:
    """The figures of one model's scores; None where there is nothing to compare."""

    all_clips: Figures
    clips_with_faces: Figures | None
    faces: Figures | None

    def told_apart(self) -> list[tuple[str, Figures]]:
        """Return title and figures of those that differ: where all clips have a face, or one, others say the same."""
        found = [("all clips", self.all_clips)]
        if self.clips_with_faces is not None and self.clips_with_faces.count < self.all_clips.count:
            found.append(("clips with faces", self.clips_with_faces))
        if self.faces is not None and self.faces.values != self.all_clips.values:
            found.append(("faces", self.faces))
        return found


def score_figures(
    scored: ScoredClips,
    rule: ScoringRule,
    settings: FigureSettings,
    *,
    num_replicates: int = NUM_REPLICATES,
    face_replicates: int = FACE_REPLICATES,
) -> ScoreFigures:
    """Return the figures over all clips, over those with a face, and over single faces.

    Args:
        scored: what the network says.
        rule: how faces become a clip score.
        settings: threshold and bounds.
        num_replicates: draws for the intervals of clips.
        face_replicates: draws for those of faces.
    """
    scores, labels = scored.scores(rule), scored.labels
    with_face = np.isin(scored.status, WITH_FACES)
    tracks, places = np.nonzero(scored.rows.is_face)
    clip_rows = scored.rows.clip_rows[tracks]

    def of(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, draws: int) -> Figures | None:
        return figures_of(labels, scores, groups, settings, num_replicates=draws) if len(labels) else None

    every = figures_of(labels, scores, scored.groups, settings, num_replicates=num_replicates)
    return ScoreFigures(
        all_clips=every,
        clips_with_faces=every
        if with_face.all()
        else of(labels[with_face], scores[with_face], scored.groups[with_face], num_replicates),
        faces=of(
            labels[clip_rows],
            scored.probabilities(rule)[tracks, places],
            scored.groups[clip_rows],
            face_replicates,
        ),
    )
