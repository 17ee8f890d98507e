"""The masks of a face store: one PNG a track of a fake, one record a fake, beside the faces.

A real clip has no file: nothing of it was altered. Nor has a fake without a usable original: nothing is known of it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import OK, ClipError, TfdfdError
from tfdfd.data.altered_region import RegionSettings
from tfdfd.data.atomic import explain_write_errors, write_atomically, write_parquet
from tfdfd.data.fingerprint import Fingerprint, require_same_preprocessing
from tfdfd.data.mask_records import INDEX_COLUMNS, index_of, read_record
from tfdfd.data.mask_strips import decode_masks, encode_masks, mask_problem
from tfdfd.data.rows import TrackMasks
from tfdfd.data.store import FaceStore
from tfdfd.data.store_records import record_name, strip_name
from tfdfd.data.tables import records, rows_where, values

MASKS = "masks"
"""Folder of the masks in a store."""
NO_ORIGINAL, OTHER_LENGTH, OTHER_SIZE, FAILED = "no_original", "other_length", "other_size", "failed"
MASK_STATUSES = (OK, NO_ORIGINAL, OTHER_LENGTH, OTHER_SIZE, FAILED)
"""What becomes of a fake: it has masks; no original is known or there; its original is of another length, or size, and
cannot be laid on it; or something else is wrong, as the reason says."""
RULES = 1
"""Raised whenever the same clips would give other masks."""
INDEX, _RECORDS = "masks.parquet", "records"


@dataclass(frozen=True)
class ClipMasks:
    """Where one fake was altered."""

    clip_id: str
    status: str
    """One of MASK_STATUSES."""
    reason: str = ""
    """Why the status is not ok; empty when it is."""
    notes: tuple[str, ...] = ()
    """What a person should know of masks that are there all the same."""
    masks: tuple[np.ndarray, ...] = field(default=(), repr=False)
    """One array a track of the store: bool, shape (num_places, size, size), False where nothing is known."""
    is_known: tuple[np.ndarray, ...] = ()
    """bool, shape (num_places,) a track: where the original shows the same frame."""

    def __post_init__(self) -> None:
        if self.status not in MASK_STATUSES:
            raise ValueError(f"status must be one of {list(MASK_STATUSES)}, got {self.status!r}")
        if (self.status == OK) != bool(self.masks) or len(self.masks) != len(self.is_known):
            raise ValueError(f"{self.clip_id}: status {self.status} with masks of {len(self.masks)} tracks")
        if (self.status != OK) != bool(self.reason):
            raise ValueError(f"{self.clip_id}: a reason belongs to every status but ok, got {self.reason!r}")


def mask_fingerprint(store: FaceStore, settings: RegionSettings) -> Fingerprint:
    """Return how masks are made, and of which crops."""
    return Fingerprint(
        {
            "masks": {"from": "difference of a fake and its original", "rules": RULES, **dataclasses.asdict(settings)},
            "crops": store.fingerprint.preprocessing,
        }
    )


class MaskStore:
    """The masks in a face store.

    `masks/masks.json` holds the fingerprint, `masks/strips/` the pictures, `masks/records/` one JSON a fake, written
    after its strips, `masks/masks.parquet` the index. Who writes holds `store.writing()`.

    Args:
        store: the face store.
        settings: of the masks; those that are there must have been made by them.

    Raises:
        TfdfdError: if the masks that are there were made otherwise, or of crops that were.
    """

    def __init__(self, store: FaceStore, settings: RegionSettings = RegionSettings()) -> None:  # noqa: B008, frozen
        self.store, self.folder = store, store.folder / MASKS
        self.fingerprint = mask_fingerprint(store, settings)
        if self.is_there:
            advice = f"Delete {self.folder} and run `tfdfd masks --store {store.folder}`: masks are made anew"
            require_same_preprocessing(
                self.fingerprint,
                Fingerprint.from_file(self._file, advice=advice),
                expected_name=f"this version of tfdfd and the crops of {store.folder}",
                found_name=f"the masks {self.folder}",
                accept=False,
                advice=advice,
            )

    @property
    def _file(self) -> Path:
        return self.folder / "masks.json"

    @property
    def is_there(self) -> bool:
        """Whether any masks were made."""
        return self._file.is_file()

    @property
    def is_of_unknown_make(self) -> bool:
        """Whether records are there and nothing that says how their masks were made: `begin` takes them away."""
        return not self.is_there and any((self.folder / _RECORDS).glob("*/*.json"))

    def begin(self) -> None:
        """Make the folder, and take away the index while it may be out of date."""
        with explain_write_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
            if self.is_of_unknown_make:
                shutil.rmtree(self.folder / _RECORDS)
            write_atomically(self._file, self.fingerprint.to_json().encode())
            (self.folder / INDEX).unlink(missing_ok=True)

    def record(self, clip_id: str) -> dict[str, Any] | None:
        """Return the record of a fake, None if it is not done; a damaged one is none, so the fake is done again."""
        return read_record(self.folder / record_name(clip_id))

    def holds(self, clip_id: str, *, fake_bytes: int, original_bytes: int, retry_failed: bool = False) -> bool:
        """Return whether a fake is done: recorded, from these files, with every strip in place and whole.

        Args:
            clip_id: the fake.
            fake_bytes: size of its file when its faces were found.
            original_bytes: size of its original's file now, FILE_IS_GONE if there is none.
            retry_failed: count every status but ok as not done.
        """
        record = self.record(clip_id) if self.is_there else None
        if record is None or (retry_failed and record["status"] != OK):
            return False
        if (record["fake_bytes"], record["original_bytes"]) != (fake_bytes, original_bytes):
            return False
        return not any(mask_problem(self.folder / track["mask"]) for track in record["tracks"])

    def write(self, made: ClipMasks, *, fake_bytes: int, original_bytes: int) -> None:
        """Write a fake's masks, then its record.

        Args:
            made: the masks.
            fake_bytes, original_bytes: as in `holds`.

        Raises:
            TfdfdError: if the disk is full or the store cannot be written.
        """
        tracks = []
        with explain_write_errors(self.folder):
            for number, (masks, is_known) in enumerate(zip(made.masks, made.is_known, strict=True)):
                name = strip_name(made.clip_id, number).removesuffix(".jpg") + ".png"
                self._write_file(name, encode_masks(masks))
                shares = masks.mean(axis=(1, 2)).round(4).tolist()
                tracks.append({"mask": name, "is_known": is_known.tolist(), "altered_share": shares})
            record = {
                "clip_id": made.clip_id,
                "status": made.status,
                "reason": made.reason,
                "notes": list(made.notes),
                "fake_bytes": fake_bytes,
                "original_bytes": original_bytes,
                "tracks": tracks,
            }
            self._write_file(record_name(made.clip_id), (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())

    def _write_file(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)

    def rebuild_index(self) -> list[Path]:
        """Write the index anew from the records; who calls it holds `store.writing()`.

        Returns:
            The damaged records, which are left out of it: of fakes that are no longer asked for, else they were done
            again.
        """
        damaged: list[Path] = []
        with explain_write_errors(self.folder):
            write_parquet(self.folder / INDEX, index_of(self._records(damaged)))
        return damaged

    def _records(self, damaged: list[Path]) -> Iterator[dict[str, Any]]:
        for path in sorted((self.folder / _RECORDS).glob("*/*.json")):
            record = read_record(path)
            if record is None:
                damaged.append(path)
            else:
                yield record

    @property
    def has_index(self) -> bool:
        """Whether the index is there and whole; else `index` makes one of the records each time."""
        return self._read_index() is not None

    def _read_index(self) -> pd.DataFrame | None:
        try:
            table = pd.read_parquet(self.folder / INDEX)
        except (OSError, ValueError):  # pyarrow's errors are both
            return None
        return table if list(table.columns) == INDEX_COLUMNS else None

    def index(self) -> pd.DataFrame:
        """Return one row a track of each fake that is done, one alone where it has no masks: INDEX_COLUMNS.

        Where the index is missing or damaged, its rows come from the records.

        Raises:
            TfdfdError: if no masks were made here, or neither the index nor a record can be read.
        """
        if not self.is_there:
            raise TfdfdError(
                f"the store {self.store.folder} has no masks: run `tfdfd masks --store {self.store.folder}`"
            )
        if (table := self._read_index()) is not None:
            return table
        damaged: list[Path] = []
        table = index_of(self._records(damaged))
        if damaged:
            raise TfdfdError(
                f"the record {damaged[0]} is damaged and there is no index of the masks: run `tfdfd masks --store "
                f"{self.store.folder}` again"
            )
        return table

    def read(self, mask: str) -> np.ndarray:
        """Return the masks of one track, bool (num_places, size, size).

        Args:
            mask: their file, as the index and the records name it.

        Raises:
            ClipError: if the file is missing or damaged.
        """
        try:
            return decode_masks((self.folder / mask).read_bytes(), num_places=self.store.num_places)
        except OSError as error:
            raise ClipError(f"the masks {mask} cannot be read: {error.strerror or error}") from error


def track_masks(masks: MaskStore, tracks: pd.DataFrame, is_fake: np.ndarray) -> TrackMasks:
    """Return the masks of tracks.

    Args:
        masks: those of the tracks' store.
        tracks: rows of `store.tracks()` with `clip_id` and `track`.
        is_fake: bool, shape (n,): whether each track's clip is a fake.

    Raises:
        TfdfdError: if there are none, or those of a fake were made before its faces were found anew.
    """
    index, places = masks.index(), masks.store.num_places
    made = rows_where(index, values(index, "status") == OK)
    sizes = masks.store.clips().set_index("clip_id")["source_bytes"]
    stale = [name for name, size in made.groupby("clip_id")["fake_bytes"].first().items() if sizes.get(name) != size]
    if stale:
        raise TfdfdError(
            f"the faces of {len(stale)} fakes, such as {stale[0]}, were found anew since their masks were made: run "
            f"`tfdfd masks --store {masks.store.folder}` again"
        )
    by_track = {(row["clip_id"], row["track"]): (row["mask"], row["is_known"]) for row in records(made)}
    paths, known = [], np.zeros((len(tracks), places), np.bool_)
    for row, (clip_id, track) in enumerate(zip(tracks["clip_id"], tracks["track"], strict=True)):
        mask, is_known = by_track.get((clip_id, track), ("", ())) if is_fake[row] else ("", np.ones(places, np.bool_))
        paths.append(str(masks.folder / mask) if mask else "")
        if len(is_known):
            known[row] = is_known
    return TrackMasks(paths, known)
