"""The caches of a store's clips: features of their faces by a network, and spectrograms of their sound."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console

from tfdfd.clip import OK, WITH_FACES, TfdfdError
from tfdfd.commands.console import WorkProgress, guarding, print_reasons
from tfdfd.commands.inputs import provenance
from tfdfd.data.clip_cache import ClipCache
from tfdfd.data.options import check_choices, option
from tfdfd.data.ready_crops import READY_MADE
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import records, rows_where, values
from tfdfd.guard import Failed
from tfdfd.models import BACKBONES
from tfdfd.phrases import counted, shown

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FeatureConfig:
    """Which network makes the features of faces; each field's help says what it does."""

    face_backbone: str = option("xception", "network that makes features of each face", BACKBONES)
    weights: str = option(
        "imagenet",
        "its weights: imagenet (downloads), or a file, of the network without its top or of a trained face classifier, "
        "e.g. runs/NAME/best.weights.h5",
    )
    input_size: int | None = option(None, "side in pixels at which the network sees a face; not set: the crops'")
    pooling: str = option("avg", "of the trained classifier in the weights file", ("avg", "max", "avg_max"))
    hidden_size: int | None = option(None, "of the trained classifier in the weights file; not set: none")

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("input_size", "hidden_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.weights == "none":
            raise ValueError("--weights none: features of random weights tell nothing; give a file, or imagenet")


@dataclass(frozen=True)
class KeptFeatures:
    """The caches of a store's clips, brought up to date."""

    sounds: ClipCache
    faces: ClipCache | None
    """None where only sounds were asked for."""
    sound_statuses: dict[str, str]
    """Of each clip one of `audio.SOUND_STATUSES`."""
    failed: dict[str, str] = field(default_factory=dict)
    """Clip id and reason of those whose faces or sound could not be read: they have no features."""


def keep_features(
    store: FaceStore,
    clips: pd.DataFrame,
    console: Console,
    *,
    network: keras.Model | None,
    about: dict[str, Any],
    folder: Path | None,
    sound_folder: Path | None,
    on_clip: Callable[[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]], None] | None = None,
) -> KeptFeatures:
    """Bring the caches of features and sounds up to date with clips of a store; what is kept is not made again.

    Args:
        store: the crops.
        clips: rows of a manifest, of which those with a face count.
        console: for progress, and for what of the sound is wrong.
        network: makes features of faces, as `build_feature_network`; None for sounds alone.
        about: which network that is, JSON-able: part of the fingerprint.
        folder: of the features; None for `features/<backbone>` in the store.
        sound_folder: of the spectrograms; None for `sounds` in the store.
        on_clip: called with each clip's row of the manifest, and the arrays of its faces (none without a network) and
            of its sound.

    Raises:
        TfdfdError: if a cache was made with another fingerprint or cannot be written, or the store is of ready-made
            crops.
    """
    import tensorflow as tf

    from tfdfd.data.clip_features import face_fingerprint, kept_faces, kept_sound, sound_fingerprint

    if store.fingerprint.preprocessing["detector"] == READY_MADE:
        raise TfdfdError(
            f"{store.folder} holds ready-made crops: a sequence and its sound need clips; prepare a store from them"
        )
    made = provenance(store.folder)
    sounds = ClipCache.create_or_open(sound_folder or store.folder / "sounds", sound_fingerprint(made), flag="--sounds")
    faces, run = None, None
    if network is not None:
        faces = ClipCache.create_or_open(
            folder or store.folder / "features" / str(about["backbone"]),
            face_fingerprint(about, store, made),
            flag="--features",
        )
        size = store.crop_size
        run = tf.function(
            lambda crops: network(crops, training=False),
            input_signature=[tf.TensorSpec((None, size, size, 3), tf.uint8)],
        )
    found = {row["clip_id"]: row for row in records(store.clips()) if row["status"] in WITH_FACES}
    tracks = rows_where(store.tracks(), values(store.tracks(), "track") == 0)
    mains = {row["clip_id"]: row for row in records(tracks)}
    todo = [row for row in records(clips) if row["clip_id"] in found]
    statuses: dict[str, str] = {}
    failed: dict[str, str] = {}
    reasons: list[str] = []

    def seen_and_heard(row: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        record = found[row["clip_id"]]
        seen: dict[str, np.ndarray] = {}
        if faces is not None and run is not None:
            seen = kept_faces(faces, record, mains[row["clip_id"]], store, partial(_as_array, run))
        return seen, kept_sound(sounds, record, Path(row["path"]))

    with (
        WorkProgress(console, "features", "clips", len(todo)) as progress,
        guarding(console, (faces or sounds).folder) as guard,
    ):
        for row in todo:
            progress.advance()
            both = guard.run(row["clip_id"], partial(seen_and_heard, row))
            if isinstance(both, Failed):
                failed[row["clip_id"]] = both.reason
                console.print(shown(f"  {row['clip_id']}: failed, {both.reason}"))
                continue
            seen, sound = both
            statuses[row["clip_id"]] = status = str(sound["status"])
            if status != OK:
                reasons.append(f"{row['clip_id']}: {status}, {sound['reason']}")
            if on_clip is not None:
                on_clip(row, seen, sound)
    _print_sounds(statuses, reasons, console)
    return KeptFeatures(sounds, faces, statuses, failed)


def _as_array(network: Callable[[np.ndarray], Any], crops: np.ndarray) -> np.ndarray:
    return network(crops).numpy()


def _print_sounds(statuses: dict[str, str], reasons: Sequence[str], console: Console) -> None:
    counts = Counter(statuses.values())
    console.print(
        f"sound of {counted(len(statuses), 'clip')}: "
        + ", ".join(f"{count} {status}" for status, count in counts.most_common())
    )
    print_reasons(console, reasons)


def feature_network(config: FeatureConfig, crop_size: int) -> tuple[keras.Model, dict[str, Any]]:
    """Build the network that makes features, and say which it is.

    Returns:
        The network, and `backbone`, `input_size` and `weights_digest`, JSON-able.

    Raises:
        TfdfdError: if its weights cannot be had, or pooling and hidden_size are given for weights without a head.
    """
    from tfdfd.models.audio_visual import build_feature_network
    from tfdfd.models.weights import holds_classifier

    has_head = config.weights != "imagenet" and holds_classifier(config.weights)
    if not has_head and (config.pooling != "avg" or config.hidden_size is not None):
        raise TfdfdError(
            f"pooling and hidden_size are those of a trained classifier's head, and weights {config.weights} have "
            "none: leave them out"
        )
    network = build_feature_network(
        backbone=config.face_backbone,
        crop_size=crop_size,
        input_size=config.input_size,
        weights=config.weights,
        pooling=config.pooling,
        hidden_size=config.hidden_size,
    )
    about = {
        "backbone": config.face_backbone,
        "input_size": crop_size if config.input_size is None else config.input_size,
        "weights_digest": weights_digest(network),
    }
    return network, about


def weights_digest(network: keras.Model) -> str:
    """Return what tells the weights of a network from any others."""
    digest = hashlib.sha256()
    for value in network.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:20]
