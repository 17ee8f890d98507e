"""Where the faces of a training run come from: a store, a store without its clips, or video itself."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from tfdfd.clip import FAKE, OK, REAL, Clip, ClipFaces, TfdfdError
from tfdfd.commands.extracting import WorkerConfig, worker_config
from tfdfd.commands.inputs import has_gpu, make_datasets, make_frame_source, names_data, provenance
from tfdfd.data.degradation import Degradation
from tfdfd.data.manifest import NO_LABEL, Manifest, clips_in, with_known_originals
from tfdfd.data.mask_strips import check_masks
from tfdfd.data.ready_crops import READY_MADE
from tfdfd.data.splits import TRAIN, VAL, Split
from tfdfd.data.tables import rows_where, values
from tfdfd.faces.config import ExtractionConfig
from tfdfd.training.config import TrainConfig

if TYPE_CHECKING:
    import tensorflow as tf

    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.data.rows import FaceTable
    from tfdfd.data.store import FaceStore
    from tfdfd.training.sources import TrainingSource, ValidationSource


def store_alone(arguments: argparse.Namespace, crops: ExtractionConfig, console: Console) -> FaceStore | None:
    """Return the store to train on where it is all there is: --store without --data, $TFDFD_DATA or ./data."""
    if not arguments.store or names_data(arguments.data) or arguments.stream:
        return None
    if not (Path(arguments.store) / "manifest.parquet").is_file():
        return None
    from tfdfd.data.store import FaceStore

    for flag, value in (
        ("--retry-failed", arguments.retry_failed),
        ("--crop-margin", arguments.crop_margin),
        ("--compression", arguments.compression),
        ("--workers, --clip-timeout, --ray or --decoder", worker_config(arguments) != WorkerConfig(cpu=arguments.cpu)),
    ):
        if value:
            raise TfdfdError(f"{flag} needs the clips, and only a store is given: add --data, or leave it out")
    store = FaceStore.open(Path(arguments.store))
    made = {**store.fingerprint.preprocessing, "places": store.num_places}
    made["detect_every"] = made.get("detect_every_seconds")
    # Of ready-made crops the detector may not be known.
    made["min_face_share"] = made["detector"].get("min_face_share") if isinstance(made["detector"], dict) else None
    for name in (field.name for field in fields(ExtractionConfig)):
        asked, found = getattr(crops, name), made.get(name)
        if asked not in (getattr(ExtractionConfig(), name), found):
            raise TfdfdError(
                f"--{name.replace('_', '-')} {asked}: the store {store.folder} was made with {found}, and its "
                "clips are not here to make it anew"
            )
    console.print(f"no clips are given: labels and faces come from the store {store.folder}")
    return store


def manifest_of(store: FaceStore) -> Manifest:
    """Return the manifest that a store holds.

    Raises:
        TfdfdError: if its clips have no labels.
    """
    if np.any(store.manifest()["label"] == NO_LABEL):
        raise TfdfdError(
            f"the store {store.folder} was made to score clips without labels: give --data, a folder with labels"
        )
    is_faces = store.fingerprint.preprocessing["detector"] == READY_MADE
    root = Path(store.fingerprint.provenance["source"])
    table, notes = with_known_originals(store.manifest())
    return Manifest(
        table=table,
        layout="faces" if is_faces else "csv",
        root=root,
        is_faces=is_faces,
        has_frames=is_faces and store.num_places > 1,
        notes=notes,
    )


def store_sources(
    store: FaceStore,
    split: Split,
    arguments: argparse.Namespace,
    config: TrainConfig,
    degradation: Degradation,
    strategy: tf.distribute.Strategy,
    run_folder: Path,
    console: Console,
) -> tuple[TrainingSource, ValidationSource]:
    """Return the faces of both sides of a split, from a store.

    Raises:
        TfdfdError: if a side has no face, or only one label with a face.
    """
    from tfdfd.commands.blended_validation import watch_landmarks, with_blended_tracks
    from tfdfd.data.crop_bytes import read_crop_bytes
    from tfdfd.data.mask_store import MaskStore
    from tfdfd.data.strips import check_strips
    from tfdfd.data.tracks import scoring_rows, training_table
    from tfdfd.training.sources import FaceTableSource, StripSource

    datasets = make_datasets(console, arguments.input)
    console.print(f"batches come from {datasets.name}")
    clips, sides = split.table, split.sides
    table = training_table(
        store,
        rows_where(clips, sides == TRAIN),
        main_only=config.tracks == "main",
        masks=None if config.segmentation == "none" else MaskStore(store),
        watch_landmarks=(watch_landmarks(console) if degradation.needs_landmarks or config.fakes != "given" else None),
    )
    _print_choice(table, config, degradation, console)
    _print_masks(table, console)
    val_clips = rows_where(clips, sides == VAL)
    rows = scoring_rows(store, val_clips)
    if config.fakes == "given":
        require_both_labels(TRAIN, table.labels)
    labels = np.full(len(val_clips), -1)
    labels[rows.clip_rows] = values(val_clips, "label")[rows.clip_rows]
    if without := int((labels < 0).sum()):
        console.print(f"{without} validation clips have no face: they do not choose the best epoch", style="yellow")
    if config.fakes != "given" and not np.any(labels == FAKE):
        console.print(
            "there is no fake clip to validate on: each validation clip is scored beside itself, self-blended",
            style="yellow",
        )
        rows, labels = with_blended_tracks(store, rows, labels, val_clips, run_folder, console)
    require_both_labels(VAL, labels[rows.clip_rows])
    check_strips([*table.strip_paths, *rows.strip_paths])
    table = replace(table, crop_bytes=read_crop_bytes(table.strip_paths, store.num_places, store.crop_size))
    return (
        FaceTableSource(table, config, datasets, strategy, store.crop_size, degradation),
        StripSource(rows, labels, config, datasets, strategy, store.crop_size),
    )


def _print_choice(table: FaceTable, config: TrainConfig, degradation: Degradation, console: Console) -> None:
    """Print what of the faces cannot be used as the settings say."""
    if config.balance == "paired" and config.fakes == "given":
        paired = np.unique(table.originals[table.originals >= 0])
        console.print(
            f"paired: {len(paired)} of {int((table.labels == REAL).sum())} real tracks have a fake here; of its fakes "
            "one is drawn every epoch, the other tracks are left out"
        )
    if table.landmarks_xy is not None and (unknown := int(np.isnan(table.landmarks_xy[table.is_face][:, 0, 0]).sum())):
        what = [name for name, used in (("blended", config.fakes != "given"), ("cut out", degradation.cutout)) if used]
        console.print(
            f"no landmarks are found in {unknown} of {table.num_faces} faces: they are not {' or '.join(what)}",
            style="yellow",
        )


def _print_masks(table: FaceTable, console: Console) -> None:
    """Print of how many faces it is known what was altered.

    Raises:
        TfdfdError: if it is of no fake, or masks are missing or damaged.
    """
    if table.masks is None:
        return
    is_fake = table.labels == FAKE
    known, faces = int((table.masks.is_known & table.is_face)[is_fake].sum()), int(table.is_face[is_fake].sum())
    if not known:
        raise TfdfdError(
            f"of none of the {faces} fake faces to train on it is known what was altered: look at what `tfdfd masks` "
            "printed, or leave out --segmentation"
        )
    check_masks([path for path in table.masks.paths if path])
    console.print(
        f"masks: known of {known} of {faces} fake faces to train on; the others teach the face's logit alone"
        if known < faces
        else f"masks: known of all {faces} fake faces to train on"
    )


def stream_sources(
    manifest: Manifest,
    split: Split,
    arguments: argparse.Namespace,
    crops: ExtractionConfig,
    config: TrainConfig,
    degradation: Degradation,
    strategy: tf.distribute.Strategy,
    console: Console,
) -> tuple[TrainingSource, ValidationSource, Fingerprint]:
    """Return the faces of both sides of a split, straight from video, and their fingerprint.

    Raises:
        TfdfdError: for ready-made crops or options that only a store honours.
    """
    from tfdfd.data.fingerprint import Fingerprint
    from tfdfd.extraction import extraction_fingerprint
    from tfdfd.faces.mtcnn import MTCNN
    from tfdfd.streaming import FaceStream, TrackStream
    from tfdfd.training.stream_sources import FaceStreamSource, TrackStreamSource

    if manifest.is_faces:
        raise TfdfdError("--stream reads video, and these are ready-made crops: leave --stream out")
    for flag, value in (
        ("--store", arguments.store),
        ("--retry-failed", arguments.retry_failed),
        (f"--input {arguments.input}", arguments.input != "auto"),
        ("--accept-mismatch", arguments.accept_mismatch),
        ("--crop-margin", arguments.crop_margin is not None),
        (
            "--workers, --clip-timeout or --ray",
            worker_config(arguments) != WorkerConfig(decoder=arguments.decoder, cpu=arguments.cpu),
        ),
        ("--steps-per-epoch", config.steps_per_epoch),
        ("--sampling one", config.sampling != "all"),
        (f"--balance {config.balance}", config.balance not in ("none", "weights")),
        (f"--fakes {config.fakes}", config.fakes != "given"),
        ("degradation", degradation.is_on),
        (f"--segmentation {config.segmentation}", config.segmentation != "none"),
    ):
        if value:
            told = f" (--recipe {arguments.recipe} may have set it)" if arguments.recipe != "plain" else ""
            raise TfdfdError(f"--stream cannot honour {flag}{told}: leave one of them out")
    detector = MTCNN(min_face_share=crops.min_face_share)
    found = extraction_fingerprint(crops, detector.settings, provenance(manifest.root))
    fingerprint = Fingerprint(found.preprocessing, {**found.provenance, "num_places": crops.places, "stream": True})
    announced: set[str] = set()

    def on_clip(faces: ClipFaces) -> None:
        if faces.status != OK and faces.clip_id not in announced:
            announced.add(faces.clip_id)
            console.print(f"  {faces.clip_id}: {faces.status}, {faces.reason}")

    def clips_of(side: str) -> tuple[list[Clip], np.ndarray]:
        table = rows_where(split.table, split.sides == side)
        return clips_in(table), values(table, "label").astype(np.int64)

    train_clips, labels = clips_of(TRAIN)
    weights = np.ones(len(labels), np.float32)
    if config.balance == "weights":
        for label in (0, 1):
            weights[labels == label] = len(labels) / (2 * (labels == label).sum())
    # Each side reads with its own source: validation may begin while the next training batches are being read.
    stream = FaceStream(
        train_clips,
        labels.astype(np.float32),
        weights,
        make_frame_source(console, gpu=has_gpu(), decoder=arguments.decoder),
        detector,
        crops,
        seed=config.seed,
        global_batch_size=config.batch_size,
        mirror=config.mirror,
        main_only=config.tracks == "main",
        on_clip=on_clip,
    )
    val_clips, val_labels = clips_of(VAL)
    console.print(f"finding the faces of the {len(val_clips)} validation clips")
    tracks = TrackStream(
        val_clips,
        make_frame_source(console, gpu=has_gpu(), decoder=arguments.decoder),
        detector,
        crops,
        on_clip=on_clip,
    )
    require_both_labels(VAL, val_labels[tracks.clip_rows])
    with_face = np.full(len(val_labels), -1)
    with_face[tracks.clip_rows] = val_labels[tracks.clip_rows]
    return FaceStreamSource(stream, strategy), TrackStreamSource(tracks, with_face, strategy), fingerprint


def require_both_labels(side: str, labels: np.ndarray) -> None:
    """Refuse a side of a split on which a label has no face.

    Args:
        side: TRAIN or VAL.
        labels: of its tracks that have a face, shape (n,).

    Raises:
        TfdfdError: says how many there are of each.
    """
    real, fake = int((labels == 0).sum()), int((labels == 1).sum())
    if not real or not fake:
        name = {TRAIN: "training", VAL: "validation"}[side]
        raise TfdfdError(
            f"the {name} side has faces of {real} real and {fake} fake tracks, both labels are needed: look at the "
            "clips that have no face or failed, or choose another split"
        )
