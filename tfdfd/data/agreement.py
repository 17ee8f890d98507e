"""How well clusters agree with people who are known. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """How clusters agree with people who are known, each in [0, 1]."""

    purity: float
    """Share of embeddings that are of the person seen most in their cluster: 1 where no cluster mixes people."""
    completeness: float
    """Share of embeddings that lie in the cluster which holds most of their person: 1 where nobody is split."""


def agreement(person: np.ndarray, known: np.ndarray) -> Agreement:
    """Compare clusters with people who are known.

    Args:
        person: int, shape (n,), n at least 1: the cluster of each embedding.
        known: any that can be sorted, shape (n,): who it really is.
    """
    clusters, cluster = np.unique(person, return_inverse=True)
    people, who = np.unique(known, return_inverse=True)
    pairs, counts = np.unique(cluster * len(people) + who, return_counts=True)
    most_of_cluster, most_of_person = np.zeros(len(clusters), int), np.zeros(len(people), int)
    np.maximum.at(most_of_cluster, pairs // len(people), counts)
    np.maximum.at(most_of_person, pairs % len(people), counts)
    return Agreement(float(most_of_cluster.sum() / len(person)), float(most_of_person.sum() / len(person)))
