"""Requests to each signature, and their times in a process of their own; benchmarks/serving.py starts it.

    python serving_requests.py MODEL CLIP SIGNATURE warm|cold COUNT

loads a SavedModel, replays its warm-up records if told to, and prints the seconds of each request as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PLACES = 17
SIGNATURES_TIMED = ("serving_default", "jpeg_faces", "frames", "jpeg_frames")


def make_request(signature: str, clip: Path, crop_size: int) -> dict[str, Any]:
    """Return the inputs of one request: a clip of 17 frames, or its one person."""
    import numpy as np

    from tfdfd.clip import FramePlan
    from tfdfd.data.frame_source import PyAvFrameSource
    from tfdfd.serving.warmup import as_jpeg, portrait_face

    if signature in ("serving_default", "jpeg_faces"):
        face = portrait_face(crop_size)
        if signature == "jpeg_faces":
            return {"face_bytes": np.array([[as_jpeg(face)] * PLACES], object)}
        return {"crops": np.repeat(face[None, None], PLACES, axis=1), "is_face": np.ones((1, PLACES), bool)}
    frames = PyAvFrameSource().read(clip, FramePlan(PLACES)).frames
    if signature == "frames":
        return {"frames": frames[None]}
    return {"frame_bytes": np.array([[as_jpeg(frame) for frame in frames]], object)}


def main() -> None:
    """Time the requests."""
    model, clip, signature, way, count = sys.argv[1:]
    import tensorflow as tf

    from tfdfd.serving.versions import newest_version

    folder = newest_version(Path(model))
    loaded: Any = tf.saved_model.load(str(folder))
    signatures = loaded.signatures  # which do not keep it alive
    crop_size = signatures["serving_default"].structured_input_signature[1]["crops"].shape[2]
    inputs = {
        name: tf.constant(value if value.dtype != object else value.tolist())
        for name, value in make_request(signature, Path(clip), crop_size).items()
    }
    if way == "warm":
        from tensorflow_serving.apis import prediction_log_pb2

        messages: Any = prediction_log_pb2
        for record in tf.data.TFRecordDataset(str(folder / "assets.extra/tf_serving_warmup_requests")):
            request = messages.PredictionLog.FromString(record.numpy()).predict_log.request
            given = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
            signatures[request.model_spec.signature_name](**given)
    seconds = []
    for _ in range(int(count) + 1 if way == "warm" else 1):
        start = time.perf_counter()
        signatures[signature](**inputs)["clip_score"].numpy()
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
