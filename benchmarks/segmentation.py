"""How well altered regions are found, by difference and by the network, and what the second head does to AUC.

    python benchmarks/segmentation.py --data FFPP --weights xception.weights.h5 --work WORK [--only PART ...]

FFPP is a FaceForensics++ folder. Clips of the originals 585 and 599, and the fakes of these, are held out: nothing is
trained on or chosen by them but the epoch. Parts, each a table; a killed run goes on:

- `known`: into clips of the originals 183 and 253 an ellipse of the face's own mirrored pixels is put, which is then
  known to the pixel; both versions are encoded by x264 at several strengths. Mean IoU with the ellipse of the
  thresholded difference (mean absolute difference of the colours above a threshold) and of `tfdfd masks`.
- `pairs`: held-out fakes and their originals, both encoded again. The reference is what `tfdfd masks` finds in them as
  they came. Mean IoU with it of the thresholded difference, of `tfdfd masks`, and of networks that see the fake alone.
- `auc`: Xception trained alike without masks, with the second head, and on masks alone: AUC and log loss on held-out
  faces and clips.

The thresholded difference gets the one threshold that is best for it over all rows of a table, and beside that the best
one of each row; `tfdfd masks` has its settings for all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd

from tfdfd.clip import FAKE, OK
from tfdfd.data.altered_region import RegionSettings, altered_region
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.mask_store import MaskStore
from tfdfd.data.masks import CropGeometry, compare_faces
from tfdfd.data.store import FaceStore
from tfdfd.data.transcoding import reencode_h264
from tfdfd.data.video import probe
from tfdfd.evaluation.regions import iou

ROOT = Path(__file__).parent.parent
HELD_OUT = ("youtube/c23/585", "youtube/c23/599")
KNOWN = ("youtube/c23/183", "youtube/c23/253")
"""Clips that the settings of `tfdfd masks` were not chosen on; those were chosen on the others."""
THRESHOLDS = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32)
KNOWN_CRFS, PAIR_CRFS, KNOWN_FRAMES = (23, 35), (35,), 100
MODES = ("none", "second_head", "alone")
PLACES, CROP_SIZE, INPUT_SIZE, STEPS = 17, 160, 112, 8


def run(*command: object, cwd: Path) -> str:
    """Run a command of ours to its end and return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: exit {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


class Held:
    """The held-out clips of a store."""

    def __init__(self, store: FaceStore) -> None:
        self.store, self.masks = store, MaskStore(store)
        margin = float(store.fingerprint.preprocessing["margin"])
        self.geometry = CropGeometry(store.crop_size, margin, "none", store.num_places)
        table = store.manifest()
        self.paths = {row["clip_id"]: Path(row["path"]) for row in table.to_dict("records")}
        is_held = table["original"].isin(HELD_OUT) & (table["label"] == FAKE)
        self.fakes = dict(zip(table["clip_id"][is_held], table["original"][is_held], strict=True))

    def reference(self, fake: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the masks of a fake's main track and where they are known."""
        record = self.masks.record(fake)
        assert record is not None
        assert record["status"] == OK, record["reason"]
        track = record["tracks"][0]
        return self.masks.read(track["mask"]), np.array(track["is_known"])


def by_difference(faces: Any, size: int, settings: RegionSettings) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield of each face of the main track its place, mean absolute difference and the region of `tfdfd masks`."""
    reach = (faces.fakes[0].shape[1] - size) // 2
    for place in np.flatnonzero(faces.is_known[0]).tolist():
        fake, original = faces.fakes[0][place], faces.originals[0][place]
        difference = np.abs(fake.astype(np.float32) - original).mean(axis=2)[reach : reach + size, reach : reach + size]
        region = altered_region(fake, original, crop_size=size, is_shown=faces.is_shown[0][place], settings=settings)
        yield place, difference, region


Kinds = dict[str, list[tuple[np.ndarray, ...]]]
"""Name of a row -> of each face its mean difference, its true region, that of `tfdfd masks` and those of networks."""


def print_rows(kinds: Kinds) -> None:
    """Print mean IoUs, a row a kind: of the difference above one threshold for all, its own best, and of the others."""
    means = {
        kind: [np.mean([iou(row[0] > t, row[1]) for row in rows]) for t in THRESHOLDS] for kind, rows in kinds.items()
    }
    one = int(np.argmax(np.mean(list(means.values()), axis=0)))
    for kind, rows in kinds.items():
        best = int(np.argmax(means[kind]))
        cells = [f"{means[kind][at]:.3f} (above {THRESHOLDS[at]})" for at in (one, best)]
        cells += [f"{np.mean([iou(row[at], row[1]) for row in rows]):.3f}" for at in range(2, len(rows[0]))]
        print(f"{kind:34}{len(rows):6}  " + "".join(f"{cell:>20}" for cell in cells), flush=True)


def forge(source: Path, target: Path, box: np.ndarray, crf: int) -> None:
    """Mirror what lies in an ellipse inside a box, a little darker, and encode the clip's first frames."""
    info = probe(source)
    frames = read_frames(source, info, np.arange(min(KNOWN_FRAMES, info.num_frames)))
    write_frames(target.with_name(f"real-{target.name}"), frames, crf=crf)
    inside = ellipse(frames.shape[1:3], box)
    x1, y1, x2, y2 = box.astype(int)
    forged = frames.copy()
    part = frames[:, y1:y2, x1:x2, :][:, :, ::-1] * 0.95
    forged[:, y1:y2, x1:x2] = np.where(inside[y1:y2, x1:x2, None], part.astype(np.uint8), forged[:, y1:y2, x1:x2])
    write_frames(target, forged, crf=crf)


def write_frames(path: Path, frames: np.ndarray, *, crf: int) -> None:
    """Encode frames as H.264 at 25 a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2] & ~1, frames.shape[1] & ~1, "yuv420p"
        for picture in frames[:, : stream.height, : stream.width]:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))


def ellipse(size: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """Return what lies in the ellipse in a box, bool of that size."""
    x1, y1, x2, y2 = box.astype(int)
    rows, columns = np.ogrid[: size[0], : size[1]]
    return ((columns - (x1 + x2 - 1) / 2) / ((x2 - x1) / 2)) ** 2 + (
        (rows - (y1 + y2 - 1) / 2) / ((y2 - y1) / 2)
    ) ** 2 <= 1


def known(held: Held, work: Path) -> None:
    """Print how well an ellipse is found that is known to the pixel."""
    settings = RegionSettings()
    print(f"{'known to the pixel':34}{'faces':>6}  {'one threshold':>20}{'its best':>20}{'tfdfd masks':>20}")
    kinds: Kinds = {}
    for crf in KNOWN_CRFS:
        for original in KNOWN:
            record = held.store.record(original)
            assert record is not None
            track = record["tracks"][0]
            places = [
                p
                for p, frame in enumerate(record["frame_indices"])
                if 0 <= frame < KNOWN_FRAMES and track["is_face"][p]
            ]
            middle = np.array(track["boxes_xyxy"][places[len(places) // 2]])
            quarter = (middle[2:] - middle[:2]) / 5
            box = np.concatenate([middle[:2] + quarter, middle[2:] - quarter]).round()
            target = work / f"known-{original.split('/')[-1]}-{crf}.mp4"
            if not target.is_file():
                forge(held.paths[original], target, box, crf)
            faces = compare_faces(record, target, target.with_name(f"real-{target.name}"), held.geometry, settings)
            white = np.repeat(ellipse((record["height"], record["width"]), box)[..., None] * np.uint8(255), 3, axis=2)
            for place, difference, region in by_difference(faces, held.geometry.size, settings):
                truth = crop_of(white, np.array(track["boxes_xyxy"][place], np.float32), held.geometry) > 127
                kinds.setdefault(f"x264 crf {crf}", []).append((difference, truth, region))
    print_rows(kinds)


def crop_of(frame: np.ndarray, box: np.ndarray, geometry: CropGeometry) -> np.ndarray:
    """Return the first colour of the crop around a box."""
    from tfdfd.faces.crops import crop_faces

    crops = crop_faces(frame[None], box[None], np.zeros(1, np.int32), geometry.size, geometry.margin)
    return crops.numpy()[0, ..., 0]


def told_by(model: Any, crops: np.ndarray) -> np.ndarray:
    """Return what a network takes for altered in crops uint8 (n, size, size, 3): bool (n, size, size)."""
    import tensorflow as tf

    _, maps = model.explain(crops[None], np.ones((1, len(crops)), np.bool_))
    return tf.image.resize(maps[0][..., None], crops.shape[1:3]).numpy()[..., 0] > 0.5


def pairs(held: Held, work: Path, models: dict[str, Any]) -> None:
    """Print how well the regions of held-out fakes are found once fake and original are encoded again."""
    settings = RegionSettings()
    header = "".join(f"{name:>20}" for name in ("one threshold", "its best", "tfdfd masks", *models))
    print(f"{'against masks of the clips as given':34}{'faces':>6}  {header}")
    kinds: Kinds = {}
    for crf in (None, *PAIR_CRFS):
        for fake, original in held.fakes.items():
            files = [encoded(held.paths[name], name, work, crf) for name in (fake, original)]
            record = held.store.record(fake)
            assert record is not None
            faces = compare_faces(record, *files, held.geometry, settings)
            reference, is_known = held.reference(fake)
            reach = (faces.fakes[0].shape[1] - held.geometry.size) // 2
            inner = slice(reach, reach + held.geometry.size)
            of_models = {name: told_by(model, faces.fakes[0][:, inner, inner]) for name, model in models.items()}
            for place, difference, region in by_difference(faces, held.geometry.size, settings):
                if is_known[place]:
                    row = (difference, reference[place], region, *(told[place] for told in of_models.values()))
                    strength = "as given" if crf is None else f"x264 crf {crf}"
                    for kind in ("all methods", fake.split("/")[0]):
                        kinds.setdefault(f"{strength}, {kind}", []).append(row)
    print_rows(kinds)


def encoded(path: Path, clip_id: str, work: Path, crf: int | None) -> Path:
    """Return a clip encoded again, once."""
    if crf is None:
        return path
    target = work / f"{clip_id.replace('/', '-')}-{crf}.mp4"
    if not target.is_file():
        reencode_h264(path, target, crf=crf)
    return target


def trained(arguments: argparse.Namespace, mode: str, work: Path) -> Path:
    """Train one model, or go on with it, evaluate it, and return its folder."""
    model, report = work / "models" / mode, work / "reports" / mode
    common = ["--data", arguments.data, "--store", work / "store", "--places", PLACES, "--crop-size", CROP_SIZE]
    if not (report / "scores.csv").is_file():
        train = ["--val-originals", ",".join(HELD_OUT), "--weights", arguments.weights, "--input-size", INPUT_SIZE]
        train += [
            "--epochs",
            arguments.epochs,
            "--batch-size",
            16,
            "--steps-per-epoch",
            STEPS,
            "--segmentation",
            mode,
            "--balance",
            "weights",
        ]
        train += ["--run-folder", work / "runs" / mode, "--output", model, "--patience", arguments.epochs]
        run(ROOT / "run_train.py", *common, *train, cwd=work)
        run(
            ROOT / "run_eval.py",
            "--data",
            arguments.data,
            "--store",
            work / "store",
            "--model",
            model,
            "--report",
            report,
            cwd=work,
        )
    return model


def print_auc(work: Path, modes: tuple[str, ...]) -> None:
    """Print figures of held-out faces and clips."""
    from sklearn.metrics import log_loss, roc_auc_score

    print(f"{'held-out clips':16}{'faces':>8}{'face AUC':>10}{'clips':>8}{'clip AUC':>10}{'clip log loss':>15}")
    for mode in modes:
        clips = pd.read_csv(work / "reports" / mode / "scores.csv")
        faces = pd.read_csv(work / "reports" / mode / "face_scores.csv")
        labels = dict(zip(clips["clip_id"], clips["label"].isin([1, "FAKE", "fake"]), strict=True))
        of_faces = faces["clip_id"].map(labels)
        score = "face_probability" if "face_probability" in faces else "probability"
        figures = [len(faces), roc_auc_score(of_faces, faces[score]), len(clips)]
        is_fake = clips["clip_id"].map(labels)
        figures += [roc_auc_score(is_fake, clips["clip_score"]), log_loss(is_fake, clips["clip_score"])]
        print(
            f"{mode:16}{figures[0]:8}{figures[1]:10.3f}{figures[2]:8}{figures[3]:10.3f}{figures[4]:15.3f}", flush=True
        )


def main() -> int:
    """Make what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a FaceForensics++ folder")
    parser.add_argument("--weights", required=True, help="weights of Xception without its top, or imagenet")
    parser.add_argument("--work", type=Path, required=True, help="gets store, clips, runs, models and reports")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="what to train")
    parser.add_argument("--only", nargs="+", choices=("known", "pairs", "auc"), default=("known", "pairs", "auc"))
    arguments = parser.parse_args()
    arguments.data, work = arguments.data.resolve(), arguments.work.resolve()
    if arguments.weights != "imagenet":
        arguments.weights = Path(arguments.weights).resolve()
    work.mkdir(parents=True, exist_ok=True)
    common = ["-m", "tfdfd.commands.main"]
    sizes = ["--places", PLACES, "--crop-size", CROP_SIZE]
    run(*common, "prepare", "--data", arguments.data, "--store", work / "store", *sizes, cwd=ROOT)
    run(*common, "masks", "--data", arguments.data, "--store", work / "store", "--page", cwd=ROOT)
    held = Held(FaceStore.open(work / "store"))
    if "known" in arguments.only:
        known(held, work)
    modes = tuple(arguments.modes)
    if "auc" in arguments.only:
        for mode in modes:
            trained(arguments, mode, work)
        print_auc(work, modes)
    if "pairs" in arguments.only:
        from tfdfd.serving.saved_model import LoadedModel

        models = {mode: LoadedModel(trained(arguments, mode, work)) for mode in modes if mode != "none"}
        pairs(held, work, models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
