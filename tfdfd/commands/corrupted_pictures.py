"""The faces of a store scored again after their pictures were corrupted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from rich.console import Console

from tfdfd.clip import ClipError, TfdfdError
from tfdfd.commands.console import WorkProgress
from tfdfd.commands.inputs import num_cores
from tfdfd.data.rows import StripRows
from tfdfd.data.strips import read_strip
from tfdfd.evaluation.corruptions import CORRUPTIONS, LEVELS, Corruption, corrupt_track
from tfdfd.evaluation.logits_record import UNCORRUPTED, LogitsRecord, Records
from tfdfd.evaluation.robustness import CLEAN, ClipLogits, ScoreFaces, checked_logits


class _Piece(NamedTuple):
    """One track at one level of one corruption."""

    record: LogitsRecord
    level: int
    is_last: bool
    """Whether it is the last track of its clip."""
    crops: Future[np.ndarray]
    is_face: np.ndarray


def score_pictures(
    score_faces: ScoreFaces,
    clip_ids: Sequence[str],
    rows: StripRows,
    records: Records,
    *,
    console: Console,
    batch_size: int,
) -> None:
    """Score the strips of a store, as they are and corrupted; levels that a record has are not scored again.

    Args:
        score_faces: the network.
        clip_ids: the clips.
        rows: their tracks; `clip_rows` are rows of `clip_ids`.
        records: of every clip, for UNCORRUPTED and every one of CORRUPTIONS; they are filled level by level.
        console: for progress.
        batch_size: tracks a batch.

    Raises:
        TfdfdError: if a strip cannot be read, the network gives something that is no number, or a record cannot be
            written.
    """
    wanted: list[tuple[str, Corruption | None, int]] = [(UNCORRUPTED, None, CLEAN)]
    wanted += [(name, corruption, level) for name, corruption in CORRUPTIONS.items() for level in LEVELS]
    todo = [
        (clip_id, [entry for entry in wanted if entry[2] not in records[entry[0], clip_id]]) for clip_id in clip_ids
    ]
    num_tracks = np.bincount(rows.clip_rows, minlength=len(clip_ids))
    num_pieces = sum(count * len(missing) for count, (_, missing) in zip(num_tracks.tolist(), todo, strict=True))
    if not num_pieces:
        return

    def pieces(pool: ThreadPoolExecutor) -> Iterator[_Piece]:
        for clip_row, (clip_id, missing) in enumerate(todo):
            if not missing:
                continue
            tracks = np.flatnonzero(rows.clip_rows == clip_row).tolist()
            strips = [_read(rows.strip_paths[track], num_places=rows.is_face.shape[1]) for track in tracks]
            for name, corruption, level in missing:
                for track, crops in zip(tracks, strips, strict=True):
                    is_face, number = rows.is_face[track], int(rows.track[track])
                    corrupted = pool.submit(_corrupted, corruption, level, crops, is_face, clip_id, number)
                    yield _Piece(records[name, clip_id], level, track == tracks[-1], corrupted, is_face)

    with (
        ThreadPoolExecutor(max_workers=num_cores(), thread_name_prefix="corrupt") as pool,
        WorkProgress(console, "robustness of pictures", "tracks", num_pieces) as progress,
    ):
        coming = pieces(pool)
        batch = list(itertools.islice(coming, batch_size))
        of_clip: list[tuple[np.ndarray, np.ndarray]] = []
        while batch:
            ahead = list(itertools.islice(coming, batch_size))  # corrupted while this batch is scored
            is_face = np.stack([piece.is_face for piece in batch])
            logits = checked_logits(score_faces, np.stack([piece.crops.result() for piece in batch]), is_face)
            for piece, of_track in zip(batch, logits, strict=True):
                of_clip.append((of_track, piece.is_face))
                if piece.is_last:
                    logits_of_clip, is_face_of_clip = (np.stack(part) for part in zip(*of_clip, strict=True))
                    piece.record.add(piece.level, ClipLogits(logits_of_clip, is_face_of_clip))
                    of_clip.clear()
            progress.advance(len(batch))
            batch = ahead


def _corrupted(
    corruption: Corruption | None, level: int, crops: np.ndarray, is_face: np.ndarray, clip_id: str, track: int
) -> np.ndarray:
    """Corrupt a track; its padding is black, which that of a strip is but for the JPEG of what lies beside it."""
    crops = crops * is_face[:, None, None, None].astype(np.uint8)
    if corruption is None:
        return crops
    return corrupt_track(corruption, level, crops, is_face, clip_id=clip_id, track=track)


def _read(path: str, *, num_places: int) -> np.ndarray:
    try:
        return read_strip(path, num_places=num_places)
    except ClipError as error:
        raise TfdfdError(f"{path}: {error}; delete it, and the same command makes it again") from error
