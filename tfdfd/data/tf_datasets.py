"""The tf.data twin of the DALI datasets: same elements, same order, same values, on any machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfdfd.data.alterations import used_columns
from tfdfd.data.altering import Altering
from tfdfd.data.face_datasets import FaceDatasets
from tfdfd.data.rows import FaceRows, StripRows


def training_dataset(
    rows: FaceRows, *, crop_size: int, batch_size: int, device_id: int | None = None, num_threads: int = 2
) -> tf.data.Dataset:
    """Read faces in the order of the rows.

    Args:
        rows: the faces, a multiple of batch_size.
        crop_size: side of a crop in the strips, in pixels.
        batch_size: faces a batch, per replica.
        device_id: ignored, tf.data has CPU kernels only; there because DALI decodes on GPUs.
        num_threads: threads that read and decode, or tf.data.AUTOTUNE.

    Returns:
        Elements as in `TrainingDataset`, one batch for each batch_size rows, then the end.
    """
    del device_id
    alter = Altering(used_columns(rows.alterations), crop_size)

    def read_mask(path, place, mirror, alterations):
        mask = tf.cond(
            tf.equal(path, ""),
            lambda: tf.zeros([crop_size, crop_size, 1], tf.uint8),
            lambda: tf.image.decode_png(tf.io.read_file(path), channels=1)[place * crop_size :][:crop_size],
        )
        mask = alter.mask(tf.ensure_shape(mask, [crop_size, crop_size, 1]), alterations)
        return tf.where(mirror > 0, tf.reverse(mask, axis=[1]), mask)

    def read_face(path, place, label, weight, clip_row, mirror, alterations, *of_mask):
        strip = tf.io.read_file(path)
        width = tf.io.extract_jpeg_shape(strip)[1]
        with tf.control_dependencies(
            [tf.Assert(tf.equal(width, crop_size), [path, "is a strip of another crop size:", width])]
        ):
            top = place * crop_size
        # INTEGER_ACCURATE is what DALI's decoder does; TensorFlow's default differs by up to 4 levels.
        crop = tf.image.decode_and_crop_jpeg(
            strip,
            tf.stack([top, 0, crop_size, crop_size]),
            channels=3,
            dct_method="INTEGER_ACCURATE",
        )
        crop = alter(tf.ensure_shape(crop, [crop_size, crop_size, 3]), alterations)
        crop = tf.where(mirror > 0, tf.reverse(crop, axis=[1]), crop)
        if not of_mask:
            return crop, label, weight, clip_row
        mask_path, mask_weight = of_mask
        return crop, label, weight, clip_row, read_mask(mask_path, place, mirror, alterations), mask_weight

    faces = (
        tf.constant(list(rows.strip_paths), tf.string),
        rows.places,
        rows.labels,
        rows.weights,
        rows.clip_rows,
        rows.mirror,
        rows.alterations,
    )
    if rows.has_masks:
        faces = (*faces, tf.constant(list(rows.mask_paths), tf.string), rows.mask_weights)
    return batches_of(faces, read_face, batch_size, num_threads)


def evaluation_dataset(
    rows: StripRows,
    *,
    crop_size: int,
    num_places: int,
    batch_size: int,
    device_id: int | None = None,
    num_threads: int = 2,
) -> tf.data.Dataset:
    """Read whole strips in the order of the rows.

    Args:
        rows: the strips, a multiple of batch_size.
        crop_size: side of a crop in the strips, in pixels.
        num_places: crops a strip.
        batch_size: strips a batch, per replica.
        device_id: ignored, as in `training_dataset`.
        num_threads: threads that read and decode.

    Returns:
        Elements as in `EvaluationDataset`, one batch for each batch_size rows, then the end.
    """
    del device_id

    def read_strip(path, is_face, strip_row):
        strip = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")
        strip = tf.ensure_shape(strip, [num_places * crop_size, crop_size, 3])
        crops = tf.reshape(strip, [num_places, crop_size, crop_size, 3])
        return crops * tf.cast(is_face, tf.uint8)[:, None, None, None], is_face, strip_row

    if rows.is_face.shape[1] != num_places:
        raise ValueError(f"num_places must be that of the rows, {rows.is_face.shape[1]}, got {num_places}")
    columns = (tf.constant(list(rows.strip_paths), tf.string), rows.is_face, rows.strip_rows)
    return batches_of(columns, read_strip, batch_size, num_threads)


def batches_of(columns: tuple, read_row: Callable[..., Any], batch_size: int, num_threads: int) -> tf.data.Dataset:
    """Read rows in their order, in parallel, to whole batches.

    Args:
        columns: arrays or tensors of one length, a multiple of batch_size.
        read_row: from a row of each column to the elements of a batch.
        batch_size: rows a batch.
        num_threads: threads that read and decode; tf.data.AUTOTUNE leaves it to TensorFlow.

    Raises:
        ValueError: if the rows do not fill whole batches.
    """
    if len(columns[0]) % batch_size:
        raise ValueError(f"{len(columns[0])} rows do not fill whole batches of {batch_size}")
    options = tf.data.Options()
    options.deterministic = True
    if num_threads != tf.data.AUTOTUNE:
        options.threading.private_threadpool_size = num_threads
    # The rows are one replica's or worker's already: TensorFlow must not shard them again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    with tf.device("/CPU:0"):
        return (
            tf.data.Dataset.from_tensor_slices(columns)
            .map(read_row, num_parallel_calls=num_threads)
            .batch(batch_size, drop_remainder=True)
            .prefetch(2)
            .with_options(options)
        )


TF_DATASETS = FaceDatasets(name="tf.data", training=training_dataset, evaluation=evaluation_dataset, input_options=None)
