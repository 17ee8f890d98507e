"""Embeddings to people: PCA, t-SNE and DBSCAN. Pure.

The figures behind the defaults are in docs/people.md; `benchmarks/people.py` prints them.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
from sklearn.cluster import DBSCAN
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

CLUSTER_ON = ("pca", "tsne")
"""What DBSCAN sees: the principal components, or the map that t-SNE draws of them."""
EPS = {"pca": 0.24, "tsne": 0.28}
"""Greatest distance of neighbours among embeddings of length 1, for dlib's network. t-SNE parts people first, so there
it may be wider: on components alone, chains of faces in poor light join people from 0.26 on."""
TSNE_FROM = 500
"""Embeddings from which the map is clustered unless a person says otherwise: maps of few points show islands where
nothing is."""
COMPONENTS = 64
"""Principal components that are kept: of dlib's 128 numbers they hold 0.97 of the variance and more."""
_MIN_SAMPLES = 2
"""Two embeddings are a person: with more, people who are seen in few clips fall apart."""
_JOINS, _JOINS_BY_FEW_FACES = 0.28, 0.20
"""Distance within which a fake joins a person, and the same where fewer than three of its faces were embedded."""
_PERPLEXITY, _ITERATIONS = 30.0, 500
_MAP_PERCENTILE = 99
"""Of the distances in the map between embeddings that are near each other: so many of them DBSCAN shall bridge."""
_THREADS_FROM = 2000
"""Points of a map from which a second thread gains more than waiting for it can cost."""
_AT_ONCE = 2048


@dataclass(frozen=True)
class Clusters:
    """The people that were found."""

    person: np.ndarray
    """int64, shape (n,): the person of each embedding, from 0, the one with most embeddings first."""
    is_alone: np.ndarray
    """bool, shape (n,): whether it is near to no other: a person of their own."""
    pca: np.ndarray = field(repr=False)
    """float64, shape (n, k): the principal components, not scaled, so distances are those of the embeddings."""
    tsne: np.ndarray | None = field(repr=False)
    """float32, shape (n, 2): the map of t-SNE. A fake that joins a person lies where its nearest real embedding lies,
    one that joins nobody lies nowhere (NaN). None where no map was drawn."""

    @property
    def num_people(self) -> int:
        """How many people there are."""
        return int(self.person.max()) + 1 if len(self.person) else 0


def find_people(
    vectors: np.ndarray,
    *,
    is_fake: np.ndarray | None = None,
    num_faces: np.ndarray | None = None,
    cluster_on: str = "pca",
    eps: float | None = None,
    draw_map: bool = True,
    seed: int = 0,
) -> Clusters:
    """Put embeddings together that show one person; nobody is thrown away.

    DBSCAN puts the embeddings of real clips together. A fake shows a face between two people, and many such faces would
    chain all people into one: so each fake joins the person of its nearest real embedding, if that is near enough, and
    is a person of its own otherwise. Where there is nothing real, fakes are put together like others.

    Args:
        vectors: float32, shape (n, d), each of length 1.
        is_fake: bool, shape (n,); None for embeddings of unknown kind, which are all treated as real.
        num_faces: int, shape (n,): faces that each is the mean of; None for at least three.
        cluster_on: one of CLUSTER_ON. With `tsne` DBSCAN works on the map, and each of its clusters is parted again
            where its members are farther than eps from each other: a map knows no far away, everyone has neighbours.
        eps: greatest distance of neighbours, and of a fake from the person it joins; None for the measured ones.
        draw_map: whether to draw the t-SNE map where DBSCAN does not need it.
        seed: of t-SNE.

    Raises:
        ValueError: if a setting is none of those allowed.
    """
    if cluster_on not in CLUSTER_ON:
        raise ValueError(f"cluster_on must be one of {list(CLUSTER_ON)}, got {cluster_on!r}")
    joins_within = _JOINS if eps is None else eps
    eps = EPS[cluster_on] if eps is None else eps
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps}")
    n = len(vectors)
    if n == 0:
        return Clusters(np.zeros(0, np.int64), np.zeros(0, bool), np.zeros((0, 1)), None)
    is_real = np.ones(n, bool) if is_fake is None or is_fake.all() else ~is_fake
    real = np.flatnonzero(is_real)
    pca = principal_components_of(vectors, is_real)
    drawn = tsne_map(pca[real], seed=seed) if draw_map or cluster_on == "tsne" else None
    if cluster_on == "tsne" and drawn is not None:
        in_map = _dbscan(drawn, map_eps(pca[real], drawn, eps), algorithm="kd_tree")
        labels = _parted(pca[real], in_map, eps)
    else:
        labels = _dbscan(pca[real], eps)

    person = np.full(n, -1, np.int64)
    person[real] = labels
    alone = real[labels < 0]
    person[alone] = labels.max(initial=-1) + 1 + np.arange(len(alone))
    tsne = None if drawn is None else np.full((n, 2), np.nan, np.float32)
    if tsne is not None:
        tsne[real] = drawn
    fakes = np.flatnonzero(~is_real)
    if len(fakes):
        nearest, distance = _nearest(vectors[fakes], vectors[real])
        few = np.zeros(len(fakes), bool) if num_faces is None else num_faces[fakes] < 3
        joins = distance < np.where(few, min(joins_within, _JOINS_BY_FEW_FACES), joins_within)
        person[fakes[joins]] = person[real[nearest[joins]]]
        person[fakes[~joins]] = person.max() + 1 + np.arange((~joins).sum())
        if tsne is not None:
            tsne[fakes[joins]] = tsne[real[nearest[joins]]]
    person = _by_size(person)
    return Clusters(person, np.bincount(person)[person] == 1, pca, tsne)


