"""The loss of a mask: how far what a network says of each pixel is from what was altered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfdfd.models.resizing import resizing_matrix

_SMOOTH = 0.01
"""Share of a mask that is added above and below in the overlap: where nothing is altered, nothing is to be found."""


@dataclass(frozen=True)
class MaskLoss:
    """What each face adds to the loss.

    The cross-entropy of its pixels, mean over them, and one minus the overlap (Dice) of its mask, which does not care
    how small a region is. A mask is shrunk to what the network gives; a pixel in part altered is so in part.

    Source: Dice loss, arXiv:1606.04797.
    """

    face_weight: float
    """What the loss of the face's own logit is multiplied by."""
    mask_weight: float
    """What the loss of its mask is."""

    def of_masks(self, logits: Any, masks: Any) -> tf.Tensor:
        """Return the loss of each mask.

        Args:
            logits: float32 [n, side, side].
            masks: uint8 [n, size, size, 1], 255 where altered.

        Returns:
            float32 [n].
        """
        with tf.init_scope():  # eager also while a graph is traced
            matrix = resizing_matrix(masks.shape[1], logits.shape[1])
        altered = tf.einsum("oh,nhw,pw->nop", matrix, tf.cast(masks[..., 0], tf.float32) / 255, matrix)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=altered, logits=logits)
        told = tf.sigmoid(logits)
        both, either = (tf.reduce_mean(values, [1, 2]) for values in (told * altered, told + altered))
        overlap = (2 * both + _SMOOTH) / (either + _SMOOTH)
        return tf.reduce_mean(entropy, [1, 2]) + 1 - overlap
