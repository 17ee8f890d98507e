"""Which pixels of a face were altered: a U-Net decoder on a backbone, beside the head or in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfdfd.models.resizing import SquareResizing

SEGMENTATIONS = {
    "none": "the network gives a logit of the face alone",
    "second_head": "a decoder tells what of the face was altered, beside the head",
    "alone": "a decoder tells what was altered, and the logit of the face comes from that",
}
"""Whether, and how, a network tells what of a face was altered."""

MASK_LOGITS = "mask_logits"
"""Name of the layer whose output they are."""
WIDTHS = (128, 64, 32, 16)
"""Features of the decoder, from its coarsest stage to its finest; further stages have as many as the last."""
GROUPS = 8
"""Of the decoder's group normalisation, which unlike BatchNorm does not depend on what else is in the batch: so the
settings of BatchNorm are the backbone's alone."""
TOP_SHARE = 0.05
"""Share of the places of a mask, the most altered ones, that a face's logit is the mean of: a mouth that was altered
alone must count, one place must not."""
_HALVES = 0.6
"""A side that shrinks to less than this share of itself has been halved."""


def with_skips(network: keras.Model) -> keras.Model:
    """Return a backbone that also gives what it was before each halving.

    Those are the outputs of the last operations at each side, but for convolutions and padding: a convolution's output
    is not normalised yet.

    Args:
        network: pictures -> feature maps, of square sides that are known.

    Returns:
        The same network, sharing its layers: pictures -> [finest maps, ..., coarsest maps, feature maps].
    """
    of_side: dict[int, Any] = {}
    maps: Any = network.output
    for operation in network.operations:
        output: Any = getattr(operation, "output", None)
        if isinstance(operation, keras.layers.InputLayer) or not _is_maps(output):
            continue
        if not isinstance(operation, _NOT_SKIPS):
            of_side[output.shape[1]] = output
    sides = sorted(side for side in of_side if side > maps.shape[1])
    # A side may also shrink by a border; of those that are nearly as large the smallest, and last, is taken.
    chosen = [
        side
        for side, smaller in zip(sides, [maps.shape[1], *sides], strict=False)
        if smaller <= _HALVES * side and side <= _HALVES * network.input_shape[1]
    ]
    return keras.Model(network.input, [*(of_side[side] for side in reversed(chosen)), maps], name=network.name)


_NOT_SKIPS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.ZeroPadding2D,
)


def _is_maps(output: Any) -> bool:
    shape = getattr(output, "shape", ())
    return len(shape) == 4 and shape[1] is not None and shape[1] == shape[2] and shape[1] > 1


def build_decoder(
    maps: keras.KerasTensor, skips: Sequence[keras.KerasTensor], *, dropout: float, seed: int
) -> keras.KerasTensor:
    """Put a decoder on feature maps: enlarged stage by stage, each time joined with what the backbone was there.

    Args:
        maps: [batch, side, side, n].
        skips: as `with_skips` gives them, finest first.
        dropout: share of the feature maps that training drops before the decoder, in [0, 1).
        seed: of dropout.

    Returns:
        float32 logits [batch, side, side], of the side of the finest skip; above 0 where the face was altered.

    Source: U-Net, arXiv:1505.04597; group normalisation, arXiv:1803.08494.
    """
    layers = keras.layers
    x = layers.SpatialDropout2D(dropout, seed=seed + 2, name="mask_dropout")(maps)
    x = layers.Conv2D(WIDTHS[0], 1, use_bias=False, name="mask_bridge")(x)
    for stage, skip in enumerate(reversed(skips)):
        width = WIDTHS[min(stage, len(WIDTHS) - 1)]
        if x.shape[1] != skip.shape[1]:
            # In float32, and with a kernel for GPUs.
            x = SquareResizing(size_in=x.shape[1], size_out=skip.shape[1], name=f"mask_enlarged_{stage}")(x)
        beside = layers.Conv2D(width, 1, use_bias=False, name=f"mask_skip_{stage}")(skip)
        x = layers.Concatenate(name=f"mask_joined_{stage}")([x, beside])
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"mask_conv_{stage}")(x)
        x = layers.GroupNormalization(GROUPS, name=f"mask_norm_{stage}")(x)
        x = layers.ReLU(name=f"mask_relu_{stage}")(x)
    # From few altered pixels: else the first steps unlearn that most are not.
    first: Any = keras.initializers.Constant(-2.0)
    x = layers.Conv2D(1, 1, bias_initializer=first, dtype="float32", name="mask_conv")(x)
    return layers.Reshape(x.shape[1:3], dtype="float32", name=MASK_LOGITS)(x)


@keras.saving.register_keras_serializable(package="tfdfd")
class MaskToLogit(keras.layers.Layer):
    """The logit of a face by its mask: the mean of the TOP_SHARE of the mask's logits that are highest, at least one.

    Call:
        float32 [batch, height, width] -> float32 [batch, 1].
    """

    def __init__(self, *, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})

    def call(self, masks):
        """Take the mean; see the class."""
        count = masks.shape[1] * masks.shape[2]
        places = keras.ops.reshape(masks, (-1, count))
        highest: Any = keras.ops.top_k(places, max(1, round(TOP_SHARE * count)))
        return keras.ops.mean(highest[0], axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Return the shape of the output for one of the input."""
        return (input_shape[0], 1)


def mask_logits_of(classifier: keras.Model) -> keras.KerasTensor | None:
    """Return the logits of masks that a classifier gives, [n, height, width], None if it gives none."""
    if len(classifier.outputs) < 2:
        return None
    return classifier.outputs[1]


def face_logits(outputs: Any) -> Any:
    """Return the logits of faces, [n, 1], of what a classifier gave, with or without masks."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs
