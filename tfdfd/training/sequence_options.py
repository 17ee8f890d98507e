"""The settings of `--backbone audio_visual` alone, and which others it cannot honour. Does not load TensorFlow."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from tfdfd.data.options import check_range, option
from tfdfd.models import BACKBONES

AUDIO_VISUAL = "audio_visual"
"""As `models.audio_visual` has it, which loads TensorFlow; a test holds them together. So for the next."""
OVER_TIME = ("lstm", "transformer")
FACE_FEATURES = ("frozen", "trained")


@dataclass(frozen=True)
class SequenceOptions:
    """Settings of the audio-visual network; each field's help says what it does. `TrainConfig` has them all."""

    FLAGS_TITLE: ClassVar[str] = "--backbone audio_visual"

    face_backbone: str = option("xception", "audio_visual: network that makes features of each face", BACKBONES)
    face_features: str = option(
        "frozen",
        "audio_visual: frozen: the features of faces are made once and kept, as by `tfdfd features`; trained: their "
        "network is trained too",
        FACE_FEATURES,
    )
    over_time: str = option("lstm", "audio_visual: what reads the faces of a clip in their order", OVER_TIME)
    sequence_share: float = option(
        0.75,
        "audio_visual: share of its places that a clip is trained on, in one stretch drawn anew every epoch, with the "
        "sound of that time, above 0 to 1",
    )
    drop_sound: float = option(
        0.1,
        "audio_visual: share of the clips whose sound is masked in an epoch, drawn anew each time, so that the network "
        "learns what a clip without sound is; 0 to below 1",
    )

    def check_sequences(self, config: Any) -> None:
        """Check these settings, and those of the whole config that go with them.

        Raises:
            ValueError: says which setting changes nothing, and what to do.
        """
        check_range(self, "sequence_share", 1e-6, 1)
        check_range(self, "drop_sound", 0, 1 - 1e-6)
        if config.backbone != AUDIO_VISUAL:
            for field in dataclasses.fields(SequenceOptions):
                if getattr(self, field.name) != field.default:
                    raise ValueError(
                        f"{field.name} is a setting of backbone {AUDIO_VISUAL}, and changes nothing with "
                        f"{config.backbone}: leave one of them out"
                    )
            return
        unused = {name: default for name, default in _NOT_HONOURED.items() if getattr(config, name) != default}
        if self.face_features == "frozen":
            unused |= {name: default for name, default in _OF_TRAINED.items() if getattr(config, name) != default}
            if config.weights == "none":
                raise ValueError(
                    "frozen features of random weights tell nothing: give weights, or --face-features trained"
                )
        if config.xla == "on":
            unused["xla"] = "auto"
        if unused:
            name, default = next(iter(unused.items()))
            how = " with face_features frozen" if name in _OF_TRAINED else ""
            raise ValueError(
                f"{name} {getattr(config, name)} cannot be honoured by backbone {AUDIO_VISUAL}{how}: leave it out, or "
                f"write {name} {default}"
            )


_NOT_HONOURED = {
    "sampling": "all",
    "fakes": "given",
    "mixup": 0.0,
    "cutmix": 0.0,
    "gridmask": 0.0,
    "rand_augment": 0.0,
    "tracks": "main",
}
"""Settings of single faces, and their values that change nothing."""
_OF_TRAINED = {
    "freeze_epochs": 0,
    "batchnorm": "per_replica",
    "batchnorm_momentum": None,
    "mixed_precision": "auto",
}
"""Settings of a network that sees pixels while it is trained."""
