"""Reads painted clips through a strategy and reports what came out. Run by test_pairing.py.

Usage: python pairing_job.py STORE NUM_REPLICAS..., with the repository on the path. Prints one line of JSON.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipelines.dataset import DALI_DATASETS
from tfdfd.data.rows import FaceTable, StripRows
from tfdfd.data.sampling import epoch_rows
from tfdfd.data.strips import encode_strip
from tfdfd.data.tf_datasets import TF_DATASETS
from tfdfd.training.replicas import replicated

NUM_CLIPS, NUM_PLACES, CROP_SIZE, GLOBAL_BATCH, EPOCHS = 1000, 3, 32, 48, 3
BLOCK = 4
BITS = (CROP_SIZE // BLOCK) ** 2
MARK = [1] * 4 + [0] * 4
"""The first row of blocks, white left: read from the right, the crop is mirrored."""


def paint(clip: int, place: int) -> np.ndarray:
    """uint8 crop whose black and white blocks are the mark, the clip in 16 bits and the place in 8."""
    bits = MARK + [clip >> i & 1 for i in range(16)] + [place >> i & 1 for i in range(8)]
    grid = np.array(bits + [0] * (BITS - len(bits)), np.uint8).reshape(CROP_SIZE // BLOCK, -1) * 255
    return np.kron(grid, np.ones((BLOCK, BLOCK), np.uint8))[..., None].repeat(3, axis=-1)


def read(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return clip, place and whether it is mirrored, of each painted crop, shapes (n,)."""
    grids = (crops[:, BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK, 0] > 127).astype(int)
    mirrored = grids[:, 0, 0] == 0
    grids[mirrored] = grids[mirrored, :, ::-1]
    bits = grids.reshape(len(grids), BITS)
    if (bits[:, :8] != MARK).any():
        raise ValueError("a crop that was never painted")
    return bits[:, 8:24] @ (1 << np.arange(16)), bits[:, 24:32] @ (1 << np.arange(8)), mirrored


def painted_table(folder: Path) -> FaceTable:
    """Clips whose label, weight and clip row all follow from their number, in files of unrelated names."""
    rng = np.random.default_rng(0)
    is_face = rng.random((NUM_CLIPS, NUM_PLACES)) < 0.7
    is_face[~is_face.any(axis=1), 1] = True
    names = rng.permutation(NUM_CLIPS)
    paths = []
    for clip in range(NUM_CLIPS):
        path = folder / f"{names[clip]:04d}.jpg"
        if not path.exists():
            crops = np.stack([paint(clip, place) * is_face[clip, place] for place in range(NUM_PLACES)])
            path.write_bytes(encode_strip(crops.astype(np.uint8)))
        paths.append(str(path))
    clips = np.arange(NUM_CLIPS)
    return FaceTable(paths, is_face, label_of(clips), weight_of(clips), clip_row_of(clips))


def label_of(clip):
    return (clip * 7 % 10 < 3).astype(np.float32)


def weight_of(clip):
    return (1 + clip % 5 / 4).astype(np.float32)


def clip_row_of(clip):
    return (clip * 3 + 11).astype(np.int32)


def global_batches(strategy, datasets, rows, make_dataset):
    """The arrays of each global batch, replica after replica."""

    @tf.function
    def run_step(batch):
        """Through strategy.run, as the training loop does."""
        return strategy.run(lambda *element: tuple(tf.identity(x) for x in element), args=batch)

    batches = iter(
        replicated(
            strategy,
            datasets,
            lambda shard, num_shards, device_id: make_dataset(
                rows.shard(shard, num_shards, GLOBAL_BATCH),
                crop_size=CROP_SIZE,
                batch_size=GLOBAL_BATCH // strategy.num_replicas_in_sync,
                device_id=device_id,
                num_threads=2,
            ),
        )
    )
    for _ in range(rows.num_steps(GLOBAL_BATCH)):
        parts = [strategy.experimental_local_results(x) for x in run_step(next(batches))]
        assert all(len(part) == strategy.num_replicas_in_sync for part in parts)
        yield [np.concatenate([x.numpy() for x in part]) for part in parts]


def read_epoch(strategy, datasets, table: FaceTable, epoch: int) -> dict:
    rows = epoch_rows(table, seed=5, epoch=epoch, global_batch_size=GLOBAL_BATCH, mirror=True)
    counts = np.zeros((NUM_CLIPS, NUM_PLACES), int)
    mismatches = mirrored_faces = 0
    digest = hashlib.sha256()
    for crops, labels, weights, clip_rows in global_batches(strategy, datasets, rows, datasets.training):
        digest.update(crops.tobytes() + labels.tobytes() + weights.tobytes() + clip_rows.tobytes())
        clips, places, mirrored = read(crops)
        right = (labels == label_of(clips)) & (clip_rows == clip_row_of(clips))
        right &= (weights == 0) | (weights == weight_of(clips))
        mismatches += int((~right).sum())
        np.add.at(counts, (clips, places), weights > 0)
        mirrored_faces += int(mirrored.sum())
    return {
        "mismatches": mismatches,
        "every face once": bool(np.array_equal(counts, table.is_face)),
        "clips": int((counts.sum(axis=1) > 0).sum()),
        "mirrored": mirrored_faces / len(rows),
        "digest": digest.hexdigest(),
    }


def read_strips(strategy, datasets, table: FaceTable) -> dict:
    order = np.random.default_rng(1).permutation(NUM_CLIPS)
    rows = StripRows(
        [table.strip_paths[i] for i in order],
        table.is_face[order],
        table.clip_rows[order],
        np.zeros(NUM_CLIPS, np.int32),
    ).padded(GLOBAL_BATCH)
    make_dataset = functools.partial(datasets.evaluation, num_places=NUM_PLACES)
    numbers, mismatches = [], 0
    for batch in global_batches(strategy, datasets, rows, make_dataset):
        for crops, is_face, number in zip(*batch, strict=True):
            if number < 0:
                continue
            numbers.append(int(number))
            clip = order[number]
            clips, places, mirrored = read(crops[is_face])
            right = np.array_equal(is_face, table.is_face[clip]) and not crops[~is_face].any()
            right = right and (clips == clip).all() and np.array_equal(places, np.flatnonzero(is_face))
            mismatches += not (right and not mirrored.any())
    return {"mismatches": mismatches, "every strip once": numbers == list(range(NUM_CLIPS))}


def main() -> None:
    folder, replica_counts = Path(sys.argv[1]), [int(count) for count in sys.argv[2:]]
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * max(replica_counts)
    )
    table = painted_table(folder)
    sources = (TF_DATASETS, DALI_DATASETS)
    results = {}
    for count in replica_counts:
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])
        result = {"epochs": {source.name: [] for source in sources}}
        for epoch in range(EPOCHS):  # sources in turn: one must not disturb how the strategy feeds the other
            for source in sources:
                result["epochs"][source.name].append(read_epoch(strategy, source, table, epoch))
        result["strips"] = {source.name: read_strips(strategy, source, table) for source in sources}
        results[count] = result
    print(json.dumps(results))


if __name__ == "__main__":
    main()
