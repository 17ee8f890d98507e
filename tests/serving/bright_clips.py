"""Clips whose faces are as fake as they are bright: a detector and a model whose right answers are obvious, served."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.serving.loopback_server import LoopbackServer
from tfdfd.clip import Detections
from tfdfd.data.frame_source import PyAvFrameSource
from tfdfd.data.strips import decode_strip
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.client import ScoringClient

BOTH = pytest.mark.parametrize("transport", ["grpc", "rest"])
SETTINGS = {"name": "scripted", "min_face_share": 0.1}
FINGERPRINT, LARGE = (
    extraction_fingerprint(ExtractionConfig(places=3, crop_size=size, margin=0.0), SETTINGS, {"num_places": 3})
    for size in (16, 200)
)
RULE_JSON = ScoringRule(over_tracks="max", threshold=0.7).to_json()


class OneFace:
    """One face of 16 px at (8, 8) in every bright frame."""

    settings = SETTINGS
    boxes = np.array([[8, 8, 24, 24]], np.float32)

    def __call__(self, frames):
        n = len(self.boxes)
        faces = Detections(self.boxes, np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32))
        return [faces if frame.max() > 99 else Detections.none() for frame in frames]


class Brightness:
    """A model whose face probability is how bright a crop is."""

    inputs = {  # noqa: RUF012
        "serving_default": {"crops": np.uint8, "is_face": np.bool_},
        "jpeg_faces": {"face_bytes": object},
        "about": {"ask": object},
    }

    def __init__(self, fingerprint=FINGERPRINT, rule=RULE_JSON, digest="abc"):
        told = {"scoring_rule": rule, "fingerprint": fingerprint.to_json(), "network_digest": digest}
        self._told = {name: np.array([text.encode()], object) for name, text in told.items()}

    def __call__(self, signature, inputs):
        if signature == "about":
            return self._told
        if signature == "jpeg_faces":
            inputs = decoded(inputs["face_bytes"])
        is_face = inputs["is_face"]
        probabilities = np.where(is_face, inputs["crops"].mean(axis=(2, 3, 4)) / 255, 0).astype(np.float32)
        return {
            "clip_score": probabilities.max(axis=1),
            "face_probabilities": probabilities,
            "num_faces": is_face.sum(axis=1).astype(np.int32),
        }


def decoded(face_bytes):
    crops = np.stack([np.concatenate([decode_strip(jpeg, num_places=1) for jpeg in row]) for row in face_bytes])
    return {"crops": crops, "is_face": np.ones(face_bytes.shape, np.bool_)}


def serving() -> LoopbackServer:
    """Return a server of the model `dfdc`, and of `large`, whose requests are of 360 kB."""
    return LoopbackServer({"dfdc": {1: Brightness()}, "large": {1: Brightness(LARGE)}})


def client_of(address, transport, *, detector=None, name="dfdc", **options):
    """Make a client; with faces found here, by OneFace unless told otherwise, and raw crops."""
    options = {"deadline_seconds": 10.0, "tries": 3} | options
    if options.get("faces") != "server":
        options = {"pixels": "raw", "make_detector": lambda config: detector or OneFace()} | options
    return ScoringClient(address, name, frame_source=PyAvFrameSource(), transport=transport, **options)


def write_clips(folder: Path) -> Path:
    """Write clips of three frames: a bright one, one whose right half is half as bright, a dark one, one cut off."""
    bright = np.full((3, 48, 64, 3), 255, np.uint8)
    half_lit = bright.copy()
    half_lit[:, :, 32:] //= 2
    for name, frames in (("face", bright), ("half lit", half_lit), ("empty", 0 * bright)):
        write_frames(folder / f"{name}.mp4", frames)
    (folder / "broken.mp4").write_bytes((folder / "face.mp4").read_bytes()[:500])
    return folder


def write_frames(path: Path, frames: np.ndarray) -> Path:
    """Write frames, uint8 RGB (n, height, width, 3), as a video of ten a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "12", "preset": "veryfast", "threads": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path
