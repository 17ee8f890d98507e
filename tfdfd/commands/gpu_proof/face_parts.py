"""Faces found by what a worker is made of, and clips extracted by workers; TensorFlow is loaded as they load it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from rich.console import Console

from tfdfd.clip import OK, Clip
from tfdfd.commands.extracting import WorkerConfig, extract_in_workers, make_parts
from tfdfd.commands.gpu_proof.context import Context, Figures, require
from tfdfd.commands.gpu_proof.faces import CROP_SIZE, PLACES
from tfdfd.commands.inputs import num_cores
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.store import FaceStore
from tfdfd.extraction import extraction_fingerprint, faces_of_frames
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.mtcnn_weights import mtcnn_settings
from tfdfd.workers.events import Done
from tfdfd.workers.job import Share


def find_faces(context: Context, clips: list[str], file: str, kind: str) -> None:
    """Write boxes and crops of the main person of each clip, from PyAV's frames.

    A dry run's `card` resizes by matrix products, as a card does, where its `cpu` resizes by area.
    """
    config = ExtractionConfig(places=PLACES, crop_size=CROP_SIZE)
    detector = make_parts(config, Share(num_cores())).detector
    if context.is_dry and kind == "card":
        from tfdfd.faces.mtcnn import MTCNN  # after make_parts, which loads TensorFlow as a worker does

        detector = MTCNN(min_face_share=config.min_face_share, by_matmul=True)
    source = PyAvFrameSource()
    is_face = np.zeros((len(clips), PLACES), np.bool_)
    boxes = np.zeros((len(clips), PLACES, 4), np.float32)
    crops = np.zeros((len(clips), PLACES, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    for row, clip in enumerate(clips):
        found = faces_of_frames(clip, source.read(Path(clip), config.frame_plan), detector, config)
        if found.status == OK:
            track = found.tracks[0]
            is_face[row], boxes[row], crops[row] = track.is_face, track.boxes_xyxy, found.crops[0]
    np.savez(file, is_face=is_face, boxes=boxes, crops=crops)


def extract(context: Context, clips: str, store_folder: str, most_workers: int) -> Figures:
    """Extract clips by the default workers, and measure from when each worker can have done its first clip."""
    config = ExtractionConfig(crop_size=CROP_SIZE)
    settings = mtcnn_settings(min_face_share=config.min_face_share)
    fingerprint = extraction_fingerprint(config, settings, {})
    store, _ = FaceStore.create_or_open(Path(store_folder), fingerprint, num_places=config.places)
    paths = sorted(Path(clips).glob("*.mp4"))
    done: list[float] = []
    failed: list[str] = []

    def on_clip(clip: Done) -> None:
        done.append(time.monotonic())
        if clip.status != OK:
            failed.append(f"{clip.clip_id}: {clip.status}, {clip.reason}")

    began = time.monotonic()
    with store.writing() as token:
        extract_in_workers(
            [Clip(path.stem, path) for path in paths],
            store,
            config,
            WorkerConfig(),
            Console(),
            run_token=token,
            on_clip=on_clip,
        )
    require(not failed, f"{len(failed)} of {len(paths)} clips have no face, first {failed[:1]}")
    # Workers start together, so of the first clips the time tells how long they take to start.
    steady = done[most_workers - 1 :]
    rate = (len(steady) - 1) / max(steady[-1] - steady[0], 1e-6)
    return {
        "clips_a_second": round(rate, 2),
        "seconds_to_first": round(done[0] - began, 1),
        "decoders": sorted({record["decoder"] for record in store.clips().to_dict("records")}),
    }
