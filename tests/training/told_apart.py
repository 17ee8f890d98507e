"""Sets of clips of which one thing alone tells the class: the sound, the order of the frames, or the face.

Every fake has a real clip beside it that is the same in all else: a model that cannot see the one thing gives both the
same score.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import scipy.signal
import tensorflow as tf

from tests.sound_files import write_clip
from tests.stores import ok_clip, track_of
from tfdfd.clip import LABEL_NAMES, OK, ClipFaces, ClipFrames, VideoInfo
from tfdfd.data.audio import SAMPLE_RATE, read_sound
from tfdfd.data.frame_reading import read_frames
from tfdfd.data.splits import TRAIN, VAL, Split
from tfdfd.data.store import FaceStore
from tfdfd.data.video import probe
from tfdfd.extraction import extraction_fingerprint
from tfdfd.faces.config import ExtractionConfig
from tfdfd.faces.crops import crop_faces
from tfdfd.faces.mtcnn import MTCNN
from tfdfd.faces.mtcnn_weights import mtcnn_settings
from tfdfd.models.backbone import Backbone
from tfdfd.models.xception import scale_to_unit

SIZE, PLACES, SECONDS = 32, 6, 1.2
NUM_PAIRS, NUM_VAL_PAIRS = 10, 4
KINDS = ("sound", "order", "face")

_START_SECONDS = 1.0

Faces = Sequence[np.ndarray]
"""uint8 RGB [PLACES, SIZE, SIZE, 3] each."""
Sounds = Sequence[np.ndarray]
"""float32 (SECONDS * SAMPLE_RATE,) each."""


def build_edges(input_size: int, weights: str | None) -> keras.Model:
    """Make one convolution with ReLU, whose features tell colours and edges."""
    del weights
    pictures = keras.Input((input_size, input_size, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu", name="conv")(pictures)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(pictures, x, name="edges")


EDGES = Backbone("edges", build_edges, scale_to_unit, 8, "edges_notop.h5", "none")


def painted_material() -> tuple[Faces, Sounds]:
    """Return blots as faces, and noises in the rhythm of speech as voices."""
    rng = np.random.default_rng(3)
    faces = [
        np.kron(rng.integers(60, 190, (1, 8, 8, 3)), np.ones((PLACES, SIZE // 8, SIZE // 8, 1))).astype(np.uint8)
        for _ in range(NUM_PAIRS)
    ]
    count = round(SECONDS * SAMPLE_RATE)
    rhythm = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(count) / SAMPLE_RATE)
    return faces, [(0.05 * rng.normal(size=count) * rhythm).astype(np.float32) for _ in range(NUM_PAIRS)]


@functools.cache
def real_material(test_data: Path) -> tuple[Faces, Sounds]:
    """Return a second of real clips: the main face as it moves, and the sound.

    FaceForensics++ has no sound, so those clips get that of another second of a DFDC clip.
    """
    dfdc, ffpp = (
        sorted((test_data / "clips" / folder).glob("**/*.mp4")) for folder in ("dfdc", "ffpp/original_sequences")
    )
    dfdc = [path for path in dfdc if path.stem != "aagfhgtpmv"]  # the fake of another one here: the same scene
    detector, faces, sounds = MTCNN(min_face_share=0.08), [], []
    for path in dfdc + ffpp:
        info = probe(path)
        seconds = _START_SECONDS + (np.arange(PLACES) + 0.5) * SECONDS / PLACES
        frames = read_frames(path, info, np.round(seconds * info.frames_per_second).astype(int))
        # One box for all: the crops show how the head moves.
        boxes = np.repeat(detector(frames[:1])[0].boxes_xyxy[:1], PLACES, axis=0)
        crops = crop_faces(tf.constant(frames), tf.constant(boxes), tf.range(PLACES), SIZE, 0.3)
        faces.append(np.asarray(crops))
    for number in range(len(faces)):
        start = _START_SECONDS + 3.0 * (number // len(dfdc))
        sound = read_sound(dfdc[number % len(dfdc)], start_seconds=start, end_seconds=start + SECONDS).waveform
        sounds.append((0.1 * sound / max(float(np.abs(sound).max()), 1e-3)).astype(np.float32))
    mixed = [*range(0, len(faces), 2), *range(1, len(faces), 2)]  # both kinds of clips on both sides
    return [faces[number] for number in mixed], [sounds[number] for number in mixed]


def _muffled(sound: np.ndarray) -> np.ndarray:
    """Take away what lies above 1 kHz."""
    return scipy.signal.sosfilt(scipy.signal.butter(6, 1000, fs=SAMPLE_RATE, output="sos"), sound).astype(np.float32)


def _tinted(crops: np.ndarray) -> np.ndarray:
    """Give the middle of each face another colour, as a face that was put in and badly matched."""
    edge = SIZE // 6
    tinted = crops.astype(np.float32)
    tinted[:, edge:-edge, edge:-edge] *= (1.35, 1.0, 0.45)
    return np.clip(tinted, 0, 255).astype(np.uint8)


ALTER: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "sound": lambda crops, sound: (crops, _muffled(sound)),
    "order": lambda crops, sound: (crops[::-1], sound),
    "face": lambda crops, sound: (_tinted(crops), sound),
}
"""What makes a fake, of crops [PLACES, SIZE, SIZE, 3] and sound."""


def make_set(folder: Path, kind: str, material: tuple[Faces, Sounds]) -> tuple[FaceStore, Split]:
    """Make a store and its clips, of which the last pairs are for validation.

    Args:
        folder: gets `store`, the clips and a `manifest.csv` of them.
        kind: one of KINDS.
        material: faces and sounds.
    """
    # Made as the commands would make it, so that they find it done.
    crops = ExtractionConfig(places=PLACES, crop_size=SIZE)
    detector = mtcnn_settings(min_face_share=crops.min_face_share)
    fingerprint = extraction_fingerprint(crops, detector, {"source": str(folder)})
    store = FaceStore.create_or_open(folder / "store", fingerprint, num_places=PLACES)[0]
    rows: list[dict[str, object]] = []
    # Light that is turned up, which a clip shown backwards turns down.
    brightness = np.linspace(0.6, 1.3, PLACES)[:, None, None, None]
    with store.writing():
        for number, (face, sound) in enumerate(zip(*material, strict=True)):
            crops = np.clip(face * brightness, 0, 255).astype(np.uint8)
            for label, (seen, heard) in enumerate([(crops, sound), ALTER[kind](crops, sound)]):
                clip_id = f"{'fake' if label else 'real'}{number}"
                path = write_clip(
                    folder / f"{clip_id}.mkv", [(0.0, heard)], rate=SAMPLE_RATE, video_seconds=SECONDS,
                    frames_per_second=10,
                )  # fmt: skip
                store.write(_stored(clip_id, seen), source_bytes=path.stat().st_size)
                rows.append({"clip_id": clip_id, "path": str(path), "label": label, "folder": str(number)})
                rows[-1] |= {"original": f"real{number}" if label else "", "donor": ""}
    manifest = pd.DataFrame(rows)
    named = manifest["label"].map(LABEL_NAMES)
    manifest[["clip_id", "path", "folder", "original"]].assign(label=named).to_csv(folder / "manifest.csv", index=False)
    store.write_manifest(manifest)
    is_val = manifest["folder"].astype(int).to_numpy() >= len(material[0]) - NUM_VAL_PAIRS
    return store, Split(manifest.assign(split=np.where(is_val, VAL, TRAIN)), rule="pairs", notes=())


def _stored(clip_id: str, crops: np.ndarray) -> ClipFaces:
    num_frames = round(SECONDS * 10)
    info = VideoInfo(
        codec="h264", profile="High", pixel_format="yuv420p", width=64, height=48, num_frames=num_frames,
        pts=np.arange(num_frames), time_base_seconds=0.1, frames_per_second=10.0, quarter_turns=0, has_audio=True,
        is_hdr=False,
    )  # fmt: skip
    indices = np.arange(PLACES) * 2 + 1
    pixels = np.zeros((PLACES, 1, 1, 3), np.uint8)
    frames = ClipFrames(pixels, np.arange(PLACES), indices, info, "pyav", "no GPU")
    faces = ok_clip(clip_id, track_of((True,) * PLACES), frames=frames)
    return ClipFaces(clip_id, OK, tracks=faces.tracks, crops=(crops,), frames=frames)
