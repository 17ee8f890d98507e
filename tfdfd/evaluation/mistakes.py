"""The clips that were scored worst, and what the network looked at in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tfdfd.clip import FAKE, LABEL_NAMES, REAL, WITH_FACES, ClipError, TfdfdError
from tfdfd.data.store import FaceStore
from tfdfd.evaluation.result import ModelResult
from tfdfd.reports.clips_shown import TRACKS_A_CLIP, read_crops
from tfdfd.reports.evaluation_shown import LeftOut, Mistakes, MistakeShown
from tfdfd.reports.faces_explained import explain_clip, strongest_heat

ExplainTracks = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(crops [batch, places, size, size, 3], is_face [batch, places]) -> face logits and heat maps."""

_WHAT = {FAKE: "Missed: a fake that was called real.", REAL: "False alarm: a real clip that was called fake."}
_OF_GRADIENT = (
    "Each feature times the gradient of the logit by it, signed: behind average pooling, Grad-CAM. "
    "Without a hidden layer the mean of a face's map is its logit, but for a constant. It shows where evidence "
    "came from, not if it is right."
)
_OF_MASKS = (
    "How likely each place was altered, as the network was trained to tell from fakes and their originals: full colour "
    "is certainty. It shows what the network takes for altered, not if it is."
)


def worst_mistakes(
    model: ModelResult,
    store: FaceStore,
    explain: ExplainTracks,
    *,
    limit: int,
    has_pictures: bool,
    shows_masks: bool = False,
) -> Mistakes | LeftOut:
    """Return what the page shows of the clips with faces that lie on the wrong side of the threshold.

    Args:
        model: the model.
        store: where its crops are.
        explain: its heat maps.
        limit: clips to show: false alarms and missed fakes in turn, of each the highest log loss first.
        has_pictures: whether to show faces, and to make heat maps.
        shows_masks: whether these tell how likely each place was altered.
    """
    has_face = np.isin(model.scored.status, WITH_FACES)
    is_fake = model.choice.rule.is_fake(model.scores)
    chosen = choose_mistakes(model.scored.labels, model.scores, is_fake, has_face, limit)
    if not limit:
        return LeftOut("None were asked for (--mistakes 0).")
    if not chosen:
        return LeftOut("No clip with a face lies on the wrong side of the threshold.")
    clip_ids = model.scored.clips["clip_id"].tolist()
    records = {row: _record(store, clip_ids[row]) for row in chosen}
    heats = {row: _heats(store, record, explain) for row, record in records.items()} if has_pictures else {}
    shown = [heat for of_clip in heats.values() for heat in of_clip]
    scale = strongest_heat(shown, are_masks=shows_masks)
    probabilities = model.scored.probabilities(model.choice.rule)

    def clips() -> Iterator[MistakeShown]:
        for row in chosen:
            label, score = int(model.scored.labels[row]), float(model.scores[row])
            yield explain_clip(
                store,
                records[row],
                label=LABEL_NAMES[label].lower(),
                score=score,
                what=_WHAT[label],
                probabilities=list(probabilities[model.scored.rows.clip_rows == row]),
                heats=heats.get(row),
                heat_scale=scale,
                has_pictures=has_pictures,
            )

    return Mistakes(
        clips=clips,
        num_shown=len(chosen),
        order="false alarms and missed fakes in turn, of each the highest log loss first",
        threshold=model.choice.rule.threshold,
        has_pictures=has_pictures,
        has_heat=has_pictures,
        has_one_place=store.num_places == 1,
        heat_note=_OF_MASKS if shows_masks else _OF_GRADIENT,
    )


def choose_mistakes(
    labels: np.ndarray, scores: np.ndarray, is_called_fake: np.ndarray, is_eligible: np.ndarray, limit: int
) -> list[int]:
    """Choose clips on the wrong side of a threshold.

    Args:
        labels: int, shape (n,), 1 is fake.
        scores: float, shape (n,), in [0, 1].
        is_called_fake: bool, shape (n,): by the threshold.
        is_eligible: bool, shape (n,): which may be chosen.
        limit: most to choose.

    Returns:
        Rows: false alarms and missed fakes in turn, worst first; where one kind runs out, the other goes on.
    """
    is_wrong = is_eligible & (is_called_fake != (labels == FAKE))
    alarms, missed = (
        np.flatnonzero(is_wrong & (labels == label))[
            np.argsort(sign * scores[is_wrong & (labels == label)], kind="stable")
        ]
        for label, sign in ((REAL, -1), (FAKE, 1))
    )
    # Halves where both kinds have enough, else what the other kind leaves.
    num_alarms = min(len(alarms), max((limit + 1) // 2, limit - len(missed)))
    taken = [alarms[:num_alarms].tolist(), missed[: limit - num_alarms].tolist()]
    turns = [[kind[number] for kind in taken if number < len(kind)] for number in range(max(map(len, taken)))]
    return [row for turn in turns for row in turn]


def _record(store: FaceStore, clip_id: str) -> dict:
    record = store.record(clip_id)
    if record is None:
        raise TfdfdError(f"the store {store.folder} has lost the record of {clip_id}: prepare it again")
    return record


def _heats(store: FaceStore, record: dict, explain: ExplainTracks) -> list[np.ndarray]:
    """Return the heat maps of the leading tracks of a clip, float32 [num_places, h, w] each, up to a damaged strip."""
    found = []
    for track in record["tracks"][:TRACKS_A_CLIP]:
        is_face = np.asarray(track["is_face"], np.bool_)
        try:
            crops = read_crops(store, track)
        except ClipError:
            break  # the page says of the strip itself what is wrong with it
        found.append(explain(crops[None] * is_face[None, :, None, None, None], is_face[None])[1][0])
    return found
