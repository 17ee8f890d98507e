"""The parts of a page about one scored clip say what its score says, and nothing that a file's name smuggles in."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.pages import Page
from tests.reports.scored import RULE, scored, track
from tfdfd.reports.scored_clip_page import ModelShown, reasons_part, styles, verdict_part
from tfdfd.scored_clip import FAILED, NO_FACE, PARTIAL, ScoredClip

MODEL = ModelShown.of("dfdc/3", {"figures": {"val_clip_auc": 0.91234, "val_clip_log_loss": 0.25, "epoch": 7.0}})


def no_heat(crops, is_face):
    return np.zeros(is_face.shape), np.zeros((*is_face.shape, 2, 2))


def text_of(part):
    return " ".join(" ".join(element["text"] for element in Page(part).elements[:1]).split())


@pytest.mark.parametrize(("probability", "word"), [(0.5, "Fake"), (0.49, "Real")])
def test_the_verdict_is_the_word_the_score_and_the_threshold(probability, word):
    part = verdict_part(scored([[track([probability])]]), RULE, MODEL)
    assert Page(part).find("h2")[0]["text"] == word
    assert f"score {probability:.3f} threshold 0.50" in text_of(part)
    assert "is evidence, no proof: the model dfdc/3 errs" in text_of(part)
    assert "On its validation clips: AUC 0.912, log loss 0.250." in text_of(part)


def test_a_model_whose_card_has_no_figures_says_so():
    part = verdict_part(scored([[track([0.5])]]), RULE, ModelShown.of("a/1", {}))
    assert "Its card has no validation figures." in text_of(part)


@pytest.mark.parametrize(("status", "word"), [(NO_FACE, "No evidence"), (FAILED, "Not scored")])
def test_without_a_score_the_reason_stands_and_no_number(status, word):
    clip = ScoredClip("a.mp4", status, "why it is so")
    part = verdict_part(clip, RULE, MODEL)
    assert Page(part).find("h2")[0]["text"] == word
    assert "why it is so" in text_of(part)
    assert "threshold" not in part
    assert reasons_part(clip, RULE, no_heat) == ""


def test_a_partial_score_its_warnings_and_the_highest_window_are_told():
    clip = ScoredClip(
        "a.mp4", PARTIAL, "9 of 17 frames in 8 s", clip_score=0.3, is_fake=False, max_score=0.8, warnings=("HDR",),
        windows=scored([[track([0.8])], []]).windows,
    )  # fmt: skip
    told = text_of(verdict_part(clip, RULE, MODEL))
    assert "9 of 17 frames in 8 s" in told
    assert "HDR" in told
    assert "highest of 2 windows 0.800" in told


def test_the_reasons_list_people_and_show_each_face_twice():
    page = Page(reasons_part(scored([[track([0.9, None, 0.2]), track([0.1])]]), RULE, no_heat))
    rows = [element["text"].split() for element in page.find("tr")[1:]]
    assert [row[:2] for row in rows] == [["person", "1"], ["person", "2"]]
    faces, heats = page.find("img", class_="face"), page.find("img", class_="heat")
    assert [face["alt"] for face in faces] == [
        "Face of person 1 (main) at 0.00 s",
        "Face of person 1 (main) at 2.00 s",
        "Face of person 2 at 0.00 s",
    ]
    assert len(heats) == 3
    (chart,) = page.find("svg")
    assert "person 1" in chart["aria-label"]


def test_the_chart_has_a_step_for_each_window_and_goes_with_the_faces_as_a_picture():
    whole, cut = (
        reasons_part(scored(windows, path="b/c.mp4"), RULE, no_heat)
        for windows in ([[track([0.5])]], [[track([0.9])], [], [track([0.2])]])
    )
    assert "score of a window" not in whole
    assert "0.200 to 0.900" in cut
    (link,) = Page(cut).find("a")
    assert link["download"] == "c-score.png"
    kind, data = link["href"].split(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).width > 1000


def test_a_crowd_is_cut_short_and_says_so():
    told = text_of(reasons_part(scored([[track([0.5 + (number > 9) / 10])] for number in range(70)]), RULE, no_heat))
    assert "and 10 more with lower scores, not listed" in told
    assert "690 to 700 s, person 1" in told
    assert "The faces of the 6 people with the highest scores are shown, of 70." in told


def test_names_are_text_and_never_markup():
    clip = scored([[track([0.5])]], path="<script>alert(1)</script>.mp4", warnings=("<b>",))
    part = verdict_part(clip, RULE, ModelShown.of("<i>/1", {}))
    assert not Page(part).find("script")
    assert not Page(part).find("i")
    assert "<script>alert(1)</script>.mp4" in text_of(part)


def test_the_styles_have_every_colour_by_day_and_by_night():
    light, dark = styles().split(".dark {")
    dark, own = dark.split("}", 1)
    used = {name.split(")")[0] for name in own.split("var(")[1:]}
    assert used
    assert all(f"{name}:" in light and f"{name}:" in dark for name in used)
