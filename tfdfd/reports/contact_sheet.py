"""The contact sheet: a page of a store's strips, so that a person sees in a minute whether extraction went well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfdfd.clip import FAILED, LABEL_NAMES, NO_FACE, OK, STATUSES, TfdfdError
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import records, values
from tfdfd.reports.clips_shown import LOW_CONFIDENCE, THUMBNAIL, ClipShown, Geometry, known, show_clip
from tfdfd.reports.page import counted, write_page
from tfdfd.reports.pairs import AMPLIFIED, PairShown, show_pair, why_not_compared
from tfdfd.reports.selection import evenly, worst_and_typical

CLIPS_A_SECTION = 24
"""Clips shown of each status and label, unless told otherwise; and pairs."""
ROWS_A_TABLE = 200
"""Clips listed in a table."""
_UNLABELLED = "unlabelled"
_LABELS = (*(name.lower() for name in LABEL_NAMES.values()), _UNLABELLED)


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
        title=" ".join(["Contact sheet", *sheet.datasets]),
        facts={
            "clips": counted(len(sheet.clips), "clip"),
            "crops": f"{store.crop_size} px, margin {preprocessing.get('margin')}",
            "places": f"{store.num_places} a track",
            "frames": str(preprocessing.get("frame_rule")),
        },
        counts=sheet.counts(),
        warnings=sheet.warnings(),
        sections=sheet.strip_sections(),
        tables=[sheet.table(NO_FACE), sheet.table(FAILED)],
        pairs=sheet.pair_section(),
        has_boxes=sheet.geometry.has_boxes,
        are_boxes_drawn=sheet.geometry.margin is not None,
        num_places=store.num_places,
        crop_size=store.crop_size,
        thumbnail=THUMBNAIL,
        low_confidence=LOW_CONFIDENCE,
        amplified=AMPLIFIED,
        rows_a_table=ROWS_A_TABLE,
    )


class _Sheet:
    """What the page says of a store. Of the index only what is counted is held for all clips."""

    def __init__(self, store: FaceStore, limit: int) -> None:
        self.store, self.limit, self.geometry = store, limit, Geometry(store)
        self.clips = store.clips()
        self.row_of = {clip_id: row for row, clip_id in enumerate(values(self.clips, "clip_id"))}
        self.status = values(self.clips, "status")
        self.label, self.original, self.datasets = self._from_manifest()
        self.score = np.zeros(len(self.clips))
        self.tracks, self.faces, self.places = (np.zeros(len(self.clips), np.int64) for _ in range(3))
        self._count_tracks()
        self.shown: dict[str, tuple[list[str], list[str]]] = {}
        for label in _LABELS:
            rows = np.flatnonzero((self.status == OK) & (self.label == label))
            clip_ids = values(self.clips, "clip_id")[rows].tolist()
            if self.geometry.has_boxes:
                self.shown[label] = worst_and_typical(clip_ids, self.score[rows], limit)
            else:
                self.shown[label] = ([], evenly(clip_ids, limit))

    def _from_manifest(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return label and original of each clip, and the names of the data sets."""
        labels = np.full(len(self.clips), _UNLABELLED, object)
        originals = np.full(len(self.clips), "", object)
        datasets: set[str] = set()
        if not (self.store.folder / "manifest.parquet").is_file():
            return labels, originals, []  # a run that was killed before it wrote the labels
        manifest = self.store.manifest()
        lacking = np.full(len(manifest), "", object)
        columns = [values(manifest, name) if name in manifest else lacking for name in ("original", "dataset")]
        for clip_id, label, original, dataset in zip(manifest["clip_id"], manifest["label"], *columns, strict=True):
            if (row := self.row_of.get(clip_id)) is not None:
                labels[row], originals[row] = LABEL_NAMES[label].lower(), original
                datasets.add(dataset)
        return labels, originals, sorted(datasets - {""})

    def _count_tracks(self) -> None:
        """Count tracks and faces, and rate each clip by the mean confidence of its main track, 0 where it is empty."""
        index = self.store.tracks(columns=["clip_id", "track", "is_face", "confidences"])
        frames = values(self.clips, "frame_indices")
        for clip_id, track, is_face, confidences in index.itertuples(index=False, name=None):
            row = self.row_of[clip_id]
            self.tracks[row] += 1
            self.faces[row] += int(np.sum(is_face))
            self.places[row] += len(is_face)
            if track == 0:
                fillable = int((np.asarray(frames[row]) >= 0).sum()) or len(is_face)
                self.score[row] = float(np.sum(confidences)) / fillable

    def counts(self) -> list[dict[str, Any]]:
        """Return one row of figures a label that occurs, and one for all."""
        warned = np.array([len(warnings) > 0 for warnings in self.clips["warnings"]], bool)
        rows = []
        present = [label for label in _LABELS if (self.label == label).any()]
        for name, chosen in (*((label, self.label == label) for label in present), ("all", self.label == self.label)):
            num_ok = int((chosen & (self.status == OK)).sum())
            faces, places = int(self.faces[chosen].sum()), int(self.places[chosen].sum())
            rows.append(
                {
                    "name": name,
                    "clips": int(chosen.sum()),
                    **{status: int((chosen & (self.status == status)).sum()) for status in STATUSES},
                    "tracks": int(self.tracks[chosen].sum()),
                    "faces": faces,
                    "faces_a_clip": faces / num_ok if num_ok else 0.0,
                    "empty_share": 1 - faces / places if places else 0.0,
                    "warned": int((chosen & warned).sum()),
                }
            )
        return rows

    def warnings(self) -> list[tuple[str, int]]:
        """Return the commonest warnings and how many clips have them."""
        found = Counter(warning for warnings in self.clips["warnings"] for warning in warnings)
        return sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))[:10]

    def strip_sections(self) -> list[StripSection]:
        """Return the clips with faces, by label."""
        sections = []
        for label in _LABELS:
            worst, typical = self.shown[label]
            count = int(((self.status == OK) & (self.label == label)).sum())
            if count:
                sections.append(
                    StripSection(
                        label,
                        count,
                        worst=lambda chosen=worst: self._show(chosen),
                        typical=lambda chosen=typical: self._show(chosen),
                        num_worst=len(worst),
                        num_typical=len(typical),
                    )
                )
        return sections

    def _show(self, clip_ids: list[str]) -> Iterator[ClipShown]:
        tracks = self._tracks_of(clip_ids)
        for clip_id in clip_ids:
            yield show_clip(self.store, self.geometry, self._clip(clip_id), tracks[clip_id])

    def _tracks_of(self, clip_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
        tracks: dict[str, list[dict[str, Any]]] = {clip_id: [] for clip_id in clip_ids}
        for track in records(self.store.tracks(clip_ids=clip_ids)) if clip_ids else ():
            tracks[track["clip_id"]].append(track)
        return tracks

    def _clip(self, clip_id: str) -> dict[str, Any]:
        row = self.row_of[clip_id]
        return records(self.clips.iloc[row : row + 1])[0]

    def table(self, status: str) -> TableSection:
        """Return the clips of a status that have no faces, as rows of text."""
        chosen = np.flatnonzero(self.status == status)
        rows = []
        for row in chosen[:ROWS_A_TABLE].tolist():
            clip = self._clip(self.clips["clip_id"].iloc[row])
            size = f"{clip['width']:.0f} x {clip['height']:.0f}" if known(clip["width"]) else ""
            rows.append(
                [
                    clip["clip_id"],
                    self.label[row],
                    clip["reason"],
                    clip["decoder"] if known(clip["decoder"]) else "",
                    size,
                ]
            )
        return TableSection(status, len(chosen), rows)

    def pair_section(self) -> PairSection:
        """Return the fakes that can be laid beside their originals, and those that cannot."""
        fakes = np.flatnonzero((self.status == OK) & (self.label == "fake") & (self.original != ""))
        clip_ids = values(self.clips, "clip_id")
        comparable: list[str] = []
        left_out: list[tuple[str, str, str]] = []
        names = ("status", "width", "height", "quarter_turns", "num_frames", "frame_indices")
        columns = {name: values(self.clips, name) for name in names}

        def at(row: int) -> Mapping[str, Any]:
            return {name: column[row] for name, column in columns.items()}

        for row in fakes.tolist():
            original = self.row_of.get(self.original[row])
            reason = why_not_compared(at(row), None if original is None else at(original))
            if not reason and self.geometry.margin is None:
                reason = "their crops are aligned, so their pixels do not correspond"
            if reason:
                left_out.append((clip_ids[row], self.original[row], reason))
            else:
                comparable.append(clip_ids[row])
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
        original_of = {fake: self.original[self.row_of[fake]] for fake in fakes}
        tracks = self._tracks_of(sorted({*fakes, *original_of.values()}))
        for fake, original in original_of.items():
            yield show_pair(
                self.store,
                self.geometry,
                self._clip(fake),
                self._clip(original),
                tracks[fake],
                tracks[original],
            )
