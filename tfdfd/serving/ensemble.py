"""Several SavedModels to one that returns the mean of what they say."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfdfd.clip import TfdfdError
from tfdfd.data.fingerprint import Fingerprint, of_single_crops, require_same_preprocessing
from tfdfd.data.merged_splits import merge_splits
from tfdfd.data.splits import SPLITS, TRAIN, VAL
from tfdfd.data.tables import values
from tfdfd.models.ensemble import MeanOfNetworks, Member
from tfdfd.models.scoring import ScoringRule
from tfdfd.serving.export import ModelCard, write_version
from tfdfd.serving.saved_model import LoadedModel

_log = logging.getLogger(__name__)


def write_ensemble(
    models: Sequence[LoadedModel],
    weights: Sequence[float],
    mean: str,
    rule: ScoringRule,
    *,
    folder: Path,
    accept_mismatch: bool = False,
    say: Callable[[str], None] = _log.warning,
) -> Path:
    """Write a version of a model that shows each face to all members and scores the mean of their probabilities.

    It has all signatures of an export. Faces are found, decoded and cropped once, not once for each member. Each
    member's logits are divided by the temperature of its own rule before they are combined.

    Args:
        models: the members, at least two.
        weights: of each, above 0; only their ratios matter.
        mean: one of `tfdfd.models.ensemble.MEANS`.
        rule: how the combined face probabilities become a clip score.
        folder: `saved_models/<name>` of the ensemble.
        accept_mismatch: go on although the members' crops were made in different ways; they will be made as the first
            one's were.
        say: told what a person should know.

    Returns:
        The folder of the new version.

    Raises:
        TfdfdError: if the members do not fit each other, one gives no numbers, or the version cannot be written.
    """
    if hearing := [model.name for model in models if model.hears]:
        raise TfdfdError(
            f"{hearing[0]} hears, and an ensemble shows its members single faces: leave it out, or compare and combine "
            "the models' scores with run_eval.py --model A --model B"
        )
    require_different_networks(models)
    mismatch = _require_same_crops(models, accept_mismatch)
    if mismatch:
        say(f"{mismatch}\nCrops will be made as those of {models[0].name}")
    _require_all_say_their_training(models)
    members = [
        Member(model.explain_faces, _map_sides(model), model.rule.temperature, weight / sum(weights))
        for model, weight in zip(models, weights, strict=True)
    ]
    clips = merge_splits([model.clips() for model in models])
    if len(clips) and not _num_clips(clips, VAL):
        say(
            "no clip is left to validate the ensemble by: of each, one member at least was trained on it, its original "
            "or a fake of it. run_eval.py needs others: --data, --val-folders"
        )
    card = _card(models, members, mean, clips, folder.resolve().name)
    return write_version(
        MeanOfNetworks(members, mean),
        rule,
        _fingerprint(models),
        card | ({"accepted_mismatch": mismatch} if mismatch else {}),
        clips,
        network_digest=_digest(models, members, mean),
        crop_size=models[0].crop_size,
        folder=folder,
        say=say,
    )


def require_different_networks(models: Sequence[LoadedModel]) -> None:
    """Refuse a network that is there twice, maybe inside a member that is an ensemble, and members of one name.

    Raises:
        TfdfdError: if there is one.
    """
    where: dict[str, str] = {}
    for number, model in enumerate(models):
        for digest in {model.network_digest, *_digests_in(model.card())}:
            if digest in where:
                raise TfdfdError(
                    f"the same network is in {where[digest]} and in {model.folder}, maybe with another rule: name it "
                    "once; --weights says how much it counts"
                )
            where[digest] = str(model.folder)
        if model.name in [other.name for other in models[:number]]:
            raise TfdfdError(f"two members are both called {model.name}: rename the folder of one of them")


def _digests_in(card: dict[str, Any]) -> Iterator[str]:
    """Yield the digests of the networks in an ensemble, none of a model that is no ensemble."""
    for member in card.get("members", ()):
        yield member["network_digest"]
        yield from _digests_in(member)


def _require_same_crops(models: Sequence[LoadedModel], accept: bool) -> str:
    """Refuse members whose crops were made in different ways; return the differences that were accepted."""
    first, *others = models
    found = []
    for other in others:
        if other.crop_size != first.crop_size:
            raise TfdfdError(
                f"{first.name} takes crops of {first.crop_size} px, {other.name} of {other.crop_size}: all members see "
                "the same crops, and no flag makes these fit. Train them with the same --crop-size; what each network "
                "resizes them to, its --input-size, may differ"
            )
        found.append(
            require_same_preprocessing(
                of_single_crops(first.fingerprint),
                of_single_crops(other.fingerprint),
                expected_name=first.name,
                found_name=other.name,
                accept=accept,
                advice="All members see the same crops: choose models that were trained on crops made alike, or "
                f"--accept-mismatch, to make crops as {first.name} has them",
            )
        )
    return "\n".join(filter(None, found))


def _require_all_say_their_training(models: Sequence[LoadedModel]) -> None:
    """Refuse a member that does not say what it was trained on beside others that do."""
    says = [TRAIN in values(model.clips(), "split") for model in models]
    if any(says) and not all(says):
        raise TfdfdError(
            f"{models[says.index(False)].name} does not record which clips it was trained on, and "
            f"{models[says.index(True)].name} does: an evaluation would take the clips of the one for all that the "
            "ensemble knows. Leave it out, or train and export it again"
        )


def _map_sides(model: LoadedModel) -> tuple[int, int]:
    """Return height and width of a model's heat maps, by showing it a grey face, which a broken network fails at."""
    size = model.crop_size
    logits, maps = model.explain(np.full((1, 1, size, size, 3), 128, np.uint8), np.ones((1, 1), np.bool_))
    if not (np.isfinite(logits).all() and np.isfinite(maps).all()):
        raise TfdfdError(
            f"{model.folder} gave something that is no number for a grey face: its weights may hold NaN; leave it out, "
            "or train it again"
        )
    return maps.shape[2], maps.shape[3]


