"""The page of an evaluation: one HTML file for those who ask how good the detector is, and for those who check."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from markupsafe import Markup, escape

from tfdfd.reports.detail_charts import interval_chart, range_of, robustness_chart, timeline_chart
from tfdfd.reports.evaluation_shown import EvaluationPage, LeftOut
from tfdfd.reports.page import write_page
from tfdfd.reports.score_charts import precision_recall_chart, reliability_chart, roc_chart, score_histogram

_SECTIONS = {
    "comparison": "Models compared",
    "curves": "All scores",
    "break_downs": "Where it does better and worse",
    "scoring": "From faces to a clip",
    "robustness": "When the picture gets worse",
    "regions": "Where faces were altered",
    "mistakes": "Worst mistakes",
    "data": "Data and split",
    "model": "Model",
}
"""The fields of a page that are sections, and their headings."""


def write_evaluation_page(path: Path, page: EvaluationPage) -> int:
    """Write the page; the same values give the same bytes.

    Charts and pictures are made while the page is written, each when its turn comes.

    Args:
        path: the HTML file.
        page: what it shows.

    Returns:
        Bytes written.

    Raises:
        TfdfdError: if the page cannot be written.
    """
    values = {field.name: getattr(page, field.name) for field in dataclasses.fields(page)}
    return write_page(
        path,
        "evaluation.html",
        **values,
        headings=_SECTIONS,
        why_left_out=_why_left_out,
        breakable=_breakable,
        roc_chart=roc_chart,
        precision_recall_chart=precision_recall_chart,
        reliability_chart=reliability_chart,
        score_histogram=score_histogram,
        interval_chart=interval_chart,
        robustness_chart=robustness_chart,
        range_of=range_of,
        timeline_chart=timeline_chart,
    )


def _why_left_out(section: object) -> str:
    return section.reason if isinstance(section, LeftOut) else ""


def _breakable(name: object) -> Markup:
    """Return a name that a narrow column breaks where a reader would."""
    broken = escape(name)
    for mark in "_/":
        broken = broken.replace(mark, Markup(f"{mark}<wbr>"))
    return broken
