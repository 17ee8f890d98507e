"""Features of stored clips, kept on disk: of the main person's faces by a network, and of the sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfdfd.clip import ClipError
from tfdfd.data.audio import AUDIO_SETTINGS, FAILED, NO_AUDIO, NO_FILE, ClipSound, read_sound
from tfdfd.data.clip_cache import ClipCache
from tfdfd.data.fingerprint import Fingerprint
from tfdfd.data.spectrograms import LOG_MEL, log_mel
from tfdfd.data.store import FaceStore
from tfdfd.data.strips import read_strip

FeaturesOfFaces = Callable[[np.ndarray], np.ndarray]
"""Crops uint8 RGB [n, size, size, 3] -> features float32 [n, d]."""

_USUAL_RATE = 25.0
"""Frames a second of a clip that does not say."""

_OF_SOUND, _OF_FACES = ("log_mel", "is_sound", "status", "reason"), ("features", "is_face")
"""The arrays of a clip in each cache."""

Record = Mapping[str, Any]
"""A row of a store's index of clips, or a clip's record."""


def face_fingerprint(network: Mapping[str, Any], store: FaceStore, provenance: dict[str, Any]) -> Fingerprint:
    """Return the fingerprint of features of a store's faces.

    Args:
        network: what says which network makes them: backbone, side of its input, digest of its weights.
        store: the crops.
        provenance: versions and sources.
    """
    made = {"network": dict(network), "pooling": "mean", "precision": "float16", "rules": 1}
    return Fingerprint({**made, "crops": store.fingerprint.preprocessing}, provenance)


def sound_fingerprint(provenance: dict[str, Any]) -> Fingerprint:
    """Return the fingerprint of log-mel spectrograms of clips."""
    return Fingerprint({"audio": AUDIO_SETTINGS, "log_mel": LOG_MEL.settings, "precision": "float16"}, provenance)


def frame_seconds(record: Record) -> np.ndarray:
    """Return when each frame of a clip is shown, float64 (num_frames,), seconds; none of ready-made crops."""
    times = record["frame_seconds"]
    times = np.zeros(0) if times is None else np.asarray(times, np.float64)
    # Two numbers are the first and the last of frames that are evenly spaced.
    return np.linspace(times[0], times[-1], int(record["num_frames"])) if len(times) == 2 else times


def span_of(record: Record) -> tuple[float, float] | None:
    """Return when a clip's first frame is shown and its last no longer, in seconds; None where no times are known."""
    seconds = frame_seconds(record)
    if not len(seconds):
        return None
    told = float(record["frames_per_second"] or 0)
    one = 1 / (told if told > 0 else _USUAL_RATE)  # of a clip of one frame
    last = (seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else one
    return float(seconds[0]), float(seconds[-1] + last)


def place_seconds(record: Record, num_places: int) -> np.ndarray:
    """Return seconds from a clip's first frame to that of each place, float32 (num_places,), -1 where it is empty."""
    seconds, found = frame_seconds(record), np.full(num_places, -1, np.float32)
    frames = np.asarray(record["frame_indices"], np.int64)
    is_there = frames >= 0
    if len(seconds):
        found[: len(frames)][is_there] = (seconds[frames[is_there]] - seconds[0]).astype(np.float32)
    return found


def sound_of_clip(record: Record, path: Path) -> ClipSound:
    """Read the sound of a stored clip, from its first frame to its last.

    Args:
        record: of the clip.
        path: its file.
    """
    span = span_of(record)
    if span is None:
        return ClipSound.none(0, NO_AUDIO, f"{path}: the times of its frames are not known, so neither is its sound")
    return read_sound(path, start_seconds=span[0], end_seconds=span[1])


def kept_sound(cache: ClipCache, record: Record, path: Path) -> dict[str, np.ndarray]:
    """Return the log-mel spectrogram of a clip, from the cache or made now and kept.

    What failed, or was not there, is not kept: it is tried again.

    Args:
        cache: of sounds.
        record: of the clip in its store.
        path: the clip's file.

    Returns:
        `log_mel` float16 (frames, bands), 0 where there is no sound, `is_sound` bool (frames,), `status` and `reason`.
    """
    made_of = {"source_bytes": int(record["source_bytes"]), "span": span_of(record)}
    if (kept := cache.get(record["clip_id"], made_of, names=_OF_SOUND)) is not None:
        return kept
    sound = sound_of_clip(record, path)
    if sound.is_sound.any():
        waveforms: Any = sound.waveform[None]
        masks: Any = sound.is_sound[None]
        logs, heard = (value.numpy()[0] for value in log_mel(waveforms, masks))
    else:
        logs, heard = np.zeros((1, LOG_MEL.num_mels), np.float32), np.zeros(1, np.bool_)
    arrays = {
        "log_mel": logs.astype(np.float16),
        "is_sound": heard,
        "status": np.array(sound.status),
        "reason": np.array(sound.reason),
    }
    if sound.status not in (FAILED, NO_FILE):
        cache.put(record["clip_id"], made_of, arrays)
    return arrays


def kept_faces(
    cache: ClipCache, record: Record, track: Record, store: FaceStore, network: FeaturesOfFaces
) -> dict[str, np.ndarray]:
    """Return the features of one person's faces, from the cache or made now and kept.

    Args:
        cache: of features.
        record: of the clip in its store.
        track: of the person, a row of the index of tracks.
        store: the crops.
        network: what makes features of them.

    Returns:
        `features` float16 (faces, d), in playing order, and `is_face` bool (places,): where they stand.

    Raises:
        ClipError: if the strip is missing or cannot be decoded.
    """
    strip = store.folder / track["strip"]
    is_face = np.asarray(track["is_face"], np.bool_)
    try:
        strip_bytes = strip.stat().st_size
    except OSError as error:
        raise ClipError(
            f"its strip {track['strip']} cannot be read ({error.strerror}): `tfdfd prepare` makes it again"
        ) from error
    made_of = {
        "source_bytes": int(record["source_bytes"]),
        "strip_bytes": strip_bytes,
        "faces": is_face.tolist(),
    }
    if (kept := cache.get(record["clip_id"], made_of, names=_OF_FACES)) is not None:
        return kept
    crops = read_strip(strip, num_places=store.num_places)[is_face]
    arrays = {"features": network(crops).astype(np.float16), "is_face": is_face}
    cache.put(record["clip_id"], made_of, arrays)
    return arrays


def video_embedding(faces: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean of a clip's face features, float32 (d,)."""
    return faces["features"].astype(np.float32).mean(axis=0)


def audio_embedding(sound: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return mean, then standard deviation, over time of each band of what is heard, float32 (2 * bands,); None where
    nothing is."""
    heard = sound["log_mel"][sound["is_sound"]].astype(np.float32)
    return np.concatenate([heard.mean(axis=0), heard.std(axis=0)]) if len(heard) else None
