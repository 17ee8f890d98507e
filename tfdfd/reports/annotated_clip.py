"""A scored clip to look at: a box around each face in every frame, and the score as far as it is known."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfdfd.clip import Track
from tfdfd.data.redrawn_clip import redraw_clip
from tfdfd.data.video import probe
from tfdfd.faces.paths import FacePath
from tfdfd.models.scoring import ScoringRule
from tfdfd.scored_clip import ScoredClip, ScoredTrack, ScoredWindow

FAKE_RGB, REAL_RGB = (178, 68, 0), (0, 92, 168)
"""Vermilion and blue, which all kinds of sight tell apart; white letters on either have a contrast above 4.5."""
_PLATE = (20, 20, 20)


def write_annotated_clip(clip: ScoredClip, target: Path, *, rule: ScoringRule) -> list[str]:
    """Write the clip with a box around each face, its probability beside it, and the running score above.

    Boxes move between the frames that were looked at along `tfdfd.faces.paths.FacePath`. A box says what the last face
    looked at was said to be; the running score is what the rule makes of the faces so far, so that at the end of a
    window it is the window's score.

    Args:
        clip: scored, with a face.
        target: the mp4 to write; it appears only when it is complete.
        rule: that it was scored by.

    Returns:
        What a person should know, such as that the sound was left out.

    Raises:
        ClipError: if the clip cannot be read to its end.
        TfdfdError: if the target cannot be written.
    """
    source = Path(clip.path)
    info = probe(source)
    seconds = (info.pts - info.pts[0]) * info.time_base_seconds
    windows = [_DrawnWindow(window, seconds, rule) for window in clip.windows]
    starts = np.array([window.start_seconds for window in clip.windows])
    # Frames of a window that was left out belong to none.
    window_of = np.searchsorted(starts, seconds + 1e-6, side="right") - 1
    is_cut = clip.max_score is not None

    def draw(frame: np.ndarray, index: int) -> np.ndarray:
        number = int(window_of[index])
        picture = Image.fromarray(frame)
        pen = _Pen(picture)
        if number < 0 or seconds[index] > clip.windows[number].end_seconds + 1e-6:
            pen.headline("not looked at", _PLATE)
        else:
            window = windows[number]
            window.draw_boxes(pen, index, seconds[index])
            where = f"window {number + 1}: " if is_cut else ""
            window.draw_score(pen, seconds[index], where)
        return np.asarray(picture)

    return redraw_clip(source, info, target, draw)


class _DrawnWindow:
    """Where the faces of a window are in every frame, and what is known of them when."""

    def __init__(self, window: ScoredWindow, seconds: np.ndarray, rule: ScoringRule) -> None:
        self._window, self._rule = window, rule
        inside = (seconds >= window.start_seconds - 1e-6) & (seconds <= window.end_seconds + 1e-6)
        self._rows = np.cumsum(inside) - 1
        self._boxes = [_path(track).at(seconds[inside]) for track in window.tracks]
        self._looked_at = window.tracks[0].seconds if window.tracks else np.zeros(0)
        self._running = _running_scores(window, rule)

    def draw_boxes(self, pen: _Pen, index: int, seconds: float) -> None:
        """Draw the box of each person who is there."""
        for number, (track, boxes) in enumerate(zip(self._window.tracks, self._boxes, strict=True), 1):
            row = self._rows[index]
            if boxes is None or not boxes.is_face[row]:
                continue
            places = np.flatnonzero(track.is_face)
            before = places[track.seconds[places] <= seconds + 1e-6]
            probability = float(track.face_probabilities[before[-1] if len(before) else places[0]])
            name = f"person {number} " if len(self._window.tracks) > 1 else ""
            pen.box(boxes.boxes_xyxy[row], f"{name}{_word(probability, self._rule)} {probability:.2f}",
                    _colour(probability, self._rule))  # fmt: skip

    def draw_score(self, pen: _Pen, seconds: float, where: str) -> None:
        """Write the score as far as it is known."""
        known = int(np.searchsorted(self._looked_at, seconds + 1e-6, side="right"))
        score = self._running[known - 1] if known else None
        if score is None:
            pen.headline(f"{where}no face so far", _PLATE)
        else:
            pen.headline(f"{where}{_word(score, self._rule)}, score so far {score:.2f}", _colour(score, self._rule))


def _path(track: ScoredTrack) -> FacePath:
    landmarks = np.zeros((len(track.is_face), 5, 2), np.float32)
    return FacePath(track.seconds, Track(track.is_face, track.boxes_xyxy, landmarks, track.is_face.astype(np.float32)))


def _running_scores(window: ScoredWindow, rule: ScoringRule) -> list[float | None]:
    """Return the score after each place that was looked at, None before the first face."""
    if not window.tracks:
        return []
    is_face = np.stack([track.is_face for track in window.tracks])
    probabilities = np.stack([track.face_probabilities for track in window.tracks])
    num_places = is_face.shape[1]
    # Clip k of these has seen places 0 to k.
    seen = np.tri(num_places, dtype=bool)[:, None] & is_face
    of_clip = np.repeat(np.arange(num_places), len(is_face))
    scores = rule.clip_scores(
        np.broadcast_to(probabilities, seen.shape).reshape(-1, num_places), seen.reshape(-1, num_places), of_clip,
        num_places,
    )  # fmt: skip
    first = int(np.argmax(is_face.any(axis=0)))
    return [None if place < first else float(score) for place, score in enumerate(scores)]


def _word(score: float, rule: ScoringRule) -> str:
    return "fake" if rule.is_fake(np.array(score)) else "real"


def _colour(score: float, rule: ScoringRule) -> tuple[int, int, int]:
    return FAKE_RGB if rule.is_fake(np.array(score)) else REAL_RGB


class _Pen:
    """Draws on a frame, in sizes that fit it."""

    def __init__(self, picture: Image.Image) -> None:
        self._draw, self._size = ImageDraw.Draw(picture), picture.size
        shorter = min(picture.size)
        self._line = max(1, round(shorter / 240))
        self._font = _font(max(9, round(shorter / 28)))

    def box(self, box_xyxy: np.ndarray, label: str, colour: tuple[int, int, int]) -> None:
        """Draw a box between two white lines, so that it shows on any ground, and its label above or below."""
        left, top, right, bottom = (float(value) for value in box_xyxy)
        for grow, width, line in ((self._line, 4 * self._line, (255, 255, 255)), (0, 2 * self._line, colour)):
            edges = (left - grow, top - grow, right + grow, bottom + grow)
            self._draw.rectangle(edges, outline=line, width=width)
        height = self._plate_height()
        y = top - self._line - height if top - self._line >= height else bottom + self._line
        self._plate(left, y, label, colour)

    def headline(self, text: str, colour: tuple[int, int, int]) -> None:
        """Write a line into the upper left corner."""
        self._plate(self._line * 4, self._line * 4, text, colour)

    def _plate_height(self) -> float:
        ascent, descent = self._font.getmetrics()
        return ascent + descent + 2 * self._line

    def _plate(self, x: float, y: float, text: str, colour: tuple[int, int, int]) -> None:
        width = self._font.getlength(text) + 6 * self._line
        x = min(max(x, 0), max(self._size[0] - width, 0))
        y = min(max(y, 0), max(self._size[1] - self._plate_height(), 0))
        self._draw.rectangle((x, y, x + width, y + self._plate_height()), fill=colour)
        self._draw.text((x + 3 * self._line, y + self._line), text, fill=(255, 255, 255), font=self._font)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
