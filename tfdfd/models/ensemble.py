"""Several networks as one: of each face the mean of their probabilities, and of their heat maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from tfdfd.models.clip_scorer import ExplainFaces
from tfdfd.models.resizing import resizing_matrix

Combine = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(logits float32 [members, ...], weights float32 [members, ...] above 0 that sum to 1) -> logits float32 [...]."""


def _arithmetic(logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    # In logarithms: sums of probabilities near 0 or 1 would have lost what their logits still tell.
    log_weights = tf.math.log(weights)
    log_fake = tf.reduce_logsumexp(log_weights + tf.math.log_sigmoid(logits), 0)
    return log_fake - tf.reduce_logsumexp(log_weights + tf.math.log_sigmoid(-logits), 0)


def _geometric(logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(weights * logits, 0)


MEANS: dict[str, Combine] = {"arithmetic": _arithmetic, "geometric": _geometric}
"""What becomes of the members' probabilities of fake p1, p2, ... of one face, with weights w1, w2, ... that sum to 1.

`arithmetic` is w1 p1 + w2 p2 + ... `geometric` is g1 / (g1 + g0), of the geometric means g1 = p1^w1 p2^w2 ... of the
probabilities of fake and g0 = (1 - p1)^w1 (1 - p2)^w2 ... of those of real. These do not sum to one, and g1 alone would
lean towards real wherever members disagree. It is the sigmoid of the mean logit, so a member that is very sure counts
for more than in the arithmetic mean.

Both are of faces, and the scoring rule follows. What `evaluation.comparison.ensembles` gives are the same two means of
clip scores, so after the rule. With the aggregation `mean` it makes no difference to the arithmetic mean which comes
first; the geometric ones differ as soon as a clip has more than one face."""


@dataclass(frozen=True)
class Member:
    """One network of an ensemble."""

    explain: ExplainFaces
    """Shows crops to it."""
    map_sides: tuple[int, int]
    """Height and width of its heat maps."""
    temperature: float = 1.0
    """Its logits are divided by it, above 0: its own rule's."""
    weight: float = 1.0
    """Above 0; only the ratios of members' weights matter."""

    def __post_init__(self) -> None:
        for name, value in (("temperature", self.temperature), ("weight", self.weight)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {value}")


class MeanOfNetworks:
    """Shows faces to several networks and combines what they say; an `ExplainFaces`.

    A heat map is the weighted mean of the members' maps, each divided by its temperature and resized to the largest: of
    the geometric mean it then is what the map of one network is, the part of the logit that each place gives. The
    arithmetic mean is no sum of such parts, and the map tells where its members looked.

    Args:
        members: at least two.
        mean: one of MEANS.
    """

    def __init__(self, members: Sequence[Member], mean: str) -> None:
        if mean not in MEANS:
            raise ValueError(f"mean must be one of {sorted(MEANS)}, got {mean!r}")
        if len(members) < 2:
            raise ValueError(f"an ensemble needs at least two members, got {len(members)}")
        self._members, self._combine = tuple(members), MEANS[mean]
        total = sum(member.weight for member in members)
        self._weights = [member.weight / total for member in members]
        height, width = (max(member.map_sides[axis] for member in members) for axis in (0, 1))
        self._resizing = [
            None
            if member.map_sides == (height, width)
            else (resizing_matrix(member.map_sides[0], height), resizing_matrix(member.map_sides[1], width))
            for member in members
        ]

    def __call__(self, crops: tf.Tensor, is_face: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `ExplainFaces`."""
        logits, maps = [], []
        for member, weight, resizing in zip(self._members, self._weights, self._resizing, strict=True):
            # One after the other: side by side, a request would need the memory of all networks at once.
            with tf.control_dependencies(logits[-1:]):
                shown = member.explain(crops, is_face)
            logits.append(shown["face_logits"] / member.temperature)
            part = shown["heat_maps"] * (weight / member.temperature)
            if resizing is not None:
                part = tf.einsum("yh,bphw->bpyw", tf.constant(resizing[0]), part)
                part = tf.einsum("xw,bpyw->bpyx", tf.constant(resizing[1]), part)
            maps.append(part)
        weights = tf.constant(self._weights, tf.float32, shape=(len(logits), 1, 1))
        return {"face_logits": self._combine(tf.stack(logits), weights), "heat_maps": tf.add_n(maps)}
