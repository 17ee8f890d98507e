"""Which faces an epoch has, in which order, and what is done to them: drawn from seed and epoch alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdfd.clip import FAKE, REAL, TfdfdError
from tfdfd.data.degradation import Degradation
from tfdfd.data.rows import FaceRows, FaceTable, pick_paths
from tfdfd.data.self_blend import draw_blends

SAMPLINGS = ("all", "one")
BALANCES = ("weights", "none", "undersample", "paired")
FAKES = ("given", "self_blended", "both")

_CHOICE, _DEGRADATION, _BLENDS = 1, 2, 3
"""Streams of random numbers besides that of the order, so that no option changes what another draws."""


@dataclass(frozen=True)
class FaceChoice:
    """Which faces of a table an epoch has."""

    sampling: str = "all"
    """all: every face; one: a face of each track, drawn anew every epoch."""
    balance: str = "none"
    """none; weights: real and fake faces count for half of the weight each; undersample: of the commoner label as many
    as of the other, drawn anew every epoch; paired: each original beside one of its fakes, drawn anew every epoch, at
    the same place of the clip."""
    fakes: str = "given"
    """given; self_blended: each real face blended with itself, in place of those given; both."""

    def __post_init__(self) -> None:
        for name, choices in (("sampling", SAMPLINGS), ("balance", BALANCES), ("fakes", FAKES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {sorted(choices)}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class ChosenFaces:
    """The faces of an epoch, real ones at even and their fakes at odd numbers where they are paired."""

    tracks: np.ndarray
    """int64 (n,): row of the table."""
    places: np.ndarray
    """int64 (n,): place in its strip."""
    is_blended: np.ndarray
    """bool (n,): whether the face is blended with itself, and so a fake."""
    labels: np.ndarray
    """float32 (n,): 0 real, 1 fake."""


def choose_faces(table: FaceTable, choice: FaceChoice, *, seed: int, epoch: int) -> ChosenFaces:
    """Choose the faces of an epoch, unshuffled; no face comes twice but for a real one and its blend.

    Args:
        table: the tracks to train on.
        choice: which of their faces.
        seed: of the run.
        epoch: from 0.

    Raises:
        TfdfdError: if the table holds no such face, or a label is missing that the balance needs.
    """
    rng = np.random.default_rng([seed, epoch, _CHOICE])
    if choice.balance == "paired":
        chosen = _pairs(table, choice, rng)
    else:
        faces = _sampled(table.is_face, choice, rng)
        blended = faces & table.can_blend if choice.fakes != "given" else np.zeros_like(faces)
        given = faces & (table.labels == REAL)[:, None] if choice.fakes == "self_blended" else faces
        tracks, places = (np.append(*both) for both in zip(np.nonzero(given), np.nonzero(blended), strict=True))
        chosen = _labelled(table, tracks, places, np.arange(len(tracks)) >= given.sum())
    if not len(chosen.tracks):
        raise TfdfdError("there is no face to train on: the table holds no place with a face")
    if choice.balance == "none":
        return chosen
    counts = {label: int((chosen.labels == label).sum()) for label in (REAL, FAKE)}
    if not all(counts.values()):
        raise TfdfdError(
            f"training needs real and fake faces, got {counts[REAL]} real and {counts[FAKE]} fake: choose another "
            "split, --balance none, or --fakes self_blended where there are real faces alone"
        )
    if choice.balance != "undersample":
        return chosen
    kept = [rng.permutation(np.flatnonzero(chosen.labels == label))[: min(counts.values())] for label in (REAL, FAKE)]
    return _taken(chosen, np.sort(np.concatenate(kept)))


def epoch_rows(
    table: FaceTable,
    *,
    seed: int,
    epoch: int,
    global_batch_size: int,
    mirror: bool,
    choice: FaceChoice = FaceChoice(),
    degradation: Degradation = Degradation(),  # noqa: B008
    crop_size: int = 0,
) -> FaceRows:
    """Put the faces of one epoch in order, shuffled across all clips.

    Args:
        table: the tracks to train on.
        seed: seed of the run; with the epoch it decides all that is drawn.
        epoch: number of the epoch, from 0.
        global_batch_size: faces a step over all replicas; the last batch is filled by repeating faces of this
            epoch at weight 0.
        mirror: whether half of the faces, chosen anew each epoch, are flipped left to right.
        choice: which faces.
        degradation: how they are degraded, padding too.
        crop_size: side of a crop in pixels; needed where faces are blended or degraded.

    Returns:
        Rows that fill whole global batches. Pairs stay side by side.

    Raises:
        TfdfdError: if the table holds no such face, see `choose_faces`, or landmarks are missing.
    """
    chosen = choose_faces(table, choice, seed=seed, epoch=epoch)
    num_faces = len(chosen.tracks)
    rng = np.random.default_rng([seed, epoch])
    if choice.balance == "paired":
        order = (2 * rng.permutation(num_faces // 2)[:, None] + [0, 1]).reshape(-1)
    else:
        order = rng.permutation(num_faces)
    # Padding repeats real faces: black ones would move BatchNorm.
    order = np.append(order, np.resize(order, -num_faces % global_batch_size))
    flips = rng.integers(0, 2, len(order), dtype=np.int32)
    chosen = _taken(chosen, order)
    weights = table.weights[chosen.tracks]
    weights[num_faces:] = 0
    if choice.balance == "weights":
        weights = _balanced(weights, chosen.labels)
    return FaceRows(
        strip_paths=pick_paths(table.strip_paths, chosen.tracks),
        places=chosen.places.astype(np.int32),
        labels=chosen.labels,
        weights=weights,
        clip_rows=table.clip_rows[chosen.tracks],
        mirror=flips if mirror else np.zeros_like(flips),
        alterations=_alterations(table, chosen, degradation, seed=seed, epoch=epoch, crop_size=crop_size),
        **_crop_bytes(table, chosen),
        **_masks(table, chosen),
    )


def _sampled(is_face: np.ndarray, choice: FaceChoice, rng: np.random.Generator) -> np.ndarray:
    """Return which faces, bool (n, places), of those that there are: all, or one a row."""
    if choice.sampling == "all":
        return is_face
    drawn = np.where(is_face, rng.random(is_face.shape), -1)
    return is_face & (drawn == drawn.max(axis=1, keepdims=True))


def no_pairs(num_fake: int, num_real: int, unit: str) -> TfdfdError:
    """Return the error where nothing can be paired, of so many `clips` or `tracks` to train on."""
    return TfdfdError(
        f"balance paired (which recipe winning sets) needs originals with their fakes, and of the {num_fake} fake and "
        f"{num_real} real {unit} to train on none belong together: write --balance weights or --balance undersample "
        "instead, or --fakes self_blended, which makes a fake of every real face"
    )


def _pairs(table: FaceTable, choice: FaceChoice, rng: np.random.Generator) -> ChosenFaces:
    is_real = table.labels == REAL
    partner = np.full(len(is_real), -1)
    if choice.fakes != "self_blended":
        # Of an original's fakes, the last one of a shuffled list.
        fakes = rng.permutation(np.flatnonzero(table.originals >= 0))
        partner[table.originals[fakes]] = fakes
    if choice.fakes != "given":
        is_own = table.can_blend.any(axis=1) & ((partner < 0) | (rng.random(len(partner)) < 0.5))
        partner = np.where(is_own, np.arange(len(partner)), partner)
    originals = np.flatnonzero(is_real & (partner >= 0))
    if not len(originals):
        raise no_pairs(int((~is_real).sum()), int(is_real.sum()), "tracks")
    partner = partner[originals]
    fit = np.where((partner == originals)[:, None], table.can_blend[originals], table.is_face[partner])
    pairs, places = np.nonzero(_sampled(table.is_face[originals] & fit, choice, rng))
    tracks = np.stack([originals, partner], axis=1)[pairs].reshape(-1)
    is_second = np.tile([False, True], len(pairs))
    return _labelled(table, tracks, np.repeat(places, 2), is_second & np.repeat((partner == originals)[pairs], 2))


def _masks(table: FaceTable, chosen: ChosenFaces) -> dict[str, Any]:
    """Return the masks of the chosen faces; a mixture of a face with itself has none that is known."""
    if table.masks is None:
        return {}
    is_known = table.masks.is_known[chosen.tracks, chosen.places] & ~chosen.is_blended
    return {"mask_paths": pick_paths(table.masks.paths, chosen.tracks), "mask_weights": is_known.astype(np.float32)}


def _labelled(table: FaceTable, tracks: np.ndarray, places: np.ndarray, is_blended: np.ndarray) -> ChosenFaces:
    labels = np.where(is_blended, FAKE, table.labels[tracks]).astype(np.float32)
    return ChosenFaces(tracks, places, is_blended, labels)


def _taken(chosen: ChosenFaces, indices: np.ndarray) -> ChosenFaces:
    return ChosenFaces(
        *(values[indices] for values in (chosen.tracks, chosen.places, chosen.is_blended, chosen.labels))
    )


def _balanced(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Multiply weights so that both labels have half of the total, which stays the same."""
    totals = {label: float(weights[labels == label].sum(dtype=np.float64)) for label in (REAL, FAKE)}
    half = sum(totals.values()) / 2
    factors = np.where(labels == FAKE, half / totals[FAKE], half / totals[REAL])
    return (weights * factors).astype(np.float32)


def _crop_bytes(table: FaceTable, chosen: ChosenFaces) -> dict[str, Any]:
    if table.crop_bytes is None:
        return {}
    spans = table.crop_bytes.spans[chosen.tracks, chosen.places]
    return {"crop_header": table.crop_bytes.header, "crop_spans": spans}


def _alterations(
    table: FaceTable, chosen: ChosenFaces, degradation: Degradation, *, seed: int, epoch: int, crop_size: int
) -> np.ndarray:
    n = len(chosen.tracks)
    if not degradation.is_on and not chosen.is_blended.any():
        return np.zeros((n, 0), np.float32)
    if crop_size < 1:
        raise ValueError(f"crop_size must be at least 1 where faces are altered, got {crop_size}")
    landmarks = None
    if degradation.needs_landmarks or chosen.is_blended.any():
        if table.landmarks_xy is None:
            raise ValueError("landmarks_xy must be given where faces are blended or cut out")
        landmarks = table.landmarks_xy[chosen.tracks, chosen.places]
    drawn = degradation.draw(
        n, np.random.default_rng([seed, epoch, _DEGRADATION]), crop_size=crop_size, landmarks_xy=landmarks
    )
    if landmarks is not None and chosen.is_blended.any():
        rng = np.random.default_rng([seed, epoch, _BLENDS])
        drawn += draw_blends(landmarks, chosen.is_blended, rng, crop_size=crop_size)
    return drawn
