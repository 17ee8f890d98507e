"""How much must be found before a clip is said to show a face: false faces against lost ones, threshold by threshold.

Clips with a face: those of --data, 17 places each, as they are, and at a quarter of their size after JPEG of quality
20 (`poor`). Pictures with one: --crops, of which 500 are taken, in a grey border. Clips without: regions of the same
clips, 17 places each, that lie away from every face; and scikit-image's pictures that show neither person nor animal,
standing still, panned, zoomed and turned, with noise. The pictures without a face are single frames of these.

A row is a pair of thresholds: faces of a track, and their mean confidence. Its columns say how many clips without a
face get a score, of these how many with the status weak_evidence, how many with a face lose theirs, or keep it with
that status; and pictures alike. `before` is the rule that let a clip's main track stay whatever it was.

Then: clips of --data on their side and upside down, how many are found as they lie and after quarter turns; clips
without a face that show one only when turned; and what the turns cost in seconds.

With --scores, lines of `tfdfd score --json`: how often the verdict on so few faces, drawn at random, is another than
that on all.

    python benchmarks/evidence.py --data data/clips --crops data/faces --scores scores.jsonl
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data as pictures

from tfdfd.clip import ClipFrames, Detections, FramePlan, Track, VideoInfo, is_weak
from tfdfd.data.frame_source import PyAvFrameSource, turn_upright
from tfdfd.extraction import faces_of_frames
from tfdfd.faces import tracking
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.tracking import link_tracks

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
OBJECTS = (
    *("brick", "cell", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse", "hubble_deep_field"),
    *("immunohistochemistry", "logo", "microaneurysms", "moon", "page", "retina", "rocket", "text"),
)
MOVES = ("still", "panned", "zoomed", "turned")
OBJECT_SIZE = (360, 640)
REGIONS = ((0.4, 0.4), (0.3, 0.5), (0.5, 0.25), (0.25, 0.35))
"""Height and width of background regions as shares of the frame's, the first that fit."""
REGIONS_A_CLIP = 3
NUM_CROPS = 500
PARTS = ("thresholds", "turns")
MIN_FACES = (1, 2, 3, 4, 6)
MIN_CONFIDENCES = (0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97)
Frames = np.ndarray


@dataclass(frozen=True)
class Found:
    """What the detector finds in a clip or a picture."""

    name: str
    detections: list[Detections]
    size: tuple[int, int]

    def tracks(self, **options: Any) -> tuple[Track, ...]:
        """Link it by position alone: looks and cuts take nothing away that is evidence."""
        places = np.arange(len(self.detections))
        return link_tracks(self.detections, places, len(places), self.size, **options)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of clips with a face")
    parser.add_argument("--crops", required=True, metavar="DIR", help="folder of pictures of one face")
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS, help="tables to print")
    parser.add_argument("--scores", metavar="FILE", help="lines of `tfdfd score --json` over the same clips")
    arguments = parser.parse_args()
    from tfdfd.faces.mtcnn import MTCNN

    detector, folder = MTCNN(), Path(arguments.data)
    if "thresholds" in arguments.parts:
        thresholds(detector, folder, Path(arguments.crops))
    if "turns" in arguments.parts:
        turn_table(detector, folder)
    if arguments.scores:
        few_faces_table(Path(arguments.scores))


def thresholds(detector: Any, folder: Path, crop_folder: Path) -> None:
    """Print the table of thresholds, and the clips without a face in which most was found."""

    def look(frames: Iterator[tuple[str, Frames]]) -> list[Found]:
        return [Found(name, detector(one), one.shape[1:3]) for name, one in frames]

    clips = look(real_clips(folder))
    poor = look((name, poorer(frames)) for name, frames in real_clips(folder))
    backgrounds = look(background_clips(folder, {one.name: one for one in clips}))
    objects = look(object_clips())
    crops = look(crop_pictures(crop_folder))
    without = [*backgrounds, *objects]
    stills = [Found(one.name, [found], one.size) for one in without for found in one.detections]
    print(
        f"{len(clips)} clips with a face, {len(crops)} pictures; without: {len(backgrounds)} backgrounds and "
        f"{len(objects)} of objects, {len(stills)} frames in all"
    )
    threshold_table(clips, poor, without, crops, stills)
    for one in sorted(without, key=lambda one: -sum(len(found) for found in one.detections))[:8]:
        confidences = np.concatenate([found.confidences for found in one.detections])
        if len(confidences):
            where = sum(len(found) > 0 for found in one.detections)
            print(
                f"  {one.name}: at {where} of {len(one.detections)} places, mean {confidences.mean():.3f}, "
                f"greatest {confidences.max():.3f}"
            )


