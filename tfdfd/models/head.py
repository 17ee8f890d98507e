"""The head: from a backbone's feature maps to one logit, and its layers found again in a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from tfdfd.clip import TfdfdError

POOLINGS = {"avg": ("avg",), "max": ("max",), "avg_max": ("avg", "max")}
"""How the places of the feature maps become one vector: their mean, their largest value, or one after the other."""

_LAYERS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


def build_head(
    maps: keras.KerasTensor,
    *,
    pooling: str = "avg",
    dropout: float = 0.3,
    hidden_size: int | None = None,
    seed: int = 0,
) -> keras.KerasTensor:
    """Put a head on feature maps.

    All of it is float32 whatever the policy: sums over places do not fit float16 everywhere, and a float16 logit
    above 11 is already a probability of 1 and a loss without a gradient.

    Args:
        maps: [batch, height, width, n].
        pooling: one of POOLINGS.
        dropout: share of the pooled features, and of the hidden units, that training drops, in [0, 1).
        hidden_size: units of a layer with ReLU between the pooled features and the logit; None for none.
        seed: of dropout.

    Returns:
        float32 logits [batch, 1].

    Raises:
        TfdfdError: for an unknown pooling or a hidden layer without a unit.
    """
    if pooling not in POOLINGS:
        raise TfdfdError(f"pooling must be one of {sorted(POOLINGS)}, got {pooling!r}")
    if hidden_size is not None and hidden_size < 1:
        raise TfdfdError(f"hidden_size must be at least 1, got {hidden_size}: leave it out for no hidden layer")
    layers = keras.layers
    pooled = [_LAYERS[kind](dtype="float32", name=f"{kind}_pooling")(maps) for kind in POOLINGS[pooling]]
    x = pooled[0] if len(pooled) == 1 else layers.Concatenate(dtype="float32", name="pooled")(pooled)
    x = layers.Dropout(dropout, seed=seed, dtype="float32", name="dropout")(x)
    if hidden_size is not None:
        x = layers.Dense(hidden_size, activation="relu", dtype="float32", name="hidden")(x)
        # Of another seed, lest both drop the same places.
        x = layers.Dropout(dropout, seed=seed + 1, dtype="float32", name="hidden_dropout")(x)
    return layers.Dense(1, dtype="float32", name="logit")(x)


@dataclass(frozen=True)
class Head:
    """The layers of a head that hold weights or choose places."""

    maps: keras.KerasTensor
    """The feature maps that it pools, [batch, height, width, n]."""
    poolings: tuple[keras.layers.Layer, ...]
    """GlobalAveragePooling2D, GlobalMaxPooling2D or both, in the order in which their vectors are joined."""
    hidden: keras.layers.Dense | None
    """With ReLU."""
    logit: keras.layers.Dense
    """Of one unit."""


def find_head(classifier: keras.Model) -> Head:
    """Find the head in a classifier, by walking back from its logit.

    Args:
        classifier: crops -> logits [n, 1], with a head as `build_head` makes it.

    Raises:
        ValueError: if it ends otherwise, saying in what.
    """
    logit, tensor = _made_by(classifier.outputs[0])
    if (
        not isinstance(logit, keras.layers.Dense)
        or logit.units != 1
        or logit.activation is not keras.activations.linear
    ):
        raise ValueError(f"a classifier must end in a Dense layer of one unit, got {_described(logit)}")
    layer, before = _made_by(tensor)
    hidden = None
    if isinstance(layer, keras.layers.Dense):
        if layer.activation is not keras.activations.relu:
            raise ValueError(f"the hidden layer of a head must have ReLU, got {_described(layer)}")
        hidden, (layer, before) = layer, _made_by(before)
    joined = before if isinstance(layer, keras.layers.Concatenate) else [layer.output]
    poolings = tuple(_made_by(each)[0] for each in joined)
    maps = [pooling.input for pooling in poolings if type(pooling) in _LAYERS.values()]
    if len(maps) < len(poolings) or any(each is not maps[0] for each in maps):
        raise ValueError(
            "before its last layers a classifier must have global pooling, average, max or both, of one feature map; "
            f"got {', '.join(map(_described, poolings))}"
        )
    return Head(maps[0], poolings, hidden, logit)


def _made_by(tensor: Any) -> tuple[Any, Any]:
    """Return the layer that made a tensor, and what it was made of; dropout is passed over, which does nothing."""
    layer = tensor._keras_history.operation
    return _made_by(layer.input) if isinstance(layer, keras.layers.Dropout) else (layer, getattr(layer, "input", None))


def _described(layer: keras.layers.Layer) -> str:
    if isinstance(layer, keras.layers.Dense):
        return f"Dense of {layer.units} units with {getattr(layer.activation, '__name__', layer.activation)}"
    return type(layer).__name__
