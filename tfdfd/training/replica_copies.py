"""What the replicas, of all workers, hold of a variable: mostly the same, of BatchNorm's statistics each its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdfd.training.team import team_of


def replica_copies(strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Return the replicas' copies of variables; all workers must call it together.

    Args:
        strategy: whose replicas hold them.
        variables: any of them.

    Returns:
        One array a variable: shape (1, ...) where all copies are equal, else (replicas, ...).
    """
    team = team_of(strategy)
    local = [[copy.numpy() for copy in strategy.experimental_local_results(each.value)] for each in variables]
    # Digests first: of hundreds of megabytes that are the same everywhere nothing need travel.
    replicas = range(strategy.num_replicas_in_sync // team.size)
    digests = team.every_replicas([np.array([_digest(copies[replica]) for copies in local]) for replica in replicas])
    differ = [number for number in range(len(local)) if np.any(digests[:, number] != digests[0, number])]
    result = [copies[0][None] for copies in local]
    if differ:
        rows = team.every_replicas(
            [np.concatenate([local[number][replica].ravel() for number in differ]) for replica in replicas]
        )
        ends = np.cumsum([local[number][0].size for number in differ])
        for number, part in zip(differ, np.split(rows, ends[:-1], axis=1), strict=True):
            copy = local[number][0]
            result[number] = part.reshape(-1, *copy.shape).astype(copy.dtype)
    return result


def _digest(array: np.ndarray) -> float:
    """Return 52 bits of a hash, which float64 holds exactly."""
    content = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).digest()
    return float(int.from_bytes(content) >> 12)
