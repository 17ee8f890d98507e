"""Faces a second that the input gives, DALI beside tf.data of the same work, and how long a training step waits for it.

    python benchmarks/input.py --store STORE [--degradation none all] [--batch-size 32] [--seconds 10] [--rounds 3]

The same rows of a face store are read by the DALI graph and by its tf.data twin, which decodes the wanted crop of a
strip by `decode_and_crop_jpeg`, maps in parallel by AUTOTUNE, batches and prefetches. Sources take turns, on all cores,
and no network runs. The first round fills the page cache and is not counted. Figures are medians over the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from tfdfd.data.crop_bytes import read_crop_bytes
from tfdfd.data.degradation import Degradation
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows
from tfdfd.data.sampling import FaceChoice, epoch_rows
from tfdfd.data.store import FaceStore
from tfdfd.data.tf_datasets import TF_DATASETS
from tfdfd.data.tracks import training_table
from tfdfd.training.recipes import RECIPES

WORK = {
    "none": Degradation(),
    "winning": Degradation(**RECIPES["winning"]["degradation"]),
    "all": Degradation(move=0.5, colour=0.5, blur=0.3, downscale=0.3, noise=0.3, jpeg=0.5, cutout=0.2),
}
"""What is done to the faces: decoded and flipped; degraded as the winning recipe has it, or more in every way."""
MAX_FACES = 4096


def rows_of(store: FaceStore, work: str, batch_size: int, self_blended: bool) -> FaceRows:
    """Return the rows of an epoch, at most MAX_FACES of them."""
    degradation = WORK[work]
    needs_landmarks = degradation.needs_landmarks or self_blended
    clips = store.manifest()
    table = training_table(
        store, clips, main_only=False, watch_landmarks=(lambda parts: parts) if needs_landmarks else None
    )
    crop_bytes = read_crop_bytes(table.strip_paths, store.num_places, store.crop_size)
    rows = epoch_rows(
        dataclasses.replace(table, crop_bytes=crop_bytes),
        seed=0,
        epoch=0,
        global_batch_size=batch_size,
        mirror=True,
        choice=FaceChoice(fakes="both" if self_blended else "given"),
        degradation=degradation,
        crop_size=store.crop_size,
    )
    return rows.first(min(len(rows), MAX_FACES) // batch_size * batch_size)


def faces_a_second(batches: Iterator[tuple[tf.Tensor, ...]], batch_size: int, seconds: float) -> float:
    """Return how fast batches come."""
    next(batches)
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        next(batches)
        count += batch_size
    return count / passed


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="a face store with its manifest")
    parser.add_argument("--degradation", nargs="+", choices=WORK, default=list(WORK), help="what is done to the faces")
    parser.add_argument("--self-blended", action="store_true", help="a blend of each real face, too")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each source in each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    from pipelines.dataset import DALI_DATASETS

    store = FaceStore.open(arguments.store)
    cores = len(os.sched_getaffinity(0))
    print(
        f"crops of {store.crop_size} px, {store.num_places} a strip, batches of {arguments.batch_size}, {cores} cores"
    )
    print(f"{'work':8}{'DALI':>10}{'tf.data':>10}{'ratio':>8}  faces a second")
    for work in arguments.degradation:
        rows = rows_of(store, work, arguments.batch_size, arguments.self_blended)

        def make(datasets: FaceDatasets, num_threads: int, rows: FaceRows = rows) -> Callable[[], Iterator]:
            dataset = datasets.training(
                rows,
                crop_size=store.crop_size,
                batch_size=arguments.batch_size,
                device_id=None,
                num_threads=num_threads,
            )
            return lambda: iter(dataset.repeat() if datasets is TF_DATASETS else dataset)

        sources = {"DALI": make(DALI_DATASETS, cores), "tf.data": make(TF_DATASETS, tf.data.AUTOTUNE)}
        rates: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(arguments.rounds + 1):
            for name, source in sources.items():
                rates[name].append(faces_a_second(source(), arguments.batch_size, arguments.seconds))
        medians = {name: statistics.median(values[1:]) for name, values in rates.items()}
        ratio = statistics.median(np.divide(rates["DALI"][1:], rates["tf.data"][1:]).tolist())
        print(f"{work:8}{medians['DALI']:10.0f}{medians['tf.data']:10.0f}{ratio:8.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
