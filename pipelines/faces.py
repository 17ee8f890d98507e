"""DALI graphs from stored strips to batches: one for training, one for evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, pipeline_def

from pipelines import augment
from tfdfd.clip import TfdfdError
from tfdfd.data.alterations import used_columns
from tfdfd.data.crop_bytes import EOI
from tfdfd.data.mask_strips import encode_masks
from tfdfd.data.rows import FaceRows, StripRows

ROWS_FILE = "rows.txt"
"""The list that DALI's reader follows, in the folder of a pipeline."""

MASKS_FILE = "masks.txt"
"""The same of masks."""

FACE_COLUMNS = ("places", "mirror", "labels", "weights", "clip_rows", "crop_start", "crop_bytes", "mask_weights")
"""What a row of the training graph's table begins with."""


def face_table(rows: FaceRows) -> np.ndarray:
    """Return what the training graph knows of each row: FACE_COLUMNS, then its alterations.

    The graph reads it row by row from a file. What a graph holds itself goes into it one number at a time, which takes
    15 seconds a column for the 2 million faces of a full epoch.

    Args:
        rows: the faces.

    Returns:
        float32 (n, len(FACE_COLUMNS) + the columns of the alterations).

    Raises:
        ValueError: if a number is above what a float32 holds exactly, 16.7 million.
    """
    columns = (
        rows.places,
        rows.mirror,
        rows.labels,
        rows.weights,
        rows.clip_rows,
        *rows.crop_spans.T,
        rows.mask_weights,
    )
    for name, column in zip(FACE_COLUMNS, columns, strict=True):
        if len(rows) and column.max() >= 2**24:
            raise ValueError(f"{name} must be below {2**24}, got {column.max()}")
    return np.concatenate([np.stack(columns, axis=1).astype(np.float32), rows.alterations], axis=1)


def write_file_list(strip_paths: Sequence[str], numbers: np.ndarray, path: Path) -> None:
    """Write the list that DALI's reader follows: a strip file and a number a line.

    Through a file, 2 million faces reach the reader in 3 seconds; as arguments of the graph they take 35.

    Args:
        strip_paths: one a row; may repeat.
        numbers: integers below 2^31, one a row.
        path: file to write.

    Raises:
        TfdfdError: for a path that such a list cannot hold.
    """
    absolute = {strip_path: os.path.abspath(strip_path) for strip_path in set(strip_paths)}
    for strip_path in absolute.values():
        if "\n" in strip_path or strip_path != strip_path.rstrip():
            raise TfdfdError(f"a strip's path must have no line break and no space at its end: {strip_path!r}")
    rows = zip(strip_paths, numbers.tolist(), strict=True)
    lines = "".join([f"{absolute[strip_path]} {number}\n" for strip_path, number in rows])
    path.write_bytes(os.fsencode(lines))


def training_pipeline(
    rows: FaceRows, folder: Path, *, crop_size: int, batch_size: int, device_id: int | None, num_threads: int
) -> Pipeline:
    """Build the training graph: one crop of a strip, altered and flipped as the row says.

    Args:
        rows: the faces, in order.
        folder: gets the files that the graph reads besides strips; the pipeline needs them while it runs.
        crop_size: side of a crop in the strips, in pixels.
        batch_size: faces a batch.
        device_id: number of the GPU to decode on, or None for the CPU.
        num_threads: threads that decode.

    Returns:
        A pipeline of four outputs: crop uint8 [crop_size, crop_size, 3], label float32, weight float32, clip row int32;
        of rows with masks two more: mask uint8 [crop_size, crop_size, 1], mask weight float32.
    """
    file_list, table = folder / ROWS_FILE, folder / "faces.npy"
    write_file_list(rows.strip_paths, np.arange(len(rows)), file_list)
    np.save(table, face_table(rows))
    columns = used_columns(rows.alterations)
    augment.write_pictures(folder, crop_size, columns)
    if rows.has_masks:
        _write_mask_list(rows, folder, crop_size)

    @pipeline_def(enable_conditionals=True)
    def training_graph():
        strip, number = fn.readers.file(file_list=str(file_list), name="strips")
        row = fn.readers.numpy(
            files=[str(table)], roi_start=number, roi_shape=[1], roi_axes=[0], cache_header_information=True
        )[0]
        place, mirror, label, weight, clip_row, start, length, mask_weight = (
            row[column] for column in range(len(FACE_COLUMNS))
        )
        if rows.crop_header:
            crop = fn.decoders.image(_crop_jpeg(strip, rows.crop_header, start, length), **_decoding(device_id))
        else:
            top = augment.integer(fn.stack(place * crop_size))
            crop = fn.decoders.image_slice(strip, start=top, shape=[crop_size], axes=[0], **_decoding(device_id))
        alter = augment.Altering(
            columns,
            row,
            len(FACE_COLUMNS),
            folder=folder,
            crop_size=crop_size,
            on_gpu=device_id is not None,
        )
        crop = augment.flip(alter(crop), augment.integer(mirror))
        clip_row = augment.integer(clip_row)
        outputs = _on_device((crop, label, weight, clip_row), device_id)
        if not rows.has_masks:
            return outputs
        # On the CPU, where PNGs are decoded in any case; both readers go through their lists at the same pace.
        masks, _ = fn.readers.file(file_list=str(folder / MASKS_FILE), name="masks")
        mask = fn.decoders.image(masks, output_type=types.DALIImageType.GRAY)
        top = augment.integer(fn.stack(place * crop_size))
        mask = fn.slice(mask, start=top, shape=[crop_size], axes=[0])
        (mask, mask_weight) = _on_device((mask, mask_weight), device_id)
        return *outputs, augment.flip(alter.mask(mask), augment.integer(mirror)), mask_weight

    return training_graph(batch_size=batch_size, num_threads=num_threads, device_id=device_id)


