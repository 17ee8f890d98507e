"""The peers of extraction and scoring, in an environment of their own: answers requests on stdin.

`benchmarks/extraction.py` and `benchmarks/serving.py` start this file with the Python that `--peers` names. A request
is one line of JSON, the answer is one line of JSON with the seconds that the work took here, imports left out:

    {"do": "detect", "detector": "mtcnn" or "facenet", "frames": "six.npy", "one_by_one": true, "min_face_size": 20}
    {"do": "clip", "path": "clip.mp4", "indices": [8, 26], "min_face_size": 20, "size": 200, "margin": 0.3}

With "input_size" a clip goes on to Xception of that input, by Keras's `predict`, and the answer has its mean score.

The environment needs `mtcnn`, TensorFlow, `facenet-pytorch` 2.6, CPU torch and OpenCV. Of torchvision only batched
non-maximum suppression is used, and it need not be there: the stub below takes its place.
"""

from __future__ import annotations

import json
import os
import sys
import time
import types
from functools import cache
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np

SCALE_FACTOR = 0.709
THRESHOLDS = [0.6, 0.7, 0.7]


@cache
def mtcnn_package() -> Any:
    """Return the `mtcnn` package's detector."""
    from mtcnn import MTCNN

    return MTCNN()


@cache
def facenet(min_face_size: int) -> Any:
    """Return facenet-pytorch's detector."""
    import torch

    stub_torchvision(torch)
    from facenet_pytorch.models.mtcnn import MTCNN

    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    return MTCNN(min_face_size=min_face_size, factor=SCALE_FACTOR, thresholds=THRESHOLDS, keep_all=True, device="cpu")


def stub_torchvision(torch: Any) -> None:
    """Put the one function that facenet-pytorch's detector takes from torchvision in its place."""

    def batched_nms(boxes: Any, scores: Any, idxs: Any, threshold: float) -> Any:
        # Group by group, so that a batch takes no more than its pictures one by one.
        kept = [[]]
        of_group, all_scores, all_boxes = idxs.numpy(), scores.numpy(), boxes.numpy()
        for group in np.unique(of_group):
            members = np.flatnonzero(of_group == group)
            kept.append(members[nms(all_boxes[members], all_scores[members], threshold)])
        chosen = np.concatenate(kept).astype(np.int64)
        return torch.from_numpy(chosen[np.argsort(-all_scores[chosen], kind="stable")])

    for name in ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name)
    functional = types.ModuleType("torchvision.transforms.functional")
    sys.modules[functional.__name__] = functional
    vars(sys.modules["torchvision.transforms"])["functional"] = functional
    vars(sys.modules["torchvision.ops.boxes"])["batched_nms"] = batched_nms


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Return the rows of boxes (k, 4) that no more confident one overlaps, most confident first."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    order, kept = np.argsort(-scores), []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        width = np.minimum(x2[first], x2[rest]) - np.maximum(x1[first], x1[rest])
        height = np.minimum(y2[first], y2[rest]) - np.maximum(y1[first], y1[rest])
        inter = np.clip(width, 0, None) * np.clip(height, 0, None)
        order = rest[inter / (areas[first] + areas[rest] - inter) <= threshold]
    return kept


def detect(request: dict[str, Any]) -> dict[str, Any]:
    """Find the faces of frames; answers seconds, and boxes and confidences of each frame."""
    frames = np.load(request["frames"])
    groups = [frames[row : row + 1] for row in range(len(frames))] if request["one_by_one"] else [frames]
    found: list[tuple[list[list[float]], list[float]]] = []
    if request["detector"] == "mtcnn":
        detector = mtcnn_package()
        settings = {
            "min_face_size": request["min_face_size"],
            "scale_factor": SCALE_FACTOR,
            "threshold_pnet": THRESHOLDS[0],
            "threshold_rnet": THRESHOLDS[1],
            "threshold_onet": THRESHOLDS[2],
        }
        start = time.perf_counter()
        answers = []
        for group in groups:
            given = group[0] if len(group) == 1 else list(group)
            answer = detector.detect_faces(given, **settings)
            answers += [answer] if len(group) == 1 else answer
        seconds = time.perf_counter() - start
        for faces in answers:
            boxes = [[x, y, x + w, y + h] for x, y, w, h in (face["box"] for face in faces)]
            found.append((np.array(boxes, float).tolist(), [float(face["confidence"]) for face in faces]))
    else:
        detector = facenet(request["min_face_size"])
        start = time.perf_counter()
        answers = [detector.detect(group) for group in groups]
        seconds = time.perf_counter() - start
        for boxes_of, scores_of in answers:
            for boxes, scores in zip(boxes_of, scores_of, strict=True):
                found.append(([], []) if boxes is None else (np.array(boxes, float).tolist(), [*map(float, scores)]))
    return {"seconds": seconds, "boxes": [boxes for boxes, _ in found], "confidences": [scores for _, scores in found]}


@cache
def xception(input_size: int) -> Any:
    """Return Xception with one logit, of random weights: they take as long as any."""
    import keras

    network = keras.applications.Xception(
        include_top=False, weights=None, input_shape=(input_size, input_size, 3), pooling="avg"
    )
    return keras.Sequential([network, keras.layers.Dense(1, activation="sigmoid")])


def clip(request: dict[str, Any]) -> dict[str, Any]:
    """Go from a clip to crops, or to a score, the plain way: OpenCV, a detection in each wanted frame, predict."""
    detector = facenet(request["min_face_size"])
    network = xception(request["input_size"]) if "input_size" in request else None
    wanted, crops = set(request["indices"]), []
    start = time.perf_counter()
    capture = cv2.VideoCapture(request["path"])
    for number in range(max(wanted) + 1):
        if not capture.grab():
            break
        if number not in wanted:
            continue
        frame = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
        boxes, _ = detector.detect(frame)
        for x1, y1, x2, y2 in [] if boxes is None else boxes:
            half = max(x2 - x1, y2 - y1) * (1 + request["margin"]) / 2
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            top, left = max(0, int(y - half)), max(0, int(x - half))
            face = frame[top : int(y + half), left : int(x + half)]
            if face.size:
                crops.append(cv2.resize(face, (request["size"], request["size"]), interpolation=cv2.INTER_AREA))
    capture.release()
    score = None
    if network is not None and crops:
        size = (request["input_size"], request["input_size"])
        faces = np.stack([cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in crops])
        score = float(network.predict(faces.astype(np.float32) / 127.5 - 1, verbose=0).mean())
    return {"seconds": time.perf_counter() - start, "faces": len(crops), "score": score}


def main() -> None:
    """Answer requests until stdin ends."""
    # What the packages print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"detect": detect, "clip": clip}[request["do"]](request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
