"""The settings of a training run: one dataclass, from which the flags are made. Does not load TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tfdfd.models import BACKBONES

OPTIMIZERS = ("adam", "sgd")
TRACKS = ("main", "all")
BALANCES = ("weights", "none")
MIXED_PRECISIONS = ("auto", "on", "off")
POOLINGS = ("avg", "max", "avg_max")
BATCHNORMS = ("per_replica", "synchronized", "frozen")

MAY_CHANGE = ("epochs", "patience", "checkpoint_minutes")
"""Settings that a resumed run may have otherwise than when it began: they do not alter the steps."""


def _option(default: Any, help_text: str, choices: Iterable[str] | None = None) -> Any:
    metadata: dict[str, Any] = {"help": help_text}
    if choices:
        metadata["choices"] = tuple(choices)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run; each field's help says what it does."""

    backbone: str = _option("xception", "network that looks at a face", BACKBONES)
    weights: str = _option(
        "imagenet", "first weights: imagenet (downloads), none (random) or a .weights.h5 file of the same network"
    )
    input_size: int | None = _option(None, "side in pixels at which the network sees a face; not set: the crops'")
    epochs: int = _option(10, "at most so many passes over the faces")
    batch_size: int = _option(32, "faces a step, over all replicas together")
    steps_per_epoch: int | None = _option(
        None, "end an epoch (validate, keep the best) after so many steps; not set: all faces"
    )
    learning_rate: float = _option(1e-4, "first learning rate")
    optimizer: str = _option("adam", "how weights are updated; sgd has momentum 0.9", OPTIMIZERS)
    dropout: float = _option(0.3, "share of the features, and of hidden units, that a step drops, 0 to below 1")
    pooling: str = _option(
        "avg", "a feature of a face is its mean over the picture, its largest value (max), or both", POOLINGS
    )
    hidden_size: int | None = _option(
        None, "units of a layer with ReLU between features and logit, e.g. 512 or 256; not set: no such layer"
    )
    tracks: str = _option(
        "main",
        "people of a clip to train on; a fake's label does not say who is forged, most likely the main one: every "
        "further one may be real. Scores are of all people either way",
        TRACKS,
    )
    balance: str = _option(
        "weights", "weights: real and fake faces count for half of the loss each; none: as many as there are", BALANCES
    )
    mirror: bool = _option(True, "flip half of the faces left to right, chosen anew each epoch")
    patience: int = _option(4, "stop after so many epochs without a better validation log loss")
    plateau_patience: int = _option(
        2, "reduce the learning rate after so many epochs without a better validation log loss"
    )
    plateau_factor: float = _option(0.3, "by what the learning rate is multiplied then, above 0, below 1")
    mixed_precision: str = _option("auto", "float16 arithmetic, float32 weights; auto: on GPUs", MIXED_PRECISIONS)
    batchnorm: str = _option(
        "per_replica",
        "statistics of each replica's own faces, of the global batch (synchronized), or those of the first weights",
        BATCHNORMS,
    )
    batchnorm_momentum: float | None = _option(
        None, "share of the old statistics that a step keeps; not set: 0.99, from random weights 0.9"
    )
    seed: int = _option(0, "of order, flips, dropout and random weights")
    checkpoint_minutes: float = _option(10.0, "save the state for a resume so often, besides every epoch; 0: each step")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            choices = field.metadata.get("choices")
            value = getattr(self, field.name)
            if choices and value not in choices:
                raise ValueError(f"{field.name} must be one of {sorted(choices)}, got {value!r}")
        for name in ("input_size", "epochs", "batch_size", "steps_per_epoch", "hidden_size", "plateau_patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("patience", "seed", "checkpoint_minutes"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        for name in ("plateau_factor", "batchnorm_momentum"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must be above 0 and below 1, got {value}")

        if self.batchnorm == "frozen" and self.batchnorm_momentum is not None:
            raise ValueError("batchnorm_momentum changes nothing with batchnorm frozen: leave one of them out")
        if not BACKBONES[self.backbone].has_batchnorm and (
            self.batchnorm != "per_replica" or self.batchnorm_momentum is not None
        ):
            raise ValueError(f"{self.backbone} has no BatchNorm: leave out batchnorm and batchnorm_momentum")
        if self.batchnorm == "frozen" and self.weights == "none":
            raise ValueError("batchnorm frozen keeps the statistics of the first weights, and weights none has none")

    def dtype_policy(self, *, on_gpus: bool) -> str:
        """Return the Keras dtype policy: `mixed_float16` or `float32`."""
        is_mixed = self.mixed_precision == "on" or (self.mixed_precision == "auto" and on_gpus)
        return "mixed_float16" if is_mixed else "float32"

    def per_replica_batch(self, num_replicas: int) -> int:
        """Return the faces a step of each replica.

        Raises:
            ValueError: if the batch does not divide.
        """
        if self.batch_size % num_replicas:
            raise ValueError(f"batch_size must be a multiple of the {num_replicas} replicas, got {self.batch_size}")
        return self.batch_size // num_replicas

    def fixed_settings(self) -> dict[str, Any]:
        """Return the settings that must stay the same when a run is resumed, JSON-able."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in MAY_CHANGE}
