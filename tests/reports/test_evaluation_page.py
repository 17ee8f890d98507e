"""The page of an evaluation: all of it, in order, with hostile names, without pictures, the same every time."""

import dataclasses
import re

import numpy as np
import pytest

from tests.pages import Page
from tests.reports.sample_evaluation import sample_page
from tfdfd.reports.evaluation_page import write_evaluation_page
from tfdfd.reports.evaluation_shown import (
    DataShown,
    FaceShown,
    Headline,
    HeadlineFigure,
    LeftOut,
    MistakeShown,
    RuleGrid,
    StripShown,
)
from tfdfd.reports.tables_shown import Estimate, Row, Table

SECTIONS = ["comparison", "curves", "break_downs", "scoring", "robustness", "regions", "mistakes", "data", "model"]
MINUS, DASH, SPACE = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{NO-BREAK SPACE}"
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=y>' & {{ 7*7 }} é \u202e"


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return sample_page(tmp_path_factory.mktemp("sample") / "store")


@pytest.fixture(scope="module")
def page(values, tmp_path_factory):
    return page_of(values, tmp_path_factory.mktemp("page"))


def page_of(values, folder):
    path = folder / "report.html"
    size = write_evaluation_page(path, values)
    assert size == path.stat().st_size
    return Page(path.read_text())


def only(values, name, shown):
    """Return a page of which all sections but one are left out."""
    empty = {other: LeftOut("left out") for other in SECTIONS if other != "model"}
    return dataclasses.replace(values, **empty | {name: shown})


def cells(page, table):
    return [
        [" ".join(cell["text"].split()) for cell in page.elements if cell["tag"] in ("th", "td") and row in cell["in"]]
        for row in page.within(table, "tr")
    ]


def test_the_outcome_comes_first_and_the_sections_in_their_order(page):
    assert [section["id"] for section in page.find("section")] == SECTIONS
    order = [element for element in page.elements if element["tag"] in ("h1", "p", "h2")]
    assert [element["tag"] for element in order[:2]] == ["h1", "p"]
    assert order[1]["text"].startswith("It finds 87 of 100 fakes")
    assert [link["href"] for link in page.find("a")] == [f"#{name}" for name in SECTIONS]


def test_the_headline_says_each_figure_with_its_interval_and_meaning(page):
    (table,) = page.find("table", id="headline")
    rows = cells(page, table)
    assert rows[0][1] == "all clips809: 400 real, 409 fake, of 301 originals"
    assert rows[1] == ["AUC", "0.951 [0.931, 0.971]", "0.955 [0.935, 0.975]", "0.902 [0.882, 0.922]"]
    assert rows[3][3] == DASH, "not defined is not 0"
    titles = [name["title"] for name in page.within(table, "abbr")]
    assert titles[0].startswith("Chance that a fake is scored above a real clip.")
    assert titles == [meaning["text"] for meaning in page.within(page.find("details")[0], "dd")]
    assert "between 0.931 and 0.971" in [entry["text"] for entry in page.find("dd", class_="sure")]


def test_clips_that_were_not_scored_are_counted_aloud(page):
    warnings = [notice["text"] for notice in page.find("li", class_="warn")]
    assert warnings == ["6 clips show no face and are scored 0.5; xception", "3 clips failed and are scored 0.5."]


def test_only_differences_that_exclude_zero_are_told_apart(page):
    (table,) = page.find("table", id="differences")
    rows = cells(page, table)[1:]
    assert [row[-1] for row in rows] == ["told apart", "may be chance", "told apart"]
    assert [row[2] for row in rows][:2] == ["+0.021 [+0.004, +0.038]", f"{MINUS}0.006 [{MINUS}0.013, +0.002]"]
    assert [row[3] for row in rows] == ["< 0.001", "0.131", DASH]
    assert [row.get("class") for row in page.within(table, "tr")[1:]] == ["marked", None, "marked"]


