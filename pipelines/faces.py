"""DALI graphs from stored strips to batches: one for training, one for evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, pipeline_def

from pipelines import augment
from tfdfd.clip import TfdfdError
from tfdfd.data.rows import FaceRows, StripRows

MAX_CODE = 2**31 - 1
"""The file reader's labels are int32."""


@dataclass(frozen=True)
class FaceCodes:
    """What the training graph knows of each row, packed into the one integer that DALI's reader carries.

    A table of one line a row would do as well, but DALI writes a constant into the graph one number at a time,
    which takes 15 seconds a column for the 2 million faces of a full epoch.
    """

    codes: np.ndarray
    """int64, shape (n,), in [0, MAX_CODE]: (line * place_range + place) * 2 + mirror."""
    place_range: int
    """A power of two above every place."""
    labels: np.ndarray
    """float32, shape (lines,): label of each line, that is of each different (clip row, label, weight)."""
    weights: np.ndarray
    """float32, shape (lines,): sample weight of each line."""
    clip_rows: np.ndarray
    """int32, shape (lines,): clip row of each line."""


def pack_rows(rows: FaceRows) -> FaceCodes:
    """Pack what is known of each face into one integer and a table with one line a clip.

    Args:
        rows: the faces, at least one.

    Returns:
        The codes, and what the graph needs to read them.

    Raises:
        ValueError: if clips times places exceed what an int32 holds (above 30 million for 17 places).
    """
    # One integer for each combination first: np.unique of records is 20 times slower.
    labels, label_of_row = np.unique(rows.labels, return_inverse=True)
    weights, weight_of_row = np.unique(rows.weights, return_inverse=True)
    combination = (rows.clip_rows.astype(np.int64) * len(weights) + weight_of_row) * len(labels) + label_of_row
    lines, line_of_row = np.unique(combination, return_inverse=True)
    place_range = 1 << int(rows.places.max()).bit_length()
    codes = (line_of_row.astype(np.int64) * place_range + rows.places) * 2 + rows.mirror
    if codes.max() > MAX_CODE:
        raise ValueError(f"{len(lines)} clips of {place_range} places are more than one pipeline can number")
    return FaceCodes(
        codes,
        place_range,
        labels=labels[lines % len(labels)],
        weights=weights[lines // len(labels) % len(weights)],
        clip_rows=(lines // (len(labels) * len(weights))).astype(np.int32),
    )


def write_file_list(strip_paths: Sequence[str], codes: np.ndarray, path: Path) -> None:
    """Write the list that DALI's reader follows: a strip file and a number a line.

    Through a file, 2 million faces reach the reader in 3 seconds; as arguments of the graph they take 35.

    Args:
        strip_paths: one a row; may repeat.
        codes: integers, one a row.
        path: file to write.

    Raises:
        TfdfdError: for a path that such a list cannot hold.
    """
    absolute = {strip_path: os.path.abspath(strip_path) for strip_path in set(strip_paths)}
    for strip_path in absolute.values():
        if "\n" in strip_path or strip_path != strip_path.rstrip():
            raise TfdfdError(f"a strip's path must have no line break and no space at its end: {strip_path!r}")
    rows = zip(strip_paths, codes.tolist(), strict=True)
    lines = "".join([f"{absolute[strip_path]} {code}\n" for strip_path, code in rows])
    path.write_bytes(os.fsencode(lines))


def training_pipeline(
    rows: FaceRows, file_list: Path, *, crop_size: int, batch_size: int, device_id: int | None, num_threads: int
) -> Pipeline:
    """Build the training graph: one crop of a strip, flipped where the row says so.

    Args:
        rows: the faces, in order.
        file_list: file to write the reading order to; the pipeline needs it until it is built.
        crop_size: side of a crop in the strips, in pixels.
        batch_size: faces a batch.
        device_id: number of the GPU to decode on, or None for the CPU.
        num_threads: threads that decode.

    Returns:
        A pipeline of four outputs: crop uint8 [crop_size, crop_size, 3], label float32, weight float32, clip row int32.
    """
    packed = pack_rows(rows)
    write_file_list(rows.strip_paths, packed.codes, file_list)

    @pipeline_def
    def training_graph():
        strip, code = fn.readers.file(file_list=str(file_list), name="strips")
        place = (code // 2) & (packed.place_range - 1)
        crop = fn.decoders.image_slice(
            strip, start=place * crop_size, shape=[crop_size], axes=[0], **_decoding(device_id)
        )
        crop = augment.flip(crop, (code & 1)[0])
        line = (code // (2 * packed.place_range))[0]
        columns = (_table(column)[line] for column in (packed.labels, packed.weights, packed.clip_rows))
        return _on_device((crop, *columns), device_id)

    return training_graph(batch_size=batch_size, num_threads=num_threads, device_id=device_id)


def evaluation_pipeline(
    rows: StripRows,
    file_list: Path,
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
        file_list: as in `training_pipeline`.
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
