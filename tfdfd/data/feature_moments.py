"""Mean and deviation of each feature over the faces of the training clips."""

from __future__ import annotations

import numpy as np

_LEAST_SHARE = 0.01
"""A deviation below this share of the usual one is that of a feature which says nothing, e.g. is always 0: divided by
it, what is chance in a new face would count for more than all else."""


class FeatureMoments:
    """Gathers features clip by clip, and gives what brings each of them to mean 0 and deviation 1."""

    def __init__(self) -> None:
        self._number, self._sum, self._squares = 0, np.zeros(0), np.zeros(0)

    def add(self, features: np.ndarray) -> None:
        """Take in the features of some faces, of any float type [faces, d]."""
        exact = features.astype(np.float64)
        if not self._number:
            self._sum, self._squares = np.zeros(exact.shape[1]), np.zeros(exact.shape[1])
        self._number += len(exact)
        self._sum += exact.sum(axis=0)
        self._squares += (exact**2).sum(axis=0)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of each feature, float32 (d,) each.

        No deviation is below a hundredth of their root mean square, and all are 1 where no face differs from another.

        Raises:
            ValueError: if no face was taken in.
        """
        if not self._number:
            raise ValueError("moments are those of faces: add some")
        mean = self._sum / self._number
        variances = np.maximum(self._squares / self._number - mean**2, 0)
        least = _LEAST_SHARE * np.sqrt(variances.mean())
        deviation = np.maximum(np.sqrt(variances), least) if least > 0 else np.ones_like(mean)
        return mean.astype(np.float32), deviation.astype(np.float32)
