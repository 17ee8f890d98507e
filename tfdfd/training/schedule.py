"""The learning rate at a step of a run, from where the step stands alone: a resumed run has the same. No TensorFlow."""

from __future__ import annotations

import math

from tfdfd.training.config import TrainConfig
from tfdfd.training.optimization import COSINE_FLOOR


def learning_rate_at(config: TrainConfig, *, epoch: int, step: int, num_steps: int) -> float:
    """Return the learning rate of a step with schedule cosine or constant.

    While the head alone is trained (freeze_epochs) it is learning_rate. Then warm-up takes its first step at a part of
    learning_rate, never at 0, and its last at all of it. The cosine begins at learning_rate and comes to its floor at
    the end of the last epoch.

    Args:
        config: the settings; with schedule plateau validation decides, and this must not be asked.
        epoch: from 0.
        step: of the epoch, from 0.
        num_steps: steps of the epoch.

    Source: cosine, arXiv:1608.03983 (without restarts); warm-up, arXiv:1706.02677.
    """
    done = epoch + step / num_steps - config.freeze_epochs  # epochs since all of the network learns
    if done < 0:
        return config.learning_rate
    if done < config.warmup_epochs:
        return config.learning_rate * min(1.0, (done + 1 / num_steps) / config.warmup_epochs)
    if config.schedule == "constant":
        return config.learning_rate
    decaying = config.epochs - config.freeze_epochs - config.warmup_epochs
    share = (done - config.warmup_epochs) / decaying
    floor = COSINE_FLOOR if config.cosine_floor is None else config.cosine_floor
    return config.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))