def _write_mask_list(rows: FaceRows, folder: Path, crop_size: int) -> None:
    """Write the list that the reader of masks follows; a face that was not altered has a black picture there."""
    black = folder / "unaltered.png"
    height = int(rows.places.max(initial=0)) + 1
    black.write_bytes(encode_masks(np.zeros((height, crop_size, crop_size), np.bool_)))
    write_file_list([path or str(black) for path in rows.mask_paths], np.arange(len(rows)), folder / MASKS_FILE)


def evaluation_pipeline(
    rows: StripRows,
    folder: Path,
    *,
    crop_size: int,
    num_places: int,
    batch_size: int,
    device_id: int | None,
    num_threads: int,
) -> Pipeline:
    """Build the evaluation graph: all crops of a strip, exactly zero where there is no face.

    Args:
        rows: the strips, in order.
        folder: as in `training_pipeline`.
        crop_size: side of a crop in the strips, in pixels.
        num_places: crops a strip.
        batch_size: strips a batch.
        device_id: number of the GPU to decode on, or None for the CPU.
        num_threads: threads that decode.

    Returns:
        A pipeline of three outputs: crops uint8 [num_places, crop_size, crop_size, 3], is_face bool [num_places],
        strip row int32, -1 for padding.
    """
    if rows.is_face.shape[1] != num_places:
        raise ValueError(f"num_places must be that of the rows, {rows.is_face.shape[1]}, got {num_places}")
    # Most strips are full, so the different masks are few.
    masks, mask_of_row = np.unique(rows.is_face, axis=0, return_inverse=True)
    mask_of_row = mask_of_row.reshape(-1).astype(np.int32)
    file_list = folder / ROWS_FILE
    write_file_list(rows.strip_paths, np.arange(len(rows)), file_list)

    @pipeline_def
    def evaluation_graph():
        strip, row = fn.readers.file(file_list=str(file_list), name="strips")
        strip = fn.decoders.image(strip, **_decoding(device_id))
        crops = fn.reshape(strip, shape=[num_places, crop_size, crop_size, 3])
        is_face = _table(masks.astype(np.uint8))[_table(mask_of_row)[row[0]]]
        strip_row = _table(rows.strip_rows)[row[0]]
        crops, is_face, strip_row = _on_device((crops, is_face, strip_row), device_id)
        mask = fn.reshape(is_face, shape=[num_places, 1, 1, 1])
        return crops * mask, fn.cast(is_face, dtype=types.DALIDataType.BOOL), strip_row

    return evaluation_graph(batch_size=batch_size, num_threads=num_threads, device_id=device_id)


def _crop_jpeg(strip: DataNode, header: bytes, start: DataNode, length: DataNode) -> DataNode:
    """Put the JPEG of one crop together, as `crop_bytes.crop_jpeg` does: the bytes of those before it are not read."""
    coded = fn.slice(strip, start=augment.integer(fn.stack(start)), shape=augment.integer(fn.stack(length)), axes=[0])
    begin, end = (_table(np.frombuffer(constant, np.uint8)) for constant in (header, EOI))
    return cast(DataNode, fn.cat(begin, coded, end))


def _decoding(device_id: int | None) -> dict:
    return {
        "device": "cpu" if device_id is None else "mixed",
        "output_type": types.DALIImageType.RGB,
        # As tf.io.decode_jpeg does: no turning by EXIF tags, smooth upsampling of 4:2:0 colour.
        "adjust_orientation": False,
        "jpeg_fancy_upsampling": True,
    }


def _table(column: np.ndarray) -> DataNode:
    return cast(DataNode, types.Constant(column))


def _on_device(nodes: tuple[DataNode, ...], device_id: int | None) -> tuple[DataNode, ...]:
    return nodes if device_id is None else tuple(node.gpu() for node in nodes)
