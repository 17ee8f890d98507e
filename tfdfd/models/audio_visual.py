"""The audio-visual network: a clip's sequence of faces and its sound to one logit."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdfd.clip import TfdfdError
from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.models.sequence import LSTMOverTime, OrAbsent, Standardized, TransformerOverTime
from tfdfd.models.sound import SoundNetwork

AUDIO_VISUAL = "audio_visual"
"""What `--backbone` takes."""
OVER_TIME = ("lstm", "transformer")
"""How the faces of a sequence become one vector."""
FACES, IS_FACE, LOG_MELS, IS_SOUND = "faces", "is_face", "log_mel", "is_sound"
"""Names of the inputs."""

UNITS = 128
"""Width of what is known of the faces, and of the sound, before they are joined."""


def build_sequence_network(
    num_features: int,
    num_bands: int,
    *,
    over_time: str = "lstm",
    are_frozen: bool = False,
    moments: tuple[np.ndarray, np.ndarray] | None = None,
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Build what comes behind the features of faces.

    All of it is float32 whatever the policy: it is small, and long sums do not fit float16.

    Args:
        num_features: of each face.
        num_bands: of the log-mel spectrograms.
        over_time: one of OVER_TIME.
        are_frozen: whether the features stay what they are while this is trained. Each is then brought to mean 0 and
            deviation 1; features that change meanwhile are normalised face by face.
        moments: mean and deviation of each frozen feature over the training faces, float32 (num_features,) each; None
            where they come with the weights that will be loaded.
        dropout: share of features that training drops, in [0, 1).
        seed: of dropout and of the random weights.

    Returns:
        A dict of `faces` float32 [batch, places, num_features], `is_face` bool [batch, places], `log_mel` float32
        [batch, frames, bands], `is_sound` bool [batch, frames] -> float32 logits [batch, 1]; above 0 is fake. Places
        and frames may be of any number; a clip without a face, or without sound, has a learned vector in its stead.

    Raises:
        TfdfdError: for an unknown choice.
    """
    if over_time not in OVER_TIME:
        raise TfdfdError(f"over_time must be one of {sorted(OVER_TIME)}, got {over_time!r}")
    keras.utils.set_random_seed(seed)
    layers: Any = keras.layers
    same: Any = {"dtype": "float32"}
    faces = keras.Input((None, num_features), dtype="float32", name=FACES)
    is_face = keras.Input((None,), dtype="bool", name=IS_FACE)
    log_mel = keras.Input((None, num_bands), dtype="float32", name=LOG_MELS)
    is_sound = keras.Input((None,), dtype="bool", name=IS_SOUND)

    if are_frozen:
        norm = Standardized(name="face_norm", **same)
        x = norm(faces)
        if moments is not None:
            norm.set_moments(*moments)
    else:
        x = layers.LayerNormalization(name="face_norm", **same)(faces)
    x = layers.Dropout(dropout, seed=seed, name="face_dropout", **same)(x)
    x = layers.Dense(UNITS, activation="relu", name="face_features", **same)(x)
    if over_time == "lstm":
        seen = LSTMOverTime(UNITS, name="over_time", **same)(x, is_face)
    else:
        seen = TransformerOverTime(UNITS, dropout=dropout / 3, seed=seed + 10, name="over_time", **same)(x, is_face)
    seen = OrAbsent(name="seen", **same)(seen, is_face)
    heard = SoundNetwork(UNITS, name="sound", **same)(log_mel, is_sound)
    heard = OrAbsent(name="heard", **same)(heard, is_sound)
    x = layers.Concatenate(name="joined", **same)([seen, heard])
    x = layers.Dropout(dropout, seed=seed + 1, name="joined_dropout", **same)(x)
    x = layers.Dense(UNITS // 2, activation="relu", name="hidden", **same)(x)
    logits = layers.Dense(1, name="logit", **same)(x)
    inputs = {FACES: faces, IS_FACE: is_face, LOG_MELS: log_mel, IS_SOUND: is_sound}
    return keras.Model(inputs, logits, name="sequence_network")


def build_feature_network(
    *,
    backbone: str,
    crop_size: int,
    input_size: int | None = None,
    weights: str = "imagenet",
    pooling: str = "avg",
    hidden_size: int | None = None,
    dtype_policy: str = "float32",
    batchnorm: str = "per_replica",
    batchnorm_momentum: float | None = None,
    seed: int = 0,
) -> keras.Model:
    """Build what makes features of faces: a backbone, and the mean of its maps over the picture.

    Args:
        backbone, crop_size, input_size, weights, dtype_policy, batchnorm, batchnorm_momentum, seed: as in
            `build_face_classifier`.
        pooling, hidden_size: where the weights are those of a whole face classifier, its head, which is left away.

    Returns:
        uint8 [n, crop_size, crop_size, 3] -> float32 features [n, d]; its layer `maps` gives the feature maps
        [n, height, width, d] that they are the mean of.

    Raises:
        TfdfdError: as `build_face_classifier`.
    """
    classifier = build_face_classifier(
        backbone=backbone,
        crop_size=crop_size,
        input_size=input_size,
        weights=weights,
        pooling=pooling,
        hidden_size=hidden_size,
        dtype_policy=dtype_policy,
        batchnorm=batchnorm,
        batchnorm_momentum=batchnorm_momentum,
        seed=seed,
    )
    maps = next(layer.input for layer in classifier.layers if layer.name in ("avg_pooling", "max_pooling"))
    features = keras.layers.GlobalAveragePooling2D(dtype="float32", name="avg_pooling")(maps)
    return keras.Model(classifier.inputs[0], features, name="feature_network")


@keras.saving.register_keras_serializable(package="tfdfd")
class OnlyFaces(keras.layers.Layer):
    """Takes out the crops that hold a face: black ones would move the BatchNorm of what sees them.

    Call:
        crops uint8 [batch, places, size, size, 3], is_face bool [batch, places] -> uint8 [faces, size, size, 3].
    """

    def call(self, crops: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
        """See the class."""
        return tf.gather_nd(crops, tf.where(is_face))

    def compute_output_shape(self, crops_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return (None, *crops_shape[2:])

    def compute_output_spec(self, crops: keras.KerasTensor, *_: Any) -> keras.KerasTensor:
        """Return shape and type of the output: pixels stay whole numbers."""
        return keras.KerasTensor(self.compute_output_shape(crops.shape), dtype=crops.dtype)


@keras.saving.register_keras_serializable(package="tfdfd")
class BackToPlaces(keras.layers.Layer):
    """Puts what was made of the faces back to their places.

    Call:
        features float32 [faces, n], is_face bool [batch, places] -> float32 [batch, places, n], 0 without a face.
    """

    def call(self, features: tf.Tensor, is_face: tf.Tensor) -> tf.Tensor:
        """See the class."""
        shape = tf.concat([tf.shape(is_face, tf.int64), tf.shape(features, tf.int64)[1:]], axis=0)
        return tf.ensure_shape(tf.scatter_nd(tf.where(is_face), features, shape), [None, None, features.shape[-1]])

    def compute_output_shape(
        self, features_shape: tuple[int | None, ...], is_face_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of the output."""
        return (*is_face_shape, features_shape[-1])


def join_networks(features: keras.Model, sequence: keras.Model) -> keras.Model:
    """Join both networks to one that is trained as a whole.

    Args:
        features: as `build_feature_network` makes it.
        sequence: as `build_sequence_network` makes it, for as many features.

    Returns:
        As `sequence`, but that `faces` are crops, uint8 [batch, places, size, size, 3].
    """
    _, height, width, channels = features.input_shape
    crops = keras.Input((None, height, width, channels), dtype="uint8", name=FACES)
    inputs: dict[str, Any] = {FACES: crops}
    sequence_inputs: Any = sequence.input
    for name in (IS_FACE, LOG_MELS, IS_SOUND):
        like: Any = sequence_inputs[name]
        inputs[name] = keras.Input(like.shape[1:], dtype=like.dtype, name=name)
    is_face = inputs[IS_FACE]
    faces = OnlyFaces(dtype="float32", name="only_faces")(crops, is_face)
    seen = BackToPlaces(dtype="float32", name="back_to_places")(features(faces), is_face)
    return keras.Model(inputs, sequence({**inputs, FACES: seen}), name=AUDIO_VISUAL)
