"""What a clip gave at the levels of a corruption, kept on disk, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.evaluation.robustness import ClipLogits

UNCORRUPTED = "clean"
"""Stands for the name of a corruption where clips are as they are."""


class LogitsRecord:
    """One file of a clip and a corruption, written whole after every level.

    A file that was made by another model, of another clip or otherwise, or is damaged, counts for nothing and is
    written over.

    Args:
        folder: of all records; made where it is not there.
        corruption: its name, a folder in that.
        clip_id: the clip.
        made_with: JSON-able: all that the logits depend on.
        num_places: places of a track.
    """

    def __init__(
        self, folder: Path, corruption: str, clip_id: str, *, made_with: Mapping[str, Any], num_places: int
    ) -> None:
        # A digest, since clip ids hold slashes and can be longer than a file's name may be.
        self._path = folder / corruption / f"{_digest(clip_id)}.json"
        self._head = {"clip_id": clip_id, "made_with": _digest(json.dumps(made_with, sort_keys=True))}
        self._num_places = num_places
        self._levels = self._read()

    def __contains__(self, level: int) -> bool:
        return level in self._levels

    def __getitem__(self, level: int) -> ClipLogits:
        return self._levels[level]

    def add(self, level: int, logits: ClipLogits) -> None:
        """Keep what the clip gave at a level.

        Raises:
            TfdfdError: if it cannot be written.
        """
        self._levels[level] = logits
        levels = {
            str(number): {
                "logits": [[float(logit) for logit in track] for track in found.logits],
                "is_face": found.is_face.tolist(),
                "is_unchanged": found.is_unchanged,
            }
            for number, found in sorted(self._levels.items())
        }
        with explain_write_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, (json.dumps({**self._head, "levels": levels}) + "\n").encode())

    def _read(self) -> dict[int, ClipLogits]:
        try:
            kept = json.loads(self._path.read_bytes())
            if {name: kept[name] for name in self._head} != self._head:
                return {}
            return {int(level): self._logits(entry) for level, entry in kept["levels"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):  # damaged
            return {}

    def _logits(self, entry: dict[str, Any]) -> ClipLogits:
        shape = (len(entry["logits"]), self._num_places)
        logits = np.array(entry["logits"], np.float32).reshape(shape)
        if not np.isfinite(logits).all():
            raise ValueError("a logit that is no number")
        return ClipLogits(
            logits,
            np.array(entry["is_face"], np.bool_).reshape(shape),
            bool(entry["is_unchanged"]),
        )


Records = dict[tuple[str, str], LogitsRecord]
"""By the name of a corruption, or UNCORRUPTED, and clip id."""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
