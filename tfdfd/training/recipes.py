"""Recipes: settings that go together, by name. Does not load TensorFlow."""

from __future__ import annotations

from typing import Any

RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "winning": {
        "training": {
            # Decoupled weight decay, arXiv:1711.05101; the cosine is that paper's too.
            "optimizer": "adamw",
            "learning_rate": 2e-4,
            "schedule": "cosine",
            # The head begins with random weights: its first gradients must not tear the pretrained ones apart.
            "warmup_epochs": 1.0,
            # The winner of the DFDC trained towards 0.01 and 0.99; 0.05 gives 0.025 and 0.975.
            "label_smoothing": 0.05,
            # Averages over the last 1,000 steps, arXiv:1803.05407; in the beginning over the last ninth of all.
            "ema_momentum": 0.999,
            "clip_norm": 1.0,
            # What tells a fake from its original is what is left when person, place and light are the same.
            "balance": "paired",
            # Few people learned by heart is what goes wrong first: MixUp, arXiv:1710.09412.
            "mixup": 0.5,
            # What is left of being too sure, arXiv:1706.04599.
            "fit_temperature": True,
        },
        "degradation": {
            # As the winners of the DFDC, arXiv:2006.07397, but for what hides the traces of a forgery (blur, noise, a
            # smaller picture), which cost more than it gave where faces are seen small and epochs are few.
            "move": 1.0,
            "colour": 0.5,
            "jpeg": 0.2,
            "cutout": 0.3,
        },
    },
}
"""Name -> table -> the settings that differ from the defaults. A table is a settings dataclass, as in a TOML file."""
