"""How near DALI's colours come to PyAV's frames, computed on the CPU: for clips read as BT.601 and as BT.709.

DALI's kernel is done in NumPy, on the YUV frames that PyAV decodes: BT.601, chroma interpolated, rounded.
A row a clip: the mean absolute difference of a frame from PyAV's (at most 1 level is asked for) and the largest signed
mean of a channel (at most 0.5), the largest of its frames; first as DALI has it, then corrected for BT.601, then for
BT.709, and the share of pixels that BT.601 clamps: above 5 % PyAV reads a BT.709 clip.

    python benchmarks/nvdec_colours.py --data data/clips
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

sys.path.insert(0, str(Path(__file__).parent.parent))

from pipelines.nvdec_colours import BT601, BT709, MAX_SHARE_OUTSIDE, correction_of, share_outside
from pipelines.nvdec_trial import KINDS, MAX_MEAN_DIFFERENCE, MAX_SIGNED_MEAN, render
from tests.pipelines.cpu_engine import rgb_of_dali

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".mts", ".webm"}
SPACES = {BT601: Colorspace.ITU601, BT709: Colorspace.ITU709}
EVERY = 40
"""Every so many-th frame is compared."""


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    """Yield some frames of a clip, as 8-bit 4:2:0."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % EVERY == 5:
                is_420 = frame.format.name in ("yuv420p", "yuvj420p")
                yield frame if is_420 else frame.reformat(format="yuv420p")


def apart(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Return mean absolute difference, and the largest signed mean of a channel."""
    difference = ours.astype(np.int16) - theirs
    return float(np.abs(difference).mean()), float(np.abs(difference.mean(axis=(0, 1))).max())


def saturated(folder: Path) -> Iterator[tuple[Path, int]]:
    """Render clips whose colours are ever more saturated: yields each and the amplitude of its chroma in levels."""
    rows, columns = np.mgrid[0:180, 0:320]
    luma = np.full((360, 640), 110, np.uint8)
    for reach in (30, 60, 90):
        path = folder / f"chroma-{reach}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30, options={"crf": "10"})
            stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
            for _ in range(8):
                frame = av.VideoFrame(640, 360, "yuv420p")
                waves = [128 + reach * np.sin(columns / 29 + phase) * np.cos(rows / 37 + phase) for phase in (0, 1.6)]
                for plane, values in zip(frame.planes, (luma, *waves), strict=True):
                    padded = np.zeros((plane.height, plane.line_size), np.uint8)
                    padded[:, : plane.width] = np.rint(values)
                    plane.update(padded.tobytes())
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        yield path, reach


def print_clip(name: str, path: Path) -> dict[str, bool]:
    """Print a clip's row; return by matrix whether NVDEC would be given such a clip and is as near as asked for."""
    found = []
    reformatter = VideoReformatter()
    is_full_range = False
    for frame in frames_of(path):
        is_full_range = frame.format.name == "yuvj420p" or frame.color_range == 2
        raw = rgb_of_dali(frame)
        row = []
        for matrix, space in SPACES.items():
            theirs = reformatter.reformat(
                frame, format="rgb24", src_colorspace=space, dst_colorspace=space
            ).to_ndarray()
            correction = correction_of(matrix, is_full_range=is_full_range)
            if matrix == BT601:
                row += apart(raw, theirs)
            row += apart(correction.applied_to(raw), theirs)
        found.append([*row, share_outside(correction.applied_to(raw)[None], correction)])
    worst = np.array(found).max(axis=0)
    range_name = "full" if is_full_range else "limited"
    print(f"{name[-46:]:46} {range_name:8}" + "".join(f"{value:8.2f}" for value in worst[:6]) + f"{worst[6]:9.1%}")
    is_near = {
        matrix: bool(mean <= MAX_MEAN_DIFFERENCE and signed <= MAX_SIGNED_MEAN)
        for matrix, mean, signed in ((BT601, *worst[2:4]), (BT709, *worst[4:6]))
    }
    return {BT601: is_near[BT601], **({BT709: is_near[BT709]} if worst[6] <= MAX_SHARE_OUTSIDE else {})}


def main() -> int:
    """Print a row a clip, and how many are as near as asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="folders of clips, searched through")
    arguments = parser.parse_args()
    for matrix in SPACES:
        for is_full_range in (False, True):
            offset = correction_of(matrix, is_full_range=is_full_range).offset
            print(
                f"PyAV's rounding, {matrix}, {'full' if is_full_range else 'limited'} range: "
                + ", ".join(f"{value:+.2f}" for value in offset)
            )
    print(np.round(np.array(correction_of(BT709, is_full_range=False).matrix), 4))
    print(f"{'':55}{'DALI, 601':>16}{'as 601':>16}{'as 709':>16}{'clamped':>9}")
    print(f"{'clip':46} {'range':8}" + f"{'mean':>8}{'signed':>8}" * 3)
    near: list[dict[str, bool]] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            near += [print_clip(f"rendered: {kind.name}", path) for path in render(kind, Path(folder), num_frames=24)]
        for path, reach in saturated(Path(folder)):
            print_clip(f"rendered: chroma up to {reach} of 112", path)
    for data in arguments.data:
        for path in sorted(path for path in data.rglob("*") if path.suffix.lower() in SUFFIXES):
            near.append(print_clip(str(path.relative_to(data)), path))
    for matrix in SPACES:
        told = [clip[matrix] for clip in near if matrix in clip]
        print(
            f"{matrix}: {sum(told)} of {len(told)} clips are as near as asked for, {len(near) - len(told)} go to PyAV"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
