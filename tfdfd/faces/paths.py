"""Paths: where one person's face is in any frame of a clip, from the frames in which it was looked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from tfdfd.clip import Track

MAX_BRIDGED_SECONDS = 2.0
"""Longest time between two detections that is bridged although frames between them were looked at in vain."""


@dataclass(frozen=True)
class FacePath:
    """The detections of one person, and the rule for the frames between and beside them."""

    looked_at_seconds: np.ndarray
    """float64, shape (m,), ascending: when the frames are shown that faces were looked for in."""
    detections: Track
    """The person in those frames: m places, those without a face are looks in vain."""

    def __post_init__(self) -> None:
        if len(self.looked_at_seconds) != len(self.detections.is_face):
            raise ValueError(f"got {len(self.looked_at_seconds)} times for {len(self.detections.is_face)} looks")
        if (np.diff(self.looked_at_seconds) <= 0).any():
            raise ValueError("looked_at_seconds must ascend")

    @staticmethod
    def through(seconds: np.ndarray, detections: Track, is_searched: np.ndarray) -> FacePath:
        """Return the path through frames of which some were only looked at where the person was expected.

        Such a look says little where it finds nothing: only a search of the whole frame counts as one in vain.

        Args:
            seconds: float64, shape (n,), ascending: when the frames are shown.
            detections: of the person, n places.
            is_searched: bool, shape (n,).
        """
        chosen = is_searched | detections.is_face
        values = (detections.is_face, detections.boxes_xyxy, detections.landmarks_xy, detections.confidences)
        return FacePath(seconds[chosen], Track(*(value[chosen] for value in values)))

    def at(self, seconds: np.ndarray) -> Track | None:
        """Return the face at any times of the clip.

        Between two detections of the person, centre and the logarithm of the sides go along a monotone cubic
        (PCHIP), and so do the landmarks. Detections of neighbouring looks are always joined; over looks in vain only
        if at most MAX_BRIDGED_SECONDS lie between. Elsewhere the look that is nearest in time decides: if it found
        the person, its box holds, so for half an interval at most and up to the clip's ends; else there is no face.
        The confidence of a detection is its own, in between it is the smaller of the two neighbours', beside it is
        that of the nearest.

        Args:
            seconds: float64, shape (n,): when the frames are shown.

        Returns:
            A track with n places, or None if the person is at none of them.

        Source: Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984), as `scipy.interpolate.PchipInterpolator`.
        """
        seconds = np.asarray(seconds, np.float64)
        looks = np.flatnonzero(self.detections.is_face)
        known = self.looked_at_seconds[looks]
        # The detections before and after each frame; at a detection both are that one.
        after = np.searchsorted(known, seconds, side="left")
        before = np.searchsorted(known, seconds, side="right") - 1
        first, last = np.clip(before, 0, None), np.clip(after, None, len(known) - 1)
        gap = known[last] - known[first]
        is_joined = (looks[last] - looks[first] <= 1) | (gap <= MAX_BRIDGED_SECONDS)
        is_between = (before >= 0) & (after < len(known)) & is_joined
        nearest = _nearest(self.looked_at_seconds, seconds)
        is_face = is_between | self.detections.is_face[nearest]
        if not is_face.any():
            return None
        own = self.detections.confidences
        between = np.minimum(own[looks[first]], own[looks[last]])
        confidences = np.where(is_between, between, own[nearest])
        # A frame that is not between holds the box of the look beside it.
        return self._track(is_face, np.where(is_between, seconds, self.looked_at_seconds[nearest]), confidences)

    def expected(self, seconds: np.ndarray) -> Track:
        """Return where it is worth looking for the person: up to MAX_BRIDGED_SECONDS from the nearest detection.

        Args:
            seconds: float64, shape (n,), ascending, the times of all detections among them.

        Returns:
            A track with n places: on the curve of `at` between the first detection and the last, at the box of the
            nearest of them elsewhere; its confidences are 0.
        """
        known = self.looked_at_seconds[self.detections.is_face]
        distance = np.abs(known[_nearest(known, seconds)] - seconds)
        at = np.clip(seconds, known[0], known[-1])
        return self._track(distance <= MAX_BRIDGED_SECONDS, at, np.zeros(len(at)))

    def _track(self, is_face: np.ndarray, at: np.ndarray, confidences: np.ndarray) -> Track:
        """Return the face at the times `at`, where it is one."""
        known = self.looked_at_seconds[self.detections.is_face]
        boxes_known = _moves(self.detections.boxes_xyxy[self.detections.is_face])
        marks_known = self.detections.landmarks_xy[self.detections.is_face].reshape(-1, 10)
        boxes, landmarks = np.zeros((len(at), 4), np.float32), np.zeros((len(at), 5, 2), np.float32)
        boxes[is_face] = _boxes(_curve(known, boxes_known, at[is_face]))
        landmarks[is_face] = _curve(known, marks_known, at[is_face]).reshape(-1, 5, 2)
        return Track(is_face, boxes, landmarks, np.where(is_face, confidences, 0).astype(np.float32))


def _nearest(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the row of the nearest of some ascending numbers, the earlier of two as near."""
    right = np.clip(np.searchsorted(ascending, values), 1, max(1, len(ascending) - 1))
    right = np.minimum(right, len(ascending) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(values - ascending[left] <= ascending[right] - values, left, right)


def _curve(known_at: np.ndarray, known: np.ndarray, at: np.ndarray) -> np.ndarray:
    if len(known_at) == 1:
        return np.repeat(known, len(at), axis=0)
    return PchipInterpolator(known_at, known, axis=0)(at)


def _moves(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return boxes as centre and logarithms of the sides (n, 4), in which no interpolation turns a box inside out."""
    boxes = boxes_xyxy.astype(np.float64)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.log(sides)], axis=1)


def _boxes(moves: np.ndarray) -> np.ndarray:
    half = np.exp(moves[:, 2:]) / 2
    return np.concatenate([moves[:, :2] - half, moves[:, :2] + half], axis=1)
