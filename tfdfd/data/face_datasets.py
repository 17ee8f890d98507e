"""The one interface that both sources of batches offer: DALI pipelines and their tf.data twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tfdfd.data.rows import FaceRows, StripRows

if TYPE_CHECKING:
    import tensorflow as tf


class TrainingDataset(Protocol):
    """Make a dataset of training batches."""

    def __call__(
        self, rows: FaceRows, *, crop_size: int, batch_size: int, device_id: int | None, num_threads: int
    ) -> tf.data.Dataset:
        """Read the faces in the order of the rows.

        Args:
            rows: the faces of this pipeline, a multiple of batch_size.
            crop_size: side of a crop in the strips, in pixels.
            batch_size: faces a batch, per replica.
            device_id: number of the GPU to decode on, or None for the CPU.
            num_threads: threads that read and decode.

        Returns:
            Elements (crop uint8 [batch, crop_size, crop_size, 3], label float32 [batch], weight float32 [batch],
            clip_row int32 [batch]), and where the rows have masks also (mask uint8 [batch, crop_size, crop_size, 1],
            255 where the face was altered, moved and flipped as the crop; mask_weight float32 [batch]). It may never
            end: the caller counts `rows.num_steps`.
        """
        ...


class EvaluationDataset(Protocol):
    """Make a dataset of whole tracks."""

    def __call__(
        self,
        rows: StripRows,
        *,
        crop_size: int,
        num_places: int,
        batch_size: int,
        device_id: int | None,
        num_threads: int,
    ) -> tf.data.Dataset:
        """Read the strips in the order of the rows.

        Args:
            rows: the strips of this pipeline, a multiple of batch_size.
            crop_size: side of a crop in the strips, in pixels.
            num_places: crops a strip.
            batch_size: strips a batch, per replica.
            device_id: number of the GPU to decode on, or None for the CPU.
            num_threads: threads that read and decode.

        Returns:
            Elements (crops uint8 [batch, num_places, crop_size, crop_size, 3], zero where there is no face;
            is_face bool [batch, num_places]; strip_row int32 [batch], -1 for padding). It may never end: the
            caller counts `rows.num_steps`.
        """
        ...


@dataclass(frozen=True)
class FaceDatasets:
    """A source of batches; `TF_DATASETS` and `DALI_DATASETS` give the same elements for the same rows."""

    name: str
    """`dali` or `tf.data`, for logs."""
    training: TrainingDataset
    """Makes a dataset of training batches."""
    evaluation: EvaluationDataset
    """Makes a dataset of whole tracks."""
    input_options: tf.distribute.InputOptions | None
    """How MirroredStrategy must place the datasets; with PER_REPLICA each replica gets its own pipeline."""
