"""A face embedding of each track of a store, kept in the store beside what they were made with."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from tfdfd.clip import ClipError
from tfdfd.data.atomic import explain_write_errors, write_atomically, write_parquet
from tfdfd.data.crop_landmarks import Watch, landmarks_if_known
from tfdfd.data.fingerprint import Fingerprint, require_same_preprocessing
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import read_strip
from tfdfd.data.tables import records, rows_where, values
from tfdfd.faces.aligned_faces import align_face, landmarks_by_box
from tfdfd.faces.identity import FaceEmbedder, mean_embedding
from tfdfd.guard import Failed, FailureGuard, UnforeseenError, attempt

FOLDER = "people"
"""In a store: what is known of its people."""
FACES_A_TRACK = 5
"""Faces of a track that are embedded, spread over the clip: poses and light differ, and one face can be a bad one."""
_RULES = 1
"""Raised whenever our alignment or choice of faces would give other vectors."""
_FINGERPRINT, _PARTS = "embedder.json", "embeddings"
_PART_COLUMNS = ("clip_id", "track", "strip", "bytes", "num_faces", "num_aligned", "vector")
_TRACKS_A_PART = 256
_TRACKS_AT_ONCE = 32
"""Tracks whose faces go through the network together: 160 faces at most."""
_TRACKS_LOOKED_AT = 2048
"""Tracks whose landmarks are found at once: in ready-made crops that takes a graph of its own each time."""

Result = TypeVar("Result")
_Row = tuple[dict[str, Any], np.ndarray | Failed | None]
"""A row of the index of tracks, and its landmarks, float32 (places, 5, 2), NaN where unknown; None if its strip is
gone."""


@dataclass(frozen=True)
class TrackEmbeddings:
    """The embeddings of tracks."""

    table: pd.DataFrame = field(repr=False)
    """n rows in the store's order: clip_id, track (int), num_faces and num_aligned, the faces that were embedded and
    those of them whose landmarks were known."""
    vectors: np.ndarray = field(repr=False)
    """float32, shape (n, d), each of length 1."""
    failed: tuple[tuple[str, int, str], ...] = ()
    """Clip id, track and reason of those that could not be embedded; they are not in the table."""


def embedding_fingerprint(store: FaceStore, embedder: FaceEmbedder) -> Fingerprint:
    """Return what the embeddings of a store are made with: embedder, alignment, and how the crops were made."""
    return Fingerprint(
        {
            "embedder": embedder.name,
            "version": embedder.version,
            "input_size": int(embedder.input_size),
            "landmarks_xy": np.round(np.asarray(embedder.landmarks_xy, np.float64), 3).tolist(),
            "faces_a_track": FACES_A_TRACK,
            "rules": _RULES,
            "crops": store.fingerprint.preprocessing,
        }
    )


def embed_tracks(
    store: FaceStore,
    embedder: FaceEmbedder,
    *,
    guard: FailureGuard,
    watch: Watch,
    on_tracks: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> TrackEmbeddings:
    """Embed every track of a store; what an earlier run has embedded is taken from the store.

    Args:
        store: the store; its folder gets what is new, part by part.
        embedder: makes the vectors.
        guard: counts the tracks that fail as nobody foresaw.
        watch: shows the search for landmarks in ready-made crops.
        on_tracks: told how many tracks are done, those of earlier runs first.
        say: told what of earlier runs is damaged, and made anew.

    Returns:
        The embeddings.

    Raises:
        TfdfdError: if the store holds embeddings that were made otherwise, with both values, or cannot be written.
        RepeatedFaultError: where many tracks in a row fail alike.
    """
    folder = store.folder / FOLDER
    made = embedding_fingerprint(store, embedder)
    with explain_write_errors(folder):
        _begin(folder, made, say)
    tracks = store.tracks()
    tracks = tracks.assign(bytes=[_bytes(store.folder / strip) for strip in tracks["strip"]])
    with explain_write_errors(folder):
        found = _known(folder / _PARTS, tracks, say)
    missing = rows_where(tracks, np.array([key not in found for key in _keys(tracks)], bool))
    on_tracks(len(tracks) - len(missing))
    failed: list[tuple[str, int, str]] = []
    for some in _slices(missing, _TRACKS_LOOKED_AT):
        there = rows_where(some, values(some, "bytes") >= 0)
        points = iter(_landmarks(store, there, watch))
        rows = [(row, next(points) if row["bytes"] >= 0 else None) for row in records(some)]
        for start in range(0, len(rows), _TRACKS_A_PART):
            part: list[dict[str, Any]] = []
            some_rows = rows[start : start + _TRACKS_A_PART]
            for first in range(0, len(some_rows), _TRACKS_AT_ONCE):
                part += _embedded(store, embedder, guard, some_rows[first : first + _TRACKS_AT_ONCE], failed)
                on_tracks(len(some_rows[first : first + _TRACKS_AT_ONCE]))
            _write_part(folder / _PARTS, part)
            found |= {_key(row): row for row in part}
    held = [found[key] for key in _keys(tracks) if key in found]
    table = pd.DataFrame(held, columns=["clip_id", "track", "num_faces", "num_aligned"])
    vectors = [np.asarray(row["vector"], np.float32) for row in held]
    return TrackEmbeddings(table, np.stack(vectors) if vectors else np.zeros((0, 1), np.float32), tuple(failed))


def chosen_places(is_face: np.ndarray) -> np.ndarray:
    """Return the places of a track whose faces are embedded: at most FACES_A_TRACK, spread over those with a face.

    Args:
        is_face: bool, shape (places,).
    """
    places = np.flatnonzero(is_face)
    if len(places) <= FACES_A_TRACK:
        return places
    return places[((np.arange(FACES_A_TRACK) + 0.5) * len(places) / FACES_A_TRACK).astype(int)]


def _embedded(
    store: FaceStore,
    embedder: FaceEmbedder,
    guard: FailureGuard,
    rows: Sequence[_Row],
    failed: list[tuple[str, int, str]],
) -> list[dict[str, Any]]:
    """Embed tracks; where the network fails on them together, each alone: it costs those whose doing it is."""

    def run(row: dict[str, Any], act: Callable[[], Result]) -> Result | None:
        done = guard.run(f"{row['clip_id']}, track {int(row['track']) + 1}", act)
        if not isinstance(done, Failed):
            return done
        failed.append((row["clip_id"], int(row["track"]), done.reason))
        return None

    aligned = [(row, run(row, partial(_aligned_faces, store, embedder, row, marks))) for row, marks in rows]
    there = [(row, *found) for row, found in aligned if found is not None]
    if not there:
        return []
    together = attempt(lambda: _vectors(embedder, [faces for _, faces, _ in there]))
    if isinstance(together, Failed):
        vectors = [run(row, partial(_vectors, embedder, [faces])) for row, faces, _ in there]
        vectors = [None if alone is None else alone[0] for alone in vectors]
    else:
        vectors = together
    names = ("clip_id", "track", "strip", "bytes")
    return [
        {**{name: row[name] for name in names}, "num_faces": len(faces), "num_aligned": num_aligned, "vector": vector}
        for (row, faces, num_aligned), vector in zip(there, vectors, strict=True)
        if vector is not None
    ]


def _vectors(embedder: FaceEmbedder, faces: Sequence[list[np.ndarray]]) -> list[list[float]]:
    """Return the vector of each track, of whose faces they are made."""
    ends = np.cumsum([len(of_track) for of_track in faces])[:-1]
    vectors = np.split(embedder.embed(np.stack([face for of_track in faces for face in of_track])), ends)
    return [mean_embedding(of_track).tolist() for of_track in vectors]


def _landmarks(store: FaceStore, tracks: pd.DataFrame, watch: Watch) -> Sequence[np.ndarray | Failed]:
    """Return the landmarks of tracks, or why a track has none; found together, where that fails of each alone."""
    if tracks.empty:
        return ()
    together = attempt(lambda: landmarks_if_known(store, tracks, watch=watch))
    if not isinstance(together, Failed):
        return list(together)

    def alone(row: int) -> np.ndarray:
        return landmarks_if_known(store, tracks.iloc[row : row + 1].reset_index(drop=True), watch=watch)[0]

    return [attempt(partial(alone, row)) for row in range(len(tracks))]


def _aligned_faces(
    store: FaceStore, embedder: FaceEmbedder, row: dict[str, Any], landmarks: np.ndarray | Failed | None
) -> tuple[list[np.ndarray], int]:
    """Return the faces of a track that are embedded, and of how many of them the landmarks were known."""
    if landmarks is None:
        raise ClipError(f"its strip {row['strip']} is not in the store: `tfdfd prepare` makes it again")
    if isinstance(landmarks, Failed):
        raise UnforeseenError(landmarks.fault) if landmarks.fault is not None else ClipError(landmarks.reason)
    is_face = np.asarray(row["is_face"], bool)
    crops = read_strip(store.folder / row["strip"], num_places=len(is_face))
    is_known = np.isfinite(landmarks).all(axis=(1, 2)) & is_face
    # Faces without landmarks count where the track has no others.
    places = chosen_places(is_known if is_known.any() else is_face)
    margin = store.fingerprint.preprocessing["margin"]
    expected = landmarks_by_box(store.crop_size, margin if isinstance(margin, int | float) else 0.0)
    size, target = int(embedder.input_size), embedder.landmarks_xy
    faces = [align_face(crops[p], landmarks[p] if is_known[p] else expected, target, size) for p in places]
    return faces, int(is_known[places].sum())


def _bytes(path: Path) -> int:
    # By size, a strip that was made again is known.
    return path.stat().st_size if path.is_file() else -1


def _key(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["clip_id"], int(row["track"]), int(row["bytes"])


def _keys(tracks: pd.DataFrame) -> Iterator[tuple[str, int, int]]:
    for clip_id, track, size in zip(tracks["clip_id"], tracks["track"], tracks["bytes"], strict=True):
        yield str(clip_id), int(track), int(size)


def _begin(folder: Path, made: Fingerprint, say: Callable[[str], None]) -> None:
    """Refuse embeddings that were made otherwise; drop those of which nothing says how."""
    path, parts = folder / _FINGERPRINT, folder / _PARTS
    if not path.is_file():
        if parts.is_dir() and any(parts.iterdir()):
            say(f"{path} is gone, so nothing says how the embeddings beside it were made: they are made anew")
            shutil.rmtree(parts)
        parts.mkdir(parents=True, exist_ok=True)
        write_atomically(path, made.to_json().encode())
        return
    anew = f"delete {path} to make them anew"
    found = Fingerprint.from_file(path, advice=f"It says how embeddings were made: {anew}")
    of_crops = {"crops": made.preprocessing["crops"]}
    is_of_other_crops = found.preprocessing | of_crops == made.preprocessing
    require_same_preprocessing(
        made,
        found,
        expected_name="this run",
        found_name=f"the embeddings in {folder}",
        accept=False,
        advice=(
            f"They were made of crops with other settings than those that are here: {anew}"
            if is_of_other_crops
            else f"Use the embedder that they were made with, or {anew}"
        ),
    )
    parts.mkdir(exist_ok=True)


def _known(
    folder: Path, tracks: pd.DataFrame, say: Callable[[str], None]
) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Return what earlier runs embedded; a damaged part is dropped."""
    wanted, known = set(_keys(tracks)), {}
    for path in sorted(folder.glob("*.parquet")):
        part, problem = _read_part(path)
        if problem:
            say(f"{path} is damaged ({problem}): its tracks are embedded again")
            path.unlink()
        known |= {key: row for row in part if (key := _key(row)) in wanted}
    return known


def _read_part(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of a part, or none and what is wrong with it."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        return [], str(error)
    if lacking := [name for name in _PART_COLUMNS if name not in table]:
        return [], f"it lacks the columns {lacking}"
    return records(table), ""


def _write_part(folder: Path, part: list[dict[str, Any]]) -> None:
    if not part:
        return
    # Named by what is in it: two runs at once write two files.
    name = hashlib.sha256(repr([_key(row) for row in part]).encode()).hexdigest()[:16]
    with explain_write_errors(folder):
        write_parquet(folder / f"{name}.parquet", pd.DataFrame(part))


def _slices(table: pd.DataFrame, count: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(table), count):
        yield table.iloc[start : start + count].reset_index(drop=True)
