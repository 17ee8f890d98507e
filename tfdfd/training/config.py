"""The settings of a training run: one dataclass, from which the flags are made. Does not load TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tfdfd.data.options import check_choices, check_range, option
from tfdfd.data.sampling import BALANCES, FAKES, SAMPLINGS, FaceChoice
from tfdfd.models import BACKBONES
from tfdfd.training.augmentation import Augmentation
from tfdfd.training.optimization import Optimization
from tfdfd.training.sequence_options import AUDIO_VISUAL, SequenceOptions

TRACKS = ("main", "all")
MIXED_PRECISIONS = ("auto", "on", "off")
POOLINGS = ("avg", "max", "avg_max")
SEGMENTATIONS = ("none", "second_head", "alone")
BATCHNORMS = ("per_replica", "synchronized", "frozen")

PATIENCE = 4
"""Epochs, where nobody says how many."""
MAY_CHANGE = ("epochs", "patience", "checkpoint_minutes", "profile_steps", "deterministic")
"""Settings that a resumed run may have otherwise than when it began: they do not alter the steps. With schedule cosine
the epochs do, and stay."""
FACES_A_GPU = 64
"""Faces of 200 px in a step of mixed precision that keep a GPU of the data centre busy."""
FEWEST_FACES_A_GPU = 32
"""Below this a person is told to give more."""


@dataclass(frozen=True)
class TrainConfig(Augmentation, Optimization, SequenceOptions):
    """The settings of a training run; each field's help says what it does."""

    backbone: str = option(
        "xception",
        f"network that looks at a face; {AUDIO_VISUAL}: at the sequence of a clip's faces and its sound",
        (*BACKBONES, AUDIO_VISUAL),
    )
    weights: str = option(
        "imagenet",
        "first weights: imagenet (downloads), none (random) or a .weights.h5 file of the same network",
        metavar="FILE",
    )
    input_size: int | None = option(None, "side in pixels at which the network sees a face; not set: the crops'")
    epochs: int = option(10, "at most so many passes over the faces")
    batch_size: int = option(32, "faces a step, over all replicas together")
    steps_per_epoch: int | None = option(
        None, "end an epoch (validate, keep the best) after so many steps; not set: all faces"
    )
    dropout: float = option(0.3, "share of the features, and of hidden units, that a step drops, 0 to below 1")
    pooling: str = option(
        "avg", "a feature of a face is its mean over the picture, its largest value (max), or both", POOLINGS
    )
    hidden_size: int | None = option(
        None, "units of a layer with ReLU between features and logit, e.g. 512 or 256; not set: no such layer"
    )
    segmentation: str = option(
        "none",
        "second_head: a decoder on the backbone also learns which pixels of a face were altered, from the masks that "
        "`tfdfd masks` made; alone: it learns that alone, and a face's logit comes from its mask",
        SEGMENTATIONS,
    )
    mask_weight: float | None = option(
        None, "second_head: weight of the mask's loss beside the loss of the face; not set: 1"
    )
    tracks: str = option(
        "main",
        "people of a clip to train on; a fake's label does not say who is forged, most likely the main one: every "
        "further one may be real. Scores are of all people either way",
        TRACKS,
    )
    sampling: str = option(
        "all", "all: every face once an epoch; one: one face of each track, drawn anew every epoch", SAMPLINGS
    )
    balance: str = option(
        "weights",
        "weights: real and fake faces count for half of the loss each; none: as many as there are; undersample: of the "
        "commoner label as many as of the other, drawn anew every epoch; paired: each original and one of its fakes, "
        "drawn anew every epoch, in one batch",
        BALANCES,
    )
    fakes: str = option(
        "given",
        "given: the fakes of the data; self_blended: fakes made on the fly from the real faces alone; both",
        FAKES,
    )
    mirror: bool = option(True, "flip half of the faces left to right, chosen anew each epoch")
    fit_temperature: bool = option(
        False,
        "divide logits by the temperature at which the validation log loss is lowest, found anew after each epoch: the "
        "loss there decides which epoch is best, and the exported model divides by it",
    )
    patience: int | None = option(
        None,
        f"stop after so many epochs without a better validation log loss; left out: {PATIENCE}, and with schedule "
        "cosine never, for a cosine that is cut off is none",
    )
    mixed_precision: str = option("auto", "float16 arithmetic, float32 weights; auto: on GPUs", MIXED_PRECISIONS)
    batchnorm: str = option(
        "per_replica",
        "per_replica: statistics of each replica's own faces; synchronized: of the global batch; frozen: those of the "
        "first weights",
        BATCHNORMS,
    )
    batchnorm_momentum: float | None = option(
        None, "share of the old statistics that a step keeps; not set: 0.99, from random weights 0.9"
    )
    seed: int = option(0, "of order, flips, dropout, augmentation and random weights")
    deterministic: bool = option(
        False,
        "have TensorFlow use only operations that give the same every time, on a GPU too, where they are slower; a "
        "CPU gives the same either way",
    )
    checkpoint_minutes: float = option(10.0, "save the state for a resume so often, besides every epoch; 0: each step")
    profile_steps: str | None = option(
        None, "write a TensorBoard profile of these steps of this run, from 1, e.g. 20,30", metavar="FIRST,LAST"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("input_size", "epochs", "batch_size", "steps_per_epoch", "hidden_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("patience", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        check_range(self, "seed", 0, 2**32 - 1)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if self.batchnorm_momentum is not None and not 0 < self.batchnorm_momentum < 1:
            raise ValueError(f"batchnorm_momentum must be above 0 and below 1, got {self.batchnorm_momentum}")
        _ = self.profiled_steps
        self.check_optimization(epochs=self.epochs, weights=self.weights, batchnorm=self.batchnorm)
        self.check_augmentation(batch_size=self.batch_size)

        self.check_sequences(self)

        if self.batchnorm == "frozen" and self.batchnorm_momentum is not None:
            raise ValueError("batchnorm_momentum changes nothing with batchnorm frozen: leave one of them out")
        if not BACKBONES[self.network_of_faces].has_batchnorm and (
            self.batchnorm != "per_replica" or self.batchnorm_momentum is not None
        ):
            raise ValueError(f"{self.network_of_faces} has no BatchNorm: leave out batchnorm and batchnorm_momentum")
        self._check_segmentation()
        if self.batchnorm == "frozen" and self.weights == "none":
            raise ValueError("batchnorm frozen keeps the statistics of the first weights, and weights none has none")

    def _check_segmentation(self) -> None:
        if self.mask_weight is not None and self.segmentation != "second_head":
            raise ValueError(f"mask_weight changes nothing with segmentation {self.segmentation}: leave it out")
        if self.mask_weight is not None and not 0 < self.mask_weight < math.inf:
            raise ValueError(f"mask_weight must be above 0 and finite, got {self.mask_weight}")
        if self.segmentation == "none":
            return
        if self.sees_sequences:
            raise ValueError(f"backbone {self.backbone} sees clips and has no masks: leave out segmentation")
        if self.augments_batches:
            raise ValueError(
                "mixup, cutmix, gridmask and rand_augment alter crops without their masks: leave them out, or leave "
                "out segmentation"
            )
        if self.fakes == "self_blended":
            raise ValueError(
                "fakes self_blended leaves no fake whose altered region is known: write fakes both, or leave out "
                "segmentation"
            )
        if self.segmentation == "alone" and (self.hidden_size is not None or self.pooling != "avg"):
            raise ValueError(
                "with segmentation alone a face's logit comes from its mask: leave out pooling and hidden_size, which "
                "would change nothing"
            )

    @property
    def applied_patience(self) -> int:
        """Epochs without a better validation log loss after which the run stops."""
        if self.patience is not None:
            return self.patience
        return self.epochs if self.schedule == "cosine" else PATIENCE

    @property
    def sees_sequences(self) -> bool:
        """Whether it is clips that are trained on, rather than faces."""
        return self.backbone == AUDIO_VISUAL

    @property
    def network_of_faces(self) -> str:
        """The one of BACKBONES that sees faces."""
        return self.face_backbone if self.sees_sequences else self.backbone

    @property
    def face_choice(self) -> FaceChoice:
        """Which faces an epoch has."""
        return FaceChoice(self.sampling, self.balance, self.fakes)

    def dtype_policy(self, *, on_gpus: bool) -> str:
        """Return the Keras dtype policy: `mixed_float16` or `float32`."""
        if self.sees_sequences and self.face_features == "frozen":  # what is trained is float32
            return "float32"
        is_mixed = self.mixed_precision == "on" or (self.mixed_precision == "auto" and on_gpus)
        return "mixed_float16" if is_mixed else "float32"

    @property
    def compiles_passes(self) -> bool:
        """Whether XLA, where it is used, can compile the passes through the network too."""
        # How many faces a batch of clips has is known only when it is there; synchronised replicas wait for each other.
        return not self.sees_sequences and self.batchnorm != "synchronized"

    @property
    def unit(self) -> str:
        """What a batch is of, for a person."""
        return "clips" if self.sees_sequences else "faces"

    @property
    def profiled_steps(self) -> tuple[int, int] | None:
        """First and last step of the profile, from 1."""
        if self.profile_steps is None:
            return None
        first, _, last = self.profile_steps.partition(",")
        if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            raise ValueError(
                f"profile_steps must be FIRST,LAST, whole numbers from 1 of which the last is no smaller, e.g. 20,30, "
                f"got {self.profile_steps!r}"
            )
        return int(first), int(last)

    def per_replica_batch(self, num_replicas: int) -> int:
        """Return the faces a step of each replica.

        Raises:
            ValueError: if the batch does not divide.
        """
        if self.batch_size % num_replicas:
            raise ValueError(f"batch_size must be a multiple of the {num_replicas} replicas, got {self.batch_size}")
        faces = self.batch_size // num_replicas
        if self.balance == "paired" and faces % 2:
            raise ValueError(
                f"balance paired needs an even number of faces a replica, and batch_size {self.batch_size} gives each "
                f"of {num_replicas} replicas {faces}: write batch_size {self.batch_size + num_replicas}"
            )
        if faces < 2 and (self.mixup or self.cutmix):
            raise ValueError(
                f"mixup and cutmix mix faces of one replica, and batch_size {self.batch_size} gives each of "
                f"{num_replicas} replicas one: write batch_size {2 * num_replicas}, or leave them out"
            )
        return faces

    def batch_hint(self, num_gpus: int) -> str:
        """Return what to say to a person whose batch leaves GPUs idle; empty where it does not."""
        if self.sees_sequences or self.batch_size // num_gpus >= FEWEST_FACES_A_GPU:
            return ""
        batch = FACES_A_GPU * num_gpus
        return (
            f"{self.batch_size // num_gpus} faces a GPU leave it idle most of the time: --batch-size {batch} "
            f"--learning-rate {self.rate_for(batch, now=self.batch_size):.2g} gives each {FACES_A_GPU}, and the rate "
            "that goes with it"
        )

    def fixed_settings(self) -> dict[str, Any]:
        """Return the settings that must stay the same when a run is resumed, JSON-able."""
        # A cosine ends where the epochs end: with other epochs all rates would have been others.
        may_change = set(MAY_CHANGE) - ({"epochs"} if self.schedule == "cosine" else set())
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in may_change}
