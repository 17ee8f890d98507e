"""Ready-made face crops straight into the store: one place a track, the picture's own bytes."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfdfd.clip import FAILED, OK, Clip, ClipError, ClipFaces, TfdfdError, Track
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.manifest import Manifest
from tfdfd.data.store import FaceStore


def ready_crops_fingerprint(manifest: Manifest, margin: float | None, provenance: dict[str, Any]) -> Fingerprint:
    """Return the fingerprint of ready-made crops: their size is measured, their margin declared.

    Args:
        manifest: the crops; the first that can be read gives the size.
        margin: share of the face box's longer side added to it, as the person declares it; None if not known.
        provenance: versions and source.

    Raises:
        TfdfdError: if none can be read.
    """
    for path in manifest.table["path"]:
        try:
            with Image.open(path) as image:
                size = image.size[0]
            break
        except (OSError, UnidentifiedImageError):
            continue
    else:
        raise TfdfdError(f"none of the {len(manifest.table)} crops in {manifest.root} can be read as a picture")
    return Fingerprint(
        preprocessing={
            "detector": "ready-made crops",
            "margin": "not declared" if margin is None else margin,
            "alignment": "not declared",
            "crop_size": size,
            "strip_codec": "as delivered",
            "frame_rule": "as delivered",
        },
        provenance=provenance,
    )


def import_ready_crops(clips: list[Clip], store: FaceStore, *, on_clip: Callable[[ClipFaces], None]) -> None:
    """Copy ready-made crops into a store; one bad picture never stops the run.

    Args:
        clips: one crop each.
        store: where they go; the caller holds `store.writing()`.
        on_clip: called after each, for progress.
    """
    for clip in clips:
        encoded = b""
        try:
            encoded = _checked_jpeg(clip.path, store.crop_size)
            faces = ClipFaces(
                clip.clip_id,
                OK,
                tracks=(_whole_picture(store.crop_size),),
                crops=(np.zeros((1, 0, 0, 3), np.uint8),),  # the pixels travel as bytes
            )
        except ClipError as error:
            faces = ClipFaces(clip.clip_id, FAILED, str(error))
        size = clip.path.stat().st_size if clip.path.exists() else -1
        if faces.status == OK:
            store.write_ready(faces, encoded, source_bytes=size)
        else:
            store.write(faces, source_bytes=size)
        on_clip(faces)


def _whole_picture(size: int) -> Track:
    box = np.array([[0, 0, size, size]], np.float32)
    return Track(np.ones(1, bool), box, np.zeros((1, 5, 2), np.float32), np.zeros(1, np.float32))


def _checked_jpeg(path: Path, size: int) -> bytes:
    """Return the file's bytes if they are an RGB JPEG of this size; other pictures are encoded as one."""
    try:
        encoded = path.read_bytes()
        with Image.open(BytesIO(encoded)) as image:
            image.load()
            if image.size != (size, size):
                raise ClipError(f"{path} is {image.size[0]} x {image.size[1]}, the other crops are {size} x {size}")
            if image.format == "JPEG" and image.mode == "RGB":
                return encoded
            buffer = BytesIO()
            image.convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0)
            return buffer.getvalue()
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise ClipError(f"{path} cannot be read as a picture: {error}") from error
