"""Charts: points where the values say, light, safe on any page, in the page's colours."""

import itertools
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from skimage.color import rgb2lab
from sklearn.metrics import precision_recall_curve, roc_curve

from tests.colours import KINDS_OF_SIGHT, contrast, seen, theme_variables
from tfdfd.reports.charts import LEFT, RIGHT, WIDTH, Chart, drawing
from tfdfd.reports.detail_charts import (
    IntervalRow,
    RobustnessLine,
    RobustnessSeries,
    TimelineTrack,
    interval_chart,
    range_of,
    robustness_chart,
    timeline_chart,
)
from tfdfd.reports.lettering import shortened, width_of
from tfdfd.reports.score_charts import (
    PrecisionRecallCurve,
    ReliabilityBin,
    RocCurve,
    precision_recall_chart,
    reliability_chart,
    roc_chart,
    score_histogram,
)
from tfdfd.reports.thinning import thinned

HOSTILE = "\"><script>alert(1)</script> $x$ & 'y' #0b0001 {{ 7*7 }} é 中文 \u202e"
AXES_LEFT, AXES_WIDTH = LEFT, WIDTH - LEFT - RIGHT
ABOVE, SIDE = 24, 280
"""Units above the axes of ROC and precision-recall, and their height."""


def roc(name="model", false=(0, 0, 1), true=(0, 1, 1), figure="AUC 1.000"):
    return RocCurve(name, np.array(false, float), np.array(true, float), figure)


def timeline(*probabilities, name="track 1"):
    return TimelineTrack(name, np.arange(len(probabilities), dtype=float), np.array(probabilities, float))


def every_chart(name="model"):
    lines = (RobustnessLine(name, (0.9, None, 0.7)),)
    bins = [ReliabilityBin(0.25, 0.2, 10), ReliabilityBin(0.75, 0.9, 30)]
    recall_curve = PrecisionRecallCurve(name, np.array([1, 0.5, 0]), np.array([0.5, 0.8, 1]), name)
    return {
        "roc": roc_chart([roc(name, figure=name), roc(name)]),
        "precision-recall": precision_recall_chart([recall_curve], base_rate=0.5),
        "reliability": reliability_chart(bins),
        "histogram": score_histogram(np.array([0.1, 0.2, 0.7]), np.array([0.3, 0.9]), 0.5),
        "interval": interval_chart([IntervalRow(name, name, 0.9, 0.8, 0.95), IntervalRow(name, "1 clip", None)],
                                   figure=name, overall=0.9, overall_name=name, key="interval"),
        "robustness": robustness_chart(RobustnessSeries(name, ("none", name, "2"), lines), figure=name, key="jpeg"),
        "timeline": timeline_chart([timeline(0.1, np.nan, 0.9, name=name)], 0.5, clip_score=0.6, key="clip"),
    }  # fmt: skip


CHARTS = every_chart()


def parsed(chart):
    return ElementTree.fromstring(chart)


def marked(chart, name):
    (group,) = [element for element in parsed(chart).iter() if element.get("class") == name]
    return group


def texts(chart):
    return [element.text for element in parsed(chart).iter("text")]


def drawn_points(group):
    """Return the points of all paths of a group, or of its markers."""
    uses = [(float(use.get("x")), float(use.get("y"))) for use in group.iter("use")]
    path = " ".join(element.get("d") for element in group.iter("path"))
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path)]
    return uses or list(zip(numbers[::2], numbers[1::2], strict=True))


def in_square(x, y):
    """Return where a point of the unit square lies in ROC and precision-recall."""
    return AXES_LEFT + AXES_WIDTH * x, ABOVE + SIDE * (1 - y)


@pytest.mark.parametrize("name", CHARTS)
def test_all_colours_are_the_pages(name):
    styles = " ".join(element.get("style", "") for element in parsed(CHARTS[name]).iter())
    assert not re.search(r"#[0-9a-f]{6}|rgb|black|white", styles)
    assert set(re.findall(r"var\((.*?)\)", styles)) <= set(theme_variables("light"))
    assert "var(--" in styles


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_stands_in_a_page_without_touching_the_rest(name):
    root = parsed(CHARTS[name])
    assert (root.get("role"), root.get("width")) == ("img", "100%")
    assert root.get("viewBox").startswith(f"0 0 {WIDTH} ")
    assert root.get("aria-label")
    assert not list(root.iter("style"))
    assert "http" not in CHARTS[name]
    assert "xmlns" not in CHARTS[name]
    assert "font-family" not in CHARTS[name]
    assert texts(CHARTS[name])