def test_the_chosen_rule_alone_is_marked(page):
    (table,) = page.find("table", class_="grid")
    chosen = [cell for cell in page.within(table, "td") if "chosen" in cell["class"].split()]
    assert [" ".join(cell["text"].split()) for cell in chosen] == ["0.300 [0.280, 0.320] chosen"]


def test_every_chart_is_there_and_ids_are_met_once(page):
    charts = page.find("svg", class_="chart")
    within = [sum(page.section(name) in chart["in"] for chart in charts) for name in SECTIONS]
    assert within == [0, 4, 2, 0, 3, 0, 2, 0, 0]
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(ids) == len(set(ids))


def test_a_mistake_shows_crops_heat_maps_probabilities_and_time(page):
    first, second, nobody = page.within(page.section("mistakes"), "article")
    assert "real, scored 0.973. Called fake, and surely" in " ".join(first["text"].split())
    assert len(page.within(first, "div", class_="track")) == 2
    pictures = page.within(second, "img")
    assert len(pictures) == 2 * 14, "a crop and a heat map for each of 14 faces"
    assert sum(picture["alt"].startswith("heat map, place") for picture in pictures) == 14
    assert len(page.within(second, "div", class_="empty")) == 3
    assert len(page.within(second, "figcaption")) == 14
    assert not page.within(second, "figcaption", class_="called-fake"), "no face is above the threshold"
    assert len(page.within(first, "figcaption", class_="called-fake")) >= 17
    assert not page.within(nobody, "svg")
    assert "No face was found" in nobody["text"]


def test_without_pictures_no_face_is_in_the_file_and_a_line_says_so(values, tmp_path):
    told = dataclasses.replace(values.mistakes, has_pictures=False)  # even where a clip brings its pictures along
    page = page_of(only(values, "mistakes", told), tmp_path)
    source = (tmp_path / "report.html").read_text()
    assert "data:image" not in source
    assert not page.find("img")
    assert "Pictures of faces are left out (--no-pictures)" in page.section("mistakes")["text"]
    assert len(page.within(page.section("mistakes"), "svg", class_="chart")) == 2


def test_a_section_without_anything_says_why_in_one_line(values, tmp_path):
    names = [name for name in SECTIONS if name != "model"]
    empty = {name: LeftOut(f"Nothing of {name}, because & so.") for name in names}
    page = page_of(dataclasses.replace(values, **empty), tmp_path)
    for name in names:
        lines = page.within(page.section(name), "p")
        assert [line["text"] for line in lines] == [f"Nothing of {name}, because & so."]
        assert not page.within(page.section(name), "table")
    assert not page.find("svg")
    assert not page.find("img")


def test_calibration_may_be_missing_alone(values, tmp_path):
    scoring = dataclasses.replace(values.scoring, calibration=LeftOut("Never calibrated."))
    page = page_of(only(values, "scoring", scoring), tmp_path)
    assert "Never calibrated." in page.section("scoring")["text"]
    assert not page.find("table", id="calibration")
    assert page.find("table", class_="grid")


@pytest.mark.parametrize(
    ("num_train", "num_both", "kind", "says"),
    [
        (402, 0, "good", "402 originals on the training side, 301 on the evaluation side, 0 on both"),
        (402, 1, "bad", "1 original of 301 evaluated was trained on too"),
        (None, None, "warn", "does not record what it was trained on"),
    ],
)
def test_the_split_is_proved_or_the_page_says_that_it_is_not(values, tmp_path, num_train, num_both, kind, says):
    told = DataShown(values.data.counts, num_train, 301, num_both, checks=())
    page = page_of(only(values, "data", told), tmp_path)
    (proof,) = page.within(page.section("data"), "p", class_=f"proof {kind}")
    assert says in proof["text"]


