"""`tfdfd prepare`: folders of clips, or ready face crops, to a face store."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfdfd.clip import FAILED, OK, ClipFaces, TfdfdError
from tfdfd.commands.console import WorkProgress, guarding, make_console, print_reasons, print_table
from tfdfd.commands.contact_sheet import add_contact_sheet_flags, check_contact_sheet_flags, make_contact_sheet
from tfdfd.commands.extracting import WorkerConfig, add_worker_flags, extract_in_workers, worker_config
from tfdfd.commands.flags import CommandParser, add_config_flags, add_cpu_flag, config_from_flags, obey_cpu_flag
from tfdfd.commands.inputs import data_folder, provenance
from tfdfd.data.manifest import UNLABELLED, Manifest, clips_in, load_manifest
from tfdfd.data.tables import records, rows_where, some, values
from tfdfd.faces.config import ALL_SPREADS, ALL_TRACK_RULES, ExtractionConfig
from tfdfd.phrases import shown
from tfdfd.workers.events import Done

if TYPE_CHECKING:
    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.data.store import FaceStore


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command that may fill a store."""
    parser.add_argument("--data", metavar="DIR", help="folder of clips or face crops, or a CSV (default: $TFDFD_DATA)")
    add_compression_flag(parser)
    parser.add_argument("--store", metavar="DIR", help="face store (default: stores/<name>-<settings>)")
    parser.add_argument(
        "--retry-failed", action="store_true", help="try the clips again that failed, or were read in part"
    )
    parser.add_argument(
        "--accept-mismatch", action="store_true", help="go on although crops were made otherwise, and print how"
    )
    parser.add_argument(
        "--crop-margin",
        type=float,
        metavar="SHARE",
        help="ready-made crops: the margin that they were cut with, as --margin",
    )
    add_worker_flags(parser)
    add_config_flags(parser, ExtractionConfig, title="crops")


