"""Ready-made crops that a camera's tag turns go into the store upright; all others byte for byte."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from tests.video_files import red_side
from tfdfd.commands.console import run_command
from tfdfd.commands.prepare import main as prepare
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import read_strip

SIZE = 64
ORIENTATIONS = {1: "top", 2: "top", 3: "bottom", 4: "bottom", 5: "left", 6: "right", 7: "right", 8: "left"}
"""EXIF orientation: the side on which what is stored at the top is shown."""


def write_crop(path: Path, orientation: int | None, kind: str = "JPEG") -> bytes:
    """Write a grey picture with a red band at its stored top, and a tag that says how it was held."""
    pixels = np.full((SIZE, SIZE, 3), 120, np.uint8)
    pixels[: SIZE // 4] = (220, 20, 20)
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=95, subsampling=0, exif=exif)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def stored(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Prepare the crops in `data` and return the strip's path of the one called `turned`, and its crop."""
    rows = ["path,clip_id,label,original,folder", "turned.jpg,turned,REAL,,one", "other.jpg,other,FAKE,turned,one"]
    (tmp_path / "data/faces.csv").write_text("\n".join(rows) + "\n")
    assert run_command(prepare, ["--data", str(tmp_path / "data"), "--store", str(tmp_path / "store")]) == 0
    store = FaceStore.open(tmp_path / "store")
    [track] = [row for row in store.tracks().to_dict("records") if row["clip_id"].endswith("turned")]
    path = store.folder / track["strip"]
    return path, read_strip(path, num_places=1)[0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_a_crop_is_turned_as_its_tag_says(tmp_path, orientation, kind):
    write_crop(tmp_path / "data/turned.jpg", orientation, kind)
    write_crop(tmp_path / "data/other.jpg", None)
    path, crop = stored(tmp_path)
    assert red_side(crop) == ORIENTATIONS[orientation]
    with Image.open(path) as strip:  # whoever heeds the tag must not turn it again
        assert red_side(np.asarray(ImageOps.exif_transpose(strip).convert("RGB"))) == ORIENTATIONS[orientation]


@pytest.mark.parametrize("orientation", [None, 1])
def test_an_upright_crop_is_kept_byte_for_byte(tmp_path, orientation):
    written = write_crop(tmp_path / "data/turned.jpg", orientation)
    write_crop(tmp_path / "data/other.jpg", None)
    assert stored(tmp_path)[0].read_bytes() == written
