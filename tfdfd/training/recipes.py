"""Recipes: settings that go together, by name. Does not load TensorFlow."""

from __future__ import annotations

from typing import Any

RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "winning": {
        "training": {
            # Decoupled weight decay, arXiv:1711.05101; the cosine is that paper's too.
            "optimizer": "adamw",
            "schedule": "cosine",
            # The head begins with random weights: its first gradients must not tear the pretrained ones apart.
            "warmup_epochs": 1.0,
            # A cosine cut off in the middle is none: early stopping waits as long as all epochs.
            "patience": 10,
            # The winner of the DFDC trained towards 0.01 and 0.99; 0.05 gives 0.025 and 0.975.
            "label_smoothing": 0.05,
            # Averages over about the last 1,000 steps, arXiv:1803.05407.
            "ema_momentum": 0.999,
            "clip_norm": 1.0,
        },
    },
}
"""Name -> table -> the settings that differ from the defaults. A table is a settings dataclass, as in a TOML file."""
