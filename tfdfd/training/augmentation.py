"""Augmentation of whole batches: the part of the training settings that is about it. Does not load TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tfdfd.data.options import option


@dataclass(frozen=True)
class Augmentation:
    """Settings of MixUp, CutMix, GridMask and RandAugment; each field's help says what it does.

    They are applied in the replica's step, in the order RandAugment, GridMask, then MixUp or CutMix. A face is mixed
    with another one of its replica's batch; padding never is. `TrainConfig` has these fields, and checks them.
    """

    FLAGS_TITLE: ClassVar[str] = "augmentation of batches, in the replica's step"

    mixup: float = option(0.0, "share of faces that are blended with another face, labels too; 0: off")
    mixup_alpha: float | None = option(
        None, "MixUp: both parameters of the beta distribution of the blend, above 0; not set: 0.2"
    )
    cutmix: float = option(0.0, "share of faces that get a rectangle of another face, labels by its area; 0: off")
    cutmix_alpha: float | None = option(
        None, "CutMix: both parameters of the beta distribution of the area, above 0; not set: 1"
    )
    gridmask: float = option(0.0, "share of faces that get a grid of black squares; 0: off")
    gridmask_ratio: float | None = option(
        None, "GridMask: largest side of a square, as a share of the grid's spacing, above 0, at most 1; not set: 0.5"
    )
    rand_augment: float = option(
        0.0, "share of faces whose colours and position RandAugment alters (10 kinds of change); 0: off"
    )
    rand_augment_layers: int | None = option(None, "RandAugment: changes one after the other; not set: 2")
    rand_augment_magnitude: float | None = option(
        None, "RandAugment: mean strength of a change, above 0, at most 1; not set: 0.3"
    )

    def check_augmentation(self, *, batch_size: int) -> None:
        """Check these settings.

        Args:
            batch_size: faces a step over all replicas.

        Raises:
            ValueError: says which setting is wrong and what to give instead.
        """
        for name in ("mixup", "cutmix", "gridmask", "rand_augment"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be at least 0 and at most 1, got {getattr(self, name)}")
        if self.mixup + self.cutmix > 1:
            raise ValueError(
                "mixup and cutmix must be at most 1 together, since a face gets one of them, got "
                f"{self.mixup:g} and {self.cutmix:g}"
            )
        if (self.mixup or self.cutmix) and batch_size < 2:
            raise ValueError(f"mixup and cutmix need at least 2 faces a batch, got batch_size {batch_size}")
        for name, share in _STRENGTHS.items():
            value = getattr(self, name)
            if value is not None and not getattr(self, share):
                raise ValueError(f"{name} changes nothing with {share} 0: give a share of faces, or leave it out")
        for name in ("mixup_alpha", "cutmix_alpha", "rand_augment_layers"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name in ("gridmask_ratio", "rand_augment_magnitude"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {value}")

    @property
    def augments_batches(self) -> bool:
        """Whether a batch is altered at all."""
        return bool(self.mixup or self.cutmix or self.gridmask or self.rand_augment)


_STRENGTHS = {
    "mixup_alpha": "mixup",
    "cutmix_alpha": "cutmix",
    "gridmask_ratio": "gridmask",
    "rand_augment_layers": "rand_augment",
    "rand_augment_magnitude": "rand_augment",
}
