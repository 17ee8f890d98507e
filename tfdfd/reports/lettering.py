"""Room for text in drawings: how wide it gets, and what is left of it where that is too much."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import get_font

TEXT_SIZE = 12
"""Size of the letters of charts in units."""


def shortened(text: str, room: float) -> str:
    """Return a text on one line, without what cannot be printed, cut to a width in units."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if width_of(text) <= room:
        return text
    ends = np.cumsum([_letter_width(letter) for letter in text])
    return text[: int(np.searchsorted(ends, room - _letter_width("…"), side="right"))] + "…"


def width_of(text: str) -> float:
    """Return the width that a text takes at most, in units."""
    return sum(_letter_width(letter) for letter in text)


@cache
def _letter_width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return TEXT_SIZE  # DejaVu has none of these
    # The page's font is whatever the reader has; few are wider than DejaVu, which matplotlib brings along.
    font = get_font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    font.set_size(TEXT_SIZE, 72)
    return font.load_char(ord(letter)).linearHoriAdvance / 65536
