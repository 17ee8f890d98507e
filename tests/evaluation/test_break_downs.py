"""Parts of the clips: what each dimension holds, and what is compared within a part."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.stores import frames_of, new_store, ok_clip, track_of, write_clips
from tfdfd.clip import FAILED, NO_FACE, ClipFaces
from tfdfd.data.manifest import COLUMNS
from tfdfd.evaluation.break_downs import MOST_PARTS, break_downs
from tfdfd.evaluation.clip_facts import DIMENSIONS, NOT_KNOWN, clip_facts
from tfdfd.evaluation.metrics import FigureSettings


def facts_of(count, **columns):
    table = pd.DataFrame("same", index=range(count), columns=list(DIMENSIONS))
    return table.assign(**columns)


def scores_of(labels, scores):
    return pd.DataFrame({"label": labels, "clip_score": scores})


def test_what_the_store_knows_of_a_clip(tmp_path):
    store = new_store(tmp_path)
    large = frames_of(width=1080, height=1920)
    frames = dataclasses.replace(large, info=dataclasses.replace(large.info, codec="hevc", profile="Main"))
    write_clips(
        store,
        [
            ok_clip("small", track_of(box=(0, 0, 40, 60))),
            ok_clip("three", track_of(box=(0, 0, 300, 200)), track_of(), track_of(), frames=frames),
            ClipFaces("nobody", NO_FACE, "no face found", frames=frames_of()),
            ClipFaces("broken", FAILED, "no such file"),
        ],
    )
    clips = pd.DataFrame("", index=range(4), columns=list(COLUMNS)).assign(
        clip_id=["three", "small", "nobody", "broken"], label=[1, 0, 1, 0], method=["swap", "", "", ""], folder="f"
    )
    facts = clip_facts(clips, store)
    assert facts["codec"].tolist() == ["hevc Main", "h264 High", "h264 High", NOT_KNOWN]
    assert facts["resolution"].tolist() == ["721 to 1080 px", "up to 480 px", "up to 480 px", NOT_KNOWN]
    assert facts["face_size"].tolist() == ["above 256 px", "up to 64 px", NOT_KNOWN, NOT_KNOWN]
    assert facts["people"].tolist() == ["3 or more", "1", "0", "0"]
    assert facts["method"].tolist() == ["swap", "", NOT_KNOWN, ""]
    assert facts["status"].tolist() == ["ok", "ok", "no_face", "failed"]
    assert facts["dataset"].tolist() == [NOT_KNOWN] * 4


def test_each_part_has_its_own_figures_and_dimensions_without_parts_are_left_out():
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.9, 0.1])
    facts = facts_of(4, folder=["good", "good", "bad", "bad"])
    (down,) = break_downs(scores_of(labels, scores), facts, np.arange(4), FigureSettings())
    assert down.dimension == "folder"
    assert {part.value: part.figures.values["auc"] for part in down.parts} == {"good": 1.0, "bad": 0.0}


def test_the_fakes_of_a_method_are_compared_with_all_real_clips_of_their_data_sets():
    labels = np.array([0, 0, 1, 1, 0])
    scores = np.array([0.1, 0.5, 0.3, 0.9, 0.99])
    facts = facts_of(5, method=["", "", "swap", "puppet", ""], dataset=["d", "d", "d", "d", "other"])
    downs = {d.dimension: d for d in break_downs(scores_of(labels, scores), facts, np.arange(5), FigureSettings())}
    methods = {part.value: part.figures for part in downs["method"].parts}
    assert methods["swap"].values["auc"] == 0.5  # above one of the two real clips of d
    assert methods["puppet"].values["auc"] == 1.0
    assert (methods["swap"].num_real, methods["swap"].num_fake) == (2, 1)


def test_parts_stand_in_the_order_that_a_person_expects():
    names = ["part_10", "part_9", "part_1"]
    facts = facts_of(3, folder=names, resolution=["above 1080 px", "up to 480 px", "481 to 720 px"])
    downs = break_downs(
        scores_of(np.array([0, 1, 0]), np.array([0.1, 0.2, 0.3])), facts, np.arange(3), FigureSettings()
    )
    values = {down.dimension: [part.value for part in down.parts] for down in downs}
    assert values["folder"] == ["part_1", "part_9", "part_10"]
    assert values["resolution"] == ["up to 480 px", "481 to 720 px", "above 1080 px"]


def test_of_very_many_parts_the_largest_get_figures_and_the_others_are_counted():
    count = MOST_PARTS + 5
    folders = [f"f{number}" for number in range(count)] + ["f64"]
    labels = np.arange(count + 1) % 2
    facts = facts_of(count + 1, folder=folders)
    (down,) = break_downs(scores_of(labels, np.full(count + 1, 0.5)), facts, np.arange(count + 1), FigureSettings())
    assert len(down.parts) == MOST_PARTS
    assert down.num_left_out == 5
    assert "f64" in [part.value for part in down.parts]  # it has two clips


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_every_dimension_can_be_broken_down(dimension):
    facts = facts_of(4, **{dimension: ["a", "a", "b", "b"]})
    downs = break_downs(
        scores_of(np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8])), facts, np.arange(4), FigureSettings()
    )
    assert [down.dimension for down in downs] == [dimension]
