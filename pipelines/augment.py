"""Augmentations as plain functions from DataNode to DataNode, on the device that the crop is on."""

from __future__ import annotations

from nvidia.dali import fn
from nvidia.dali.data_node import DataNode


def flip(crop: DataNode, mirror: DataNode) -> DataNode:
    """Mirror a crop left to right where told to.

    Args:
        crop: uint8 [size, size, 3].
        mirror: int32 scalar on the CPU, 1 to mirror, 0 to leave the crop as it is.

    Returns:
        The crop, same shape; `crop[:, ::-1]` where mirrored.
    """
    return fn.flip(crop, horizontal=mirror)
