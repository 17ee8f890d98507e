"""What a store holds in figures: statuses, labels, tracks and faces of its clips, and how good each clip's are."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from tfdfd.clip import LABEL_NAMES, STATUSES, WITH_FACES
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import values

_NUMBER = re.compile(r"(?<![\w-])-?\d+(\.\d+)?(?![\w-])")  # but for names such as h264 and 8-bit
UNLABELLED = "unlabelled"
LABELS = (*(name.lower() for name in LABEL_NAMES.values()), UNLABELLED)
"""What a clip of a store can be; unlabelled is one that its manifest does not name."""


class StoreOverview:
    """The clips of a store and what there is of each; of the tracks only what is counted is kept.

    Args:
        store: the store.
    """

    clip_ids: np.ndarray
    """object, shape (n,), ascending; all other arrays are in this order."""
    status: np.ndarray
    """object, shape (n,): one of STATUSES."""
    label: np.ndarray
    """object, shape (n,): one of LABELS."""
    original: np.ndarray
    """object, shape (n,): the clip that a fake was made from, empty where not known."""
    datasets: list[str]
    """The data sets that the clips are from."""
    score: np.ndarray
    """float64, shape (n,): mean confidence over the places of the main track that the clip can fill, 0 where empty."""

    def __init__(self, store: FaceStore) -> None:
        self.clips = store.clips()
        self.clip_ids, self.status = values(self.clips, "clip_id"), values(self.clips, "status")
        self.row_of = {clip_id: row for row, clip_id in enumerate(self.clip_ids)}
        self.label, self.original, self.datasets = self._from_manifest(store)
        self.score = np.zeros(len(self.clips))
        self.tracks, self.faces, self.places = (np.zeros(len(self.clips), np.int64) for _ in range(3))
        self._count_tracks(store)

    def counts(self) -> list[dict[str, Any]]:
        """Return one row of figures a label that occurs, and one for all."""
        warned = np.array([len(warnings) > 0 for warnings in self.clips["warnings"]], bool)
        rows = []
        present = [label for label in LABELS if (self.label == label).any()]
        for name, chosen in (*((label, self.label == label) for label in present), ("all", self.label == self.label)):
            num_with_faces = int((chosen & np.isin(self.status, WITH_FACES)).sum())
            faces, places = int(self.faces[chosen].sum()), int(self.places[chosen].sum())
            rows.append(
                {
                    "name": name,
                    "clips": int(chosen.sum()),
                    **{status: int((chosen & (self.status == status)).sum()) for status in STATUSES},
                    "tracks": int(self.tracks[chosen].sum()),
                    "faces": faces,
                    "faces_a_clip": faces / num_with_faces if num_with_faces else 0.0,
                    "empty_share": 1 - faces / places if places else 0.0,
                    "warned": int((chosen & warned).sum()),
                }
            )
        return rows

    def warnings(self) -> list[tuple[str, int]]:
        """Return the commonest warnings, their numbers left out, and how many clips have them."""
        found: Counter[str] = Counter()
        for warnings in self.clips["warnings"]:
            found.update({_NUMBER.sub("…", warning) for warning in warnings})
        return sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))[:10]

    def _from_manifest(self, store: FaceStore) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return label and original of each clip, and the names of the data sets."""
        labels = np.full(len(self.clips), UNLABELLED, object)
        originals = np.full(len(self.clips), "", object)
        datasets: set[str] = set()
        if not (store.folder / "manifest.parquet").is_file():
            return labels, originals, []  # a run that was killed before it wrote the labels
        manifest = store.manifest()
        columns = [values(manifest, name) for name in ("clip_id", "label", "original", "dataset")]
        for clip_id, label, original, dataset in zip(*columns, strict=True):
            if (row := self.row_of.get(clip_id)) is not None:
                labels[row], originals[row] = LABEL_NAMES.get(label, UNLABELLED).lower(), original
                datasets.add(dataset)
        return labels, originals, sorted(datasets - {""})

    def _count_tracks(self, store: FaceStore) -> None:
        index = store.tracks(columns=["clip_id", "track", "is_face", "confidences"])
        frames = values(self.clips, "frame_indices")
        for clip_id, track, is_face, confidences in index.itertuples(index=False, name=None):
            row = self.row_of[clip_id]
            self.tracks[row] += 1
            self.faces[row] += int(np.sum(is_face))
            self.places[row] += len(is_face)
            if track == 0:
                fillable = int((np.asarray(frames[row]) >= 0).sum()) or len(is_face)
                self.score[row] = float(np.sum(confidences)) / fillable
