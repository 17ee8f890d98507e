"""From the settings to the network and its optimizer."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from tfdfd.data.spectrograms import LOG_MEL
from tfdfd.models.audio_visual import build_feature_network, build_sequence_network, join_networks
from tfdfd.models.face_classifier import build_face_classifier
from tfdfd.training.config import TrainConfig
from tfdfd.training.mask_loss import MaskLoss
from tfdfd.training.step import AugmentBatch

ModelBuilder = Callable[[str], keras.Model]
"""Called with the dtype policy, in the strategy's scope: uint8 crops [n, size, size, 3], or what else the batches hold,
-> float32 logits [n, 1]."""

SGD_MOMENTUM = 0.9


def classifier_builder(config: TrainConfig, crop_size: int) -> ModelBuilder:
    """Return what `train` builds its face classifier with.

    Args:
        config: the settings.
        crop_size: side of the crops in pixels.
    """

    def build(dtype_policy: str) -> keras.Model:
        return build_face_classifier(
            backbone=config.backbone,
            crop_size=crop_size,
            input_size=config.input_size,
            weights=config.weights,
            pooling=config.pooling,
            dropout=config.dropout,
            hidden_size=config.hidden_size,
            batchnorm=config.batchnorm,
            batchnorm_momentum=config.batchnorm_momentum,
            segmentation=config.segmentation,
            dtype_policy=dtype_policy,
            seed=config.seed,
        )

    return build


def sequence_builder(
    config: TrainConfig,
    crop_size: int,
    num_features: int | None,
    moments: tuple[np.ndarray, np.ndarray] | None = None,
) -> ModelBuilder:
    """Return what `train` builds its audio-visual network with.

    Args:
        config: the settings.
        crop_size: side of the crops in pixels.
        num_features: of each face where these are frozen; None where the network of faces is trained too.
        moments: of the frozen features, as in `build_sequence_network`; None where trained weights will be loaded.
    """

    def build(dtype_policy: str) -> keras.Model:
        features = None
        if num_features is None:
            features = build_feature_network(
                backbone=config.face_backbone,
                crop_size=crop_size,
                input_size=config.input_size,
                weights=config.weights,
                pooling=config.pooling,
                hidden_size=config.hidden_size,
                dtype_policy=dtype_policy,
                batchnorm=config.batchnorm,
                batchnorm_momentum=config.batchnorm_momentum,
                seed=config.seed,
            )
        sequence = build_sequence_network(
            num_features or int(features.output_shape[-1]),  # pyright: ignore
            LOG_MEL.num_mels,
            over_time=config.over_time,
            are_frozen=features is None,
            moments=moments,
            dropout=config.dropout,
            seed=config.seed,
        )
        return join_networks(features, sequence) if features else sequence

    return build


def build_optimizer(config: TrainConfig, dtype_policy: str, model: keras.Model) -> keras.optimizers.Optimizer:
    """Build the optimizer of all that is trainable in a network, with loss scaling where gradients are float16.

    Args:
        config: the settings.
        dtype_policy: `float32` or `mixed_float16`.
        model: made in the strategy's scope, in which this must be called too.
    """
    if config.optimizer == "adam":
        optimizer = keras.optimizers.Adam(config.learning_rate)
    elif config.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.applied_weight_decay)
        optimizer.exclude_from_weight_decay(var_list=_not_decayed(model))
    else:
        optimizer = keras.optimizers.SGD(config.learning_rate, momentum=SGD_MOMENTUM)
    if dtype_policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _not_decayed(model: keras.Model) -> list[keras.Variable]:
    # Biases, and the scales and shifts of any normalisation, are vectors; all that multiplies features has more axes.
    return [variable for variable in model.trainable_variables if len(variable.shape) < 2]


def build_mask_loss(config: TrainConfig) -> MaskLoss | None:
    """Build the loss of masks, or None where the network gives none."""
    if config.segmentation == "none":
        return None
    if config.segmentation == "alone":
        return MaskLoss(face_weight=0.0, mask_weight=1.0)
    return MaskLoss(face_weight=1.0, mask_weight=1.0 if config.mask_weight is None else config.mask_weight)


def build_augmentation(config: TrainConfig) -> AugmentBatch | None:
    """Build what alters batches, or None where nothing does."""
    if not config.augments_batches:
        return None
    from tfdfd.training.batch_augmentation import BatchAugmentation  # keras-cv, which most runs do not need

    return BatchAugmentation(config)