def test_names_and_reasons_are_text_whatever_they_hold(tmp_path):
    page = page_of(sample_page(tmp_path / "store", name=HOSTILE), tmp_path)
    source = (tmp_path / "report.html").read_text()
    assert not page.find("script")
    assert "<script" not in source
    assert not page.find("img", src="x")
    assert not any("onerror" in element or "onload" in element for element in page.elements)
    assert HOSTILE in page.find("h1")[0]["text"]
    assert HOSTILE in page.find("pre")[0]["text"]
    assert [title["text"] for title in page.find("h3", class_="clip-id")][1] == f"part_41/{HOSTILE}"
    assert "49" not in page.find("h1")[0]["text"]


def test_the_page_asks_for_nothing_from_outside(page, values, tmp_path):
    page_of(values, tmp_path)
    source = (tmp_path / "report.html").read_text()
    assert all(picture["src"].startswith("data:image/jpeg;base64,") for picture in page.find("img"))
    assert all(link["href"].startswith("#") for link in page.find("a"))
    for tag in ("link", "script", "iframe", "object"):
        assert not page.find(tag)
    assert not re.search(r"https?:|//cdn|@import|url\((?!#)", source)


def test_the_same_values_give_the_same_page(values, tmp_path):
    pages = []
    for name in ("one", "two"):
        write_evaluation_page(tmp_path / name / "report.html", values)
        pages.append((tmp_path / name / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_pictures_are_written_as_they_are_made(values, tmp_path):
    path = tmp_path / "report.html"
    sizes = []

    def clips():
        for number in range(4):
            sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
            face = FaceShown("place 1", 0.9, picture="data:image/jpeg;base64," + "A" * 200_000)
            yield MistakeShown(f"clip {number}", "real", 0.9, "", "", (StripShown("track 1", "", (face,)),), ())

    mistakes = dataclasses.replace(values.mistakes, clips=clips, num_shown=4)
    write_evaluation_page(path, only(values, "mistakes", mistakes))
    assert (np.diff(sizes) > 100_000).sum() >= 2, "each clip is on disk before the next is made, but for a buffer"


@pytest.mark.parametrize(
    ("estimate", "text", "interval"),
    [
        (Estimate(0.9123, 0.88, 0.941), "0.912", "[0.880, 0.941]"),
        (Estimate(0.9123), "0.912", ""),
        (Estimate(None), DASH, ""),
        (Estimate(0.87, 0.835, 0.91, is_share=True), f"87.0{SPACE}%",
         f"[83.5{SPACE}%, 91.0{SPACE}%]"),
        (Estimate(-0.01, -0.02, 0.004, is_difference=True), f"{MINUS}0.010", f"[{MINUS}0.020, +0.004]"),
        (Estimate(-9.876, digits=1), f"{MINUS}9.9", ""),
    ],
)  # fmt: skip
def test_an_estimate_is_written_with_its_interval(estimate, text, interval):
    assert (estimate.text, estimate.interval) == (text, interval)


def test_an_interval_that_touches_zero_does_not_exclude_it():
    assert Estimate(0.1, 0.01, 0.2).excludes_zero
    assert Estimate(-0.1, -0.2, -0.01).excludes_zero
    assert not Estimate(0.1, 0.0, 0.2).excludes_zero
    assert not Estimate(0.1).excludes_zero


def test_values_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="two edges"):
        Estimate(0.5, low=0.4)
    with pytest.raises(ValueError, match="from low to high"):
        Estimate(0.5, 0.6, 0.4)
    with pytest.raises(ValueError, match="has 1 cells, the header 2"):
        Table(("a", "b"), (Row(("x",)),))
    with pytest.raises(ValueError, match="AUC has 1 values for 2 columns"):
        Headline((("all", ""), ("faces", "")), (HeadlineFigure("AUC", "", (Estimate(0.5),)),), "")
    with pytest.raises(ValueError, match="says why"):
        LeftOut("")
    with pytest.raises(ValueError, match="need 1 rows of 2 values"):
        RuleGrid("AUC", ("mean",), ("max", "mean"), ((Estimate(0.5),),), None)
