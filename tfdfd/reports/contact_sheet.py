"""The contact sheet: a page of a store's strips, so that a person sees in a minute whether extraction went well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfdfd.clip import FAILED, NO_FACE, PARTIAL, WITH_FACES, TfdfdError
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import values
from tfdfd.reports.clips_shown import LOW_CONFIDENCE, THUMBNAIL, ClipShown, Geometry, show_clip
from tfdfd.reports.overview import LABELS, StoreOverview
from tfdfd.reports.page import counted, write_page
from tfdfd.reports.pairs import AMPLIFIED, PairShown, show_pair, why_not_compared
from tfdfd.reports.selection import evenly, worst_and_typical

CLIPS_A_SECTION = 24
"""Clips shown of each status and label, unless told otherwise; and pairs."""
ROWS_A_TABLE = 200
"""Clips listed in a table."""


@dataclass(frozen=True)
class StripSection:
    """The clips of one label with status ok."""

    label: str
    count: int
    worst: Callable[[], Iterator[ClipShown]]
    typical: Callable[[], Iterator[ClipShown]]
    num_worst: int
    num_typical: int


@dataclass(frozen=True)
class TableSection:
    """The clips without faces, by status."""

    status: str
    count: int
    rows: list[list[str]]


@dataclass(frozen=True)
class PairSection:
    """Fakes beside their originals."""

    num_fakes: int
    num_comparable: int
    num_shown: int
    pairs: Callable[[], Iterator[PairShown]]
    left_out: list[tuple[str, str, str]]
    """Fake, its original and why there is no picture of them; the first ROWS_A_TABLE."""
    num_left_out: int


def write_contact_sheet(store: FaceStore, path: Path, *, clips_a_section: int = CLIPS_A_SECTION) -> int:
    """Write the page; the same store gives the same bytes.

    Args:
        store: any store that is not being written to.
        path: the HTML file.
        clips_a_section: clips shown of each label, and pairs; the page says how many are not shown.

    Returns:
        Bytes written.

    Raises:
        TfdfdError: if the page cannot be written, or clips_a_section is below 1.
    """
    if clips_a_section < 1:
        raise TfdfdError(f"--contact-sheet-clips must be at least 1, got {clips_a_section}")
    sheet = _Sheet(store, clips_a_section)
    preprocessing = store.fingerprint.preprocessing
    return write_page(
        path,
        "contact_sheet.html",
        title=" ".join(["Contact sheet", *sheet.overview.datasets]),
        facts={
            "clips": counted(len(sheet.overview.clips), "clip"),
            "crops": f"{store.crop_size} px, margin {preprocessing.get('margin')}, "
            f"alignment {preprocessing.get('alignment')}",
            "places": f"{store.num_places} a track",
            "frames": str(preprocessing.get("frame_rule")),
        },
        counts=sheet.overview.counts(),
        warnings=sheet.overview.warnings(),
        sections=sheet.strip_sections(),
        tables=[sheet.table(PARTIAL), sheet.table(NO_FACE), sheet.table(FAILED)],
        pairs=sheet.pair_section(),
        has_boxes=sheet.geometry.has_boxes,
        are_boxes_drawn=sheet.geometry.has_views,
        is_between_drawn=preprocessing.get("detect_every_seconds") is not None,
        num_places=store.num_places,
        crop_size=store.crop_size,
        thumbnail=THUMBNAIL,
        low_confidence=LOW_CONFIDENCE,
        amplified=AMPLIFIED,
        rows_a_table=ROWS_A_TABLE,
    )


class _Sheet:
    """What the page shows of a store."""

    def __init__(self, store: FaceStore, limit: int) -> None:
        self.store, self.limit = store, limit
        self.overview, self.geometry = StoreOverview(store), Geometry(store)

    def strip_sections(self) -> list[StripSection]:
        """Return the clips with faces, by label."""
        sections = []
        for label in LABELS:
            rows = np.flatnonzero(np.isin(self.overview.status, WITH_FACES) & (self.overview.label == label))
            clip_ids = self.overview.clip_ids[rows].tolist()
            if self.geometry.has_boxes:
                worst, typical = worst_and_typical(clip_ids, self.overview.score[rows], self.limit)
            else:
                worst, typical = [], evenly(clip_ids, self.limit)
            if clip_ids:
                sections.append(
                    StripSection(
                        label,
                        len(clip_ids),
                        worst=lambda chosen=worst: self._show(chosen),
                        typical=lambda chosen=typical: self._show(chosen),
                        num_worst=len(worst),
                        num_typical=len(typical),
                    )
                )
        return sections

    def _show(self, clip_ids: list[str]) -> Iterator[ClipShown]:
        for clip_id in clip_ids:
            yield show_clip(self.store, self.geometry, self._record(clip_id))

    def _record(self, clip_id: str) -> dict[str, Any]:
        """Return a clip's record: for the few that are shown, that takes less than the index of all."""
        record = self.store.record(clip_id)
        if record is None:
            raise TfdfdError(f"the store {self.store.folder} has lost the record of {clip_id}: prepare it again")
        return record

    def table(self, status: str) -> TableSection:
        """Return the clips of a status that is not ok, as rows of text."""
        chosen = np.flatnonzero(self.overview.status == status)
        rows = []
        for row in chosen[:ROWS_A_TABLE].tolist():
            clip = self._record(str(self.overview.clip_ids[row]))
            size = f"{clip['width']} x {clip['height']}" if clip["width"] else ""
            reason = "; ".join([clip["reason"], *(f"warning: {warning}" for warning in clip["warnings"])])
            rows.append([clip["clip_id"], self.overview.label[row], reason, clip["decoder"] or "", size])
        return TableSection(status, len(chosen), rows)

    def pair_section(self) -> PairSection:
        """Return the fakes that can be laid beside their originals, and those that cannot."""
        overview = self.overview
        has_faces = np.isin(overview.status, WITH_FACES)
        fakes = np.flatnonzero(has_faces & (overview.label == "fake") & (overview.original != ""))
        comparable: list[str] = []
        left_out: list[tuple[str, str, str]] = []
        names = ("status", "width", "height", "quarter_turns", "num_frames", "frame_indices")
        columns = {name: values(overview.clips, name) for name in names}

        def at(row: int) -> Mapping[str, Any]:
            return {name: column[row] for name, column in columns.items()}

        for row in fakes.tolist():
            original = overview.row_of.get(overview.original[row])
            reason = why_not_compared(at(row), None if original is None else at(original))
            if not reason and not self.geometry.has_views:
                reason = "the store does not say how its crops were cut"
            if reason:
                left_out.append((overview.clip_ids[row], overview.original[row], reason))
            else:
                comparable.append(overview.clip_ids[row])
        chosen = evenly(comparable, self.limit)
        return PairSection(
            num_fakes=len(fakes),
            num_comparable=len(comparable),
            num_shown=len(chosen),
            pairs=lambda: self._show_pairs(chosen),
            left_out=left_out[:ROWS_A_TABLE],
            num_left_out=len(left_out),
        )

    def _show_pairs(self, fakes: list[str]) -> Iterator[PairShown]:
        for fake in fakes:
            original = self.overview.original[self.overview.row_of[fake]]
            yield show_pair(self.store, self.geometry, self._record(fake), self._record(original))