def threshold_table(
    clips: list[Found], poor: list[Found], without: list[Found], crops: list[Found], stills: list[Found]
) -> None:
    """Print what each pair of thresholds lets through, and takes away."""
    print(
        f"\n{'faces':>6} {'conf':>5} | {'false clips':>11} {'weak':>5} | {'lost clips':>10} {'weak':>5} | "
        f"{'lost poor':>9} {'weak':>5} | {'false pictures':>14} | {'lost pictures':>13}"
    )

    def row(name: str, **options: Any) -> str:
        (scored, weak), real, bad = (counts(group, **options) for group in (without, clips, poor))
        false_stills, good_crops = counts(stills, **options)[0], counts(crops, **options)[0]
        return (
            f"{name:>12} | {scored:11d} {weak:5d} | {len(clips) - real[0]:10d} {real[1]:5d} | "
            f"{len(poor) - bad[0]:9d} {bad[1]:5d} | {false_stills:14d} | {len(crops) - good_crops:13d}"
        )

    print(row("before", asks_evidence=False))
    standing = tracking.MIN_FACES, tracking.MIN_MEAN_CONFIDENCE
    for faces, confidence in itertools.product(MIN_FACES, MIN_CONFIDENCES):
        tracking.MIN_FACES, tracking.MIN_MEAN_CONFIDENCE = faces, confidence
        mark = " *" if (faces, confidence) == standing else ""
        print(row(f"{faces:6d} {confidence:5.2f}") + mark, flush=True)
    tracking.MIN_FACES, tracking.MIN_MEAN_CONFIDENCE = standing


def counts(group: list[Found], **options: Any) -> tuple[int, int]:
    """Return how many clips keep a track, and of these how many on weak evidence."""
    scored, weak = 0, 0
    for one in group:
        if tracks := one.tracks(**options):
            scored += 1
            weak += is_weak(int(np.any([track.is_face for track in tracks], axis=0).sum()), len(one.detections))
    return scored, weak


def turn_table(detector: Any, folder: Path) -> None:
    """Print what quarter turns find, and what they cost."""
    config = ExtractionConfig(crop_size=96)
    print(
        f"\n{'clips':>28} {'as they lie':>12} {'after turns':>12} {'rightly turned':>15} {'seconds':>8} {'without':>8}"
    )

    def row(name: str, clips: Iterator[Frames], right: int | None) -> None:
        plain, found, rightly, seconds = 0, 0, 0, [0.0, 0.0]
        number = 0
        for frames in clips:
            number += 1
            for way, tries in enumerate((True, False)):
                began = time.perf_counter()
                faces = faces_of_frames("clip", as_read(frames), detector, config, tries_turns=tries)
                seconds[way] += time.perf_counter() - began
                if tries:
                    found, rightly = found + bool(faces.tracks), rightly + (faces.turns == right)
                else:
                    plain += bool(faces.tracks)
        told = "" if right is None else f"{rightly:d}"
        print(
            f"{number:4d} {name:>23} {plain:12d} {found:12d} {told:>15} "
            f"{seconds[0] / number:8.2f} {seconds[1] / number:8.2f}",
            flush=True,
        )

    halves = [half(frames) for _, frames in real_clips(folder)]
    for turns in range(4):
        row(f"turned by {90 * turns}", (turn_upright(frames, turns) for frames in halves), -turns % 4)
    row("of objects, no face", (frames for _, frames in object_clips()), None)


def few_faces_table(scores: Path) -> None:
    """Print how often few faces say something else than all."""
    rng = np.random.default_rng(0)
    people = []
    for line in scores.read_text().splitlines():
        for window in json.loads(line)["windows"]:
            people += [np.array([face["fake_probability"] for face in track["faces"]]) for track in window["tracks"]]
    people = [one for one in people if len(one) >= 15]
    print(f"\n{len(people)} people of at least 15 faces; verdicts at 0.5 by the mean")
    print(f"{'faces':>6} {'other verdict':>14} {'mean difference':>16}")
    for count in (1, 2, 3, 4, 5, 6, 8, 10, 12):
        drawn = [(rng.choice(one, count, replace=False).mean(), one.mean()) for one in people for _ in range(200)]
        few, every = np.array(drawn).T
        print(f"{count:6d} {((few >= 0.5) != (every >= 0.5)).mean():14.2%} {np.abs(few - every).mean():16.3f}")


