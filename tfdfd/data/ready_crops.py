"""Ready-made face crops into the store: one a clip by the picture's own bytes, or the frames of a clip as one track."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from tfdfd.clip import FAILED, OK, Clip, ClipError, ClipFaces, TfdfdError, Track
from tfdfd.data.clip_folders import ClipFolders
from tfdfd.data.data_tree import pictures_of
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.manifest import Manifest
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import STRIP_CODEC, check_crop_size
from tfdfd.data.video import choose_frame_indices
from tfdfd.guard import Failed, FailureGuard, UnforeseenError, as_clip_error, attempt

READY_MADE = "ready-made crops"
"""The detector that the fingerprint of such a store names: their boxes and confidences are not known."""
AS_DELIVERED = "as delivered"
"""The strip codec of a store in which each clip is one picture, byte for byte."""
FRAMES_RULE = "nearest the centres of equal segments of the pictures in order of name"
_LOOKED_AT = 100
_UPRIGHT = 1
"""The EXIF orientation of a picture that is not to be turned."""


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
    for clip in manifest.table["path"].head(_LOOKED_AT):
        path = next(iter(pictures_of(clip)), Path(clip))
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
    if manifest.has_frames:
        check_crop_size(size, num_places=1)
    return Fingerprint(
        preprocessing={
            "detector": READY_MADE,
            "margin": "not declared" if margin is None else margin,
            "alignment": "not declared",
            "crop_size": size,
            "strip_codec": STRIP_CODEC if manifest.has_frames else AS_DELIVERED,
            "frame_rule": FRAMES_RULE if manifest.has_frames else AS_DELIVERED,
            "detect_every_seconds": None,
        },
        provenance=provenance,
    )


def import_ready_crops(
    clips: list[Clip],
    store: FaceStore,
    guard: FailureGuard,
    *,
    on_clip: Callable[[ClipFaces, tuple[str, ...]], None],
) -> None:
    """Copy ready-made crops into a store; one bad picture never stops the run.

    Args:
        clips: one crop each, or their frames, as the store's fingerprint says.
        store: where they go; the caller holds `store.writing()`.
        guard: counts those that fail as nobody foresaw.
        on_clip: called after each, for progress, with what a person should know of it.

    Raises:
        RepeatedFaultError: where many in a row fail alike.
    """
    folders = ClipFolders.of(clips)
    if store.fingerprint.preprocessing["strip_codec"] != AS_DELIVERED:
        for clip in clips:
            made = attempt(partial(_faces_of_frames, clip, store))
            is_made = not isinstance(made, Failed)
            faces, warnings = made if is_made else (ClipFaces(clip.clip_id, FAILED, made.reason), ())
            record = partial(store.write, faces, source_bytes=folders.size_of(clip.path, store.patience))
            if isinstance(made, Failed) and made.fault is not None:
                guard.failed(clip.clip_id, made.fault, record=record)
            else:
                record()
                guard.done()
            on_clip(faces, warnings)
        return
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
        on_clip(faces, ())


def _faces_of_frames(clip: Clip, store: FaceStore) -> tuple[ClipFaces, tuple[str, ...]]:
    """Return the frames of a clip as one track, and what is wrong with those whose places stay empty."""
    pictures = pictures_of(str(clip.path))
    if not pictures:
        return ClipFaces(clip.clip_id, FAILED, f"{clip.path} holds no picture"), ()
    size, num_places = store.crop_size, store.num_places
    crops, is_face = np.zeros((num_places, size, size, 3), np.uint8), np.zeros(num_places, bool)
    problems = []
    chosen = choose_frame_indices(len(pictures), num_places=num_places)
    for place in np.flatnonzero(chosen >= 0).tolist():
        try:
            crops[place] = _pixels(pictures[chosen[place]], size)
            is_face[place] = True
        except ClipError as error:
            problems.append(str(error))
    if not is_face.any():
        return ClipFaces(
            clip.clip_id, FAILED, f"none of {len(pictures)} pictures can be used, the first: {problems[0]}"
        ), ()
    boxes = np.where(is_face[:, None], np.array([0, 0, size, size], np.float32), np.float32(0))
    track = Track(is_face, boxes, np.zeros((num_places, 5, 2), np.float32), np.zeros(num_places, np.float32))
    said = (
        f"{len(problems)} of {int((chosen >= 0).sum())} pictures are left out, the first: {problems[0]}"
        if problems
        else ""
    )
    return ClipFaces(clip.clip_id, OK, tracks=(track,), crops=(crops,)), ((said,) if said else ())


def _pixels(path: Path, size: int) -> np.ndarray:
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise ClipError(f"{path} cannot be read as a picture: {error}") from error
    if upright.size != (size, size):
        raise ClipError(f"{path} is {upright.width} x {upright.height}, the other crops are {size} x {size}")
    return np.asarray(upright)


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
    """Return the file's bytes if they are an RGB JPEG of this size; others are turned upright and encoded as one."""
    try:
        encoded = path.read_bytes()
        with Image.open(BytesIO(encoded)) as image:
            image.load()
            if image.size != (size, size):
                raise ClipError(f"{path} is {image.size[0]} x {image.size[1]}, the other crops are {size} x {size}")
            # What reads the store takes no notice of the tag by which a camera says how it was held.
            is_turned = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT
            if image.format == "JPEG" and image.mode == "RGB" and not is_turned:
                return encoded
            buffer = BytesIO()
            ImageOps.exif_transpose(image).convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0)
            return buffer.getvalue()
    except UnidentifiedImageError as error:
        raise ClipError(f"{path} is no picture that can be read") from error
    except (OSError, SyntaxError) as error:
        raise ClipError(f"{path} cannot be read as a picture: {error}") from error
