"""How well cuts between shots are found and people of two shots are kept apart, and what is split that is one.

Clips that hold no cut are read as `tfdfd prepare` reads them, and scaled to 480 pixels. Printed are:

- of each limit on how far two looks may differ: faces of one track that would not be joined, between neighbouring
  places and between any two, and faces of different people that would be (from clips of different scenes);
- of each limit on how many colours a picture may lack of the one before: neighbouring frames of one clip that count as
  a cut, frames of one clip two seconds or more apart, and frames of different scenes that do not;
- with the limits as they are: cuts that were found of those made by joining three clips of different scenes, three
  seconds of each, tracks that hold faces of two of them, and clips without a cut whose tracks are others than before.

    python benchmarks/scene_cuts.py --data data/clips

Clips of one scene (an original and its fakes, or a name given as `--same a,b`) are never joined.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfdfd.clip import Detections, FramePlan, Track
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.frame_source import PyAvFrameSource, turn_upright
from tfdfd.data.video import probe
from tfdfd.faces import appearance, tracking
from tfdfd.faces.appearance import appearance_of
from tfdfd.faces.tracking import link_tracks

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
SIZE = (270, 480)
"""Height and width of the pictures that are joined; clips of another shape get bars."""
PLACES, SECONDS = 17, 3.0
"""Places of a clip, and seconds of each of the three."""
TRIPLES = 300
LOOK_LIMITS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
COLOUR_LIMITS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


@dataclass(frozen=True)
class Shot:
    """Frames of one clip and the faces in them."""

    frames: np.ndarray
    detections: list[Detections]

    def tracks(self, *, shots: bool = True, looks: bool = True) -> tuple[Track, ...]:
        """Link the faces, by as much of what they look like as is asked for."""
        seen = appearance_of(self.frames, np.arange(len(self.frames)), self.detections)
        return link_tracks(
            self.detections,
            np.arange(len(self.frames)),
            len(self.frames),
            self.frames.shape[1:3],
            shots=seen.shots if shots else None,
            looks=seen.looks if looks else None,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of clips without a cut")
    parser.add_argument("--same", nargs="*", default=[], metavar="A,B", help="names of clips that show one scene")
    arguments = parser.parse_args()
    from tfdfd.faces.mtcnn import MTCNN

    detector = MTCNN()
    same = {name: group.split(",")[0] for group in arguments.same for name in group.split(",")}
    paths = sorted(path for path in Path(arguments.data).rglob("*") if path.suffix.lower() in SUFFIXES)
    whole, starts, scenes = [], [], []
    for path in paths:
        frames = PyAvFrameSource().read(path, FramePlan(PLACES)).frames
        whole.append(_shot(np.stack([_scaled(frame) for frame in frames]), detector))
        starts.append(_shot(np.stack([_with_bars(frame) for frame in _first_seconds(path)]), detector))
        name = path.stem.split("_")[0]  # of FaceForensics++ the target, whose scene it is
        scenes.append(same.get(name, name))
    print(f"{len(paths)} clips of {len(set(scenes))} scenes")
    look_table(whole, scenes)
    colour_table(whole, starts, scenes)
    as_they_are(whole, starts, scenes, [path.name for path in paths])


def look_table(whole: list[Shot], scenes: list[str]) -> None:
    """Print how far looks differ, of one person's faces and of different people's."""
    people = []  # scene and looks of each track
    for shot, scene in zip(whole, scenes, strict=True):
        looks = appearance_of(shot.frames, np.arange(len(shot.frames)), shot.detections).looks
        for track in shot.tracks(shots=False, looks=False):
            rows = [(place, _row_of(shot.detections[place], track, place)) for place in np.flatnonzero(track.is_face)]
            people.append((scene, np.stack([looks[place][row] for place, row in rows])))
    neighbours = np.concatenate([np.abs(np.diff(looks, axis=0)).sum(1) for _, looks in people])
    anywhere = np.concatenate([_differences(looks, looks)[np.triu_indices(len(looks), 1)] for _, looks in people])
    pairs = [(a, b) for (s, a), (t, b) in itertools.combinations(people, 2) if s != t]
    others = np.concatenate([_differences(a, b).ravel() for a, b in pairs])
    print(
        f"\n{len(people)} tracks: {len(neighbours)} neighbours, {len(anywhere)} pairs, {len(others)} of different "
        "people"
    )
    print(
        f"greatest of one person {anywhere.max():.3f}, of neighbours {neighbours.max():.3f}; quantiles of neighbours "
        f"{np.quantile(neighbours, [0.5, 0.9, 0.99]).round(3).tolist()}, of different people 0 1 5 10 50 %: "
        f"{np.quantile(others, [0, 0.01, 0.05, 0.1, 0.5]).round(3).tolist()}"
    )
    print(f"{'look limit':>10} {'neighbours split':>17} {'pairs split':>12} {'people joined':>14}")
    for limit in LOOK_LIMITS:
        print(
            f"{limit:10.2f} {(neighbours > limit).mean():17.2%} {(anywhere > limit).mean():12.2%} "
            f"{(others <= limit).mean():14.2%}"
        )


def colour_table(whole: list[Shot], starts: list[Shot], scenes: list[str]) -> None:
    """Print how many colours pictures lack, of one clip and of different ones."""
    near, far, cut = [], [], []
    for shot in whole:
        near.append(_lost(shot.frames))
        far += [_lost(shot.frames[[a, b]]) for a, b in itertools.combinations(range(0, len(shot.frames), 4), 2)]
    for (s, a), (t, b) in itertools.permutations(zip(scenes, starts, strict=True), 2):
        if s != t:
            cut.append(_lost(np.stack([a.frames[-1], b.frames[0]])))
    near, far, cut = (np.concatenate(values) for values in (near, far, cut))
    print(
        f"\n{len(near)} neighbours, {len(far)} frames of one clip further apart, {len(cut)} cuts; greatest of "
        f"neighbours {near.max():.3f}, further apart {far.max():.3f}"
    )
    print(f"{'colour limit':>12} {'neighbours cut':>15} {'further apart cut':>18} {'cuts missed':>12}")
    for limit in COLOUR_LIMITS:
        print(
            f"{limit:12.2f} {(near >= limit).mean():15.2%} {(far >= limit).mean():18.2%} {(cut < limit).mean():12.2%}"
        )


def as_they_are(whole: list[Shot], starts: list[Shot], scenes: list[str], names: list[str]) -> None:
    """Print what becomes of clips without a cut, and of three clips joined, with the limits that the code has."""
    print(f"\nlimits: cut {appearance.CUT}, same look {tracking.SAME_LOOK}, steady {appearance.STEADY_LOOK}")
    changed = 0
    for shot, name in zip(whole, names, strict=True):
        shots = appearance_of(shot.frames, np.arange(len(shot.frames)), shot.detections).shots
        before = shot.tracks(shots=False, looks=False)
        after = shot.tracks()
        if shots[-1] or [t.is_face.tolist() for t in before] != [t.is_face.tolist() for t in after]:
            changed += 1
            print(f"  {name}: {shots[-1]} cuts, {[t.num_faces for t in before]} became {[t.num_faces for t in after]}")
    print(f"{changed} of {len(whole)} clips without a cut are split or have other tracks")
    rng = np.random.default_rng(0)
    num_cuts, num_found, num_extra = 0, 0, 0
    crossing = {"position alone": 0, "cuts": 0, "looks": 0, "cuts and looks": 0}
    made = 0
    while made < TRIPLES:
        chosen = rng.choice(len(starts), 3, replace=False)
        if len({scenes[number] for number in chosen}) < 3:
            continue
        made += 1
        parts = [starts[number] for number in chosen]
        joined = Shot(
            np.concatenate([part.frames for part in parts]), [one for part in parts for one in part.detections]
        )
        of_clip = np.repeat(np.arange(3), [len(part.frames) for part in parts])
        shots = appearance_of(joined.frames, np.arange(len(joined.frames)), joined.detections).shots
        is_cut, is_true = np.diff(shots) > 0, np.diff(of_clip) > 0
        num_cuts, num_found = num_cuts + int(is_true.sum()), num_found + int((is_cut & is_true).sum())
        num_extra += int((is_cut & ~is_true).sum())
        for name, ways in zip(crossing, itertools.product((False, True), repeat=2), strict=True):
            by_looks, by_shots = ways
            tracks = joined.tracks(shots=by_shots, looks=by_looks)
            crossing[name] += sum(len(set(of_clip[track.is_face])) > 1 for track in tracks)
    print(
        f"{made} times three clips: {num_found} of {num_cuts} cuts found ({num_found / num_cuts:.1%}), {num_extra} "
        "where there is none"
    )
    for name, count in crossing.items():
        print(f"  by {name}: {count} tracks hold faces of two clips")


def _shot(frames: np.ndarray, detector) -> Shot:
    return Shot(frames, detector(frames))


def _first_seconds(path: Path) -> np.ndarray:
    info = probe(path)
    step = max(1, round(3 * SECONDS / PLACES * info.frames_per_second))  # as far apart as the places of three clips
    chosen = np.arange(step // 2, min(info.num_frames, int(SECONDS * info.frames_per_second)), step)
    return turn_upright(read_frames(path, info, chosen), info.quarter_turns)


def _scaled(frame: np.ndarray) -> np.ndarray:
    scale = SIZE[1] / max(frame.shape)
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))


def _with_bars(frame: np.ndarray) -> np.ndarray:
    scale = min(SIZE[0] / frame.shape[0], SIZE[1] / frame.shape[1])
    height, width = round(frame.shape[0] * scale), round(frame.shape[1] * scale)
    top, left = (SIZE[0] - height) // 2, (SIZE[1] - width) // 2
    picture = np.zeros((*SIZE, 3), np.uint8)
    resized = Image.fromarray(frame).resize((width, height), Image.Resampling.BOX)
    picture[top : top + height, left : left + width] = np.asarray(resized)
    return picture


def _row_of(detections: Detections, track: Track, place: Any) -> int:
    return int(np.flatnonzero((detections.boxes_xyxy == track.boxes_xyxy[place]).all(axis=1))[0])


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a[:, None] - b[None]).sum(axis=2)


def _lost(frames: np.ndarray) -> np.ndarray:
    return appearance.colours_lost(tf.constant(frames)).numpy()


if __name__ == "__main__":
    main()
