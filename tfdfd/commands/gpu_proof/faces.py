"""Faces on a card against faces on the CPU, and how fast workers make them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tfdfd.commands.gpu_proof.context import ALL, NONE, ONE, Context, Figures, require
from tfdfd.commands.gpu_proof.process import part
from tfdfd.commands.gpu_proof.samples import demo_clips, full_hd_clips
from tfdfd.commands.inputs import num_cores

PLACES, CROP_SIZE = 5, 96
BOX_PIXELS = 1.0
"""How far a card's box may lie from the CPU's: their sums are rounded in another order, and boxes are whole pixels of a
pyramid level before they are refined."""
CROP_LEVELS = 1.0
"""Levels of 255 by which a card's crop may differ in the mean."""
AS_FAST = 0.95
"""Of two equal rates that are measured over some seconds one is smaller by some hundredths."""
CORES_A_WORKER = 2
"""There are at most so many workers as the cores divided by this, or as cards."""
CLIPS_A_WORKER, DRY_CLIPS = 6, 6


def against_the_cpu(context: Context) -> Figures:
    """Find, link and crop the faces of the same frames on a card and on the CPU."""
    clips = [str(path) for path in (*demo_clips(context.data), *full_hd_clips(context.data)[:1])]
    files = {}
    for kind, cards in (("cpu", NONE), ("card", ONE)):
        files[kind] = context.folder / f"{kind}.npz"
        part(context, "face_parts:find_faces", clips, str(files[kind]), kind, cards=cards)
    with np.load(files["cpu"]) as cpu, np.load(files["card"]) as card:
        require(np.array_equal(cpu["is_face"], card["is_face"]), "faces are found at other places of the clips")
        is_face = cpu["is_face"]
        num_faces = int(is_face.sum())
        require(num_faces >= len(clips) * PLACES // 2, f"only {num_faces} faces are found in {len(clips)} clips")
        apart = float(np.abs(cpu["boxes"] - card["boxes"])[is_face].max())
        crops = np.abs(cpu["crops"].astype(np.int16) - card["crops"])[is_face].mean(axis=(1, 2, 3))
    require(apart <= BOX_PIXELS, f"a box lies {apart:.2f} pixels from the CPU's, at most {BOX_PIXELS:g} is allowed")
    worst = float(crops.max())
    require(worst <= CROP_LEVELS, f"a crop differs by {worst:.2f} levels in the mean, at most {CROP_LEVELS:g} may be")
    return {"faces": num_faces, "largest_box_pixels": round(apart, 3), "largest_crop_levels": round(worst, 3)}


def default_workers(context: Context) -> Figures:
    """Extract clips by the default workers, on cards and on the CPU alone; cards must not make it slower."""
    rendered = full_hd_clips(context.data)
    workers = max(1, num_cores() // CORES_A_WORKER, len(context.cards))
    clips = context.folder / "clips"
    clips.mkdir()
    for number in range(DRY_CLIPS if context.is_dry else CLIPS_A_WORKER * workers):
        path = clips / f"{number:04d}.mp4"
        try:
            path.hardlink_to(rendered[number % len(rendered)])
        except OSError:  # a disk that knows no links
            shutil.copyfile(rendered[number % len(rendered)], path)
    figures = _rate(context, clips, NONE, "cpu", workers)
    if context.is_dry:
        return figures
    figures |= _rate(context, clips, ALL, "default", workers)
    cpu, default = figures["cpu_clips_a_second"], figures["default_clips_a_second"]
    require(default >= AS_FAST * cpu, f"with cards {default} clips/s are made, without them {cpu}: cards slow it down")
    return figures


def _rate(context: Context, clips: Path, cards: str, name: str, workers: int) -> Figures:
    store = str(context.folder / f"store-{name}")
    found = part(context, "face_parts:extract", str(clips), store, workers, cards=cards)
    return {f"{name}_{key}": value for key, value in found.items()}
