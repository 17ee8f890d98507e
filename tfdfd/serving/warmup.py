"""Warm-up records: requests that TensorFlow Serving answers for itself before it offers a version to clients.

TensorFlow builds parts of itself when they are first used: without warm-up the first clients wait for that. A version
of which one warm-up request fails does not load, so these ask for nothing unusual.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from tfdfd.data.demo_frames import FACE_CENTRE_XY, FACE_HEIGHT
from tfdfd.serving.signatures import ABOUT, CROPS, EXPLAIN, FRAMES, HEARING, JPEG_FACES, JPEG_FRAMES

WARMUP_FILE = "tf_serving_warmup_requests"
"""TensorFlow Serving looks for this name in `assets.extra/`."""
MAX_RECORDS = 1000
"""TensorFlow Serving refuses a version with more."""
ROWS = (1, 4)
"""Rows of a warm-up request: one person of a clip, which is what most requests are, and a few, joined or of one clip.
No more than a server's `max_batch_size`, else the version does not load."""

_MESSAGES: Any = prediction_log_pb2  # its classes are made at run time, so no checker knows them
_GREY = 128
_SMALL_FRAME = (360, 640)
"""Height and width of the frames that are sent as they are: 0.7 MB each."""
_LARGE_FRAME = (720, 1280)
_JPEG_QUALITY = 80


def write_warmup(
    path: Path, *, model_name: str, crop_size: int, places: int, has_frames: bool, hears: bool = False
) -> None:
    """Write warm-up requests for every signature of an export; the same arguments give the same bytes.

    Args:
        path: `assets.extra/tf_serving_warmup_requests` of a version.
        model_name: the name it is served under.
        crop_size: side of a crop in pixels.
        places: of a track, as clients will mostly send them, at least 1.
        has_frames: whether the export has the signatures that take frames.
        hears: whether it takes sound.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in _requests(crop_size, places, has_frames=has_frames):
            if hears and signature in HEARING:
                inputs |= _sound(inputs)
            spec = {"name": model_name, "signature_name": signature}
            log = {"request": {"model_spec": spec, "inputs": inputs}}
            writer.write(_MESSAGES.PredictionLog(predict_log=log).SerializeToString(deterministic=True))


def portrait_frame(height: int, width: int) -> np.ndarray:
    """Return a public-domain portrait, whose face MTCNN finds, as a frame: uint8 RGB, shape (height, width, 3)."""
    side = min(height, width)
    frame = np.full((height, width, 3), _GREY, np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    frame[top : top + side, left : left + side] = _portrait(side)
    return frame


def portrait_face(size: int) -> np.ndarray:
    """Return the face of that portrait as a crop: uint8 RGB, shape (size, size, 3)."""
    x, y = FACE_CENTRE_XY
    half = 0.65 * FACE_HEIGHT  # a margin of 0.3
    box = (x - half, y - half, x + half, y + half)
    portrait = Image.fromarray(_portrait(512))
    return np.asarray(portrait.resize((size, size), Image.Resampling.LANCZOS, box=box))


def as_jpeg(picture: np.ndarray) -> bytes:
    """Return a picture, uint8 RGB (height, width, 3), as the bytes of a JPEG."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _portrait(side: int) -> np.ndarray:
    from skimage.data import astronaut

    return np.asarray(Image.fromarray(astronaut()).resize((side, side), Image.Resampling.LANCZOS))


def _requests(crop_size: int, places: int, *, has_frames: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the signature and the TensorProtos of each request, the cheapest signature first."""
    yield ABOUT, {"ask": tf.make_tensor_proto([b""])}
    face = as_jpeg(portrait_face(crop_size))
    # The last place is empty in a track of several, as it is in clips that lose their face.
    track = [face] * max(places - 1, 1) + [b""] * (places > 1)
    for rows in ROWS:
        yield CROPS, _grey_crops(rows, places, crop_size)
        yield JPEG_FACES, {"face_bytes": tf.make_tensor_proto([track] * rows)}
    yield EXPLAIN, _grey_crops(1, places, crop_size)
    if has_frames:
        raw = portrait_frame(*_SMALL_FRAME)[None, None]
        yield FRAMES, {"frames": tf.make_tensor_proto(np.repeat(raw, 2, axis=1))}
        yield JPEG_FRAMES, {"frame_bytes": tf.make_tensor_proto([[as_jpeg(portrait_frame(*_LARGE_FRAME))] * places])}


def _sound(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return two seconds of silence for each row of a request."""
    rows = next(iter(inputs.values())).tensor_shape.dim[0].size
    shape = (rows, 32_000)
    return {
        "waveform": tf.make_tensor_proto(0.0, dtype=tf.float32, shape=shape),
        "is_sound": tf.make_tensor_proto(True, dtype=tf.bool, shape=shape),
    }


def _grey_crops(rows: int, places: int, crop_size: int) -> dict[str, Any]:
    # One value for all pixels: the network takes as long over it, and the record takes no room.
    shape = (rows, places, crop_size, crop_size, 3)
    return {
        "crops": tf.make_tensor_proto(_GREY, dtype=tf.uint8, shape=shape),
        "is_face": tf.make_tensor_proto(np.ones((rows, places), bool)),
    }
