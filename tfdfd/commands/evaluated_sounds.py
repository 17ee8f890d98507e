"""The sound of the clips of an evaluation, for models that hear."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import OK
from tfdfd.commands.console import print_reasons
from tfdfd.data.audio import FAILED, ClipSound
from tfdfd.data.tables import records
from tfdfd.guard import Failed, FailureGuard
from tfdfd.phrases import counted

if TYPE_CHECKING:
    from tfdfd.data.rows import StripRows
    from tfdfd.data.store import FaceStore


class EvaluatedSounds:
    """Reads the sound of tracks; what is wrong with it is counted.

    Args:
        guard: counts the clips whose sound fails as nobody foresaw; it is then masked.
        store: for when the frames of each clip are shown.
        clips: rows of the manifest.
        rows: the tracks; their clip_rows are rows of `clips`.
    """

    def __init__(self, guard: FailureGuard, store: FaceStore, clips: pd.DataFrame, rows: StripRows) -> None:
        self._guard, self._rows = guard, rows
        known = {record["clip_id"]: record for record in records(store.clips())}
        self._clips = [(known[row["clip_id"]], Path(row["path"])) for row in records(clips)]
        self._last: tuple[int, ClipSound] | None = None
        self.statuses: dict[str, tuple[str, str]] = {}
        """Status and reason of each clip that was read."""

    def __call__(self, strip_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return waveforms float32 [n, samples] and masks bool [n, samples] of tracks; shorter ones are masked behind.

        Args:
            strip_rows: int (n,), -1 for padding.
        """
        sounds = [self._of_clip(int(self._rows.clip_rows[row])) if row >= 0 else None for row in strip_rows]
        length = max((len(sound.waveform) for sound in sounds if sound is not None), default=0)
        waveforms, masks = np.zeros((len(sounds), length), np.float32), np.zeros((len(sounds), length), np.bool_)
        for row, sound in enumerate(sounds):
            if sound is not None:
                waveforms[row, : len(sound.waveform)] = sound.waveform
                masks[row, : len(sound.is_sound)] = sound.is_sound
        return waveforms, masks

    def _of_clip(self, clip_row: int) -> ClipSound:
        from tfdfd.data.clip_features import sound_of_clip

        if self._last is None or self._last[0] != clip_row:  # the people of a clip stand one behind the other
            record, path = self._clips[clip_row]
            sound = self._guard.run(record["clip_id"], partial(sound_of_clip, record, path))
            if isinstance(sound, Failed):
                sound = ClipSound.none(0, FAILED, sound.reason)
            self._last = (clip_row, sound)
            self.statuses[record["clip_id"]] = (sound.status, sound.reason)
        return self._last[1]

    @property
    def key(self) -> str:
        """What of the sound the logits depend on: every clip's file as it is now."""
        stats = [path.stat() if path.is_file() else None for _, path in self._clips]
        return "\0".join(f"{found.st_size} {found.st_mtime_ns}" if found else "gone" for found in stats)

    def print_summary(self, console: Console) -> None:
        """Print how many clips were heard, and why others were not."""
        counts = Counter(status for status, _ in self.statuses.values())
        if not counts:
            return  # all logits were kept
        told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        console.print(f"sound of {counted(len(self.statuses), 'clip')}: {told}; what is missing is masked")
        reasons = [f"{clip}: {status}, {reason}" for clip, (status, reason) in self.statuses.items() if status != OK]
        print_reasons(console, reasons)
