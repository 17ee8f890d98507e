"""The face store: one strip picture a track, one record a clip, an index rebuilt from what is there."""

from __future__ import annotations

import fcntl
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import pandas as pd

from tfdfd.clip import FAILED, PARTIAL, ClipFaces, TfdfdError
from tfdfd.data.atomic import TEMPORARY, explain_write_errors, write_atomically, write_parquet
from tfdfd.data.fingerprint import Fingerprint, require_same_preprocessing
from tfdfd.data.patience import GoneError, Patience
from tfdfd.data.shards import SHARDS, merge_shards, shard_folders
from tfdfd.data.store_records import CLIP_COLUMNS, TRACK_COLUMNS, is_whole, record_name, record_of, strip_name
from tfdfd.data.strips import encode_strip

_FORMAT = 1
LOCK = "writer.lock"
"""File in a store that its writer holds; what is in it is the writer's token."""
FILE_IS_GONE = -1
"""Size of a clip's file that is not there."""

Result = TypeVar("Result")


class FaceStore:
    """A folder of strips with an index.

    `store.json` holds the fingerprint, `strips/` the pictures, `records/` one JSON a clip (written after the clip's
    strips: a clip without a record is not done), `clips.parquet` and `tracks.parquet` the index, `manifest.parquet`
    the labels of the clips that were asked for. Everything is written to a temporary name and renamed; where the disk
    is away for a moment, it is waited for.

    Args:
        folder: the store's folder.
        fingerprint: how its crops are made.
        patience: how long to wait for the disk, and whom to tell.
    """

    def __init__(self, folder: Path, fingerprint: Fingerprint, patience: Patience = Patience()) -> None:  # noqa: B008
        self.folder = folder
        self.fingerprint = fingerprint
        self.patience = patience
        self._root = folder
        """Holds `store.json`; of a shard it is the store's folder."""

    def shard(self, name: str) -> FaceStore:
        """Return a part of the store that one machine alone writes to, without `writing()`.

        Args:
            name: of the machine; a folder's name.
        """
        shard = FaceStore(self.folder / SHARDS / name, self.fingerprint, self.patience)
        shard._root = self.folder
        return shard

    def shards(self) -> list[FaceStore]:
        """Return the shards that are not merged yet."""
        return [self.shard(folder.name) for folder in shard_folders(self.folder)]

    @property
    def crop_size(self) -> int:
        """Side of every crop in pixels."""
        return int(self.fingerprint.preprocessing["crop_size"])

    @property
    def num_places(self) -> int:
        """Places of every track."""
        return int(self.fingerprint.provenance["num_places"])

    @staticmethod
    def open(folder: Path) -> FaceStore:
        """Open a store that is there.

        Raises:
            TfdfdError: if the folder is not a store of this format.
        """
        path = folder / "store.json"
        if not path.is_file():
            raise TfdfdError(
                f"{folder} is no face store (no store.json): make one with `tfdfd prepare --data DIR --store {folder}`"
            )
        fingerprint = Fingerprint.from_file(path)
        if (found := fingerprint.provenance.get("store_format")) != _FORMAT:
            raise TfdfdError(f"{path} has store format {found}, this version reads {_FORMAT}: prepare it again")
        return FaceStore(folder, fingerprint)

    @staticmethod
    def create_or_open(
        folder: Path, fingerprint: Fingerprint, *, num_places: int, accept_mismatch: bool = False
    ) -> tuple[FaceStore, str]:
        """Open the store in a folder, or make it.

        Args:
            folder: the store's folder.
            fingerprint: how the crops will be made; must hold `crop_size` in its preprocessing.
            num_places: places of every track.
            accept_mismatch: open a store of another preprocessing all the same.

        Returns:
            The store and a warning that lists what differs (empty if nothing does).

        Raises:
            TfdfdError: if the folder cannot be written, is something else, or was made otherwise.
        """
        if (folder / "store.json").is_file():
            store = FaceStore.open(folder)
            warning = require_same_preprocessing(
                fingerprint,
                store.fingerprint,
                expected_name="this run",
                found_name=f"the store {folder}",
                accept=accept_mismatch,
            )
            if store.num_places != num_places:
                raise TfdfdError(
                    f"the store {folder} has {store.num_places} places a track, this run asks for {num_places}: "
                    f"use --places {store.num_places} or another --store"
                )
            return store, warning
        # What a run leaves that was killed, or met a full disk, before the store was made is no stranger's.
        ours = (LOCK, f"store.json{TEMPORARY}")
        if folder.is_dir() and any(path.name not in ours for path in folder.iterdir()):
            raise TfdfdError(
                f"{folder} is not empty and is no face store (no store.json): give an empty or new --store folder"
            )
        provenance = {**fingerprint.provenance, "num_places": num_places, "store_format": _FORMAT}
        store = FaceStore(folder, Fingerprint(fingerprint.preprocessing, provenance))
        with explain_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "store.json", store.fingerprint.to_json().encode())
        return store, ""

    @contextmanager
    def writing(self) -> Iterator[str]:
        """Hold the store for writing: one writer at a time, and no index while it may be out of date.

        Yields:
            A token of this run, which also stands in its lock: another machine that reads it there sees this store and
            no copy.

        Raises:
            TfdfdError: if another run is writing to it, or it cannot be written.
        """
        token = uuid.uuid4().hex
        with self._lock() as lock:
            if lock is None:
                raise TfdfdError(
                    f"another run is writing to the store {self.folder}: wait for it or use another --store"
                )
            self._patiently(lambda: _overwrite(lock, token))
            self._patiently(self._clean)
            self._merge_shards()
            yield token
            self._merge_shards()
            self.rebuild_index()
            with suppress(OSError):  # all is done; a token that stays is nobody's
                _overwrite(lock, "")

    @contextmanager
    def _lock(self) -> Iterator[IO[bytes] | None]:
        """Try to take the lock that a writer holds; yield its file, None if another has it."""
        lock: IO[bytes] = self._patiently(lambda: open(self.folder / LOCK, "ab"))  # noqa: SIM115, held to the end
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield lock

    def _clean(self) -> None:
        for left in self.folder.rglob(f"*{TEMPORARY}"):
            left.unlink(missing_ok=True)
        for name in ("clips.parquet", "tracks.parquet"):
            (self.folder / name).unlink(missing_ok=True)

    def _merge_shards(self) -> None:
        for problem in self._patiently(lambda: merge_shards(self.folder, self.fingerprint)):
            self.patience.say(problem)

    def record(self, clip_id: str) -> dict[str, Any] | None:
        """Return the record of a clip, None if the clip is not done.

        Raises:
            TfdfdError: if the disk stayed away.
        """

        def attempt() -> dict[str, Any] | None:
            try:
                record = json.loads((self.folder / record_name(clip_id)).read_bytes())
            except FileNotFoundError:
                self._require_there()
                return None
            except ValueError:  # a damaged one is none: the clip is done again
                return None
            return record if is_whole(record) else None

        return self.patience.keep_trying(attempt, what="the store", folder=self._root)

    def holds(self, clip_id: str, *, source_bytes: int, retry_failed: bool = False) -> bool:
        """Return whether a clip is done: recorded, from a file of this size, with every strip in place.

        Args:
            clip_id: the clip.
            source_bytes: size of its file now, FILE_IS_GONE if there is none.
            retry_failed: count a failed or partial clip as not done.
        """
        record = self.record(clip_id)
        if record is None:
            return False
        if record["status"] in (PARTIAL, FAILED) and retry_failed:
            return False
        # A store outlives its clips: where the file is gone, what was made of it stays.
        if record["source_bytes"] != source_bytes != FILE_IS_GONE:
            return False
        return all((self.folder / track["strip"]).is_file() for track in record["tracks"])

    def write(self, faces: ClipFaces, *, source_bytes: int) -> None:
        """Write a clip's strips, then its record.

        Args:
            faces: what extraction found.
            source_bytes: size of the clip's file, by which a changed file is noticed.

        Raises:
            TfdfdError: if the disk is full or the store cannot be written.
        """
        self._write(faces, [encode_strip(crops) for crops in faces.crops], source_bytes)

    def write_ready(self, faces: ClipFaces, encoded: bytes, *, source_bytes: int) -> None:
        """Write a clip of one track whose strip is a ready-made JPEG, byte for byte."""
        self._write(faces, [encoded], source_bytes)

    def _write(self, faces: ClipFaces, strips: list[bytes], source_bytes: int) -> None:
        names = [strip_name(faces.clip_id, number) for number in range(len(strips))]
        record = record_of(faces, names, source_bytes)
        before = self.record(faces.clip_id) or record
        # Those that no record will name go first: a clip with a strip missing is not done.
        for left in {track["strip"] for track in before["tracks"]} - set(names):
            self._patiently(lambda left=left: (self.folder / left).unlink(missing_ok=True))
        for name, encoded in zip(names, strips, strict=True):
            self._patiently(lambda name=name, encoded=encoded: self._write_file(name, encoded))
        encoded = (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
        self._patiently(lambda: self._write_file(record_name(faces.clip_id), encoded))

    def _write_file(self, name: str, content: bytes) -> None:
        # Not with mkdir(parents=True), which makes a new store where a disk is not mounted.
        path = self.folder / name
        for folder in reversed([path.parent, *path.parent.parents]):
            if folder != self._root and folder.is_relative_to(self._root):
                folder.mkdir(exist_ok=True)
        write_atomically(path, content)

    def forget(self, clip_id: str) -> None:
        """Take out a clip that was done again in a shard, so that no older record stands in the way."""
        if (record := self.record(clip_id)) is not None:
            # A record without its strips gives way too, strips without a record would stay for ever.
            for track in record["tracks"]:
                self._patiently(lambda track=track: (self.folder / track["strip"]).unlink(missing_ok=True))
            self._patiently(lambda: (self.folder / record_name(clip_id)).unlink(missing_ok=True))

    def _patiently(self, attempt: Callable[[], Result]) -> Result:
        """Do something in the folder; wait where its disk is away, explain where it cannot be written."""

        def attempt_there() -> Result:
            self._require_there()
            try:
                result = attempt()
            except FileNotFoundError:
                self._require_there()  # else that is why
                raise
            self._require_there()  # else it went to the empty folder where a disk was mounted
            return result

        with explain_write_errors(self.folder):
            return self.patience.keep_trying(attempt_there, what="the store", folder=self._root)

    def _require_there(self) -> None:
        try:
            os.stat(self._root / "store.json")
        except (FileNotFoundError, NotADirectoryError):
            raise GoneError(self._root) from None

    def _all_records(self) -> list[dict[str, Any]]:
        paths = (self.folder / "records").glob("*/*.json")
        return sorted((_read(path) for path in paths), key=lambda record: record["clip_id"])

    def rebuild_index(self) -> None:
        """Write the index anew from the records, in the order of clip ids; the caller holds the store for writing."""
        for name, table in self._index().items():
            self._patiently(lambda name=name, table=table: write_parquet(self.folder / name, table))

    def _index(self) -> dict[str, pd.DataFrame]:
        records = self._patiently(self._all_records)
        clips = pd.DataFrame.from_records(
            [{name: value for name, value in record.items() if name != "tracks"} for record in records],
            columns=CLIP_COLUMNS,
        )
        tracks = pd.DataFrame.from_records(
            [
                {"clip_id": record["clip_id"], "track": number, **track}
                for record in records
                for number, track in enumerate(record["tracks"])
            ],
            columns=TRACK_COLUMNS,
        )
        return {"clips.parquet": clips, "tracks.parquet": tracks}

    def clips(self) -> pd.DataFrame:
        """Return the index of clips: clip_id, status, reason, source and decoding of each."""
        return self._indexed("clips.parquet")

    def tracks(self, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the index of tracks, main track of a clip first: clip_id, track, strip, is_face, boxes and so on.

        Args:
            columns: names in TRACK_COLUMNS, None for all; without boxes and landmarks 100,000 clips stay small.
        """
        return self._indexed("tracks.parquet", columns)

    def _indexed(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        chosen = None if columns is None else list(columns)
        if not (self.folder / name).is_file():
            with self._lock() if os.access(self.folder, os.W_OK) else nullcontext() as lock:
                if lock is None:
                    # Of what is there now: while another writes, to write it down would hide what comes.
                    written = io.BytesIO()
                    self._index()[name].to_parquet(written, index=False)
                    return pd.read_parquet(written, columns=chosen)
                self.rebuild_index()
        return pd.read_parquet(self.folder / name, columns=chosen)

    def write_manifest(self, table: pd.DataFrame) -> None:
        """Keep the labels beside the strips, so that a store can be trained on where the clips are not.

        Args:
            table: the clips of this run; what the store knew of others stays.
        """
        path = self.folder / "manifest.parquet"

        def attempt() -> None:
            known = [table, pd.read_parquet(path)] if path.is_file() else [table]
            merged = pd.concat(known).drop_duplicates("clip_id").sort_values("clip_id", ignore_index=True)
            write_parquet(path, merged)

        self._patiently(attempt)

    def manifest(self) -> pd.DataFrame:
        """Return the manifest that the store was prepared from.

        Raises:
            TfdfdError: if it has none.
        """
        path = self.folder / "manifest.parquet"
        if not path.is_file():
            raise TfdfdError(f"the store {self.folder} holds no manifest: give the clips' folder with --data")
        return pd.read_parquet(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError:
        record = {}
    if not is_whole(record):
        raise TfdfdError(f"the record {path} is damaged: delete it; the same command does its clip again")
    return record


def _overwrite(file: IO[bytes], content: str) -> None:
    # By the file that is held: on some network disks, closing another one gives its lock away.
    os.ftruncate(file.fileno(), 0)
    os.write(file.fileno(), content.encode())
    os.fsync(file.fileno())


def source_bytes(path: Path) -> int:
    """Return a file's size, of a folder of pictures that of all in it, FILE_IS_GONE if it is not there."""
    try:
        if path.is_dir():
            return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
        return path.stat().st_size
    except OSError:
        return FILE_IS_GONE
