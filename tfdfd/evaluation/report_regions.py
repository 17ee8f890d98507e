"""The section of the report on altered regions."""

from __future__ import annotations

from collections.abc import Iterator

from tfdfd.evaluation.regions import Regions
from tfdfd.evaluation.result import EvaluationResult
from tfdfd.reports.clips_shown import THUMBNAIL
from tfdfd.reports.evaluation_shown import LeftOut, RegionShown, RegionsShown
from tfdfd.reports.faces_explained import enlarged, heat_overlay
from tfdfd.reports.faces_in_crops import shrink
from tfdfd.reports.mask_sheet import outlined
from tfdfd.reports.page import picture_uri
from tfdfd.reports.tables_shown import Estimate, Row, Table

_NOTE = (
    "Intersection over union: of what network and mask call altered, the share on which both agree; 1 is perfect. "
    "Masks come from the difference of a fake and its original, the network sees the fake alone. Falsely called is the "
    "mean share of a face that was not altered."
)
_ORDER = " Above, the face with a line around its mask; below, what the network takes for altered."


def regions_section(result: EvaluationResult, *, has_pictures: bool) -> RegionsShown | LeftOut:
    """Return how well altered regions are told: the figures of all models, faces of the first that tells any."""
    told = [(model.name, model.regions) for model in result.models if model.regions is not None]
    if not told:
        return LeftOut(result.models[0].why_no_regions)
    faces = tuple(_faces(told[0][1])) if has_pictures else ()
    is_one = len(result.models) == 1
    return RegionsShown(
        Table(
            (
                "fakes",
                *(() if is_one else ("model",)),
                "clips",
                "faces",
                "mean IoU",
                "unaltered faces",
                "falsely called",
            ),
            tuple(row for name, regions in told for row in _rows(() if is_one else (name,), regions)),
        ),
        faces,
        note=_NOTE + (_ORDER if faces else ""),
    )


def _rows(names: tuple[str, ...], regions: Regions) -> Iterator[Row]:
    for number, part in enumerate(regions.parts):
        edges = (None, None) if part.interval is None else (part.interval.low, part.interval.high)
        unaltered = (regions.num_unaltered, Estimate(regions.false_area, is_share=True, digits=4))
        yield Row(
            (
                part.method,
                *names,
                part.num_clips,
                part.num_faces,
                Estimate(part.iou, *edges),
                # Of real clips, and so of no method.
                *(unaltered if number == 0 else (Estimate(None), Estimate(None))),
            )
        )


def _faces(regions: Regions) -> Iterator[RegionShown]:
    for example in regions.examples:
        small = shrink(example.crop, THUMBNAIL)
        yield RegionShown(
            f"{example.clip_id}, place {example.place + 1}, IoU {example.iou:.3f}",
            f"{example.iou:.2f}",
            picture_uri(outlined(small, enlarged(example.mask, THUMBNAIL, THUMBNAIL) > 0.5)),
            picture_uri(heat_overlay(small, example.told, 1.0)),
        )