def real_clips(folder: Path) -> Iterator[tuple[str, Frames]]:
    """Yield the frames of the places of each clip."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        yield str(path), PyAvFrameSource().read(path, FramePlan(17)).frames


def poorer(frames: Frames) -> Frames:
    """Return frames at a quarter of their size, coded badly."""

    def one(frame: np.ndarray) -> np.ndarray:
        small = Image.fromarray(frame).resize((frame.shape[1] // 4, frame.shape[0] // 4), Image.Resampling.BOX)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=20)
        return np.asarray(Image.open(buffer))

    return np.stack([one(frame) for frame in frames])


def half(frames: Frames) -> Frames:
    """Return frames at half their size."""
    size = (frames.shape[2] // 2, frames.shape[1] // 2)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in frames])


def background_clips(folder: Path, found: dict[str, Found]) -> Iterator[tuple[str, Frames]]:
    """Yield regions of clips that lie away from all faces."""
    for name, frames in real_clips(folder):
        height, width = frames.shape[1:3]
        boxes = np.concatenate([one.boxes_xyxy for one in found[name].detections])
        around = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * 0.6
        faces = np.concatenate([boxes[:, :2] - around, boxes[:, 2:] + around], axis=1)
        taken: list[np.ndarray] = []
        for high, wide in REGIONS:
            size = np.array([wide * width, high * height])
            for y, x in itertools.product(np.linspace(0, height - size[1], 7), np.linspace(0, width - size[0], 7)):
                region = np.array([x, y, x + size[0], y + size[1]])
                if len(taken) < REGIONS_A_CLIP and not any(_touch(region, other) for other in [*faces, *taken]):
                    taken.append(region)
        for number, region in enumerate(taken):
            x1, y1, x2, y2 = region.astype(int)
            yield f"{name}, region {number}", np.ascontiguousarray(frames[:, y1:y2, x1:x2])


def _touch(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())


def object_clips() -> Iterator[tuple[str, Frames]]:
    """Yield pictures without a face that stand still or move slowly, with noise."""
    for name, move in itertools.product(OBJECTS, MOVES):
        picture = _rgb(getattr(pictures, name)())
        frames = [_view(picture, move, number / 16 - 0.5) for number in range(17)]
        noise = np.random.default_rng(0).normal(0, 3, (17, *OBJECT_SIZE, 3))
        yield f"{name}, {move}", np.clip(np.stack(frames) + noise, 0, 255).astype(np.uint8)


def _view(picture: np.ndarray, move: str, time_share: float) -> np.ndarray:
    """Return what a camera sees of a picture at -0.5 to 0.5 of its move."""
    (height, width), (rows, columns) = picture.shape[:2], OBJECT_SIZE
    grow = {"still": 1.0, "panned": 1.5, "zoomed": 1.6 + 0.8 * time_share, "turned": 1.3}[move]
    scale = max(columns / width, rows / height) * grow
    centre = np.array([width, height]) / 2
    if move == "panned":
        centre = centre + time_share * np.array([0.3 * width, 0.2 * height])
    image = Image.fromarray(picture)
    if move == "turned":
        image = image.rotate(30 * time_share, Image.Resampling.BILINEAR)
    low, high = centre - np.array([columns, rows]) / scale / 2, centre + np.array([columns, rows]) / scale / 2
    low, high = np.maximum(low, 0), np.minimum(high, [width, height])
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR, box=(*low, *high)), np.float32)


def _rgb(picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture)
    if picture.dtype == np.bool_:
        picture = picture.astype(np.uint8) * 255
    if picture.ndim == 2:
        picture = np.stack([picture] * 3, axis=-1)
    return np.ascontiguousarray(picture[..., :3])


def crop_pictures(folder: Path) -> Iterator[tuple[str, Frames]]:
    """Yield some of the crops, each in a grey border of half its side."""
    paths = sorted(folder.rglob("*.jpg"))
    for path in paths[:: max(1, len(paths) // NUM_CROPS)]:
        crop = np.asarray(Image.open(path).convert("RGB"))
        edge = len(crop) // 2
        yield str(path), np.pad(crop, [(edge, edge), (edge, edge), (0, 0)], constant_values=127)[None]


def as_read(frames: Frames) -> ClipFrames:
    """Return frames as a frame source would."""
    n, (height, width) = len(frames), frames.shape[1:3]
    info = VideoInfo("h264", "", "yuv420p", width, height, n, np.arange(n), 0.6, 1 / 0.6, 0, False, False)
    return ClipFrames(frames, np.arange(n), np.arange(n), info, "pyav", "a benchmark")


if __name__ == "__main__":
    main()