def principal_components_of(vectors: np.ndarray, is_real: np.ndarray | None = None) -> np.ndarray:
    """Return the principal components of vectors, as many as COMPONENTS where there are so many.

    Args:
        vectors: float, shape (n, d).
        is_real: bool, shape (n,): which of them say what the components are; None for all.

    Returns:
        float64, shape (n, k).
    """
    x = vectors.astype(np.float64)
    chosen = x if is_real is None else x[is_real]
    with np.errstate(invalid="ignore"):  # of one vector, or of equal ones, there is no share of the variance
        return PCA(min(COMPONENTS, *chosen.shape), svd_solver="full").fit(chosen).transform(x)


def tsne_map(components: np.ndarray, *, seed: int) -> np.ndarray:
    """Draw a map in which near neighbours stay near.

    Args:
        components: float, shape (n, k).
        seed: of the optimisation; it starts from the first two components.

    Returns:
        float32, shape (n, 2); fewer than five points lie as in their first two components, for t-SNE needs more.

    Source: van der Maaten and Hinton, JMLR 9 (2008); Barnes-Hut, JMLR 15 (2014).
    """
    n = len(components)
    start = np.zeros((n, 2), np.float32)
    start[:, : components.shape[1]] = components[:, :2]
    if n < 5 or not start.any():
        return start
    start *= 1e-4 / float(start[:, 0].std())  # as scikit-learn scales its own start
    perplexity = min(_PERPLEXITY, (n - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, max_iter=_ITERATIONS, random_state=seed, n_jobs=-1, init=start)  # pyright: ignore[reportArgumentType]
    # Threads wait for each other many thousand times, spinning: on cores that others use, few points took minutes.
    with threadpool_limits(1) if n < _THREADS_FROM else nullcontext():
        return tsne.fit_transform(components).astype(np.float32)


def map_eps(components: np.ndarray, tsne: np.ndarray, eps: float) -> float:
    """Return the radius in a t-SNE map that stands for a distance of embeddings: maps have no scale of their own.

    Embeddings nearer than eps to their nearest neighbour tell it: 99 of 100 such pairs lie within that radius.

    Args:
        components: float, shape (n, k).
        tsne: float, shape (n, 2): their map.
        eps: distance of two embeddings of one person.

    Returns:
        The radius in units of the map; less than any distance there where no two embeddings are that near.
    """
    if len(components) < 2:
        return eps
    distances, neighbours = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(components).kneighbors(components)
    there = np.linalg.norm(tsne - tsne[neighbours[:, 1]], axis=1)
    is_near = distances[:, 1] < eps
    if not is_near.any():
        return max(float(NearestNeighbors(n_neighbors=2).fit(tsne).kneighbors(tsne)[0][:, 1].min()) / 2, 1e-9)
    return max(float(np.percentile(there[is_near], _MAP_PERCENTILE)), 1e-9)


def _dbscan(points: np.ndarray, eps: float, algorithm: str = "brute") -> np.ndarray:
    # In 64 dimensions trees are slower than all distances.
    return DBSCAN(eps=eps, min_samples=_MIN_SAMPLES, algorithm=algorithm).fit_predict(points).astype(np.int64)  # pyright: ignore[reportArgumentType]


def _parted(components: np.ndarray, labels: np.ndarray, eps: float) -> np.ndarray:
    """Part clusters whose members are too far from each other; -1 is nobody's."""
    parted, next_label = np.full_like(labels, -1), 0
    for rows in _rows_of(labels):
        inner = _dbscan(components[rows], eps)
        parted[rows] = np.where(inner < 0, -1, inner + next_label)
        next_label += int(inner.max()) + 1
    return parted


def _rows_of(labels: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []


def _nearest(vectors: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and distance of the nearest of others, both shape (n,); vectors of length 1."""
    rows, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(vectors), _AT_ONCE):
        cosines = vectors[start : start + _AT_ONCE] @ others.T
        rows.append(cosines.argmax(axis=1))
        distances.append(np.sqrt(np.maximum(2 - 2 * cosines.max(axis=1), 0)))
    return np.concatenate(rows), np.concatenate(distances)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Number people anew: the one with most embeddings first, of equals the one that appears first."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.int64)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    return rank[inverse]