def add_compression_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that chooses one compression of a data set that has several."""
    parser.add_argument(
        "--compression",
        metavar="NAME",
        help="take the clips of this compression alone, e.g. c23 of FaceForensics++ (default: all that are there)",
    )


def prepare_store(
    manifest: Manifest,
    folder: str | None,
    config: ExtractionConfig,
    console: Console,
    *,
    workers: WorkerConfig = WorkerConfig(),  # noqa: B008, frozen
    crop_margin: float | None = None,
    retry_failed: bool = False,
    accept_mismatch: bool = False,
    expected: Fingerprint | None = None,
) -> FaceStore:
    """Bring a store up to date with a manifest: what is done is kept, what is missing is made.

    Args:
        manifest: the clips, or the ready-made crops.
        folder: the store; None names one after the data and the settings, under `stores/`.
        config: how crops are made.
        console: for progress and warnings.
        workers: the processes that extract clips.
        crop_margin: margin of ready-made crops, None if not known.
        retry_failed: try failed and partial clips again.
        accept_mismatch: use a store that was made otherwise.
        expected: fingerprint of the model that will read the crops; looked at before any work.

    Returns:
        The store.

    Raises:
        TfdfdError: if the store cannot be written or was made otherwise, or if many clips in a row fail alike.
    """
    from tfdfd.data.fingerprint import of_single_crops, require_same_preprocessing
    from tfdfd.data.ready_crops import import_ready_crops
    from tfdfd.data.store import FILE_IS_GONE, FaceStore
    from tfdfd.extraction import clips_to_do

    _refuse_what_is_not_honoured(manifest, config, workers, crop_margin)
    path, fingerprint, num_places = planned_store(manifest, folder, config, crop_margin=crop_margin)
    if not manifest.is_faces:
        config = _as_it_was_made(path, fingerprint, config, console)
    if expected is not None:
        warning = require_same_preprocessing(
            of_single_crops(expected),
            of_single_crops(fingerprint),
            expected_name="the model",
            found_name="this run",
            accept=accept_mismatch,
        )
        _warn(console, warning)
    store, warning = FaceStore.create_or_open(path, fingerprint, num_places=num_places, accept_mismatch=accept_mismatch)
    _warn(console, warning)
    if store.shards():
        with store.writing():  # merges what a run on several machines left, or what was copied here
            pass
    clips = clips_in(manifest.table)
    todo = clips_to_do(clips, store, retry_failed=retry_failed)
    absent = [(clip_id, reason) for clip_id, reason in manifest.missing if store.record(clip_id) is None]
    if warning and todo:
        raise TfdfdError(
            f"{warning}\n--accept-mismatch reads such a store but adds nothing to it, and {len(todo)} clips are "
            "missing there: use another --store"
        )
    console.print(f"face store {path}: {len(clips) - len(todo)} of {len(clips)} clips are done, {len(todo)} to do")
    reported = list[str]()
    if todo or absent:
        # Clips that fail are listed as they fail, so that a long run can be judged while it goes on.
        with store.writing() as run_token, WorkProgress(console, "extracting faces", "clips", len(todo)) as progress:
            # Another run may have ended since.
            todo = clips_to_do(todo, store, retry_failed=retry_failed)
            absent = [(clip_id, reason) for clip_id, reason in absent if store.record(clip_id) is None]

            def on_clip(done: Done) -> None:
                reported.append(done.clip_id)
                progress.advance()
                if done.status != OK:
                    console.print(f"  {shown(f'{done.clip_id}: {done.status}, {done.reason}')}")
                for warning in done.warnings:
                    console.print(f"  {shown(f'{done.clip_id}: {warning}')}")

            for clip_id, reason in absent:
                store.write(ClipFaces(clip_id, FAILED, reason), source_bytes=FILE_IS_GONE)
            if manifest.is_faces:
                with guarding(console, store.folder, items="crops") as guard:
                    import_ready_crops(
                        todo,
                        store,
                        guard,
                        on_clip=lambda faces, said: on_clip(Done(faces.clip_id, faces.status, faces.reason, said)),
                    )
            elif todo:
                extract_in_workers(todo, store, config, workers, console, run_token=run_token, on_clip=on_clip)
    store.write_manifest(manifest.table)
    _require_held(store, reported)
    _print_summary(store, manifest, console)
    return store


def planned_store(
    manifest: Manifest, folder: str | None, config: ExtractionConfig, *, crop_margin: float | None
) -> tuple[Path, Fingerprint, int]:
    """Return where the store of a manifest lies, the fingerprint of its crops and its places, and make nothing.

    One that is there already keeps the rules by which it spreads places and links faces to tracks.

    Args and Raises: as of `prepare_store`.
    """
    from tfdfd.data.ready_crops import ready_crops_fingerprint
    from tfdfd.extraction import extraction_fingerprint

    if manifest.is_faces:
        fingerprint = ready_crops_fingerprint(manifest, crop_margin, provenance(manifest.root))
        num_places = config.places if manifest.has_frames else 1
    else:
        from tfdfd.faces.mtcnn_weights import mtcnn_settings

        settings = mtcnn_settings(min_face_share=config.min_face_share)
        num_places = config.places
        fingerprint = extraction_fingerprint(config, settings, provenance(manifest.root))
        for rules, spread in itertools.product(ALL_TRACK_RULES[::-1], ALL_SPREADS[::-1]):
            other = replace(config, track_rules=rules, spread=spread)
            found = extraction_fingerprint(other, settings, provenance(manifest.root))
            path = Path(folder) if folder else default_store(manifest, found, num_places)
            if _is_made_by(path, found):
                return path, found, num_places
    return Path(folder) if folder else default_store(manifest, fingerprint, num_places), fingerprint, num_places


def _is_made_by(path: Path, found: Fingerprint) -> bool:
    """Return whether a store is there that spreads places and links faces by these rules."""
    from tfdfd.data.fingerprint import Fingerprint

    file = path / "store.json"
    made = Fingerprint.from_file(file).preprocessing if file.is_file() else {}
    return bool(made) and all(made.get(name) == found.preprocessing[name] for name in ("rules", "frame_rule"))


def _as_it_was_made(
    path: Path, fingerprint: Fingerprint, config: ExtractionConfig, console: Console
) -> ExtractionConfig:
    """Return the settings with the rules of a store, and say so where they are not those of now."""
    from tfdfd.extraction import spread_of

    told = []
    if (rules := fingerprint.preprocessing["rules"]) != config.track_rules:
        told.append("a single doubtful face is a person, and tracks run through cuts")
    if (spread := spread_of(fingerprint)) != config.spread:
        told.append("places are spread over the frames of a clip, not over its time where the frame rate varies")
    if told:
        console.print(
            f"the face store {path} goes on with the rules that it was made by: {'; '.join(told)}. Prepare another "
            "--store to leave them",
            style="yellow",
        )
    return replace(config, track_rules=rules, spread=spread)


def _require_held(store: FaceStore, reported: Sequence[str]) -> None:
    """Raise a TfdfdError if the store lacks clips that workers say they wrote: it was another disk, or lost them."""
    lost = sorted(set(reported) - set(store.clips()["clip_id"]))
    if lost:
        raise TfdfdError(
            f"{len(lost)} clips were reported done but are not in the store {store.folder}: {some(lost)}. Look whether "
            "all machines see the same disk there and whether it lost what was written; the same command does these "
            "clips again"
        )


def _refuse_what_is_not_honoured(
    manifest: Manifest, config: ExtractionConfig, workers: WorkerConfig, crop_margin: float | None
) -> None:
    defaults = ExtractionConfig()
    if manifest.is_faces and config != dataclasses.replace(
        defaults, places=config.places if manifest.has_frames else defaults.places
    ):
        raise TfdfdError(
            f"ready-made crops are taken as they are: {'' if manifest.has_frames else '--places, '}--crop-size, "
            "--margin, --min-face-share, --alignment and --detect-every change nothing there, leave them out"
        )
    if manifest.is_faces and workers != WorkerConfig():
        raise TfdfdError(
            "ready-made crops are copied without workers: --workers, --clip-timeout, --ray and --decoder change "
            "nothing there, leave them out"
        )
    if crop_margin is not None and not manifest.is_faces:
        raise TfdfdError("--crop-margin says how ready-made crops were cut, and these are clips: use --margin")
    if len(without := rows_where(manifest.table, values(manifest.table, "path") == "")):
        raise TfdfdError(
            f"{len(without)} of {len(manifest.table)} clips of {manifest.root} have no file: add a column `path` to "
            "the CSV"
        )


def default_store(manifest: Manifest, fingerprint: Fingerprint, num_places: int) -> Path:
    """Return `stores/<data folder>-<hash>`: other data or other settings get another store."""
    key = json.dumps([str(manifest.root.resolve()), fingerprint.preprocessing, num_places], sort_keys=True)
    return Path("stores") / f"{manifest.root.resolve().name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _warn(console: Console, warning: str) -> None:
    if warning:
        console.print(f"accepted: {warning}", style="yellow")


def _print_summary(store: FaceStore, manifest: Manifest, console: Console) -> None:
    asked = set(manifest.table["clip_id"])
    clips = [record for record in records(store.clips()) if record["clip_id"] in asked]
    routes = Counter((clip["decoder"], clip["decoder_reason"]) for clip in clips if isinstance(clip["decoder"], str))
    if routes:
        rows = [[decoder, reason, count] for (decoder, reason), count in sorted(routes.items())]
        print_table(console, "Where clips were decoded, and why", ["decoder", "reason", "clips"], rows)
    tracks = [record for record in records(store.tracks(columns=["clip_id", "is_face"])) if record["clip_id"] in asked]
    statuses = Counter(clip["status"] for clip in clips)
    faces = sum(int(sum(track["is_face"])) for track in tracks)
    console.print(
        f"{len(clips)} clips: "
        + ", ".join(f"{count} {status}" for status, count in statuses.most_common())
        + f"; {len(tracks)} tracks, {faces} faces of {store.crop_size} px in {store.folder}"
    )
    reasons = [f"{clip['clip_id']}: {clip['status']}, {clip['reason']}" for clip in clips if clip["status"] != OK]
    print_reasons(console, reasons, rest_in=f", in {store.folder / 'clips.parquet'}")
    if statuses[FAILED]:
        console.print("  failed clips are not tried again unless --retry-failed is given")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd prepare`."""
    parser = CommandParser(prog="tfdfd prepare", description=__doc__)
    add_store_flags(parser)
    add_cpu_flag(parser)
    add_contact_sheet_flags(parser)
    arguments = parser.parse_args(argv)
    check_contact_sheet_flags(arguments)
    obey_cpu_flag(arguments)
    console = make_console()
    config = config_from_flags(ExtractionConfig, arguments)
    workers = worker_config(arguments)
    manifest = load_manifest(data_folder(arguments.data), compression=arguments.compression)
    print_manifest_notes(manifest, console)
    store = prepare_store(
        manifest,
        arguments.store,
        config,
        console,
        workers=workers,
        crop_margin=arguments.crop_margin,
        retry_failed=arguments.retry_failed,
        accept_mismatch=arguments.accept_mismatch,
    )
    make_contact_sheet(store, arguments, console)
    return 0


def print_manifest_notes(manifest: Manifest, console: Console) -> None:
    """Print what was recognised, what is named but not there or there but not taken, and how the rest was read."""
    labels = manifest.table["label"].value_counts()
    counts = "" if manifest.layout == UNLABELLED else f" ({labels.get(0, 0)} real, {labels.get(1, 0)} fake)"
    console.print(f"{manifest.root}: {manifest.layout}, {len(manifest.table)} clips{counts}")
    if manifest.missing:
        shown = some((" ".join(entry) for entry in manifest.missing), limit=3)
        console.print(f"{len(manifest.missing):,} clips are named but not there: {shown}", style="yellow")
    if manifest.unlisted:
        shown = some(manifest.unlisted, limit=3)
        console.print(
            f"{len(manifest.unlisted):,} videos under {manifest.root} are not taken, since no list names them and no "
            f"folder gives them a label: {shown}",
            style="yellow",
        )
    for note in manifest.notes:
        console.print(note, style="yellow")
