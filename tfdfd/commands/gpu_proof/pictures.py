"""What DALI makes of stored strips, against the tf.data twin: decoded JPEGs, altered faces, masks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from pipelines.dataset import DALI_DATASETS
from tfdfd.commands.gpu_proof.context import Context, Figures, require
from tfdfd.commands.gpu_proof.samples import ready_table, smooth_table
from tfdfd.data.degradation import Degradation
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows, FaceTable, StripRows
from tfdfd.data.sampling import epoch_rows
from tfdfd.data.self_blend import draw_blends
from tfdfd.data.tf_datasets import TF_DATASETS

SIZE, READY_SIZE, PLACES, BATCH = 64, 61, 3, 4
MEAN, SIGNED_MEAN = 1.0, 0.5
"""Levels of 255 by which nvJPEG, whose transforms round differently, may be off: in the mean, and shifted. A CPU
decodes by the same library as the twin, so there nothing may be off."""
_FACE_XY = np.array([[20, 24], [42, 24], [31, 36], [22, 48], [41, 48]], np.float32)


def decoded_jpegs(context: Context) -> Figures:
    """Decode crops cut from strips by their bytes, cut from whole strips, whole strips, and ready-made crops."""
    table = smooth_table(context.folder / "strips", num_places=PLACES, size=SIZE)
    (context.folder / "ready").mkdir()
    ready = ready_table(context.folder / "ready", size=READY_SIZE)
    figures = {
        "by_bytes": _training_difference(context, table, SIZE),
        "whole_strip_cut": _training_difference(context, dataclasses.replace(table, crop_bytes=None), SIZE),
        "evaluation": _evaluation_difference(context, table),
        "subsampled": _training_difference(context, ready, READY_SIZE),
    }
    return {f"{name}_mean": mean for name, mean in figures.items()}


def each_alteration(context: Context) -> Figures:
    """Alter faces in each way, blend them with themselves, and move masks with them."""
    table = smooth_table(context.folder / "strips", num_places=PLACES, size=SIZE)
    rows = epoch_rows(table, seed=0, epoch=0, global_batch_size=BATCH, mirror=True)
    untouched, *_ = _batches(TF_DATASETS, rows, SIZE, None)
    figures = {}
    for name, (draw, most) in WAYS.items():
        altered = dataclasses.replace(rows, alterations=draw(len(rows)))
        found, expected = (
            _batches(datasets, altered, SIZE, device_id)
            for datasets, device_id in ((DALI_DATASETS, context.device_id), (TF_DATASETS, None))
        )
        allowed = most + (0 if context.is_dry else MEAN)
        changed = np.abs(expected[0] - untouched).mean(axis=(1, 2, 3))
        require(bool((changed > 0.1).all()), f"{name} leaves a face as it is, so nothing is shown")
        figures[name] = _mean_difference(name, found[0], expected[0], allowed)
        figures["masks"] = max(figures.get("masks", 0.0), _mean_difference("masks", found[4], expected[4], 2.0))
    return {f"{name}_mean": mean for name, mean in figures.items()}


def _degraded(**settings: float) -> Callable[[int], np.ndarray]:
    def draw(count: int) -> np.ndarray:
        marks = np.tile(_FACE_XY, (count, 1, 1))
        degradation = Degradation(**settings)  # pyright: ignore[reportArgumentType]
        return degradation.draw(count, np.random.default_rng(1), crop_size=SIZE, landmarks_xy=marks)

    return draw


def _blended(count: int) -> np.ndarray:
    marks = np.tile(_FACE_XY, (count, 1, 1))
    return draw_blends(marks, np.ones(count, np.bool_), np.random.default_rng(1), crop_size=SIZE)


WAYS = {
    "move": (_degraded(move=1.0, move_degrees=30, move_share=0.2), 0.1),
    "colour": (_degraded(colour=1.0), 0.1),
    "blur": (_degraded(blur=1.0, blur_sigma=0.05), 0.3),
    "downscale": (_degraded(downscale=1.0, downscale_to=0.2), 0.6),
    "noise": (_degraded(noise=1.0, noise_sigma=20), 0.6),
    "jpeg": (_degraded(jpeg=1.0), 1.5),
    "cutout": (_degraded(cutout=1.0), 0.0),
    "self_blended": (_blended, 0.3),
}
"""Way -> what draws it, and by how many levels in the mean DALI on a CPU and the twin may differ."""


def _training_difference(context: Context, table: FaceTable, size: int) -> float:
    rows = epoch_rows(table, seed=1, epoch=0, global_batch_size=BATCH, mirror=True)
    found = _batches(DALI_DATASETS, rows, size, context.device_id)
    expected = _batches(TF_DATASETS, rows, size, None)
    for name, one, other in zip(("labels", "weights", "clip rows"), found[1:4], expected[1:4], strict=True):
        require(np.array_equal(one, other), f"{name} of DALI's batches are not those of the rows: {one} and {other}")
    return _mean_difference("crops", found[0], expected[0], 0.0 if context.is_dry else MEAN)


def _evaluation_difference(context: Context, table: FaceTable) -> float:
    count = len(table.strip_paths)
    rows = StripRows(table.strip_paths, table.is_face, table.clip_rows, np.zeros(count, np.int32)).padded(BATCH)

    def read(datasets: FaceDatasets, device_id: int | None) -> list[np.ndarray]:
        dataset = datasets.evaluation(
            rows, crop_size=SIZE, num_places=PLACES, batch_size=BATCH, device_id=device_id, num_threads=2
        )
        return _joined(itertools.islice(dataset, rows.num_steps(BATCH)))

    found, expected = read(DALI_DATASETS, context.device_id), read(TF_DATASETS, None)
    require(np.array_equal(found[1], expected[1]), "DALI's mask of faces is not that of the rows")
    require(np.array_equal(found[2], expected[2]), "DALI's numbers of strips are not those of the rows")
    require(not found[0][~found[1].astype(bool)].any(), "a place without a face must be exactly zero")
    return _mean_difference("strips", found[0], expected[0], 0.0 if context.is_dry else MEAN)


def _batches(datasets: FaceDatasets, rows: FaceRows, size: int, device_id: int | None) -> list[np.ndarray]:
    dataset = datasets.training(rows, crop_size=size, batch_size=BATCH, device_id=device_id, num_threads=2)
    return _joined(itertools.islice(dataset, rows.num_steps(BATCH)))


def _joined(batches: itertools.islice) -> list[np.ndarray]:
    """Return the batches behind each other, crops as int32 so that they can be subtracted."""
    columns = [
        np.concatenate(column) for column in zip(*([x.numpy() for x in batch] for batch in batches), strict=True)
    ]
    return [column.astype(np.int32) if column.dtype == np.uint8 else column for column in columns]


def _mean_difference(name: str, found: np.ndarray, expected: np.ndarray, allowed: float) -> float:
    difference = found - expected
    means = np.abs(difference).mean(axis=tuple(range(1, difference.ndim)))
    mean, signed = float(means.max()), float(abs(difference.mean()))
    require(mean <= allowed, f"{name}: a face differs by {mean:.3f} levels in the mean, at most {allowed:g} is allowed")
    require(signed <= max(SIGNED_MEAN, allowed), f"{name}: shifted by {signed:.3f} levels")
    return round(mean, 4)
