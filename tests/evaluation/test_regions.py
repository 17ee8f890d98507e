"""Regions told by a network that is a function here, beside masks that are known."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from tests.stores import CROP_SIZE, NUM_PLACES, new_store, track_of, write_clips
from tfdfd.clip import OK, ClipError, ClipFaces, TfdfdError
from tfdfd.data.mask_store import ClipMasks, MaskStore
from tfdfd.data.tracks import scoring_rows
from tfdfd.evaluation.regions import ALL, Regions, choose_clips, iou, measure_regions
from tfdfd.evaluation.scores import ScoredClips

SCHEMA = json.loads(files("tfdfd.evaluation").joinpath("metrics.schema.json").read_text())
ALTERED = np.zeros((CROP_SIZE, CROP_SIZE), bool)
ALTERED[4:12, 4:12] = True
HALF = np.zeros((CROP_SIZE, CROP_SIZE), bool)
HALF[4:12, 4:8] = True
CLIPS = ["real_0", "fake_0", "other_0", "real_1", "fake_1", "other_1"]
"""Of two originals; the methods are called after the first word."""


def white_where_altered(crops: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Tell what is white; of black crops, as those that are no faces, nothing."""
    return (crops.mean(axis=-1) > 200).astype(np.float32)


def scored_in(folder: Path, painted: np.ndarray = ALTERED) -> tuple[ScoredClips, MaskStore]:
    """Two people a clip, of whom the first is forged in fakes and `painted` white; the last place has no mask."""
    store = new_store(folder / "store")
    track = track_of()
    found = []
    for name in CLIPS:
        forged = np.full((NUM_PLACES, CROP_SIZE, CROP_SIZE, 3), 60, np.uint8)
        if not name.startswith("real"):
            forged[:, painted] = 255
        found.append(ClipFaces(name, OK, tracks=(track, track), crops=(forged, np.full_like(forged, 60))))
    write_clips(store, found)
    masks = MaskStore(store)
    is_known = np.arange(NUM_PLACES) < NUM_PLACES - 1
    with store.writing():
        masks.begin()
        for name in CLIPS:
            if not name.startswith("real"):
                of_track = np.repeat(ALTERED[None], NUM_PLACES, 0)
                both = (of_track, np.zeros_like(of_track))
                made = ClipMasks(name, OK, masks=both, is_known=(is_known, is_known))
                masks.write(made, fake_bytes=1, original_bytes=1)
        masks.rebuild_index()
    table = pd.DataFrame({"clip_id": CLIPS, "label": [0, 1, 1] * 2, "method": ["", "fake", "other"] * 2})
    rows = scoring_rows(store, table)
    logits = np.zeros(rows.is_face.shape, np.float32)
    return ScoredClips.of(table, np.array([0, 0, 0, 1, 1, 1]), store, rows, logits), masks


def measured(scored: ScoredClips, masks: MaskStore, *, num_clips: int = 100) -> Regions:
    found = measure_regions(white_where_altered, scored, choose_clips(scored, masks, num_clips), num_replicates=100)
    assert found is not None
    return found


def test_overlap_is_a_share_of_what_either_has():
    assert iou(ALTERED, ALTERED) == 1
    assert iou(ALTERED, HALF) == 0.5
    assert iou(ALTERED, ~ALTERED) == 0
    assert iou(np.zeros_like(ALTERED), np.zeros_like(ALTERED)) == 1


def test_a_network_that_knows_all_has_an_overlap_of_1_and_calls_nothing_else_altered(tmp_path):
    found = measured(*scored_in(tmp_path))
    assert [part.method for part in found.parts] == [ALL, "fake", "other"]
    assert [(part.num_clips, part.num_faces) for part in found.parts] == [
        (4, 4 * (NUM_PLACES - 1)),
        (2, 2 * (NUM_PLACES - 1)),
        (2, 2 * (NUM_PLACES - 1)),
    ]
    assert all(part.iou > 0.98 for part in found.parts)  # the strips are JPEG
    assert found.parts[0].interval is not None
    assert found.parts[0].interval.high <= 1
    # Both people of real clips, and the second one of fakes where something is known.
    assert found.num_unaltered == 2 * 2 * NUM_PLACES + 4 * (NUM_PLACES - 1)
    assert found.false_area == 0
    schema = SCHEMA["$defs"]["model"]["properties"]["regions"]
    jsonschema.validate(found.to_json(), {**schema, "$defs": SCHEMA["$defs"]})
    assert {example.clip_id for example in found.examples} == {"fake_0", "other_0", "fake_1", "other_1"}


def test_a_network_that_finds_half_has_an_overlap_of_a_half(tmp_path):
    found = measured(*scored_in(tmp_path, painted=HALF))
    assert abs(found.parts[0].iou - 0.5) < 0.02
    assert found.parts[0].written().startswith("0.5")


def test_a_network_that_calls_everything_altered_is_told_so(tmp_path):
    scored, masks = scored_in(tmp_path)

    def everything(_: np.ndarray, is_face: np.ndarray) -> np.ndarray:
        return np.ones((*is_face.shape, 4, 4), np.float32)

    found = measure_regions(everything, scored, choose_clips(scored, masks, 100), num_replicates=100)
    assert found is not None
    assert found.false_area == 1
    assert abs(found.parts[0].iou - ALTERED.mean()) < 1e-6


def test_as_many_fakes_as_real_clips_are_looked_at(tmp_path):
    scored, masks = scored_in(tmp_path)
    compared, seen = choose_clips(scored, masks, 2), []
    assert sorted(scored.labels[list(compared.clip_rows)]) == [0, 1]
    measure_regions(white_where_altered, scored, compared, num_replicates=100, on_clips=seen.append)
    assert seen == [1, 1]


def test_without_a_mask_nothing_is_found_and_a_damaged_or_old_one_is_an_error(tmp_path):
    scored, masks = scored_in(tmp_path)
    real_only = scored.where(scored.labels == 0)
    assert measure_regions(white_where_altered, real_only, choose_clips(real_only, masks, 10)) is None
    path = masks.folder / masks.index()["mask"].iloc[0]
    path.write_bytes(b"no picture")
    with pytest.raises(ClipError):
        measured(scored, masks)
    with masks.store.writing():
        for name in CLIPS:
            made = ClipMasks(name, OK, masks=(np.zeros((NUM_PLACES, CROP_SIZE, CROP_SIZE), bool),) * 2,
                             is_known=(np.ones(NUM_PLACES, bool),) * 2)  # fmt: skip
            masks.write(made, fake_bytes=7, original_bytes=1)
        masks.rebuild_index()
    with pytest.raises(TfdfdError, match="found anew since their masks were made"):
        measured(scored, masks)