def test_ids_are_those_of_one_chart_and_all_references_are_met():
    seen_before = set()
    for chart in (*CHARTS.values(), roc_chart([roc()], key="other")):
        elements = list(parsed(chart).iter())
        ids = [element.get("id") for element in elements if element.get("id")]
        assert len(ids) == len(set(ids))
        assert not seen_before & set(ids)
        seen_before |= set(ids)
        values = [value for element in elements for value in element.attrib.values()]
        used = {match[1] for value in values if (match := re.fullmatch(r"(?:url\()?#([\w-]+)\)?", value))}
        assert used == set(ids)


def test_text_is_text_whatever_names_hold():
    for name, chart in every_chart(HOSTILE).items():
        assert "<script" not in chart
        assert not any("var(" in text for text in texts(chart))
        if name not in ("reliability", "histogram"):  # which have no names
            assert any(text.startswith('"><script>alert(1)</sc') for text in texts(chart)), name


def test_the_same_values_give_the_same_bytes_in_any_style():
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "svg.fonttype": "path"}):
        assert every_chart() == CHARTS
    assert dict(matplotlib.rcParams) == before


def test_keys_that_would_break_out_of_an_id_are_refused():
    with drawing(), pytest.raises(ValueError, match="got 'a b'"):
        Chart("a b", "label", height=100)


def test_names_are_cut_by_the_width_of_their_letters():
    name = "abcdef"
    assert shortened(name, width_of(name)) == name
    assert shortened(name + "ghijk", width_of(name + "…")) == name + "…"
    assert width_of("mmm") > 2 * width_of("iii")
    assert width_of("中") >= 12, "as wide as high"
    assert shortened(" a\n\tb\x00 \u202e", 100) == "a b"
    assert shortened("", 6) == ""


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_lines_stand_out_from_the_paper_and_from_each_other_for_all_eyes(theme):
    colours = theme_variables(theme)
    series = [colours[f"--series-{number}"] for number in range(1, 7)]
    for ground in ("--paper", "--card"):
        assert min(contrast(colour, colours[ground]) for colour in series) >= 3
    for sight in KINDS_OF_SIGHT:
        labs = [rgb2lab(np.array(seen(colour, sight)) / 255) for colour in series[:2]]
        assert np.linalg.norm(labs[0] - labs[1]) > 40, f"real and fake, {sight}"
        labs = [rgb2lab(np.array(seen(colour, sight)) / 255) for colour in series]
        nearest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(labs, 2))
        assert nearest > 15, sight


def test_lines_differ_in_dashes_too():
    chart = roc_chart([roc(f"model {number}") for number in range(6)])
    styles = [next(iter(marked(chart, f"line-{number}").iter("path"))).get("style") for number in range(6)]
    dashes = [re.search(r"stroke-dasharray: [^;]*", style) for style in styles]
    assert len({found and found[0] for found in dashes}) == 6


def test_thinning_moves_no_line_further_than_the_tolerance():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100_000)
    false, true, _ = roc_curve(labels, rng.random(100_000) + 0.3 * labels, drop_intermediate=False)
    x, y = thinned(false, true, tolerance=0.001)
    assert len(x) < 1000
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    # Of every point that there was, the distance to the nearest piece of the line.
    points = np.stack([false, true], axis=1)[::50]
    starts, steps = np.stack([x, y], axis=1)[:-1], np.diff(np.stack([x, y], axis=1), axis=0)
    along = ((points[:, None] - starts) * steps).sum(axis=2) / (steps**2).sum(axis=1)
    nearest = starts + np.clip(along, 0, 1)[..., None] * steps
    assert np.linalg.norm(points[:, None] - nearest, axis=2).min(axis=1).max() <= 0.001


