"""A network over the tracks of a store: the logit of every face, kept as they come, so that a killed run goes on."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfdfd.clip import TfdfdError
from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import StripRows
from tfdfd.data.strips import check_strips

ScoreFaces = Callable[..., np.ndarray]
"""(crops [batch, places, size, size, 3], is_face [batch, places], and what else of each row) -> logits float32
[batch, places]."""


class KeptLogits:
    """The logits of a run on disk, one row a track, NaN where a track is not scored yet.

    Args:
        folder: where they are kept; made where it is missing.
        key: what they depend on; another key is another file.
        shape: tracks and places.
    """

    def __init__(self, folder: Path, key: str, shape: tuple[int, int]) -> None:
        self.path = folder / f"{key}.npy"
        self.logits = np.zeros(shape, np.float32)
        """float32, shape (tracks, places); what is written to it is on disk."""
        if not self.logits.size:  # there is no file of nothing
            return
        with explain_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not self._is_whole(shape):
                # Written, not only reserved: a full disk is met here, and not as a signal while scoring.
                buffer = io.BytesIO()
                np.save(buffer, np.full(shape, np.nan, np.float32))
                write_atomically(self.path, buffer.getvalue())
            self.logits = np.lib.format.open_memmap(self.path, "r+")

    def _is_whole(self, shape: tuple[int, int]) -> bool:
        """Return whether there is such a file; one that was cut or replaced is none, and all is scored again."""
        try:
            found = np.load(self.path, mmap_mode="r")  # which finds a file too short, where "r+" would make it longer
        except (FileNotFoundError, ValueError, EOFError):
            return False
        return isinstance(found, np.ndarray) and found.shape == shape and found.dtype == np.float32

    @property
    def is_done(self) -> np.ndarray:
        """bool, shape (tracks,): which are scored."""
        return np.asarray(np.isfinite(self.logits).all(axis=1))


def face_logits(
    score_faces: ScoreFaces,
    rows: StripRows,
    datasets: FaceDatasets,
    kept: KeptLogits,
    *,
    crop_size: int,
    batch_size: int,
    num_threads: int,
    on_batch: Callable[[int], None] = lambda count: None,
    of_rows: Callable[[np.ndarray], Any] | None = None,
) -> np.ndarray:
    """Run a network over stored tracks.

    Args:
        score_faces: the network.
        rows: the tracks.
        datasets: what reads them.
        kept: the logits so far; those that are there are not computed again.
        crop_size: side of a crop in pixels.
        batch_size: tracks a batch.
        num_threads: threads that read and decode.
        on_batch: called with the number of tracks that are done since the last call.
        of_rows: strip rows int [batch], -1 for padding -> what the network takes third, e.g. their sound; None for
            nothing.

    Returns:
        float32, shape (n, places), in the order of the rows; 0 where there is no face.

    Raises:
        TfdfdError: if a strip is missing, or the network answers with something that is no number.
    """
    todo = np.flatnonzero(~kept.is_done)
    on_batch(len(rows) - len(todo))
    if len(todo):
        padded = rows.take(todo).padded(batch_size)
        check_strips(padded.strip_paths)
        dataset = datasets.evaluation(
            padded,
            crop_size=crop_size,
            num_places=rows.is_face.shape[1],
            batch_size=batch_size,
            device_id=None,
            num_threads=num_threads,
        )
        for crops, is_face, strip_rows in dataset.take(padded.num_steps(batch_size)):
            logits = score_faces(crops, is_face, *(() if of_rows is None else (of_rows(strip_rows.numpy()),)))
            real = strip_rows.numpy() >= 0
            tracks = strip_rows.numpy()[real]
            if bad := [int(track) for track in tracks[~np.isfinite(logits[real]).all(axis=1)]]:
                raise TfdfdError(
                    f"the model gave something that is no number for a face of {rows.strip_paths[bad[0]]}: its weights "
                    "may hold NaN; train it again, or give another --model"
                )
            kept.logits[tracks] = logits[real]
            on_batch(len(tracks))
    return np.array(kept.logits)


def logits_key(model_digest: str, rows: StripRows) -> str:
    """Return what the logits of these tracks depend on: the network, and every strip's file as it is now.

    Raises:
        TfdfdError: if a strip is missing.
    """
    digest = hashlib.sha256(model_digest.encode())
    for path in rows.strip_paths:
        try:
            found = os.stat(path)
        except OSError:
            check_strips(rows.strip_paths)  # says which, how many and what to do
            raise
        digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    digest.update(rows.is_face.tobytes())
    return digest.hexdigest()[:20]
