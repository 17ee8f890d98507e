"""Alterations of a crop as plain functions from DataNode to DataNode, on the device that the crop is on.

Each takes its numbers from a row of `tfdfd.data.alterations`, on the CPU; `tfdfd.data.altering` is the twin. Values are
never drawn here. `if` and `for` of graphs are DALI's conditionals: a face that is left alone costs nothing.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali import math as dmath
from nvidia.dali.data_node import DataNode

from tfdfd.data.alterations import HOLE_LEVEL, WIDEST_BLUR, WIDTHS, column_slice, noise_pictures
from tfdfd.data.self_blend import MASK_SIDE, blend_masks


def write_pictures(folder: Path, crop_size: int, columns: frozenset[str]) -> None:
    """Write the pictures that alterations are cut from, where a graph finds them: noise and masks."""
    if "noise" in columns:
        np.save(folder / "noise.npy", noise_pictures(crop_size))
    if "mask" in columns:
        np.save(folder / "masks.npy", blend_masks())


def flip(crop: DataNode, mirror: DataNode) -> DataNode:
    """Mirror a crop left to right where told to.

    Args:
        crop: uint8 [size, size, 3].
        mirror: int32 scalar on the CPU, 1 to mirror, 0 to leave the crop as it is.

    Returns:
        The crop, same shape; `crop[:, ::-1]` where mirrored.
    """
    return fn.flip(crop, horizontal=mirror)


class Altering:
    """What a graph does to its crops.

    Args:
        columns: what some face of the epoch needs; nothing else goes into the graph.
        row: float32 [at least first + WIDTH] on the CPU: the numbers of a face.
        first: where its alterations begin.
        folder: where `write_pictures` wrote.
        crop_size: side of a crop in pixels.
        on_gpu: whether crops are on the GPU.
    """

    def __init__(
        self, columns: frozenset[str], row: DataNode, first: int, *, folder: Path, crop_size: int, on_gpu: bool
    ) -> None:
        self._columns, self._row, self._first = columns, row, first
        self._folder, self._size, self._on_gpu = folder, crop_size, on_gpu

    def __call__(self, crop: DataNode) -> DataNode:
        """Alter a crop, uint8 [size, size, 3] in and out."""
        for name, alter in (
            ("mask", self._blend),
            ("view", self._move),
            ("colour", self._recolour),
            ("sigma", self._blur),
            ("side", self._downscale),
            ("noise", self._add_noise),
            ("quality", self._compress),
            ("hole", self._cut_out),
        ):
            if name in self._columns:
                crop = alter(crop)
        return crop

    def mask(self, mask: DataNode) -> DataNode:
        """Move a mask as its crop is moved, uint8 [size, size, 1] in and out; all else leaves it as it is."""
        return self._move(mask) if "view" in self._columns else mask

    def _blend(self, crop: DataNode) -> DataNode:
        mask = self._number("mask")
        picture = self._cut_from("masks.npy", [dmath.max(mask - 1, 0)], [1], [0])
        if mask > 0:
            altered = _twisted(crop, self._numbers("inside_colour"))
            sigma = self._number("inside_sigma")
            if sigma > 0:
                altered = self._blurred(altered, sigma)
            is_inside = self._number("is_inside")
            if is_inside > 0:
                inside, around = altered, crop
            else:
                inside, around = crop, altered
            inside = self._warped(inside, "inside_view")
            picture = fn.reshape(picture, shape=[MASK_SIDE, MASK_SIDE, 1], layout="HWC")
            picture = self._warped(picture, "mask_view", is_black_around=True)
            share = picture * (self._number("opacity") / 255)
            blended = around + (fn.cast(inside, dtype=types.DALIDataType.FLOAT) - around) * share
            crop = _to_levels(blended)
        return crop

    def _move(self, crop: DataNode) -> DataNode:
        cos, sin = self._number("view", 0), self._number("view", 1)
        if cos * cos + sin * sin > 0:
            crop = self._warped(crop, "view")
        return crop

    def _recolour(self, crop: DataNode) -> DataNode:
        if self._number("colour") > 0:
            crop = _twisted(crop, self._numbers("colour"))
        return crop

    def _blur(self, crop: DataNode) -> DataNode:
        sigma = self._number("sigma")
        if sigma > 0:
            crop = self._blurred(crop, sigma)
        return crop

    def _downscale(self, crop: DataNode) -> DataNode:
        side = self._number("side")
        if side > 0:
            linear = types.DALIInterpType.INTERP_LINEAR
            small = cast(DataNode, fn.resize(crop, size=fn.stack(side, side), interp_type=linear))
            crop = cast(DataNode, fn.resize(small, size=[self._size, self._size], interp_type=linear))
        return crop

    def _add_noise(self, crop: DataNode) -> DataNode:
        picture, top, left = self._numbers("noise")
        start = [dmath.max(picture - 1, 0), top, left]
        noise = self._cut_from("noise.npy", start, [1, self._size, self._size], [0, 1, 2])
        if picture > 0:
            noise = fn.reshape(noise, shape=[self._size, self._size, 3], layout="HWC")
            crop = _to_levels(crop + noise)
        return crop

    def _compress(self, crop: DataNode) -> DataNode:
        quality = self._number("quality")
        if quality > 0:
            crop = fn.jpeg_compression_distortion(crop, quality=integer(quality))
        return crop

    def _cut_out(self, crop: DataNode) -> DataNode:
        height, width, top, left = self._numbers("hole")
        if height > 0:
            crop = fn.erase(
                crop,
                anchor=fn.stack(top, left),
                shape=fn.stack(height, width),
                axis_names="HW",
                fill_value=HOLE_LEVEL,
            )
        return crop

    def _number(self, name: str, number: int = 0) -> Any:  # which `if` takes in a graph
        return self._row[self._first + column_slice(name).start + number]

    def _numbers(self, name: str) -> list[Any]:
        return [self._number(name, number) for number in range(WIDTHS[name])]

    def _warped(self, picture: DataNode, name: str, *, is_black_around: bool = False) -> DataNode:
        """Return a picture uint8 [size, size, channels] that shows at p what another shows at view @ p.

        Around the other picture its outermost pixels go on, or there is black.
        """
        view, size = self._numbers(name), [self._size, self._size]
        if self._on_gpu:
            matrix = fn.reshape(fn.stack(*view), shape=[2, 3])
            fill_value = 0 if is_black_around else None
            return cast(DataNode, fn.warp_affine(picture, matrix=matrix, size=size, fill_value=fill_value))
        # OpenCV's: on the CPU three to four times as fast as `warp_affine`, and equal to the twin within a level.
        matrix = fn.reshape(fn.stack(*view, *np.array([0, 0, 1], np.float32)), shape=[3, 3])
        border = "constant" if is_black_around else "replicate"
        return cast(DataNode, fn.experimental.warp_perspective(picture, matrix=matrix, size=size, border_mode=border))

    def _blurred(self, picture: DataNode, sigma: Any) -> DataNode:
        """Return a picture uint8 [size, size, 3] behind a Gaussian, three sigmas wide to each side."""
        if self._on_gpu:
            return cast(DataNode, fn.gaussian_blur(picture, sigma=sigma))
        # Five times as fast on the CPU as `gaussian_blur`: OpenCV's filters, which round to levels in between, too.
        widest = math.ceil(3 * WIDEST_BLUR * self._size) + 1  # a float32 may be a little above
        reach = dmath.ceil(3 * sigma)
        offsets = fn.slice(
            cast(DataNode, types.Constant(np.arange(-widest, widest + 1, dtype=np.float32))),
            start=integer(fn.stack(widest - reach)),
            shape=integer(fn.stack(2 * reach + 1)),
            axes=[0],
        )
        weights = dmath.exp(offsets * offsets * (-0.5 / (sigma * sigma)))
        weights = weights / fn.reductions.sum(weights)
        for shape in ([1, -1], [-1, 1]):
            picture = cast(DataNode, fn.filter(picture, fn.reshape(weights, shape=shape)))
        return picture

    def _cut_from(self, name: str, start: list[DataNode], shape: list[int], axes: list[int]) -> DataNode:
        """Read a part of a picture, whose first pixel is told, onto the device of the crop.

        Outside of every condition: a reader gives whole batches, whatever some faces need.
        """
        part = fn.readers.numpy(
            files=[str(self._folder / name)],
            roi_start=integer(fn.stack(*start)),
            roi_shape=shape,
            roi_axes=axes,
            cache_header_information=True,
        )
        return part.gpu() if self._on_gpu else part


def integer(number: DataNode) -> DataNode:
    """Return float numbers as int32, which counts, places and sizes must be."""
    return cast(DataNode, fn.cast(number, dtype=types.DALIDataType.INT32))


def _twisted(crop: DataNode, colour: list[DataNode]) -> DataNode:
    brightness, contrast, saturation, hue = colour
    twisted = fn.color_twist(
        crop,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        dtype=types.DALIDataType.FLOAT,  # rounded by the operator itself it takes a third longer on a CPU
    )
    return _to_levels(twisted)


def _to_levels(picture: DataNode) -> DataNode:
    # A cast to whole levels rounds, and keeps within what a byte holds.
    return cast(DataNode, fn.cast(picture, dtype=types.DALIDataType.UINT8))
