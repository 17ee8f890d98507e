"""DALI graphs that end in upright frames: one that PyAV feeds on the host, one that decodes by NVDEC on a GPU.

The NVDEC graph has not run on a GPU yet: it is built in tests, from the schemas of the installed DALI.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from pipelines.nvdec_colours import Correction


def turn_upright(frames: DataNode, quarter_turns: int) -> DataNode:
    """Turn frames upright exactly, as `np.rot90` does; the tail of both graphs.

    Args:
        frames: uint8 RGB, layout FHWC, on host or GPU.
        quarter_turns: counter-clockwise, 0 to 3; fixed when the graph is built.

    Returns:
        uint8 RGB, layout FHWC, where the input was.
    """
    node: Any = frames
    if quarter_turns % 2:
        # The layout's letters stay in place: what was width is height from here on.
        node = fn.transpose(node, perm=[0, 2, 1, 3], transpose_layout=False)
    # A transposed frame is a quarter turn away from upright after one flip: vertical for one, horizontal for three.
    horizontal, vertical = int(quarter_turns in (2, 3)), int(quarter_turns in (1, 2))
    if horizontal or vertical:
        node = fn.flip(node, horizontal=horizontal, vertical=vertical)
    return node


def correct_colours(frames: DataNode, correction: Correction) -> DataNode:
    """Turn DALI's colours of decoded frames into PyAV's, on whichever device they are.

    Args:
        frames: uint8 RGB, layout FHWC.
        correction: what to add and to multiply by; see `pipelines.nvdec_colours`.

    Returns:
        uint8 RGB, layout FHWC, rounded and clamped.
    """
    matrix = [value for row in correction.matrix for value in row]
    node: Any = fn.coord_transform(frames, M=matrix, T=list(correction.offset), dtype=types.DALIDataType.UINT8)
    return node


def host_graph(quarter_turns: int, *, num_threads: int) -> Pipeline:
    """Build the graph that PyAV feeds: input `frames` (uint8 FHWC), one clip a run.

    Args:
        quarter_turns: counter-clockwise, 0 to 3.
        num_threads: DALI's host threads.

    Returns:
        A pipeline on the host whose one output is uint8 RGB, FHWC, upright.
    """
    pipeline = _one_clip_pipeline(device_id=None, num_threads=num_threads)
    with pipeline:
        # No copy: the array is alive until the run, which follows at once, has ended.
        frames: Any = fn.external_source(
            name="frames", dtype=types.DALIDataType.UINT8, ndim=4, layout="FHWC", no_copy=True
        )
        pipeline.set_outputs(turn_upright(frames, quarter_turns))
    return pipeline


def nvdec_graph(quarter_turns: int, correction: Correction, *, device_id: int | None, num_threads: int) -> Pipeline:
    """Build the graph that decodes on a GPU: inputs `encoded` (a file's bytes) and `frames` (int32 indices).

    Args:
        quarter_turns: counter-clockwise, 0 to 3.
        correction: of the colours.
        device_id: the GPU; None only to look at the graph without one.
        num_threads: DALI's host threads.

    Returns:
        A pipeline whose one output is uint8 RGB, FHWC, upright, on the GPU.
    """
    pipeline = _one_clip_pipeline(device_id=device_id, num_threads=num_threads)
    with pipeline:
        encoded: Any = fn.external_source(name="encoded", dtype=types.DALIDataType.UINT8, ndim=1)
        indices: Any = fn.external_source(name="frames", dtype=types.DALIDataType.INT32, ndim=1)
        # The default pad_mode would put black pictures where an index is too large; "none" makes it an error.
        frames: Any = fn.decoders.video(encoded, device="mixed", frames=indices, pad_mode="none")
        pipeline.set_outputs(turn_upright(correct_colours(frames, correction), quarter_turns))
    return pipeline


def run_graph(pipeline: Pipeline, into: np.ndarray | None = None, **inputs: np.ndarray) -> np.ndarray:
    """Run a graph once, and return its output on the host, in memory that DALI does not use again.

    Args:
        pipeline: one of the above, built.
        into: memory of the output's shape to copy it to, or None to make some.
        **inputs: what to feed, by name.

    Raises:
        RuntimeError, ValueError, IndexError, MemoryError: what DALI raises when a run fails.
        ValueError: if the output has another shape than the memory.
    """
    for name, value in inputs.items():
        pipeline.feed_input(name, [value])
    (output,) = pipeline.run()
    frames = np.asarray(output.as_cpu().at(0))
    if into is None:
        return np.array(frames)
    if frames.shape != into.shape:
        raise ValueError(f"frames of shape {frames.shape} in place of {into.shape}")
    np.copyto(into, frames)
    return into


def _one_clip_pipeline(*, device_id: int | None, num_threads: int) -> Pipeline:
    # Nothing is prefetched inside: frame sizes differ from clip to clip, and read_ahead already works ahead.
    return Pipeline(
        batch_size=1,
        num_threads=num_threads,
        device_id=device_id,
        prefetch_queue_depth=1,
        exec_pipelined=False,
        exec_async=False,
    )