def test_thinning_keeps_a_spike_of_one_point_and_a_line_of_one():
    y = np.zeros(10_001)
    y[5000] = 1
    x, kept = thinned(np.linspace(0, 1, 10_001), y)
    assert kept.max() == 1
    assert len(x) < 10
    assert [found.tolist() for found in thinned(np.array([0.5]), np.array([0.2]))] == [[0.5], [0.2]]


@pytest.mark.parametrize("count", [1, 3])
def test_curves_of_100000_points_stay_small(count):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 100_000)
    roc_curves, recall_curves = [], []
    for number in range(count):
        scores = rng.random(100_000) + (0.5 - 0.1 * number) * labels
        roc_curves.append(RocCurve("m", *roc_curve(labels, scores, drop_intermediate=False)[:2], figure=""))
        recall_curves.append(PrecisionRecallCurve("m", *precision_recall_curve(labels, scores)[1::-1], figure=""))
    assert len(roc_chart(roc_curves)) < 60_000
    assert len(precision_recall_chart(recall_curves, base_rate=0.5)) < 60_000


def test_a_roc_curve_goes_where_its_rates_say():
    chart = roc_chart([roc(false=(0, 0, 0.5, 1), true=(0, 0.5, 1, 1))])
    wanted = [in_square(*point) for point in ((0, 0), (0, 0.5), (0.5, 1), (1, 1))]
    np.testing.assert_allclose(drawn_points(marked(chart, "line-0")), wanted, atol=0.1)


@pytest.mark.parametrize(
    ("false", "true", "equal"),
    [
        ((0, 1), (0, 1), (0.5, 0.5)),
        ((0, 0, 1), (0, 1, 1), (0, 1)),
        ((0, 0.2, 0.2, 1), (0, 0.4, 0.9, 1), (0.2, 0.8)),
        ((0, 1, 1), (0, 0, 1), (1, 0)),
    ],
)
def test_the_equal_error_is_marked_where_misses_are_as_many_as_false_alarms(false, true, equal):
    chart = roc_chart([roc(false=false, true=true)])
    (point,) = drawn_points(marked(chart, "equal-error-0"))
    assert point == pytest.approx(in_square(*equal), abs=0.1)


def test_precision_goes_in_steps_as_average_precision_adds_them():
    curve = PrecisionRecallCurve("m", np.array([1, 0.5, 0]), np.array([0.5, 0.8, 1]), "")
    points = drawn_points(marked(precision_recall_chart([curve], base_rate=0.5), "line-0"))
    corners = [in_square(*point) for point in ((1, 0.5), (0.5, 0.5), (0.5, 0.8), (0, 0.8), (0, 1))]
    np.testing.assert_allclose(points, corners, atol=0.1)


def test_the_legend_says_name_and_figure():
    found = texts(roc_chart([roc("xception", figure="AUC 0.912 [0.880, 0.941]")]))
    assert {"xception", "AUC 0.912 [0.880, 0.941]", "chance"} <= set(found)


def test_reliability_stands_at_mean_score_and_share_with_a_bar_a_bin():
    bins = [ReliabilityBin(0.25, 0.5, 10), ReliabilityBin(0.0, 0.0, 0), ReliabilityBin(0.75, 1.0, 30)]
    chart = reliability_chart(bins)
    points = drawn_points(marked(chart, "reliability"))
    assert [x for x, _ in points] == pytest.approx([AXES_LEFT + AXES_WIDTH * share for share in (0.25, 0.75)], abs=0.1)
    bars = [element for element in parsed(chart).iter() if element.get("class") == "counts"]
    heights = [max(y for _, y in drawn_points(bar)) - min(y for _, y in drawn_points(bar)) for bar in bars]
    assert heights == pytest.approx([heights[2] / 3, 0, heights[2]], abs=0.1)


def test_the_histogram_counts_on_both_sides_of_the_threshold():
    chart = score_histogram(np.array([0.1, 0.2, 0.7]), np.array([0.3, 0.6, 0.9, 0.95]), 0.6)
    assert {"4 fake clips", "1 called real, 3 called fake", "3 real clips", "2 called real, 1 called fake"} <= set(
        texts(chart)
    )
    lines = [element for element in parsed(chart).iter() if element.get("class") == "threshold"]
    assert len(lines) == 2
    for line in lines:
        assert drawn_points(line)[0][0] == pytest.approx(AXES_LEFT + AXES_WIDTH * 0.6, abs=0.1)