def _card(
    models: Sequence[LoadedModel], members: Sequence[Member], mean: str, clips: pd.DataFrame, name: str
) -> dict[str, Any]:
    """Return a model card: figures of its own the ensemble has none, those of the members stand with them."""
    told: list[dict[str, Any]] = [
        {
            **model.card(),
            "name": model.name.partition("/")[0],
            "version": model.folder.resolve().name,
            "network_digest": model.network_digest,
            "weight": member.weight,
            "temperature": member.temperature,
            "provenance": model.fingerprint.provenance,
        }
        for model, member in zip(models, members, strict=True)
    ]
    card = ModelCard(
        name=name,
        description=f"scores video clips by the {mean} mean of {len(models)} models: the probability that their faces "
        "were altered (1 is fake)",
        backbone=", ".join(str(one.get("backbone", "unknown")) for one in told),
        # The largest: what tells of one network's cost then tells of the dearest.
        input_size=max(int(one.get("input_size") or model.crop_size) for one, model in zip(told, models, strict=True)),
        data={side: {"clips": _num_clips(clips, side)} for side in SPLITS},
        split={"rule": "a clip is train if a member was trained on it, its original or a fake of it"},
        figures={},
        training={"mean": mean, "weights": [one["weight"] for one in told]},
    )
    return {**dataclasses.asdict(card), "members": told}


def _num_clips(clips: pd.DataFrame, side: str) -> int:
    return len(set(values(clips, "clip_id")[values(clips, "split") == side]))


def _fingerprint(models: Sequence[LoadedModel]) -> Fingerprint:
    """Return how crops are made for the first member, in as many places as any member has."""
    made = [model.fingerprint.provenance for model in models]
    sources = {
        model.name: told.get("source", told.get("members", "")) for model, told in zip(models, made, strict=True)
    }
    places = [int(told["num_places"]) for told in made if "num_places" in told]
    provenance = {"members": sources} | ({"num_places": max(places)} if places else {})
    return Fingerprint(models[0].fingerprint.preprocessing, provenance)


def _digest(models: Sequence[LoadedModel], members: Sequence[Member], mean: str) -> str:
    """Return what tells an ensemble from any other; the order of its members does not."""
    told = sorted(
        [model.network_digest, member.temperature, member.weight] for model, member in zip(models, members, strict=True)
    )
    return hashlib.sha256(json.dumps([mean, told]).encode()).hexdigest()
