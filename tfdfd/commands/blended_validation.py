"""Validation where there is no fake: each track beside itself, self-blended, as strips of the run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from rich.console import Console
from rich.progress import track

from tfdfd.clip import FAKE, TfdfdError
from tfdfd.commands.console import WorkProgress
from tfdfd.data.alterations import BLEND
from tfdfd.data.altering import Altering
from tfdfd.data.atomic import explain_write_errors, write_atomically
from tfdfd.data.crop_landmarks import Watch
from tfdfd.data.rows import StripRows
from tfdfd.data.self_blend import draw_blends
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import encode_strip, read_strip
from tfdfd.data.tracks import track_landmarks

FOLDER = "validation_blends"
"""In the run folder; can be deleted once the run is done."""
_SEED = 0
"""The same blends for every run, so that runs can be compared."""


def watch_landmarks(console: Console) -> Watch:
    """Return what shows the search for landmarks in ready-made crops."""

    def watch(parts: Sequence[int]) -> Iterable[int]:
        return track(parts, "finding landmarks", console=console)

    return watch


def with_blended_tracks(
    store: FaceStore, rows: StripRows, labels: np.ndarray, clips: pd.DataFrame, run_folder: Path, console: Console
) -> tuple[StripRows, np.ndarray]:
    """Add to tracks their self-blended twins, each the main track of a clip of its own.

    Args:
        store: the store that holds the tracks.
        rows: the tracks to validate on, none of them fake.
        labels: int (clips,): their labels, -1 where a clip has no face.
        clips: the clips of the labels.
        run_folder: gets the strips.
        console: shows progress.

    Returns:
        The tracks and the labels with those of the twins behind them.

    Raises:
        TfdfdError: if no landmarks are known of any face, or the strips cannot be written.
    """
    landmarks = track_landmarks(store, clips, watch_landmarks(console))
    is_face = rows.is_face & np.isfinite(landmarks).all(axis=(2, 3))
    chosen = np.flatnonzero(is_face.any(axis=1))
    if not len(chosen):
        raise TfdfdError("no landmarks are found in any validation face: give validation clips with fakes")
    folder = run_folder / FOLDER
    alter = tf.function(Altering(frozenset(BLEND), store.crop_size))
    paths = []
    with explain_write_errors(folder), WorkProgress(console, "blending validation faces", "tracks", len(chosen)) as bar:
        folder.mkdir(parents=True, exist_ok=True)
        for row in chosen.tolist():
            path = folder / Path(rows.strip_paths[row]).name
            paths.append(str(path))
            if not path.exists():
                rng = np.random.default_rng([_SEED, row])
                table = draw_blends(landmarks[row], is_face[row], rng, crop_size=store.crop_size)
                crops = read_strip(rows.strip_paths[row], num_places=len(table))
                altered = [alter(crop, numbers).numpy() for crop, numbers in zip(crops, table, strict=True)]
                write_atomically(path, encode_strip(np.stack(altered)))
            bar.advance()
    twins = dataclasses.replace(
        rows.take(chosen),
        strip_paths=paths,
        is_face=is_face[chosen],
        clip_rows=(rows.clip_rows[chosen] + len(labels)).astype(np.int32),
    )
    twin_labels = np.full(len(labels), -1)
    twin_labels[rows.clip_rows[chosen]] = FAKE
    return rows.joined(twins), np.append(labels, twin_labels)
