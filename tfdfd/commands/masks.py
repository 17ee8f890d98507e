"""`tfdfd masks`: where each fake of a store was altered, from its difference to its original."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import FAKE, OK, WITH_FACES, TfdfdError
from tfdfd.commands.console import WorkProgress, guarding, make_console
from tfdfd.commands.flags import CommandParser
from tfdfd.commands.inputs import data_folder, names_data
from tfdfd.commands.mask_page import add_page_flags, check_page_flags, make_mask_page
from tfdfd.commands.mask_workers import Pair, made_in_turn
from tfdfd.data.tables import records, rows_where, some, values
from tfdfd.guard import Failed
from tfdfd.phrases import shown

if TYPE_CHECKING:
    from tfdfd.data.mask_store import ClipMasks, MaskStore
    from tfdfd.data.masks import CropGeometry
    from tfdfd.data.store import FaceStore

LISTED = 10
"""Fakes without masks that are listed of each status; all stand in the index."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd masks`."""
    parser = CommandParser(prog="tfdfd masks", description=__doc__)
    parser.add_argument("--store", metavar="DIR", required=True, help="face store, as `tfdfd prepare` made it")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of the clips, or a CSV, originals included (default: $TFDFD_DATA, ./data, else where they were "
        "when the store was made)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="try the fakes again that got no masks before")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that make masks (default: 1)")
    add_page_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        raise TfdfdError(f"--workers must be at least 1, got {arguments.workers}")
    check_page_flags(arguments)
    console = make_console()

    from tfdfd.data.mask_store import MaskStore
    from tfdfd.data.store import FaceStore

    store = FaceStore.open(Path(arguments.store))
    geometry = geometry_of(store)
    masks = MaskStore(store)
    make_masks(store, masks, geometry, clips_of(store, arguments.data), arguments, console)
    print_summary(masks, console)
    make_mask_page(masks, arguments, console)
    return 0


def clips_of(store: FaceStore, data: str | None) -> pd.DataFrame:
    """Return the table of the clips: of a data folder, else of the store itself.

    Raises:
        TfdfdError: if there is neither.
    """
    from tfdfd.data.manifest import load_manifest, with_known_originals

    if not names_data(data):
        return with_known_originals(store.manifest())[0]

    return load_manifest(data_folder(data)).table


def geometry_of(store: FaceStore) -> CropGeometry:
    """Return how the crops of a store lie in their frames.

    Raises:
        TfdfdError: if the store does not say.
    """
    from tfdfd.data.masks import CropGeometry
    from tfdfd.faces.alignment import ALIGNMENTS

    made = store.fingerprint.preprocessing
    margin, alignment = made.get("margin"), made.get("alignment")
    if made.get("strip_codec") == "as delivered" or not isinstance(margin, int | float) or alignment not in ALIGNMENTS:
        raise TfdfdError(
            f"the store {store.folder} holds ready-made crops, which do not say what of which frame they show: masks "
            "need a store that `tfdfd prepare` made of clips"
        )
    return CropGeometry(store.crop_size, float(margin), str(alignment), store.num_places)


def pairs_of(store: FaceStore, clips: pd.DataFrame) -> list[Pair]:
    """Return the fakes of a store that have faces, each with its original.

    Args:
        store: the store.
        clips: a manifest's table.

    Raises:
        TfdfdError: if the store holds no fake with a face, or none of these clips.
    """
    from tfdfd.data.store import FILE_IS_GONE, source_bytes

    index = store.clips()
    sizes = dict(zip(values(index, "clip_id"), values(index, "source_bytes"), strict=True))
    with_faces = set(values(index, "clip_id")[np.isin(values(index, "status"), WITH_FACES)])
    paths = dict(zip(values(clips, "clip_id"), values(clips, "path"), strict=True))
    found, lengths = [], {}
    for clip_id, label, original in zip(
        values(clips, "clip_id"), clips["label"], values(clips, "original"), strict=True
    ):
        if label != FAKE or clip_id not in with_faces:
            continue
        path = paths.get(original, "")
        if not original:
            why = "the data do not say which clip it was made from"
        elif original not in paths:
            why = f"its original {original} is not among the clips"
        else:
            lengths.setdefault(path, source_bytes(Path(path)) if path else FILE_IS_GONE)
            why = "" if lengths[path] != FILE_IS_GONE else f"its original {original} has no file {path}"
        size = lengths[path] if not why else FILE_IS_GONE
        found.append(
            Pair(clip_id, Path(paths[clip_id]), None if why else Path(path), why, int(sizes[clip_id]), int(size))
        )
    if not found:
        fakes = int(np.sum(values(clips, "label") == FAKE))
        raise TfdfdError(
            f"the store {store.folder} holds no face of the {fakes} fakes among these {len(clips)} clips: give the "
            "--data that it was prepared from"
        )
    return found