def test_a_histogram_of_one_class_is_drawn():
    assert "0 real clips" in texts(score_histogram(np.zeros(0), np.array([0.3]), 0.5))


def test_intervals_lie_around_their_values_and_a_group_without_one_says_too_few():
    rows = [
        IntervalRow("a", "9 clips", 0.5, 0.0, 1.0),
        IntervalRow("b", "1 clip", None),
        IntervalRow("c", "2 clips", 0.25),
    ]
    chart = interval_chart(rows, figure="AUC", overall=0.75, key="k")
    ((start, _), (end, _)) = drawn_points(marked(chart, "interval-0"))
    ((middle, _),) = drawn_points(marked(chart, "value-0"))
    assert middle == pytest.approx((start + end) / 2, abs=0.1)
    ((quarter, _),) = drawn_points(marked(chart, "value-2"))
    assert quarter == pytest.approx(start + (end - start) / 4, abs=0.1)
    everything = drawn_points(marked(chart, "overall"))
    assert [x for x, _ in everything] == pytest.approx([start + (end - start) * 0.75] * 4, abs=0.1)
    assert texts(chart).count("too few") == 1
    classes = {element.get("class") for element in parsed(chart).iter()}
    assert not {"value-1", "interval-1", "interval-2"} & classes


def test_a_break_down_grows_with_its_groups_and_may_have_no_figure_at_all():
    heights = []
    for count in (0, 1, 10):
        rows = [IntervalRow(f"group {number}", "0 clips", None) for number in range(count)]
        chart = interval_chart(rows, figure="AUC", overall=None, key="k")
        assert texts(chart).count("too few") == count
        heights.append(float(parsed(chart).get("viewBox").split()[-1]))
    assert heights[2] - heights[1] == 9 * (heights[1] - heights[0]) > 200


def test_robustness_has_a_place_a_level_and_a_gap_where_nothing_is_known():
    series = RobustnessSeries("JPEG", ("none", "90", "70", "50"), (RobustnessLine("m", (0.9, 0.8, None, 0.7)),))
    group = marked(robustness_chart(series, figure="AUC", key="k"), "line-0")
    assert len(list(group.iter("use"))) == 3
    line = next(iter(group.iter("path"))).get("d")
    assert line.count("M") == 2, "one piece before the gap, one after"
    assert {"none", "90", "70", "50", "0.900 to 0.700"} <= set(texts(robustness_chart(series, figure="AUC", key="k")))


def test_disturbances_share_a_range_that_holds_their_intervals():
    one = RobustnessSeries("a", ("none",), (RobustnessLine("m", (0.9,), (0.4,), (1.0,)),))
    other = RobustnessSeries("b", ("none",), (RobustnessLine("m", (0.6,)),))
    low, high = range_of([one, other])
    assert low < 0.4
    assert high > 1.0
    assert range_of([]) == pytest.approx((-0.06, 1.06))


def test_a_line_with_too_few_values_is_refused():
    with pytest.raises(ValueError, match="m has 1 values, levels 2"):
        RobustnessSeries("JPEG", ("none", "90"), (RobustnessLine("m", (0.9,)),))
    with pytest.raises(ValueError, match="two arrays alike"):
        roc(false=(0, 1), true=(0, 0.5, 1))


def test_a_timeline_has_a_marker_a_face_and_a_gap_where_there_is_none():
    chart = timeline_chart([timeline(0.1, 0.2, np.nan, 0.9, 1.0)], 0.5, clip_score=0.25, key="k")
    group = marked(chart, "line-0")
    assert len(list(group.iter("use"))) == 4
    assert next(iter(group.iter("path"))).get("d").count("M") == 2
    heights = {name: drawn_points(marked(chart, name))[0][1] for name in ("threshold", "clip-score")}
    assert heights == pytest.approx({"threshold": ABOVE + 120 * 0.5, "clip-score": ABOVE + 120 * 0.75}, abs=0.1)
    assert {"4 faces", "0.250", "0.50"} <= set(texts(chart))


def test_pages_are_made_without_pyplot():
    code = "import sys, tfdfd.reports.evaluation_page; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
