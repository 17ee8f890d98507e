"""Ready-made face crops straight into the store: one place a track, the picture's own bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfdfd.clip import FAILED, OK, Clip, ClipError, ClipFaces, TfdfdError, Track
from tfdfd.data.clip_folders import ClipFolders
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.manifest import Manifest
from tfdfd.data.store import FaceStore
from tfdfd.guard import FailureGuard, UnforeseenError, as_clip_error

READY_MADE = "ready-made crops"
"""The detector that the fingerprint of such a store names: their boxes and confidences are not known."""
_LOOKED_AT = 100


def ready_crops_fingerprint(manifest: Manifest, margin: float | None, provenance: dict[str, Any]) -> Fingerprint:
    """Return the fingerprint of ready-made crops: their size is measured, their margin declared.

    Args:
        manifest: the crops; the commonest size among the first of them is theirs.
        margin: share of the face box's longer side added to it, as the person declares it; None if not known.
        provenance: versions and source.

    Raises:
        TfdfdError: if none is a square picture, or the margin is no number that a crop can have.
    """
    if margin is not None and not -0.9 <= margin <= 10:
        raise TfdfdError(f"--crop-margin must be in [-0.9, 10], got {margin}")
    sizes: Counter[int] = Counter()
    for path in manifest.table["path"].head(_LOOKED_AT):
        try:
            with Image.open(path) as image:
                if image.width == image.height:
                    sizes[image.width] += 1
        except (OSError, UnidentifiedImageError):
            continue
    if not sizes:
        raise TfdfdError(
            f"none of the first {min(_LOOKED_AT, len(manifest.table))} crops in {manifest.root} is a square picture"
        )
    ((size, _),) = sizes.most_common(1)
    return Fingerprint(
        preprocessing={
            "detector": READY_MADE,
            "margin": "not declared" if margin is None else margin,
            "alignment": "not declared",
            "crop_size": size,
            "strip_codec": "as delivered",
            "frame_rule": "as delivered",
            "detect_every_seconds": None,
        },
        provenance=provenance,
    )


def import_ready_crops(
    clips: list[Clip], store: FaceStore, guard: FailureGuard, *, on_clip: Callable[[ClipFaces], None]
) -> None:
    """Copy ready-made crops into a store; one bad picture never stops the run.

    Args:
        clips: one crop each.
        store: where they go; the caller holds `store.writing()`.
        guard: counts those that fail as nobody foresaw.
        on_clip: called after each, for progress.

    Raises:
        RepeatedFaultError: where many in a row fail alike.
    """
    folders = ClipFolders.of(clips)
    for clip in clips:
        encoded = folders.read(lambda path=clip.path: _read(path, store.crop_size), clip.path, store.patience)
        size = folders.size_of(clip.path, store.patience)
        if isinstance(encoded, ClipError):
            faces = ClipFaces(clip.clip_id, FAILED, str(encoded))
            record = partial(store.write, faces, source_bytes=size)
            if isinstance(encoded, UnforeseenError):
                guard.failed(clip.clip_id, encoded.fault, record=record)
            else:
                record()
        else:
            faces = ClipFaces(
                clip.clip_id,
                OK,
                tracks=(_whole_picture(store.crop_size),),
                crops=(np.zeros((1, 0, 0, 3), np.uint8),),  # the pixels travel as bytes
            )
            store.write_ready(faces, encoded, source_bytes=size)
            guard.done()
        on_clip(faces)


def _read(path: Path, size: int) -> bytes | ClipError:
    try:
        with as_clip_error():
            return _checked_jpeg(path, size)
    except ClipError as error:
        return error


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
    except UnidentifiedImageError as error:
        raise ClipError(f"{path} is no picture that can be read") from error
    except (OSError, SyntaxError) as error:
        raise ClipError(f"{path} cannot be read as a picture: {error}") from error
