"""The page of an evaluation as a browser shows it: on a phone and a desktop, by day and by night, and on paper."""

import re

import pytest

from tests.browser import browser
from tests.colours import contrast, theme_variables
from tests.reports.sample_evaluation import sample_page
from tfdfd.reports.evaluation_page import write_evaluation_page

WIDTHS, THEMES = (390, 1280), ("light", "dark")
LONG = "m" * 150  # a name without a place to break it
READABLE = 4.5
"""Least contrast of text, as the Web Content Accessibility Guidelines have it."""

# Every colour of text that is to be seen, and what lies behind it.
TEXT_COLOURS = """
const found = {};
for (const element of document.body.querySelectorAll("*")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const colour = element.closest("svg") ? style.fill : style.color;
  let ground = element;
  const isClear = (at) => /, 0\\)$|^transparent$/.test(getComputedStyle(at).backgroundColor);
  while (ground && isClear(ground)) ground = ground.parentElement;
  const behind = ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)";
  found[colour + " on " + behind] = element.textContent.trim().slice(0, 40);
}
return found;
"""
# What of a chart lies outside it: the drawing of its figure, a text of the drawing.
CUT_OFF = """
const outside = [];
const lies = (inner, outer) => inner.width > 0 && inner.height > 0 && inner.left >= outer.left - 1
  && inner.right <= outer.right + 1 && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
for (const chart of document.querySelectorAll("svg.chart")) {
  const box = chart.getBoundingClientRect();
  if (!lies(box, chart.parentElement.getBoundingClientRect())) outside.push(chart.getAttribute("aria-label"));
  for (const text of chart.querySelectorAll("text"))
    if (!lies(text.getBoundingClientRect(), box)) outside.push(text.textContent);
}
return outside;
"""
# Texts of a chart that lie over one another.
OVER_EACH_OTHER = """
const pairs = [];
for (const chart of document.querySelectorAll("svg.chart")) {
  const texts = [...chart.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  texts.forEach(([one, a], at) => texts.slice(at + 1).forEach(([other, b]) => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 4) pairs.push(one + " / " + other);
  }));
}
return pairs;
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_evaluation_page(folder / "report.html", sample_page(folder / "store"))
    return folder / "report.html"


def unreadable(window):
    low = {}
    for colours, text in window.run(TEXT_COLOURS).items():
        one, other = (tuple(float(part) for part in re.findall(r"[\d.]+", half)[:3]) for half in colours.split(" on "))
        if contrast(one, other) < READABLE:
            low[colours] = text
    return low


def nothing_sticks_out(window):
    return window.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
def test_the_page_is_whole_and_readable(window, path, width, theme):
    window.open(path, width=width, theme=theme)
    assert window.run("return innerWidth") == width
    pictures = window.run("return [...document.images].map((picture) => picture.naturalWidth)")
    assert len(pictures) == 2 * (17 + 8 + 14)
    assert min(pictures) > 0
    assert window.run("return document.querySelectorAll('svg.chart').length") == 11
    assert window.run(CUT_OFF) == []
    assert window.run(OVER_EACH_OTHER) == []
    assert nothing_sticks_out(window)
    assert unreadable(window) == {}
    assert window.errors() == []


def test_charts_take_the_colours_of_the_theme(window, path):
    seen = {}
    for theme in THEMES:
        window.open(path, width=1280, theme=theme)
        line = "return getComputedStyle(document.querySelector('#curves .line-0 path')).stroke"
        text = "return getComputedStyle(document.querySelector('#curves text')).fontFamily"
        assert window.run(text) == window.run("return getComputedStyle(document.body).fontFamily")
        seen[theme] = tuple(float(part) for part in re.findall(r"\d+", window.run(line)))
    assert seen == {theme: theme_variables(theme)["--series-1"] for theme in THEMES}


def test_on_paper_all_is_light_open_and_whole(window, path):
    window.open(path, width=794, theme="dark", media="print")  # A4
    assert unreadable(window) == {}
    assert window.run(CUT_OFF) == []
    assert nothing_sticks_out(window)
    line = window.run("return getComputedStyle(document.querySelector('#curves .line-0 path')).stroke")
    assert tuple(float(part) for part in re.findall(r"\d+", line)) == theme_variables("print")["--series-1"]
    assert window.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    assert window.run("return document.querySelector('.meanings dd').checkVisibility({contentVisibilityAuto: true})")
    for kept in (".drawn", ".track", ".place", "tr"):
        breaks = f"return getComputedStyle(document.querySelector('#mistakes {kept}, #models {kept}')).breakInside"
        assert window.run(breaks) == "avoid", kept


def test_names_without_a_place_to_break_push_nothing_off_the_page(window, tmp_path):
    write_evaluation_page(tmp_path / "report.html", sample_page(tmp_path / "store", name=LONG))
    for width in WIDTHS:
        window.open(tmp_path / "report.html", width=width)
        assert nothing_sticks_out(window), width
        assert window.run(CUT_OFF) == []
        assert window.run(OVER_EACH_OTHER) == []
    assert window.errors() == []


def test_a_tap_says_what_the_figures_mean(window, path):
    window.open(path, width=390)
    shown = "return document.querySelector('.meanings dd').checkVisibility()"
    assert not window.run(shown)
    window.driver.find_element("css selector", ".meanings summary").click()
    assert window.run(shown)


def test_the_row_stays_named_while_its_table_scrolls(window, path):
    window.open(path, width=390)
    left = """
    const table = document.querySelector("#models").parentElement;
    table.scrollLeft = 500;
    return [table.scrollLeft, table.querySelector("th[scope=row]").getBoundingClientRect().left
      - table.getBoundingClientRect().left];
    """
    scrolled, offset = window.run(left)
    assert scrolled > 0
    assert abs(offset) < 1
