"""How weights are updated: the part of the training settings that is about optimisation. Does not load TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfdfd.data.options import option

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("plateau", "cosine", "constant")
XLA = ("auto", "on", "off")

ADAMW_DECAY = 0.01
"""Of the paper's authors' and PyTorch's AdamW, arXiv:1711.05101."""
PLATEAU_PATIENCE, PLATEAU_FACTOR = 2, 0.3
COSINE_FLOOR = 0.01


@dataclass(frozen=True)
class Optimization:
    """Settings of the optimizer; each field's help says what it does. `TrainConfig` has them all, and checks them."""

    FLAGS_TITLE: ClassVar[str] = "optimisation"

    learning_rate: float = option(1e-4, "first learning rate; with warm-up, the highest")
    optimizer: str = option("adam", "how weights are updated; sgd has momentum 0.9", OPTIMIZERS)
    weight_decay: float | None = option(
        None,
        "share of each kernel that a step takes away, times the learning rate; not of biases, nor of BatchNorm's "
        f"scales and shifts. For adamw alone; not set: {ADAMW_DECAY:g} there",
    )
    schedule: str = option(
        "plateau",
        "learning rate over time: less where validation no longer gets better (plateau), along half a cosine down to "
        "cosine-floor in the last epoch, or always the same",
        SCHEDULES,
    )
    warmup_epochs: float = option(
        0.0, "raise the learning rate from 0 in a line over so many epochs, also 0.5; for cosine and constant; 0: off"
    )
    cosine_floor: float | None = option(
        None, f"share of the learning rate at which the cosine ends, 0 to below 1; not set: {COSINE_FLOOR:g}"
    )
    plateau_patience: int | None = option(
        None,
        "reduce the learning rate after so many epochs without a better validation log loss; not set: "
        f"{PLATEAU_PATIENCE}",
    )
    plateau_factor: float | None = option(
        None, f"by what the learning rate is multiplied then, above 0, below 1; not set: {PLATEAU_FACTOR:g}"
    )
    freeze_epochs: int = option(
        0,
        "train only the head for so many epochs, the pretrained network with its BatchNorm frozen, then all of it; "
        "warm-up and cosine begin after them; 0: off",
    )
    clip_norm: float | None = option(
        None, "scale the gradient of a global batch down where its norm over all weights is above this; not set: never"
    )
    label_smoothing: float = option(
        0.0, "train towards less than certainty: 0.05 makes 0.025 of a label 0, and 0.975 of 1; below 1, 0: off"
    )
    ema_momentum: float = option(
        0.0,
        "validate, keep and export an exponential moving average of the weights and of BatchNorm's statistics, of "
        "which a step keeps this share (less in the first steps); below 1, 0: off",
    )
    xla: str = option(
        "auto",
        "compile the arithmetic of a step with XLA, the optimizer's too; auto: on GPUs, but for the passes through "
        "networks with batchnorm synchronized and through those of sequences",
        XLA,
    )

    def check_optimization(self, *, epochs: int, weights: str, batchnorm: str) -> None:
        """Check these settings, and those that must fit to others.

        Args:
            epochs: of the run.
            weights: the first weights.
            batchnorm: how BatchNorm gathers its statistics.

        Raises:
            ValueError: says which setting is wrong and what to give instead.
        """
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name in ("weight_decay", "warmup_epochs", "freeze_epochs"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        for name in ("label_smoothing", "ema_momentum", "cosine_floor"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {value}")
        if self.plateau_patience is not None and self.plateau_patience < 1:
            raise ValueError(f"plateau_patience must be at least 1, got {self.plateau_patience}")
        if self.plateau_factor is not None and not 0 < self.plateau_factor < 1:
            raise ValueError(f"plateau_factor must be above 0 and below 1, got {self.plateau_factor}")

        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(
                f"weight_decay {self.weight_decay:g} is of optimizer adamw alone, got {self.optimizer}: "
                "choose adamw, or leave weight_decay out"
            )
        for name in ("plateau_patience", "plateau_factor"):
            if self.schedule != "plateau" and getattr(self, name) is not None:
                raise ValueError(f"{name} changes nothing with schedule {self.schedule}: leave one of them out")
        if self.schedule != "cosine" and self.cosine_floor is not None:
            raise ValueError(f"cosine_floor changes nothing with schedule {self.schedule}: leave one of them out")
        if self.schedule == "plateau" and self.warmup_epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} needs schedule cosine or constant, got plateau: "
                "choose one of them, or warmup_epochs 0"
            )
        if self.freeze_epochs and weights == "none":
            raise ValueError(
                f"freeze_epochs {self.freeze_epochs} needs a network that has learned something to keep frozen, got "
                "weights none: give weights, or freeze_epochs 0"
            )
        if self.freeze_epochs + self.warmup_epochs >= epochs and (self.freeze_epochs or self.warmup_epochs):
            raise ValueError(
                f"epochs must be more than freeze_epochs {self.freeze_epochs} and warmup_epochs "
                f"{self.warmup_epochs:g} together, got {epochs}"
            )
        if self.xla == "on" and batchnorm == "synchronized":
            raise ValueError(
                "xla on cannot compile batchnorm synchronized, whose replicas wait for each other inside the network: "
                "leave one of them out"
            )

    @property
    def applied_weight_decay(self) -> float:
        """The weight decay that the optimizer gets."""
        if self.optimizer != "adamw":
            return 0.0
        return ADAMW_DECAY if self.weight_decay is None else self.weight_decay

    def rate_for(self, batch_size: int, *, now: int) -> float:
        """Return the learning rate that goes with another batch size.

        Args:
            batch_size: the other one.
            now: that of the learning rate as it is set.

        Source: with SGD the rate grows with the batch, arXiv:1706.02677; with Adam with its square root,
        arXiv:2205.10287.
        """
        return self.learning_rate * (batch_size / now) ** (1.0 if self.optimizer == "sgd" else 0.5)

    def uses_xla(self, *, on_gpus: bool) -> bool:
        """Return whether the arithmetic of a step is compiled, that of the optimizer at least."""
        return self.xla == "on" or (self.xla == "auto" and on_gpus)