def make_masks(
    store: FaceStore,
    masks: MaskStore,
    geometry: CropGeometry,
    clips: pd.DataFrame,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Make the masks that are missing; killed at any moment, the same command goes on.

    Raises:
        TfdfdError: if they cannot be written, or a worker process died.
    """
    pairs = pairs_of(store, clips)
    fakes = values(clips, "clip_id")[values(clips, "label") == FAKE]
    if without := np.setdiff1d(fakes, [pair.clip_id for pair in pairs]).tolist():
        have = "fake among the clips has" if len(without) == 1 else "fakes among the clips have"
        console.print(f"{len(without)} {have} no face in the store, so nothing to mask: {some(without, limit=3)}")
    if masks.is_of_unknown_make:
        console.print(
            f"{masks.folder} has records of masks but no masks.json, so nothing says how they were made: all are made "
            "anew",
            style="yellow",
        )
    todo = [
        pair
        for pair in pairs
        if not masks.holds(
            pair.clip_id,
            fake_bytes=pair.fake_bytes,
            original_bytes=pair.original_bytes,
            retry_failed=arguments.retry_failed,
        )
    ]
    console.print(
        f"masks in {masks.folder}: {len(pairs) - len(todo)} of {len(pairs)} fakes are done, {len(todo)} to do"
    )
    if not todo and masks.has_index:
        return
    with store.writing(), WorkProgress(console, "making masks", "fakes", len(todo)) as progress:
        masks.begin()
        with closing(made_in_turn(store.folder, todo, geometry, arguments.workers)) as found:
            lost = _keep(found, masks, progress, console)
        damaged = masks.rebuild_index()
    if lost:
        records_of = "record of 1 fake" if len(lost) == 1 else f"records of {len(lost)} fakes"
        console.print(
            f"the store has lost the {records_of}: {some(lost, limit=3)}. Run `tfdfd prepare` again, then this command",
            style="yellow",
        )
    if damaged:
        left_out = (
            "1 damaged record is left out, of a fake that is"
            if len(damaged) == 1
            else f"{len(damaged)} damaged records are left out, of fakes that are"
        )
        console.print(f"{left_out} not among the clips: delete {some(damaged, limit=3)}", style="yellow")


def _keep(
    found: Iterable[tuple[Pair, ClipMasks | Failed | None]], masks: MaskStore, progress: WorkProgress, console: Console
) -> list[str]:
    """Write what was made of each fake; return those of which the store has lost the record.

    Raises:
        RepeatedFaultError: where many fakes in a row fail alike; what was made before is written.
    """
    from tfdfd.data.mask_store import FAILED, ClipMasks

    lost = []
    with guarding(console, masks.store.folder, items="fakes") as guard:
        for pair, outcome in found:
            progress.advance()
            if outcome is None:  # nothing is written, so it is tried again
                lost.append(pair.clip_id)
                continue
            fault = outcome.fault if isinstance(outcome, Failed) else None
            made = ClipMasks(pair.clip_id, FAILED, outcome.reason) if isinstance(outcome, Failed) else outcome
            if made.status != OK:
                console.print(f"  {shown(f'{made.clip_id}: {made.status}, {made.reason}')}")
            for note in made.notes:
                console.print(f"  {shown(f'{made.clip_id}: {note}')}")
            record = partial(masks.write, made, fake_bytes=pair.fake_bytes, original_bytes=pair.original_bytes)
            if fault is not None:
                guard.failed(pair.clip_id, fault, record=record)
                continue
            record()
            if made.status == OK:
                guard.done()
    return lost


def print_summary(masks: MaskStore, console: Console) -> None:
    """Print how many fakes have masks, and list those that have none with the reasons."""
    from tfdfd.data.mask_store import MASK_STATUSES

    index = masks.index()
    clips = index.drop_duplicates("clip_id")
    counts = Counter(values(clips, "status"))
    faces = sum(int(np.sum(np.asarray(known))) for known in values(index, "is_known"))
    console.print(
        f"{len(clips)} fakes: "
        + ", ".join(f"{counts[status]} {status}" for status in MASK_STATUSES if counts[status])
        + f"; masks of {faces} faces in {masks.folder}; real clips need none, theirs are all zero"
    )
    for status in MASK_STATUSES[1:]:
        of_status = records(rows_where(clips, values(clips, "status") == status))
        for row in of_status[:LISTED]:
            console.print(f"  {row['clip_id']}: {status}, {row['reason']}")
        if len(of_status) > LISTED:
            left = some([row["clip_id"] for row in of_status[LISTED:]], limit=3)
            console.print(f"  and {left}: {status}, reasons in masks.parquet")
